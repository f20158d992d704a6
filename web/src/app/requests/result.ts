import { DestroyRef, inject, signal } from '@angular/core';

import { RESULT_WORKER } from '../../generated/workers';
import type { ResultAsk, ResultColumn, ResultRow, ResultTold, View } from '../../workers/result-messages';

export interface Columns {
  readonly columns: readonly ResultColumn[];
  readonly total: number;
  readonly failed: number;
  readonly errors: readonly (readonly [string, number])[];
  readonly cut: boolean;
}

/** A result in a worker: what is shown of it is asked for. Belongs to the component that makes it. */
export class Result {
  readonly columns = signal<Columns | null>(null);
  readonly read = signal(0);
  readonly problem = signal<string | null>(null);
  readonly shown = signal<{ number: number; bins: { readonly [column: string]: readonly number[] } } | null>(null);
  readonly rows = signal<readonly ResultRow[]>([]);
  #worker: Worker | undefined;
  #turn = 0;
  #viewed = 0;
  #sliced = 0;
  readonly #texts = new Map<number, (text: string) => void>();

  constructor() {
    inject(DestroyRef).onDestroy(() => this.#worker?.terminate());
  }

  open(address: string): void {
    this.#worker?.terminate();
    this.columns.set(null);
    this.problem.set(null);
    try {
      this.#worker = new Worker(RESULT_WORKER);
    } catch {
      this.problem.set('This browser refuses the worker that shows tables. The downloads work.');
      return;
    }
    this.#worker.onmessage = ({ data }: MessageEvent<ResultTold>) => this.#hear(data);
    this.#worker.onerror = () => this.problem.set('The table cannot be shown here. The downloads work.');
    this.#ask({ open: new URL(address, location.href).href });
  }

  view(view: View, from: number, to: number): void {
    this.#viewed = ++this.#turn;
    this.#ask({ view, turn: this.#viewed });
    this.slice(from, to);
  }

  slice(from: number, to: number): void {
    this.#sliced = ++this.#turn;
    this.#ask({ slice: [from, to], turn: this.#sliced });
  }

  text(format: 'tsv' | 'csv', rows: readonly number[] | null): Promise<string> {
    const turn = ++this.#turn;
    return new Promise((resolve) => {
      this.#texts.set(turn, resolve);
      this.#ask({ text: format, rows, turn });
    });
  }

  #ask(ask: ResultAsk): void {
    this.#worker?.postMessage(ask);
  }

  #hear(told: ResultTold): void {
    if ('read' in told) this.read.set(told.read);
    else if ('problem' in told) this.problem.set(told.problem);
    else if ('columns' in told) this.columns.set(told);
    else if ('text' in told) {
      this.#texts.get(told.turn)?.(told.text);
      this.#texts.delete(told.turn);
    } else if ('rows' in told) {
      if (told.turn === this.#sliced) this.rows.set(told.rows);
    } else if (told.turn === this.#viewed) this.shown.set({ number: told.shown, bins: told.bins });
  }
}
