import { sheet } from '../app/home/sheet';
import type { SheetAsk, SheetTold } from './sheet-messages';

/** What goes to the page: it takes this over in one piece. */
const KEPT = { rows: 5_000, characters: 1 << 18 };
let text: Promise<string | null> = Promise.resolve(null);

self.onmessage = ({ data }: MessageEvent<SheetAsk>) => {
  if ('whole' in data) text = data.whole.text().catch(() => null);
  else {
    const { dialect, wish, key } = data;
    void text.then((all) => {
      const told: SheetTold = { key, sheet: all === null ? null : sheet(all, dialect, wish, false, KEPT) };
      self.postMessage(told);
    });
  }
};
