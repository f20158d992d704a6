/** A picture is wanted, or which of these cannot be read. */
export type Ask =
  | { readonly id: number; readonly draw: string; readonly width: number; readonly height: number }
  | { readonly id: number; readonly check: readonly string[] }
  /** Which of these contain the substructure, a SMILES or SMARTS. */
  | { readonly id: number; readonly find: string; readonly among: readonly string[] }
  /** An SD file of these. */
  | { readonly id: number; readonly sdf: readonly SdRecord[] };

export interface SdRecord {
  readonly smiles: string;
  readonly name: string;
  readonly fields: readonly (readonly [name: string, value: string])[];
}

/** The places of those that contain it, or why it cannot be looked for. */
export type Found = { readonly found: readonly number[] } | { readonly problem: string };

/** An address of a picture, or why there is none. */
export type Drawn = { readonly svg: string } | { readonly problem: string };

/** Which text, and what is wrong with it. */
export interface Unreadable {
  readonly at: number;
  readonly problem: string;
  /** The character that it is about. */
  readonly caret: number | null;
}

export type Told =
  | { readonly id: number; readonly drawn: Drawn }
  | { readonly id: number; readonly unreadable: readonly Unreadable[] }
  | { readonly id: number; readonly found: Found }
  | { readonly id: number; readonly text: string };
