import { inject, Service } from '@angular/core';

import type { components, paths } from '../../generated/schema';
import { Session } from '../session/session';
import { Progress } from '../shell/progress';
import { Clock } from '../ui/clock';
import { Failure } from './failure';

export type Schemas = components['schemas'];

export type Verb = 'get' | 'post' | 'patch' | 'delete';
/** The routes that know a verb. */
export type Route<V extends Verb> = {
  [P in keyof paths]: paths[P] extends Record<V, { responses: unknown }> ? P : never;
}[keyof paths];
type Operation<V extends Verb, P extends keyof paths> = paths[P] extends Record<V, infer O> ? O : never;
type Json<T> = T extends { content: { 'application/json': infer J } } ? J : never;
type Ok<R> = Json<R[keyof R & (200 | 201 | 202)]>;
type Part<O, N extends string> = O extends { parameters: Record<N, infer T> } ? T : undefined;
type Body<O> = O extends { requestBody: { content: { 'application/json': infer B } } }
  ? B
  : O extends { requestBody?: { content: { 'application/json': infer B } } }
    ? B | undefined
    : undefined;

/** Words of queries stand in the address, where people write: the hub says what is wrong with one that it does not know. */
type Asked<Q> = { [K in keyof Q]?: Q[K] extends string | undefined ? string : Q[K] extends readonly string[] | undefined ? readonly string[] : Q[K] };

export type Answer<V extends Verb, P extends Route<V>> = Ok<
  Operation<V, P> extends { responses: infer R } ? R : never
>;
export type Quiet = boolean | 'unasked';
export interface Given<V extends Verb, P extends Route<V>> {
  path?: Part<Operation<V, P>, 'path'>;
  query?: Asked<NonNullable<Operation<V, P> extends { parameters: { query?: infer Q } } ? Q : never>>;
  body?: Body<Operation<V, P>>;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  /** Not shown in the bar over the page. `unasked`: nor is it use of the session, since nobody asked for it. */
  quiet?: Quiet;
  /** Goes on when the page is left. */
  keepalive?: boolean;
}

/** Calls of the hub, typed by its description. */
@Service()
export class Api {
  readonly #session = inject(Session);
  readonly #progress = inject(Progress);
  readonly #clock = inject(Clock);

  async call<V extends Verb, P extends Route<V>>(verb: V, route: P, given: Given<V, P> = {}): Promise<Answer<V, P>> {
    const { body } = given;
    const response = await this.fetch(url(route, given), {
      method: verb.toUpperCase(),
      headers: { accept: 'application/json', ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...(given.quiet === 'unasked' ? { 'muster-quiet': '1' } : {}), ...given.headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: given.signal ?? null,
      keepalive: given.keepalive ?? false,
    }, given.quiet);
    try {
      return (await response.json()) as Answer<V, P>;
    } catch (error) {
      if (given.signal?.aborted) throw error;
      // What answers is not the hub: a portal's page, or an answer that broke off.
      this.#session.lost();
      throw Failure.unreachable();
    }
  }

  get<P extends Route<'get'>>(route: P, given: Given<'get', P> = {}): Promise<Answer<'get', P>> {
    return this.call('get', route, given);
  }

  post<P extends Route<'post'>>(route: P, given: Given<'post', P> = {}): Promise<Answer<'post', P>> {
    return this.call('post', route, given);
  }

  /** A good answer, or a `Failure`. */
  async fetch(address: string, init: RequestInit, quiet: Quiet = false): Promise<Response> {
    const done = quiet ? () => {} : this.#progress.begin();
    try {
      const response = await this.#session.send(() => fetch(address, init));
      this.#clock.heard(response.headers.get('date'));
      if (!response.ok) throw await Failure.from(response);
      return response;
    } catch (error) {
      if (error instanceof Failure || init.signal?.aborted) throw error;
      this.#session.lost();
      throw Failure.unreachable();
    } finally {
      done();
    }
  }
}

/** The address of a route below where the hub is, with its parts filled in; a parameter with several values stands there several times. */
export function url(route: string, given: { path?: unknown; query?: unknown }): string {
  const parts = (given.path ?? {}) as Record<string, unknown>;
  const path = route.slice(1).replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(parts[name])));
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries((given.query ?? {}) as Record<string, unknown>)) {
    if (value === undefined || value === null || value === '') continue;
    if (Array.isArray(value)) {
      for (const one of value as unknown[]) query.append(name, String(one));
    } else query.set(name, String(value));
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}
