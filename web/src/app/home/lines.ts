import type { Record, Sheet } from './sheet';

/** The text with one more input below the others, read as `sheet` was. */
export function withInput(text: string, sheet: Sheet, input: string): string {
  if (text.trim() === '') return `${input}\n`;
  return `${text.replace(/[\r\n]+$/, '')}\n${line(sheet, sheet.columns.map(() => ''), input)}\n`;
}

/** The text with another input in a row; other cells stay. */
export function withInputAt(text: string, sheet: Sheet, row: Record, input: string): string {
  const lines = text.replace(/\r\n?/g, '\n').split('\n');
  const more = row.cells.reduce((sum, cell) => sum + cell.split('\n').length - 1, 0);
  lines.splice(row.line - 1, 1 + more, line(sheet, row.cells, input));
  return lines.join('\n');
}

function line({ separator, at }: Sheet, cells: readonly string[], input: string): string {
  if (separator === null) return input;
  const quoted = (cell: string) => (cell.includes(separator) || /["\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  return cells.map((cell, n) => quoted(n === at ? input : cell)).join(separator);
}
