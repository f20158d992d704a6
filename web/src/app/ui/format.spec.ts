import { ago, binary, bytes, counted, decimals, duration, figure, fixed, range, tail } from './format';

test('durations have the two units that matter', () => {
  expect([0.0021, 0.31, 4.2, 38, 60, 186, 7500, 604_000].map(duration)).toEqual(['2 ms', '310 ms', '4.2 s', '38 s', '1 min', '3 min 6 s', '2 h 5 min', '6 d 23 h']);
});

test('a range is in whole seconds, and in one piece where its ends look alike', () => {
  const ranges = [
    { low: 39.6, high: 120.2 },
    { low: 0.01, high: 1.2 },
    { low: -3, high: 4.6 },
    { low: 3601, high: 7230 },
  ];
  expect(ranges.map(range)).toEqual(['40 s to 2 min', '1 s', '1 s to 5 s', '1 h to 2 h']);
});

test('ages', () => {
  expect([0, -30, -90, -7200, -200_000, 90].map((s) => ago(s * 1000, 0))).toEqual(['now', '30 s ago', '1 min ago', '2 h ago', '2 d ago', 'in 1 min']);
});

test("a column's largest value has four significant digits, all rows the same decimals", () => {
  expect([594.1, 4, 0.93, 12_345, 0.0012].map((most) => decimals(most, false))).toEqual([1, 3, 4, 0, 6]);
  expect(decimals(54, true)).toBe(0);
  expect(fixed(1234.5, 1)).toBe('1,234.5');
});

test('sizes, counts and ids', () => {
  expect([999, 74_000, 1_900_000].map(bytes)).toEqual(['999 B', '74 kB', '1.9 MB']);
  expect([64 << 20, 20 * 2 ** 30].map(binary)).toEqual(['64 MiB', '20 GiB']);
  expect([counted(1, 'input'), counted(2000, 'input'), counted(2, 'success', 'successes')]).toEqual(['1 input', '2,000 inputs', '2 successes']);
  expect(tail('01a21d60-c960-7d4d-a7f6-c5e7bb651318')).toBe('…651318');
  expect([null, 0.004, 0.22, 9, 651, 1065].map(figure)).toEqual(['–', '0.004', '0.22', '9.0', '651', '1,065']);
});
