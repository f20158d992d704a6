/** A picture is wanted, or which of these cannot be read. */
export type Ask =
  | { readonly id: number; readonly draw: string; readonly width: number; readonly height: number }
  | { readonly id: number; readonly check: readonly string[] };

/** An address of a picture, or why there is none. */
export type Drawn = { readonly svg: string } | { readonly problem: string };

/** Which text, and what is wrong with it. */
export interface Unreadable {
  readonly at: number;
  readonly problem: string;
}

export type Told =
  | { readonly id: number; readonly drawn: Drawn }
  | { readonly id: number; readonly unreadable: readonly Unreadable[] };
