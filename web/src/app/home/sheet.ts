/** How a text is cut into records. */
export type Dialect = 'csv' | 'tsv' | 'plain';

export interface Record {
  /** The first is 1. */
  readonly line: number;
  readonly cells: readonly string[];
}

/** What the hub will read, as far as it can be seen here. The hub's word counts. */
export interface Sheet {
  readonly dialect: Dialect;
  readonly columns: readonly string[];
  readonly header: boolean;
  /** The column with the inputs; -1 if none was found. */
  readonly at: number;
  /** Why this one. */
  readonly why: string;
  readonly rows: readonly Record[];
}

export interface Wish {
  /** The names that mean the model's input column. */
  readonly names: readonly string[];
  readonly column: string | null;
  readonly header: 'auto' | 'used' | 'absent';
}

export const CONTENT_TYPES: { [D in Dialect]: string } = {
  csv: 'text/csv',
  tsv: 'text/tab-separated-values',
  plain: 'text/plain',
};

/** By the file's name, else by its first line. */
export function dialectOf(text: string, name = ''): Dialect {
  if (/\.csv$/i.test(name)) return 'csv';
  if (/\.(tsv|tab)$/i.test(name)) return 'tsv';
  if (/\.(smi|smiles|txt)$/i.test(name) && !/[\t,]/.test(firstLine(text))) return 'plain';
  const line = firstLine(text);
  return line.includes('\t') ? 'tsv' : line.includes(',') ? 'csv' : 'plain';
}

function firstLine(text: string): string {
  return /[^\r\n]+/.exec(text)?.[0] ?? '';
}

/** RFC 4180 with the same neighbours as on the hub: any line end, blank lines skipped. */
export function records(text: string, dialect: Dialect, most = Infinity): Record[] {
  const found: Record[] = [];
  const source = text.startsWith('\uFEFF') ? text.slice(1) : text;
  if (dialect === 'plain') {
    for (const [at, line] of source.split(/\r\n|\n|\r/).entries()) {
      if (line.trim() !== '') found.push({ line: at + 1, cells: [line.trim()] });
      if (found.length >= most) break;
    }
    return found;
  }
  const separator = dialect === 'tsv' ? '\t' : ',';
  let at = 0;
  let line = 1;
  while (at < source.length && found.length < most) {
    const cells: string[] = [];
    const start = line;
    for (;;) {
      let cell = '';
      if (source[at] === '"') {
        for (at++; at < source.length; at++) {
          if (source[at] === '"' && source[at + 1] !== '"') break;
          if (source[at] === '"') at++;
          if (source[at] === '\n') line++;
          cell += source[at] ?? '';
        }
        at++;
      }
      while (at < source.length && source[at] !== separator && source[at] !== '\n' && source[at] !== '\r') cell += source[at++];
      cells.push(cell);
      if (source[at] !== separator) break;
      at++;
    }
    if (source[at] === '\r' && source[at + 1] === '\n') at++;
    at++;
    line++;
    if (cells.length > 1 || cells[0]?.trim()) found.push({ line: start, cells });
  }
  return found;
}

const same = (a: string, b: string) => a.trim().toLowerCase() === b.trim().toLowerCase();

export function sheet(text: string, dialect: Dialect, wish: Wish, most = Infinity): Sheet {
  const all = records(text, dialect, most);
  const first = all[0]?.cells ?? [];
  const names = wish.column === null ? wish.names : [wish.column];
  const found = first.findIndex((name) => names.some((one) => same(name, one)));
  const alone = first.length <= 1;
  const header = wish.header === 'used' || (wish.header === 'auto' && (found >= 0 || !alone));
  if (!header) {
    return { dialect, columns: [], header, at: 0, why: 'each line is an input', rows: all };
  }
  const at = found < 0 && alone ? 0 : found;
  const why =
    at < 0 ? 'no column has a name that the model knows' : wish.column === null ? 'the model expects a column of this name' : 'you chose it';
  return { dialect, columns: first, header, at, why, rows: all.slice(1) };
}

export function inputsOf(sheet: Sheet): string[] {
  return sheet.at < 0 ? [] : sheet.rows.map((row) => row.cells[sheet.at] ?? '');
}
