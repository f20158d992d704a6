import { computed, effect, inject, signal, untracked, type Signal } from '@angular/core';

import { Feed } from '../live/feed';
import { Session } from '../session/session';
import { Api, type Answer, type Given, type Quiet, type Route } from './api';
import { Failure } from './failure';

/** What a page shows of the hub. */
export interface Read<T> {
  /** What was read last: kept while it is read again, and when that fails. */
  readonly value: Signal<T | undefined>;
  readonly failure: Signal<Failure | undefined>;
  readonly loading: Signal<boolean>;
  /** When `value` was asked for. */
  readonly at: Signal<number>;
  /** When it was asked for last: news from before are known to its answer. */
  asked(): number;
  /** Reads again, without the bar over the page if something is on it. */
  again(): void;
  /** What an action answered is shown at once. */
  set(value: T): void;
}

const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 30_000;

/**
 * Reads a route, and again when what `ask` depends on changes. Nothing is read while it gives
 * nothing. What passes by itself (no network, a busy hub) is tried again.
 */
export function read<P extends Route<'get'>>(
  route: P,
  ask: () => Given<'get', P> | undefined,
): Read<Answer<'get', P>> {
  const api = inject(Api);
  const asked = computed(ask, { equal: alike });
  return readBy((signal, quiet) => {
    const given = asked();
    return given && (() => api.get(route, { ...given, signal, quiet: quiet || (given.quiet ?? false) }));
  });
}

/** The same for what takes several calls. */
export function readBy<T>(
  prepare: (signal: AbortSignal, quiet: Quiet) => (() => Promise<T>) | undefined,
): Read<T> {
  const session = inject(Session);
  const feed = inject(Feed);
  const value = signal<T | undefined>(undefined);
  const failure = signal<Failure | undefined>(undefined);
  const loading = signal(false);
  const at = signal(0);
  const turn = signal(0);
  let asked = 0;
  let wait = FIRST_WAIT;
  let seen = 0;
  effect((onCleanup) => {
    // Once something is shown, it is read again because it changed: nobody asked.
    const quiet = turn() !== seen && untracked(value) !== undefined && 'unasked';
    seen = turn();
    session.resumed();
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    onCleanup(() => {
      abort.abort();
      clearTimeout(timer);
    });
    const call = prepare(abort.signal, quiet);
    if (!call) return;
    untracked(() => loading.set(true));
    const ask = () => {
      asked = performance.now();
      return call();
    };
    const opening = feed.opening();
    const press = !quiet && untracked(value) !== undefined ? painted() : undefined;
    const read = opening ? opening.then(() => abort.signal.throwIfAborted()).then(ask) : ask();
    (press ? read.then((answer) => press.then(() => answer)) : read).then(
      (answer) => {
        if (abort.signal.aborted) return;
        wait = FIRST_WAIT;
        value.set(answer);
        at.set(asked);
        failure.set(undefined);
        loading.set(false);
      },
      (error: unknown) => {
        if (abort.signal.aborted) return;
        const failed = Failure.of(error);
        failure.set(failed);
        loading.set(false);
        if (!failed.passes) return;
        timer = setTimeout(() => turn.update((n) => n + 1), wait);
        wait = Math.min(LONGEST_WAIT, wait * 2);
      },
    );
  });
  return {
    value: value.asReadonly(),
    failure: failure.asReadonly(),
    loading: loading.asReadonly(),
    at: at.asReadonly(),
    asked: () => asked,
    again: () => turn.update((n) => n + 1),
    set: (answer) => value.set(answer),
  };
}

/** What was pressed looks pressed before a table of its answer takes the page's time. */
function painted(): Promise<void> {
  return new Promise((done) => (document.hidden ? done() : requestAnimationFrame(() => setTimeout(done))));
}

/** Of what is asked for: whatever changes in an address makes its lists anew, and they say the same. */
export function alike(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** Reads again what was asked for before news came. */
export function follow(news: Signal<number>, reads: readonly Read<unknown>[], when: () => boolean = () => true): void {
  effect(() => {
    const heard = news();
    untracked(() => {
      if (when()) for (const one of reads) if (one.asked() < heard) one.again();
    });
  });
}
