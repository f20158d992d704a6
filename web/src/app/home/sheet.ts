import { otherKind, recognise } from './recognise';

/** What a text is sent as: a table, a table cut by tabs, or one input a line. */
export type Dialect = 'csv' | 'tsv' | 'plain';

export interface Record {
  /** The first is 1. */
  readonly line: number;
  readonly cells: readonly string[];
}

/** Why the hub would refuse it: the slug of its problem, and what to do. */
export interface Refusal {
  readonly kind: 'bad-csv' | 'bad-parameter' | 'duplicate-header' | 'empty-input' | 'no-such-column' | 'other-file';
  readonly said: string;
}

/** What the hub will read: the same rules, held to them by `reading.golden.json`. */
export interface Sheet {
  readonly dialect: Dialect;
  readonly separator: string | null;
  /** Of several columns; those of a file without a header have numbers. */
  readonly columns: readonly string[];
  readonly header: boolean;
  /** The name of the column with the inputs, if it has one. */
  readonly column: string | null;
  /** The column with the inputs; -1 if none was found. */
  readonly at: number;
  /** Why this one. */
  readonly why: string;
  /** All of them, or the first that `Kept` leaves. */
  readonly rows: readonly Record[];
  /** How many there are. */
  readonly number: number;
  readonly blank: number;
  /** This was only the beginning of what is sent. */
  readonly cut: boolean;
  readonly refusal: Refusal | null;
}

/** How much of a large text is handed to the page. */
export interface Kept {
  readonly rows: number;
  readonly characters: number;
}

const ALL: Kept = { rows: Infinity, characters: Infinity };

export interface Wish {
  /** The names that mean the model's input column, the first one first. */
  readonly names: readonly string[];
  /** A name, or a number where there is no header. */
  readonly column: string | null;
  readonly header: 'auto' | 'used' | 'absent';
  /** What cuts the lines, whatever it looks like. */
  readonly separator: string | null;
}

export const CONTENT_TYPES: { [D in Dialect]: string } = {
  csv: 'text/csv',
  tsv: 'text/tab-separated-values',
  plain: 'text/plain',
};

/** So many characters tell what a file is. */
const HEAD = 8 << 10;
const MOST_COLUMNS = 1_000;

/** What may cut lines into cells, by the names that the hub knows. */
export const SEPARATORS: readonly { char: string; name: string }[] = [
  { char: ',', name: 'comma' },
  { char: ';', name: 'semicolon' },
  { char: '\t', name: 'tab' },
  { char: '|', name: 'pipe' },
  { char: ' ', name: 'space' },
];

export function separatorName(char: string): string {
  return SEPARATORS.find((one) => one.char === char)?.name ?? char;
}

/** By the file's name, else by its first line. */
export function dialectOf(text: string, name = ''): Dialect {
  if (/\.csv$/i.test(name)) return 'csv';
  if (/\.(tsv|tab)$/i.test(name)) return 'tsv';
  if (/\.(smi|smiles|txt)$/i.test(name)) return 'plain';
  const line = /[^\r\n]+/.exec(text)?.[0] ?? '';
  return /[,;\t]|^"?sep=/i.test(line) ? 'csv' : 'plain';
}

interface Cut {
  readonly blank: number;
  readonly refusal: Refusal | null;
}

/** RFC 4180 and its neighbours; without a separator a line is one cell, and quotes are text. */
export function records(text: string, separator: string | null, take: (record: Record) => void, firstLine = 1): Cut {
  let blank = 0;
  let at = text.startsWith('\uFEFF') ? 1 : 0;
  let line = firstLine;
  const refuse = (said: string): Cut => ({ blank, refusal: { kind: 'bad-csv', said } });
  const ends = (char: string | undefined) => char === undefined || char === '\n' || char === '\r' || char === separator;
  while (at < text.length) {
    const cells: string[] = [];
    const start = line;
    let quoted = false;
    for (;;) {
      let cell = '';
      if (separator !== null && text[at] === '"') {
        quoted = true;
        at++;
        for (;;) {
          const quote = text.indexOf('"', at);
          if (quote < 0) return refuse(`A quoted cell of the row at line ${start} is never closed.`);
          const piece = text.slice(at, quote);
          line += piece.split('\n').length - 1;
          cell += piece;
          at = quote + 1;
          if (text[at] !== '"') break;
          cell += '"';
          at++;
        }
        if (!ends(text[at])) return refuse(`Line ${line} has text after a closing quote. Write a quote inside a quoted cell twice.`);
      } else {
        const from = at;
        while (!ends(text[at])) at++;
        cell = text.slice(from, at);
      }
      cells.push(cell);
      if (separator === null || text[at] !== separator) break;
      if (cells.length >= MOST_COLUMNS) return refuse(`Line ${line} has more than ${MOST_COLUMNS} columns.`);
      at++;
    }
    at += text.startsWith('\r\n', at) ? 2 : 1;
    line++;
    const some = (cells.length === 1 && quoted) || cells.some((cell) => /[^\s]/.test(cell));
    if (some) take({ line: start, cells });
    else blank++;
  }
  return { blank, refusal: null };
}

/** Without what nobody sees, such as exports of web pages leave it. */
const visible = (text: string) => text.replace(/[\u200B-\u200F\u2060\uFEFF\u00AD]/g, '').trim();
const same = (a: string, b: string) => visible(a).toLowerCase() === visible(b).toLowerCase();

function named(headers: readonly string[], column: string): number {
  const exact = headers.indexOf(column);
  return exact >= 0 ? exact : headers.findIndex((header) => same(header, column));
}

/** The first of the names that stands there. */
function known(headers: readonly string[], names: readonly string[]): number {
  for (const name of names) {
    const at = headers.findIndex((header) => same(header, name));
    if (at >= 0) return at;
  }
  return -1;
}

/** `cut`: this is only the beginning of a file. */
export function sheet(text: string, dialect: Dialect, wish: Wish, cut = false, kept = ALL): Sheet {
  const find = (headers: readonly string[]) => (wish.column === null ? known(headers, wish.names) : named(headers, wish.column));
  const head = text.slice(0, HEAD);
  const { separator, saidIn, belowHeader } = recognise(head, !cut && text.length <= HEAD, (names) => wish.header !== 'absent' && find(names) >= 0);
  const lines = dialect === 'plain' && wish.separator === null && !belowHeader;
  const between = lines ? null : (wish.separator ?? (dialect === 'tsv' ? '\t' : separator));
  const skipped = lines ? 0 : saidIn;
  let first: First | undefined;
  const begin = (cells: readonly string[]) => (first = wish.header === 'absent' ? withoutHeader(cells, wish) : withHeader(cells, wish, find(cells)));
  const rows: Record[] = [];
  let [number, characters, some] = [0, 0, false];
  let over: Refusal | null = null;
  const read = records(skipped > 0 ? text.slice(skipped) : text, between, (record) => {
    if (!first && begin(record.cells).header) return;
    const { at, columns } = first ?? begin(record.cells);
    number++;
    some ||= at < 0 || (record.cells[at] ?? '').trim() !== '';
    over ??= surplus(record, Math.max(1, columns.length));
    if (rows.length >= kept.rows || characters > kept.characters) return;
    rows.push(record);
    for (const cell of record.cells) characters += cell.length;
  }, skipped > 0 ? 2 : 1);
  const told = first ?? begin([]);
  const kind = otherKind(head);
  const nothing: Refusal | null = some || told.at < 0 ? null : { kind: 'empty-input', said: 'There is no row with an input.' };
  const refusal: Refusal | null = kind
    ? { kind: 'other-file', said: `This is ${kind}. Paste a table with the inputs in the column ${wish.names[0] ?? 'input'}, or one input a line.` }
    : (told.refusal ?? over ?? (cut ? null : (read.refusal ?? nothing)));
  return { ...told, dialect, separator: told.columns.length > 1 ? between : null, rows, number, blank: read.blank, cut, refusal };
}

type First = Omit<Sheet, 'dialect' | 'separator' | 'rows' | 'number' | 'blank' | 'cut'>;

/** Columns have numbers only. */
function withoutHeader(cells: readonly string[], { column }: Wish): First {
  const width = cells.length;
  const names = width > 1 ? cells.map((_, n) => `column_${n + 1}`) : [];
  const number = column === null ? (width > 1 ? 0 : 1) : /^\d+$/.test(column.trim()) ? Number(column) : 0;
  const at = number >= 1 && number <= Math.max(1, width) ? number - 1 : -1;
  const said = `Without a header columns have numbers: choose the one with the inputs, from 1 to ${width}.`;
  return {
    columns: names,
    header: false,
    column: names[at] ?? null,
    at,
    why: width > 1 ? 'you chose it' : 'each line is an input',
    refusal: at < 0 && width > 0 ? { kind: 'bad-parameter', said } : null,
  };
}

function withHeader(cells: readonly string[], wish: Wish, found: number): First {
  const names = [...cells];
  // Spreadsheets write columns that were used once.
  while (names.length > 1 && visible(names.at(-1) ?? '') === '') names.pop();
  const alone = names.length <= 1;
  if (found < 0 && alone && wish.column === null && wish.header === 'auto') {
    return { columns: [], header: false, column: null, at: 0, why: 'each line is an input', refusal: null };
  }
  const at = found < 0 && alone && wish.column === null ? 0 : found;
  if (at < 0) {
    const said = wish.column === null ? `No column has the name ${wish.names[0] ?? 'input'}.` : `The first line has no column ${wish.column}.`;
    return { columns: alone ? [] : names, header: true, column: null, at, why: '', refusal: { kind: 'no-such-column', said } };
  }
  if (names.filter((name) => visible(name) === '').length > 1) {
    for (const [n, name] of names.entries()) {
      if (visible(name) !== '') continue;
      let given = `column_${n + 1}`;
      while (names.some((other) => visible(other) === given)) given += '_';
      names[n] = given;
    }
  }
  const again = names.findIndex((name, n) => names.findIndex((other) => visible(other) === visible(name)) < n);
  const before = names.findIndex((name) => visible(name) === visible(names[again] ?? ''));
  return {
    columns: alone ? [] : names,
    header: true,
    column: names[at] ?? null,
    at,
    why: wish.column !== null ? 'you chose it' : found < 0 ? 'you said that the first line is the header' : 'the model expects a column of this name',
    refusal: again < 0 ? null : { kind: 'duplicate-header', said: `Columns ${before + 1} and ${again + 1} are both named ${names[again]}. Rename one.` },
  };
}

/** Cells that no column is for may be there if they are empty. */
function surplus({ line, cells }: Record, width: number): Refusal | null {
  if (cells.length <= width) return null;
  const n = cells.findIndex((cell, at) => at >= width && cell.trim() !== '');
  if (n < 0) return null;
  const columns = width === 1 ? '1 column' : `${width} columns`;
  return { kind: 'bad-csv', said: `The row at line ${line} has “${cells[n]}” in its cell ${n + 1}, but the first line has ${columns}. Put cells that contain the separator in quotes.` };
}

/** How many inputs there are, as far as it was read. */
export function numberOf(sheet: Sheet): number {
  return sheet.at < 0 ? 0 : sheet.number;
}

/** What goes to the model, of the rows that are here; what is only space is sent as nothing. */
export function inputsOf(sheet: Sheet): string[] {
  return sheet.at < 0 ? [] : sheet.rows.map((row) => blankAsNothing(row.cells[sheet.at] ?? ''));
}

function blankAsNothing(cell: string): string {
  return cell.trim() === '' ? '' : cell;
}

/** The names that mean a model's input column, as the hub knows them. */
export function namesOf(input: { readonly name: string; readonly also: readonly string[] }): string[] {
  return [input.name, ...input.also, 'input'];
}

/** How a column of this table is named to the hub. */
export function columnOf(sheet: Sheet, at: number): string {
  return sheet.header ? (sheet.columns[at] ?? '') : String(at + 1);
}
