import { drawn } from './usage';

test('a line goes from 0 to the most, and time is not squeezed', () => {
  const samples = [
    { at: 0, value: 0, most: 0 },
    { at: 10_000, value: 1, most: 2 },
    { at: 40_000, value: 1, most: 1 },
  ];
  expect(drawn(samples).line).toBe('M0 40L25 21L100 21');
  expect(drawn(samples).area).toBe('M0 40L0 40L25 2L100 21L100 40Z');
});

test('one sample is no line, and one that is zero throughout lies on the ground', () => {
  expect(drawn([{ at: 5, value: 1, most: 1 }]).line).toBe('');
  expect(drawn([{ at: 0, value: 0, most: 0 }, { at: 1, value: 0, most: 0 }]).line).toBe('M0 40L100 40');
});
