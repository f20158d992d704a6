import { csvLine, tsvLine } from './csv';
import type { Placed, ResultColumn, ResultRow, TextFormat, Value, View } from './result-messages';

const BINS = 20;
/** Ten times as fast as `localeCompare`. */
const COLLATOR = new Intl.Collator('en', { numeric: true });
/** Beyond these the first are shown. */
const MOST_ROWS = 100_000;
const MOST_BYTES = 32 << 20;

interface Column {
  readonly values: Value[];
  numbers: boolean;
  ranks?: Ranks;
}

/** Where the value of each row stands among the column's; what is empty has the last place, equal values have the same. */
interface Ranks {
  readonly of: Uint32Array;
  /** How many places there are before the empty ones. */
  readonly places: number;
}

/** The rows of a result, by column: sorted, filtered and counted here, away from the page. */
export class ResultStore {
  readonly #columns = new Map<string, Column>();
  readonly #errors: (string | null)[] = [];
  #info: ResultColumn[] = [];
  #order: number[] = [];
  #bytes = 0;
  cut = false;

  get total(): number {
    return this.#errors.length;
  }

  get shown(): number {
    return this.#order.length;
  }

  /** Takes a line of the NDJSON; says no when there are enough. */
  take(line: string): boolean {
    this.#bytes += line.length;
    if (this.total >= MOST_ROWS || this.#bytes > MOST_BYTES) {
      this.cut = true;
      return false;
    }
    const row = JSON.parse(line) as { [name: string]: unknown };
    const at = this.total;
    for (const [name, given] of Object.entries(row)) {
      if (name === 'error') continue;
      let column = this.#columns.get(name);
      if (!column) this.#columns.set(name, (column = { values: Array<Value>(at).fill(null), numbers: true }));
      const value = typeof given === 'number' || given === null ? given : typeof given === 'string' ? given : JSON.stringify(given);
      if (typeof value === 'string') column.numbers = false;
      column.values.push(value);
    }
    for (const column of this.#columns.values()) if (column.values.length === at) column.values.push(null);
    this.#errors.push(typeof row['error'] === 'string' ? row['error'] : null);
    return true;
  }

  /** Everything was taken. */
  end(): readonly ResultColumn[] {
    this.#order = [...this.#errors.keys()];
    this.#info = [...this.#columns].map(([name, { values, numbers }]) => {
      let least = Infinity;
      let most = -Infinity;
      let whole = true;
      for (const value of values) {
        if (typeof value !== 'number') continue;
        least = Math.min(least, value);
        most = Math.max(most, value);
        whole &&= Number.isInteger(value);
      }
      const number = numbers && least <= most;
      const info: ResultColumn = { name, kind: number ? 'number' : 'text', whole, least, most, bins: [] };
      return number ? { ...info, bins: this.#bins(info, null) } : info;
    });
    return this.#info;
  }

  /** Makes ready what a sort by a column needs; says whether there is more to do. */
  prepare(): boolean {
    const column = [...this.#columns.values()].find(({ ranks }) => !ranks);
    if (column) column.ranks = ranked(column);
    return column !== undefined;
  }

  /** How many have no prediction, and the reasons, the most frequent first. */
  failed(): { failed: number; errors: [string, number][] } {
    const reasons = new Map<string, number>();
    for (const error of this.#errors) if (error !== null) reasons.set(error, (reasons.get(error) ?? 0) + 1);
    const errors = [...reasons].sort((a, b) => b[1] - a[1]).slice(0, 5);
    return { failed: this.#errors.filter((error) => error !== null).length, errors };
  }

  view({ sort, down, ranges, text, failed, rows }: View): { [column: string]: readonly number[] } {
    const sought = text.trim().toLowerCase();
    const texts = [...this.#columns.values()].filter((column) => !column.numbers);
    const limits = ranges.flatMap(({ column, low, high }) => {
      const found = this.#columns.get(column);
      return found ? [{ values: found.values, low, high }] : [];
    });
    this.#order = [...(rows ?? this.#errors.keys())].filter((at) => {
      if (failed && this.#errors[at] === null) return false;
      for (const { values, low, high } of limits) {
        const value = values[at];
        if (typeof value !== 'number' || value < low || value > high) return false;
      }
      return !sought || texts.some(({ values }) => String(values[at] ?? '').toLowerCase().includes(sought));
    });
    const column = sort === null ? undefined : this.#columns.get(sort);
    if (column) this.#order = inOrder(this.#order, (column.ranks ??= ranked(column)), down);
    const numbers = this.#info.filter((one) => one.kind === 'number');
    return Object.fromEntries(numbers.map((one) => [one.name, this.#bins(one, this.#order)]));
  }

  slice(from: number, to: number): ResultRow[] {
    return this.#order.slice(from, to).map((at) => this.#row(at));
  }

  pick(rows: readonly number[] | null): ResultRow[] {
    return (rows ?? this.#order).map((at) => this.#row(at));
  }

  values(column: number): readonly Value[] {
    return this.#columns.get(this.#info[column]?.name ?? '')?.values ?? [];
  }

  place(at: number): Placed | null {
    if (!(at >= 0 && at < this.total)) return null;
    const row = this.#row(at);
    const below = this.#info.map(({ kind }, n) => {
      const own = row.values[n];
      if (kind !== 'number' || typeof own !== 'number') return null;
      const others = this.values(n).filter((value) => typeof value === 'number');
      return (others.filter((value) => value < own).length / others.length) * 100;
    });
    return { row, below };
  }

  /** A table as text. */
  text(format: TextFormat, rows: readonly number[] | null): string {
    if (format === 'json' || format === 'ndjson') return this.#json(format, rows);
    const names = this.#info.map((one) => one.name);
    const withErrors = this.#errors.some((error) => error !== null);
    const line = format === 'tsv' ? tsvLine : csvLine;
    const rest = this.pick(rows).map(({ values, error }) => line(withErrors ? [...values, error] : values));
    return line(withErrors ? [...names, 'error'] : names) + rest.join('');
  }

  #json(format: 'json' | 'ndjson', rows: readonly number[] | null): string {
    const lines = this.pick(rows).map(({ values, error }) => {
      const row = Object.fromEntries(this.#info.map(({ name }, n) => [name, values[n] ?? null]));
      return JSON.stringify(error === null ? row : { ...row, error });
    });
    return format === 'json' ? `[${lines.join(',\n')}]\n` : lines.map((line) => `${line}\n`).join('');
  }

  #row(at: number): ResultRow {
    const values = this.#info.map((one) => this.#columns.get(one.name)?.values[at] ?? null);
    return { at, values, error: this.#errors[at] ?? null };
  }

  #bins({ name, least, most }: ResultColumn, order: readonly number[] | null): number[] {
    const bins = Array<number>(BINS).fill(0);
    const values = this.#columns.get(name)?.values ?? [];
    const add = (value: Value | undefined) => {
      if (typeof value !== 'number') return;
      const bin = most > least ? Math.min(BINS - 1, Math.floor(((value - least) / (most - least)) * BINS)) : 0;
      bins[bin] = (bins[bin] ?? 0) + 1;
    };
    if (order) for (const at of order) add(values[at]);
    else for (const value of values) add(value);
    return bins;
  }
}

function ranked({ values }: Column): Ranks {
  const all = [...new Set(values)].filter((value) => value !== null);
  const numbers = Float64Array.from(all.filter((value) => typeof value === 'number')).sort();
  const texts = all.filter((value) => typeof value === 'string').sort(COLLATOR.compare);
  const places = new Map<Value, number>();
  for (const number of numbers) places.set(number, places.size);
  let [last, text] = [places.size - 1, ''];
  for (const next of texts) {
    // Some differ and are the same to a reader.
    if (last < numbers.length || COLLATOR.compare(text, next) !== 0) last++;
    places.set((text = next), last);
  }
  const empty = last + 1;
  return { of: Uint32Array.from(values, (value) => places.get(value) ?? empty), places: empty };
}

/** By place, rows of the same one as they came; what is empty stands last, up or down. */
function inOrder(rows: readonly number[], { of, places }: Ranks, down: boolean): number[] {
  const number = rows.length;
  const keys = Float64Array.from(rows, (row, at) => {
    const up = of[row] ?? places;
    return (down && up < places ? places - 1 - up : up) * number + at;
  });
  return Array.from(keys.sort(), (key) => rows[key % number] ?? 0);
}
