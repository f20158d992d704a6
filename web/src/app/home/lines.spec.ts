import { withInput, withInputAt } from './lines';
import { dialectOf, inputsOf, type Record, sheet, type Wish } from './sheet';

const wish: Wish = { names: ['smiles'], column: null, header: 'auto', separator: null };
const read = (text: string) => sheet(text, dialectOf(text), wish);
const rowOf = (text: string, n: number) => read(text).rows[n] as Record;

test('one more input stands below the others, in its column', () => {
  expect(withInput('', read(''), 'CCO')).toBe('CCO\n');
  for (const text of ['C\nCC', 'C\nCC\n', 'C\r\nCC\r\n\r\n']) expect(inputsOf(read(withInput(text, read(text), 'CCO')))).toEqual(['C', 'CC', 'CCO']);
  const table = 'name,smiles,note\nmethane,C,"a, b"\n';
  expect(withInput(table, read(table), 'CCO')).toBe(`${table},CCO,\n`);
  const tabs = 'smiles\ta\tb\nC\t\t\n';
  expect(withInput(tabs, read(tabs), 'CCO')).toBe(`${tabs}CCO\t\t\n`);
  expect(inputsOf(read(withInput('smiles\nC\n', read('smiles\nC\n'), 'CCO')))).toEqual(['C', 'CCO']);
});

test('another input in a row leaves everything else as it was read', () => {
  expect(withInputAt('C\n\nCC\nCCC', read('C\n\nCC\nCCC'), rowOf('C\n\nCC\nCCC', 1), 'N')).toBe('C\n\nN\nCCC');
  // Cells with separators, quotes and lines; and lines that end otherwise.
  const table = 'name,smiles,note\r\n"a, ""b""",C,"two\nlines"\r\nc,CC,\r\nd,CCC,x';
  for (const n of [0, 1, 2]) {
    const changed = read(withInputAt(table, read(table), rowOf(table, n), 'N'));
    const expected = read(table).rows.map((row, at) => (at === n ? [row.cells[0], 'N', row.cells[2]] : row.cells));
    expect(changed.rows.map((row) => row.cells)).toEqual(expected);
    expect(changed.columns).toEqual(['name', 'smiles', 'note']);
  }
});
