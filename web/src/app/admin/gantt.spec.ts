import type { Schemas } from '../api/api';
import { bars, hours } from './gantt';

const at = (minute: number) => new Date(minute * 60_000).toISOString();
const one = (id: string, model: string, launched: number, ready: number | null, end: number | null, cause = 'idle') =>
  ({ id, model, launched_at: at(launched), ready_at: ready === null ? null : at(ready), end: end === null ? null : { at: at(end), cause } }) as unknown as Schemas['Instance'];

test('a bar is what an instance did, models stand together', () => {
  const drawn = bars([one('a', 'm', 0, 10, 50), one('b', 'n', 20, null, 30, 'out_of_memory'), one('c', 'm', 60, 70, null)], { from: 0, to: 6_000_000 });
  expect(drawn.map((bar) => [bar.id, bar.first, bar.start, bar.starting, bar.ready, bar.bad])).toEqual([
    ['a', true, 0, 10, 40, false],
    ['c', false, 60, 10, 30, false],
    ['b', true, 20, 10, 0, true],
  ]);
});

test('the axis has few labels, whatever the span', () => {
  for (const minutes of [5, 60, 600, 1440, 20_000, 200_000]) {
    const labels = hours({ from: 0, to: minutes * 60_000 });
    expect(labels.length).toBeGreaterThan(0);
    expect(labels.length).toBeLessThan(10);
    expect(labels.every((label) => label.x >= 0 && label.x <= 100)).toBe(true);
  }
});
