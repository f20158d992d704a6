import { effect, inject, Service, signal, untracked } from '@angular/core';

import { ownName } from '../api/place';
import { Session } from '../session/session';
import { Events, type HubEvent } from './events';

export interface RequestNews {
  readonly id: string;
  readonly phase: string;
  readonly done: number;
  readonly failed: number;
  readonly inputs: number;
}

/** Kinds of news: the hub's models and instances, one's own requests, and anybody's and nodes, of which administrators are told. */
type Kind = 'models' | 'instances' | 'requests' | 'everybodys' | 'nodes';

const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 30_000;
/** What changes many times a second is read again at most so often. */
const COALESCE = 500;
/** So long what is read at the beginning waits for the stream. */
const LONGEST_OPENING = 250;

/**
 * What the hub says that changed. One tab of the browser listens and tells the others. News are
 * hints: pages read again what they asked for before the news came (`follow`).
 */
@Service()
export class Feed {
  readonly #session = inject(Session);
  readonly #channel = new BroadcastChannel(ownName('muster.events'));
  /** When the newest of their kind came; 0 before the first. */
  readonly models = signal(0);
  readonly instances = signal(0);
  readonly requests = signal(0);
  readonly everybodys = signal(0);
  readonly nodes = signal(0);
  /** The newest of one request. */
  readonly request = signal<RequestNews | null>(null);
  readonly live = signal(false);
  /** It was live at some time. */
  wasLive = false;
  #opening: Promise<void> | null = null;
  #opened = () => {};
  /** This tab listens for all. */
  #leads = false;
  readonly #heard = new Map<Kind, number>();
  readonly #later = new Map<Kind, ReturnType<typeof setTimeout>>();

  constructor() {
    this.#channel.onmessage = (message: MessageEvent<HubEvent>) => this.#take(message.data);
    let principal: string | undefined;
    let stop = new AbortController();
    const begin = () => {
      const now = this.#session.ended() ? undefined : this.#session.live()?.principal.id;
      if (now === principal) return;
      principal = now;
      stop.abort();
      stop = new AbortController();
      this.#opened();
      if (!now) return;
      this.#open();
      void this.#lead(stop.signal);
    };
    // Before the first page reads something.
    untracked(begin);
    effect(begin);
    this.#channel.postMessage({ name: 'listens?', data: '' } satisfies HubEvent);
  }

  #open(): void {
    const opening = new Promise<void>((resolve) => (this.#opened = resolve));
    this.#opening = opening;
    void opening.then(() => this.#opens(opening));
  }

  #opens(opening: Promise<void>): void {
    if (this.#opening === opening) this.#opening = null;
  }

  /** The stream is about to open: what is asked for before that has to be asked for once more. Not waited for long. */
  opening(): Promise<void> | null {
    const opening = this.#opening;
    if (!opening) return null;
    const late = new Promise<void>((resolve) => setTimeout(resolve, LONGEST_OPENING));
    return Promise.race([opening, late.then(() => this.#opens(opening))]);
  }

  /** Waits for its turn to listen, and listens. */
  async #lead(stop: AbortSignal): Promise<void> {
    if (!('locks' in navigator)) return this.#listen(stop);
    await navigator.locks.request(ownName('muster.events'), { signal: stop }, () => this.#listen(stop)).catch(() => {});
  }

  async #listen(stop: AbortSignal): Promise<void> {
    for (let wait = FIRST_WAIT; !stop.aborted; wait = Math.min(LONGEST_WAIT, wait * 2)) {
      try {
        const response = await fetch('api/v1/events', { headers: { 'muster-quiet': '1' }, signal: stop });
        if (response.ok && response.body && response.headers.get('content-type')?.startsWith('text/event-stream')) {
          this.#leads = true;
          this.#tell({ name: 'open', data: '' });
          wait = FIRST_WAIT;
          const events = new Events();
          for await (const bytes of response.body) for (const event of events.take(bytes)) this.#tell(event);
        }
      } catch {
        if (stop.aborted) return;
      }
      this.#leads = false;
      this.#tell({ name: 'closed', data: '' });
      // A stream does not say why it ended.
      if (!(await this.#session.renew()) && this.#session.ended()) return;
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }

  #tell(event: HubEvent): void {
    this.#channel.postMessage(event);
    this.#take(event);
  }

  #take({ name, data }: HubEvent): void {
    if (name === 'listens?' && this.#leads) this.#channel.postMessage({ name: 'listens', data: '' } satisfies HubEvent);
    if (name === 'open' || name === 'listens') {
      this.wasLive = true;
      this.live.set(true);
    }
    if (name === 'closed') this.live.set(false);
    if (name === 'open' || name === 'listens' || name === 'closed') this.#opened();
    if (name === 'session') void this.#session.renew();
    if (name === 'request') {
      this.request.set(JSON.parse(data) as RequestNews);
      this.#count('requests');
    }
    if (name === 'models' || name === 'instances' || name === 'nodes') this.#count(name);
    if (name === 'requests') this.#count('everybodys');
    if (name === 'resync' || name === 'open') for (const kind of ['models', 'instances', 'requests', 'everybodys', 'nodes'] as const) this.#count(kind);
  }

  #count(kind: Kind): void {
    this.#heard.set(kind, performance.now());
    if (this.#later.has(kind)) return;
    const timer = setTimeout(() => {
      this.#later.delete(kind);
      this[kind].set(this.#heard.get(kind) ?? 0);
    }, COALESCE);
    this.#later.set(kind, timer);
  }
}
