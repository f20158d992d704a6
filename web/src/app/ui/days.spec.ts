import { daysInWords, isDay, resolve } from './days';

const now = Date.parse('2026-11-27T23:30:00Z');

test('words move with the calendar, days stay', () => {
  expect(resolve('today', now)).toEqual({ from: '2026-11-27', to: '2026-11-27' });
  expect(resolve('7d', now)).toEqual({ from: '2026-11-21', to: '2026-11-27' });
  expect(resolve('month', now)).toEqual({ from: '2026-11-01', to: '2026-11-27' });
  expect(resolve('2026-11-01..2026-11-03', now)).toEqual({ from: '2026-11-01', to: '2026-11-03' });
  expect(resolve('..2026-11-03', now)).toEqual({ to: '2026-11-03' });
});

test('what means nothing filters nothing', () => {
  for (const text of ['', 'x', '2026-13-01..', '2026-02-30..2026-02-31']) expect(resolve(text, now)).toEqual({});
  expect(isDay('2026-02-30')).toBe(false);
});

test('days are said shortly', () => {
  expect(['2026-11-21..2026-11-27', '2026-11-27..2026-11-27', '2026-10-30..2026-11-02', '2026-11-01..', '7d', ''].map(daysInWords)).toEqual(['21 to 27 Nov', '27 Nov', '30 Oct to 2 Nov', 'since 1 Nov', 'last 7 days', 'any day']);
});
