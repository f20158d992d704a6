import { signal } from '@angular/core';

import { SHEET_WORKER } from '../../generated/workers';
import type { SheetAsk, SheetTold } from '../../workers/sheet-messages';
import type { Dialect, Sheet, Wish } from './sheet';

/** More than this no hub takes by default, and a worker had better not hold. */
const LARGEST = 128 << 20;

/** Reads in a worker what is too large for the page: all rows are counted and looked at. */
export class Reader {
  readonly #told = signal<SheetTold | null>(null);
  readonly #asked = signal('');
  #worker: Worker | undefined;

  /** Another text, or none. */
  open(whole: Blob | null): void {
    this.#worker?.terminate();
    this.#worker = undefined;
    this.#told.set(null);
    this.#asked.set('');
    if (!whole || whole.size > LARGEST) return;
    try {
      this.#worker = new Worker(SHEET_WORKER);
    } catch {
      return;
    }
    this.#worker.onmessage = ({ data }: MessageEvent<SheetTold>) => this.#told.set(data);
    this.#worker.onerror = () => this.open(null);
    this.#ask({ whole });
  }

  read(dialect: Dialect, wish: Wish): void {
    const key = keyOf(dialect, wish);
    if (!this.#worker || this.#asked() === key) return;
    this.#asked.set(key);
    this.#ask({ dialect, wish, key });
  }

  sheet(dialect: Dialect, wish: Wish): Sheet | null {
    const told = this.#told();
    return told?.key === keyOf(dialect, wish) ? told.sheet : null;
  }

  /** It still reads. */
  busy(): boolean {
    return this.#asked() !== '' && this.#told()?.key !== this.#asked();
  }

  #ask(ask: SheetAsk): void {
    this.#worker?.postMessage(ask);
  }
}

function keyOf(dialect: Dialect, wish: Wish): string {
  return JSON.stringify([dialect, wish.names, wish.column, wish.header, wish.separator]);
}
