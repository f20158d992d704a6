import type { Value } from './result-messages';

/** A line of CSV, quoted where it must be; texts that a spreadsheet would run get a `'`. */
export function csvLine(cells: readonly Value[]): string {
  return `${cells.map(csvCell).join(',')}\r\n`;
}

function csvCell(value: Value): string {
  if (typeof value !== 'string') return String(value ?? '');
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export function tsvLine(cells: readonly Value[]): string {
  return `${cells.map((value) => String(value ?? '').replace(/[\t\r\n]+/g, ' ')).join('\t')}\n`;
}
