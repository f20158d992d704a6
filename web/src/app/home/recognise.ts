/**
 * What a file is, by how it begins: which character separates its cells, and is it a table at all?
 * The same rules as on the hub; `reading.golden.json` holds both to them.
 */

/** What may separate cells, the usual one first. */
const SEPARATORS = [',', ';', '\t', '|'] as const;
/** Lines that are looked at. */
const LINES = 50;

export interface Recognised {
  readonly separator: string;
  /** Characters of a first line such as `sep=;`, which is no row. */
  readonly saidIn: number;
  /** The first line, cut by it, names the input. */
  readonly belowHeader: boolean;
}

/** `whole`: there is no more than this. */
export function recognise(head: string, whole: boolean, isHeader: (names: string[]) => boolean): Recognised {
  const told = said(head, whole);
  if (told) return { ...told, belowHeader: false };
  const lines = linesOf(head, whole);
  const named = belowAHeader(head, lines, isHeader);
  return { separator: named ?? byWidths(lines), saidIn: 0, belowHeader: named !== undefined };
}

function said(head: string, whole: boolean): { separator: string; saidIn: number } | undefined {
  const found = head.search(/[\r\n]/);
  if (found < 0 && !whole) return undefined;
  const end = found < 0 ? head.length : found;
  const bare = head.slice(0, end).replace(/^\uFEFF+/, '').replace(/^"+|"+$/g, '');
  const separator = /^sep=(.)$/i.exec(bare)?.[1];
  if (!separator || !/^[\t -~]$/.test(separator) || /["'a-z0-9]/i.test(separator)) return undefined;
  return { separator, saidIn: Math.min(head.length, end + (head.startsWith('\r\n', end) ? 2 : 1)) };
}

interface Line {
  readonly start: number;
  end: number;
  /** How many cells each separator cuts it into. */
  readonly cells: number[];
}

/** The first lines that are not blank. A line end inside quotes ends none. */
function linesOf(head: string, whole: boolean): Line[] {
  const lines: Line[] = [];
  const from = (start: number): Line => ({ start, end: start, cells: SEPARATORS.map(() => 1) });
  let line = from(0);
  let quoted = false;
  let begins = true;
  for (let at = 0; at < head.length && lines.length < LINES; at++) {
    const char = head[at] ?? '';
    const separator = SEPARATORS.indexOf(char as ',');
    const ends = char === '\n' || char === '\r';
    if (char === '"' && quoted && head[at + 1] === '"') at++;
    else if (char === '"' && quoted) quoted = false;
    else if (char === '"' && begins) quoted = true;
    else if (ends && !quoted) {
      line.end = at;
      if (head.slice(line.start, at).trim()) lines.push(line);
      line = from(at + 1);
    } else if (separator >= 0 && !quoted) line.cells[separator] = (line.cells[separator] ?? 1) + 1;
    begins = !quoted && (separator >= 0 || ends);
  }
  line.end = Math.max(head.length, line.start);
  // The last line may go on.
  if ((whole || lines.length === 0) && head.slice(line.start).trim() && lines.length < LINES) lines.push(line);
  return lines;
}

function belowAHeader(head: string, lines: readonly Line[], isHeader: (names: string[]) => boolean): string | undefined {
  const first = lines[0];
  if (!first) return undefined;
  const text = head.slice(first.start, first.end);
  const names = (separator: string) => text.split(separator).map((cell) => cell.trim().replace(/^"+|"+$/g, ''));
  return SEPARATORS.find((separator, n) => (first.cells[n] ?? 1) > 1 && isHeader(names(separator)));
}

/** The comma, if it cuts the lines evenly; else what cuts them evenly into the most cells. */
function byWidths(lines: readonly Line[]): string {
  const width = (n: number) => lines[0]?.cells[n] ?? 1;
  const even = (n: number) => width(n) > 1 && lines.every((line) => line.cells[n] === width(n));
  if (even(0)) return SEPARATORS[0];
  let widest = 0;
  for (let n = 1; n < SEPARATORS.length; n++) if (even(n) && (widest === 0 || width(n) > width(widest))) widest = n;
  return SEPARATORS[widest] ?? ',';
}

/** What a text is that is no table and no list of inputs, as it is called in a message. */
export function otherKind(head: string): string | null {
  const text = head.replace(/^[\uFEFF\s]+/, '');
  const low = text.slice(0, 200).toLowerCase();
  if (/^<(!doctype html|html|head|body)/.test(low)) return 'an HTML page, perhaps of a login';
  if (/^<(\?xml|!doctype|svg)/.test(low)) return 'an XML document';
  if (low.startsWith('{\\rtf')) return 'an RTF document';
  // SMILES begin with `[` too, but not with `["`.
  if (/^(\{\s*["}]|\[\s*["{])/.test(text)) return 'JSON';
  const lines = head.split(/\r?\n/).map((line) => line.trimEnd());
  if (lines.slice(0, 4).some((line) => / V[23]000$/.test(line)) || lines.some((line) => line === 'M  END' || line === '$$$$')) return 'an SD or MOL file';
  if (lines.includes('@<TRIPOS>MOLECULE')) return 'a MOL2 file';
  const ofPdb = (line: string) => line.startsWith('ATOM  ') || (line.startsWith('HETATM') && line.length > 50);
  if ((low.startsWith('header    ') && (lines[1]?.length ?? 0) > 20) || lines.slice(0, 2).every(ofPdb)) return 'a PDB file';
  const begin = lines.findIndex((line) => line.startsWith('>'));
  const fasta = text.startsWith('>') && (lines[begin]?.length ?? 0) > 1 && /^[a-z*-]{2,}$/i.test(lines[begin + 1] ?? '');
  return fasta ? 'a FASTA file' : null;
}
