import { effect, inject, signal, untracked, type Signal } from '@angular/core';

import { Session } from '../session/session';
import { Api, type Answer, type Given, type Route } from './api';
import { Failure } from './failure';

/** What a page shows of the hub. */
export interface Read<T> {
  /** What was read last: kept while it is read again, and when that fails. */
  readonly value: Signal<T | undefined>;
  readonly failure: Signal<Failure | undefined>;
  readonly loading: Signal<boolean>;
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
  return readBy((signal, quiet) => {
    const given = ask();
    return given && (() => api.get(route, { ...given, signal, quiet: quiet || (given.quiet ?? false) }));
  });
}

/** The same for what takes several calls. */
export function readBy<T>(
  prepare: (signal: AbortSignal, quiet: boolean) => (() => Promise<T>) | undefined,
): Read<T> {
  const session = inject(Session);
  const value = signal<T | undefined>(undefined);
  const failure = signal<Failure | undefined>(undefined);
  const loading = signal(false);
  const turn = signal(0);
  let wait = FIRST_WAIT;
  let seen = 0;
  effect((onCleanup) => {
    const quiet = turn() !== seen && untracked(value) !== undefined;
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
    call().then(
      (answer) => {
        if (abort.signal.aborted) return;
        wait = FIRST_WAIT;
        value.set(answer);
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
    again: () => turn.update((n) => n + 1),
    set: (answer) => value.set(answer),
  };
}
