import { computed, DestroyRef, effect, inject, signal, untracked } from '@angular/core';

import { RESULT_WORKER } from '../../generated/workers';
import { Failure } from '../api/failure';
import { absolute } from '../api/place';
import { Session } from '../session/session';
import type { Placed, ResultAsk, ResultColumn, ResultRow, ResultTold, TextFormat, Value, View } from '../../workers/result-messages';

export interface Columns {
  readonly columns: readonly ResultColumn[];
  readonly total: number;
  readonly failed: number;
  readonly errors: readonly (readonly [string, number])[];
  readonly cut: boolean;
}

type Told<K extends string> = Extract<ResultTold, Record<K, unknown>>;
type Question<K extends string> = Extract<ResultAsk, Record<K, unknown>>;

/** A result in a worker: what is shown of it is asked for. Belongs to the component that makes it. */
export class Result {
  readonly columns = signal<Columns | null>(null);
  readonly read = signal(0);
  readonly problem = signal<Failure | null>(null);
  readonly shown = signal<{ number: number; bins: { readonly [column: string]: readonly number[] } } | null>(null);
  readonly rows = signal<readonly ResultRow[]>([]);
  /** Places of the rows that a person chose. */
  readonly selected = signal<ReadonlySet<number>>(new Set());
  readonly picked = computed(() => [...this.selected()].sort((a, b) => a - b));
  #worker: Worker | undefined;
  #address = '';
  #turn = 0;
  #viewed = 0;
  #sliced = 0;
  readonly #waiting = new Map<number, (told: ResultTold) => void>();

  constructor() {
    const session = inject(Session);
    effect(() => {
      session.resumed();
      if (untracked(this.problem)?.passes) untracked(() => this.again());
    });
    inject(DestroyRef).onDestroy(() => this.#worker?.terminate());
  }

  again(): void {
    if (this.#address) this.open(this.#address);
  }

  open(address: string): void {
    this.#address = address;
    this.#worker?.terminate();
    this.#waiting.clear();
    this.columns.set(null);
    this.problem.set(null);
    this.selected.set(new Set());
    try {
      this.#worker = new Worker(RESULT_WORKER);
    } catch {
      this.problem.set(new Failure(-1, 'This browser refuses the worker that shows tables. The downloads work.'));
      return;
    }
    this.#worker.onmessage = ({ data }: MessageEvent<ResultTold>) => this.#hear(data);
    this.#worker.onerror = () => this.problem.set(new Failure(-1, 'The table cannot be shown here. The downloads work.'));
    this.#ask({ open: absolute(address) });
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

  async text(format: TextFormat, rows: readonly number[] | null): Promise<string> {
    return (await this.#question<'text'>({ text: format, rows })).text;
  }

  async pick(rows: readonly number[] | null): Promise<readonly ResultRow[]> {
    return (await this.#question<'pick', 'picked'>({ pick: rows })).picked;
  }

  async values(column: number): Promise<readonly Value[]> {
    return (await this.#question<'values'>({ values: column })).values;
  }

  async place(at: number): Promise<Placed | null> {
    return (await this.#question<'place', 'placed'>({ place: at })).placed;
  }

  #question<K extends string, A extends string = K>(ask: Omit<Question<K>, 'turn'>): Promise<Told<A>> {
    const turn = ++this.#turn;
    return new Promise((resolve) => {
      this.#waiting.set(turn, resolve as (told: ResultTold) => void);
      this.#ask({ ...ask, turn } as unknown as ResultAsk);
    });
  }

  #ask(ask: ResultAsk): void {
    this.#worker?.postMessage(ask);
  }

  #hear(told: ResultTold): void {
    if ('read' in told) this.read.set(told.read);
    else if ('problem' in told) this.problem.set(new Failure(told.status, told.problem, { title: told.title }, told.requestId));
    else if ('columns' in told) this.columns.set(told);
    else if ('rows' in told) {
      if (told.turn === this.#sliced) this.rows.set(told.rows);
    } else if ('shown' in told) {
      if (told.turn === this.#viewed) this.shown.set({ number: told.shown, bins: told.bins });
    } else {
      this.#waiting.get(told.turn)?.(told);
      this.#waiting.delete(told.turn);
    }
  }
}
