import { join, ordered, summary } from './pairs';

test('inputs that both have are joined, twice if they are there twice', () => {
  const joined = join(['CC', 'CCO', 'CC', 'N'], [1, 2, 3, 4], ['CC ', 'O', 'CC', 'CCO'], [10, 20, 30, null]);
  expect(joined.pairs).toEqual([
    { input: 'CC', a: 1, b: 10, difference: 9 },
    { input: 'CCO', a: 2, b: null, difference: null },
    { input: 'CC', a: 3, b: 30, difference: 27 },
  ]);
  expect([joined.onlyA, joined.onlyB]).toEqual([1, 1]);
});

test('what has no difference stands last, up and down', () => {
  const { pairs } = join(['a', 'b', 'c'], [1, 1, 1], ['a', 'b', 'c'], [3, null, 2]);
  const names = (down: boolean) => ordered(pairs, 'difference', down).map((pair) => pair.input).join('');
  expect([names(false), names(true)]).toEqual(['cab', 'acb']);
});

test('what is said of all differences', () => {
  const of = (a: number[], b: number[]) => summary(join(a.map(String), a, a.map(String), b).pairs);
  expect(of([1, 2, 3], [2, 4, 6])).toEqual({ both: 3, mean: 2, absolute: 2, correlation: expect.closeTo(1, 10) });
  expect(of([1, 2, 3], [0, 3, 3]).absolute).toBeCloseTo(2 / 3);
  expect(of([1, 2, 3], [5, 5, 5]).correlation).toBe(null);
  expect(summary([])).toEqual({ both: 0, mean: null, absolute: null, correlation: null });
});
