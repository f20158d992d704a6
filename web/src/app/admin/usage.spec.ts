import { drawn, joined } from './usage';

test('a line goes from 0 to the most, and time is not squeezed', () => {
  const samples = [
    { at: 0, value: 0 },
    { at: 10_000, value: 2 },
    { at: 40_000, value: 1 },
  ];
  expect(drawn(samples).line).toBe('M0 40L25 2L100 21');
  expect(drawn(samples).area).toBe('M0 40L0 40L25 2L100 21L100 40Z');
});

test('one sample is no line, and one that is zero throughout lies on the ground', () => {
  expect(drawn([{ at: 5, value: 1 }]).line).toBe('');
  expect(drawn([{ at: 0, value: 0 }, { at: 1, value: 0 }]).line).toBe('M0 40L100 40');
});

test('the newest hour stays', () => {
  let samples: readonly { at: number }[] = [];
  for (let n = 0; n < 500; n++) samples = joined(samples, { at: n });
  expect([samples.length, samples[0]?.at, samples.at(-1)?.at]).toEqual([360, 140, 499]);
  expect(joined(samples, { at: 499 })).toBe(samples);
});
