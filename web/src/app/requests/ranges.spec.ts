import { parseRanges, writeRanges } from './ranges';

test('ranges come back from the address as they went', () => {
  const ranges = [
    { column: 'logp', low: -1.5, high: 4 },
    { column: 'a:b;c..d', low: 1e-7, high: 1e21 },
  ];
  expect(parseRanges(writeRanges(ranges))).toEqual(ranges);
  expect(writeRanges([])).toBe('');
});

test('what is no range filters nothing', () => {
  for (const text of ['', 'logp', 'logp:1', 'logp:a..b', ':1..2', 'x:1..']) expect(parseRanges(text)).toEqual([]);
});
