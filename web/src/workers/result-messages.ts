/** A column of a result. */
export interface ResultColumn {
  readonly name: string;
  readonly kind: 'number' | 'text';
  /** All its numbers are whole. */
  readonly whole: boolean;
  readonly least: number;
  readonly most: number;
  /** How many rows have a value in each of the equal steps from least to most. */
  readonly bins: readonly number[];
}

export type Value = string | number | null;

export interface ResultRow {
  /** Its place in the result. */
  readonly at: number;
  readonly values: readonly Value[];
  readonly error: string | null;
}

export interface View {
  readonly sort: string | null;
  readonly down: boolean;
  readonly ranges: readonly { readonly column: string; readonly low: number; readonly high: number }[];
  readonly text: string;
  /** Only those without a prediction. */
  readonly failed: boolean;
  /** Only these, if given: what a substructure is in. */
  readonly rows: readonly number[] | null;
}

export type TextFormat = 'csv' | 'tsv' | 'json' | 'ndjson';

/** A row, and how many of the column's values are less than its own, in percent. */
export interface Placed {
  readonly row: ResultRow;
  readonly below: readonly (number | null)[];
}

export type ResultAsk =
  | { readonly open: string }
  | { readonly view: View; readonly turn: number }
  | { readonly slice: readonly [from: number, to: number]; readonly turn: number }
  /** The table as text, of these rows or of those that are shown. */
  | { readonly text: TextFormat; readonly rows: readonly number[] | null; readonly turn: number }
  /** These rows, or those that are shown. */
  | { readonly pick: readonly number[] | null; readonly turn: number }
  /** All values of a column, by its place. */
  | { readonly values: number; readonly turn: number }
  /** A row and where its values stand among all. */
  | { readonly place: number; readonly turn: number };

export type ResultTold =
  | { readonly read: number }
  | { readonly columns: readonly ResultColumn[]; readonly total: number; readonly failed: number; readonly errors: readonly (readonly [string, number])[]; readonly cut: boolean }
  /** Why there is no table: 0 if nothing answered, and what the hub said of it. */
  | { readonly problem: string; readonly title: string; readonly status: number; readonly requestId: string | null }
  | { readonly shown: number; readonly bins: { readonly [column: string]: readonly number[] }; readonly turn: number }
  | { readonly rows: readonly ResultRow[]; readonly turn: number }
  | { readonly text: string; readonly turn: number }
  | { readonly picked: readonly ResultRow[]; readonly turn: number }
  | { readonly values: readonly Value[]; readonly turn: number }
  | { readonly placed: Placed | null; readonly turn: number };
