import { dialectOf, inputsOf, records, sheet, type Wish } from './sheet';

const auto: Wish = { names: ['smiles', 'input', 'structure'], column: null, header: 'auto' };

test('lines are inputs unless the first is a name of the input', () => {
  expect(inputsOf(sheet('CCO\n\nCC\n', 'plain', auto))).toEqual(['CCO', 'CC']);
  for (const name of ['smiles', 'Structure', 'INPUT']) expect(inputsOf(sheet(`${name}\nCCO\n`, 'plain', auto))).toEqual(['CCO']);
  expect(inputsOf(sheet('smiles\nCCO', 'plain', { ...auto, header: 'absent' }))).toEqual(['smiles', 'CCO']);
  expect(inputsOf(sheet('x\nCCO', 'plain', { ...auto, header: 'used' }))).toEqual(['CCO']);
});

test('the input column is found by its name, or chosen', () => {
  const text = 'name,SMILES\n"a, b",CCO\nx,"C"\n';
  const read = sheet(text, 'csv', auto);
  expect([read.at, inputsOf(read), read.rows.map((row) => row.line)]).toEqual([1, ['CCO', 'C'], [2, 3]]);
  expect(inputsOf(sheet(text, 'csv', { ...auto, column: 'name' }))).toEqual(['a, b', 'x']);
  expect(sheet('a,b\n1,2\n', 'csv', auto).at).toBe(-1);
});

test('cells are cut after RFC 4180', () => {
  const cells = (text: string) => records(text, 'csv').map((row) => row.cells);
  expect(cells('\uFEFFa,b\r\n"1""2","x\ny"\r3,\n')).toEqual([['a', 'b'], ['1"2', 'x\ny'], ['3', '']]);
  expect(records('a\n\n"b\nc"\nd', 'csv').map((row) => row.line)).toEqual([1, 3, 5]);
});

test('the kind of a text is told by its name, else by its first line', () => {
  expect(['x.CSV', 'x.tsv', 'x.smi'].map((name) => dialectOf('CCO', name))).toEqual(['csv', 'tsv', 'plain']);
  expect(['CCO\nC', 'a\tb', 'a,b'].map((text) => dialectOf(text))).toEqual(['plain', 'tsv', 'csv']);
});
