import { columnOf, dialectOf, inputsOf, numberOf, type Record, records, sheet, type Wish } from './sheet';

const auto: Wish = { names: ['smiles', 'input', 'structure'], column: null, header: 'auto', separator: null };

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

test('cells are cut after RFC 4180, and lines are counted', () => {
  const all = (text: string, separator: string | null) => {
    const found: Record[] = [];
    records(text, separator, (record) => found.push(record));
    return found;
  };
  const cells = (text: string) => all(text, ',').map((row) => row.cells);
  expect(cells('\uFEFFa,b\r\n"1""2","x\ny"\r3,\n')).toEqual([['a', 'b'], ['1"2', 'x\ny'], ['3', '']]);
  expect(all('a\n\n"b\nc"\nd', ',').map((row) => row.line)).toEqual([1, 3, 5]);
  expect(all('"C"C\n', null)).toEqual([{ line: 1, cells: ['"C"C'] }]);
});

test('what the hub would refuse is said with its line', () => {
  expect(sheet('smiles,a\n1,2\n1,2,3\n', 'csv', auto).refusal?.said).toMatch(/line 3 has “3” in its cell 3/);
  expect(sheet('smiles\n"CCO" x\n', 'csv', auto).refusal?.said).toMatch(/Line 2 has text after/);
  // The beginning of a file ends anywhere.
  expect(sheet('smiles,a\n1,"2', 'csv', auto, true).refusal).toBe(null);
});

test('without a header columns are told by their number', () => {
  const absent = sheet('CCO,ethanol\nC,methane\n', 'csv', { ...auto, header: 'absent', column: '1' });
  expect([columnOf(absent, 1), absent.columns]).toEqual(['2', ['column_1', 'column_2']]);
});

test('the kind of a text is told by its name, else by its first line', () => {
  expect(['x.CSV', 'x.tsv', 'x.smi'].map((name) => dialectOf('CCO', name))).toEqual(['csv', 'tsv', 'plain']);
  expect(['CCO\nC', 'a\tb', 'a,b', 'a;b'].map((text) => dialectOf(text))).toEqual(['plain', 'csv', 'csv', 'csv']);
});

test('of a large text some rows are handed on, and all are counted and looked at', () => {
  const text = `smiles,a\n${'CCO,1\n'.repeat(50)}C,1,2\n`;
  const read = sheet(text, 'csv', auto, false, { rows: 10, characters: 1_000 });
  expect([read.rows.length, numberOf(read), read.refusal?.kind]).toEqual([10, 51, 'bad-csv']);
  expect(sheet(text, 'csv', auto, false, { rows: 100, characters: 7 }).rows.length).toBe(2);
});
