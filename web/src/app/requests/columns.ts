import type { Schemas } from '../api/api';
import type { ResultColumn, ResultRow, Value } from '../../workers/result-messages';
import { decimals, fixed } from '../ui/format';

/** A column as the table shows it. */
export interface Shown extends ResultColumn {
  /** Decimals of all its values. */
  readonly digits: number;
  readonly unit: string;
  /** At which end of its values what it stands for is strong, if that is known. */
  readonly direction: Output['direction'];
  readonly meaning: string;
  /** Its place in the result. */
  readonly index: number;
}

type Output = Schemas['ModelOutput'];

export function shownColumns(columns: readonly ResultColumn[], outputs: readonly Output[]): Shown[] {
  return columns.map((column, index) => {
    const said = outputs.find((one) => one.name === column.name);
    const digits = decimals(Math.max(Math.abs(column.least), Math.abs(column.most)), column.whole);
    return { ...column, index, digits, meaning: said?.description ?? '', unit: said?.unit ?? '', direction: said?.direction ?? null };
  });
}

/** The pinned ones first, in the order in which they were pinned; then the others without the hidden. */
export function arranged(columns: readonly Shown[], pinned: readonly string[], hidden: readonly string[]): Shown[] {
  const first = pinned.flatMap((name) => columns.filter((one) => one.name === name));
  return [...first, ...columns.filter((one) => !pinned.includes(one.name) && !hidden.includes(one.name))];
}

export function said(column: Shown, value: Value): string {
  if (value === null) return '–';
  return typeof value === 'number' ? fixed(value, column.digits) : value;
}

/** Ends of a range, short enough for a column's head. */
export function short(value: number): string {
  return Number(value.toPrecision(3)).toLocaleString('en', { maximumFractionDigits: 4 });
}

/** What stands below a column's name: `nM, low is strong`. */
export function under({ unit, direction }: Shown): string {
  return [unit, direction && `${direction} is strong`].filter(Boolean).join(', ');
}

/** One of eight steps of one hue, the last one where it is strong; 0 if it has none. */
export function shadeOf(column: Shown, row: ResultRow): number {
  const value = row.values[column.index];
  if (typeof value !== 'number') return 0;
  const span = column.most - column.least;
  if (span <= 0) return 4;
  const step = Math.min(8, 1 + Math.floor(((value - column.least) / span) * 8));
  return column.direction === 'low' ? 9 - step : step;
}
