import type { ResultColumn, ResultRow, Value } from '../../workers/result-messages';
import { decimals, fixed } from '../ui/format';

/** A column as the table shows it. */
export interface Shown extends ResultColumn {
  /** Decimals of all its values. */
  readonly digits: number;
  readonly unit: string;
  readonly meaning: string;
  /** Its place in the result. */
  readonly index: number;
}

interface Output {
  readonly name: string;
  readonly description: string;
}

export function shownColumns(columns: readonly ResultColumn[], outputs: readonly Output[]): Shown[] {
  return columns.map((column, index) => {
    const meaning = outputs.find((one) => one.name === column.name)?.description ?? '';
    const digits = decimals(Math.max(Math.abs(column.least), Math.abs(column.most)), column.whole);
    return { ...column, index, digits, meaning, unit: unitOf(meaning) };
  });
}

/** A unit that stands at a description's end: "Average molecular weight, g/mol". */
export function unitOf(description: string): string {
  const last = /,\s*([^,]{1,16})$/.exec(description)?.[1] ?? '';
  if (!/^(g\/mol|percent|%|0 to 1|square angstrom|degrees? Celsius|°C|Å²|[nuµm]?M|log .{1,8})$/.test(last)) return '';
  return last.replace('square angstrom', 'Å²').replace(/degrees? Celsius/, '°C').replace('percent', '%');
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

/** One of eight steps of one hue; 0 if it has none. */
export function shadeOf(column: Shown, row: ResultRow): number {
  const value = row.values[column.index];
  if (typeof value !== 'number') return 0;
  const span = column.most - column.least;
  return span > 0 ? Math.min(8, 1 + Math.floor(((value - column.least) / span) * 8)) : 4;
}
