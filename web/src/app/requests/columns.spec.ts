import { arranged, said, shadeOf, shownColumns, under } from './columns';

const column = (name: string) => ({ name, kind: 'number' as const, whole: false, least: 0, most: 80, bins: [] });
const [a, b, c] = shownColumns([column('a'), column('b'), column('c')], [
  { name: 'a', kind: 'float', description: 'Average weight', unit: 'g/mol', direction: null },
  { name: 'c', kind: 'float', description: '', unit: 'nM', direction: 'low' },
]);
const all = [a, b, c].flatMap((one) => (one ? [one] : []));

test('below a name stand the unit and where it is strong', () => {
  expect(all.map(under)).toEqual(['g/mol', '', 'nM, low is strong']);
});

test('pinned columns come first as they were pinned, hidden ones not at all', () => {
  const names = (pinned: string[], hidden: string[]) => arranged(all, pinned, hidden).map((one) => one.name).join('');
  expect([names([], []), names(['c', 'b'], []), names([], ['a', 'x']), names(['b', 'x'], ['b', 'c'])]).toEqual(['abc', 'cba', 'bc', 'ba']);
});

test('all values of a column have the same decimals, and one of eight shades', () => {
  const row = (value: number | null) => ({ at: 0, values: [value, null, null], error: null });
  expect(all[0] && [said(all[0], 7), said(all[0], null)]).toEqual(['7.00', '–']);
  expect([0, 39, 80, null].map((value) => all[0] && shadeOf(all[0], row(value)))).toEqual([1, 4, 8, 0]);
  const low = (value: number) => ({ at: 0, values: [null, null, value], error: null });
  expect([0, 39, 80].map((value) => all[2] && shadeOf(all[2], low(value)))).toEqual([8, 5, 1]);
});
