import type { Schemas } from '../api/api';

export type Row = Schemas['StatisticsRow'];
export type Times = 'waiting' | 'job' | 'total';

/** Least, median, 95 %, 99 % and most of a group's times, seconds. */
export interface Five {
  readonly min: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
}

export function five(row: Row, times: Times): Five | null {
  const of = (figure: 'min' | 'p50' | 'p95' | 'p99' | 'max') => row[`${times}_seconds_${figure}`];
  const [min, p50, p95, p99, max] = [of('min'), of('p50'), of('p95'), of('p99'), of('max')];
  if (min == null || p50 == null || p95 == null || p99 == null || max == null) return null;
  return { min, p50, p95, p99, max };
}

/** Powers of ten that a column's axis goes from and to. */
export interface Decades {
  readonly from: number;
  readonly to: number;
}

const LEAST = -3;

/** One axis for all rows: whole decades around all that was measured. */
export function decades(all: readonly Five[]): Decades {
  let from = 0;
  let to = 1;
  for (const { min, max } of all) {
    from = Math.min(from, Math.floor(Math.log10(Math.max(min, 10 ** LEAST))));
    to = Math.max(to, Math.ceil(Math.log10(Math.max(max, 10 ** LEAST))));
  }
  return { from, to };
}

/** Where a time stands on the axis: 0 to 1. */
export function place(seconds: number, { from, to }: Decades): number {
  const log = Math.log10(Math.max(seconds, 10 ** from));
  return Math.min(1, Math.max(0, (log - from) / (to - from)));
}

/** `0.01`, `1`, `100`, `10k`. */
export function tick(power: number): string {
  if (power < 0) return (10 ** power).toFixed(-power);
  return power < 4 ? String(10 ** power) : `${10 ** (power - 3)}k`;
}
