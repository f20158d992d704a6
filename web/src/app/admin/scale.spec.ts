import { decades, place, tick } from './scale';

const five = (min: number, max: number) => ({ min, p50: min, p95: max, p99: max, max });

test('one axis is around all that was measured, in whole decades', () => {
  expect(decades([])).toEqual({ from: 0, to: 1 });
  expect(decades([five(0.02, 3), five(0.5, 1304)])).toEqual({ from: -2, to: 4 });
  expect(decades([five(0, 0)])).toEqual({ from: -3, to: 1 });
});

test('a factor of ten is the same way everywhere', () => {
  const axis = { from: -2, to: 4 };
  expect([0.01, 1, 100, 10_000].map((seconds) => place(seconds, axis))).toEqual([0, 1 / 3, 2 / 3, 1]);
  expect([0, 1e9].map((seconds) => place(seconds, axis))).toEqual([0, 1]);
  expect([-2, 0, 2, 4].map(tick)).toEqual(['0.01', '1', '100', '10k']);
});
