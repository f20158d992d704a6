import type { Dialect, Sheet, Wish } from '../app/home/sheet';

/** First the text, then how it is to be read, as often as a person chooses anew. */
export type SheetAsk = { readonly whole: Blob } | { readonly dialect: Dialect; readonly wish: Wish; readonly key: string };

/** Nothing if the file is not there any more. */
export interface SheetTold {
  readonly key: string;
  readonly sheet: Sheet | null;
}
