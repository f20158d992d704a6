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
}

export type ResultAsk =
  | { readonly open: string }
  | { readonly view: View; readonly turn: number }
  | { readonly slice: readonly [from: number, to: number]; readonly turn: number }
  /** The table as tab-separated text or CSV, of these rows or of those that are shown. */
  | { readonly text: 'tsv' | 'csv'; readonly rows: readonly number[] | null; readonly turn: number };

export type ResultTold =
  | { readonly read: number }
  | { readonly columns: readonly ResultColumn[]; readonly total: number; readonly failed: number; readonly errors: readonly (readonly [string, number])[]; readonly cut: boolean }
  | { readonly problem: string }
  | { readonly shown: number; readonly bins: { readonly [column: string]: readonly number[] }; readonly turn: number }
  | { readonly rows: readonly ResultRow[]; readonly turn: number }
  | { readonly text: string; readonly turn: number };
