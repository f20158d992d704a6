import { computed, Service, signal } from '@angular/core';

import { Failure } from '../api/failure';
import { ownName } from '../api/place';
import { Keeper, type Live, type Message, type State } from './keeper';

const CACHE = ownName('muster.session');
const USED_EVERY = 5 * 60_000;
const LONGEST_ASK = 10_000;

/** Who uses the app, and what they may do. */
@Service()
export class Session {
  readonly #channel = new BroadcastChannel(ownName('muster.session'));
  readonly #keeper: Keeper;
  readonly #state = signal<State>({ live: null, ended: null, reachable: true });
  readonly #resumed = signal(0);
  #wake = () => {};
  #used = false;

  readonly live = computed(() => this.#state().live);
  /** There is one. What it holds changes as often as it is renewed; this does not. */
  readonly known = computed(() => !!this.live());
  readonly ended = computed(() => this.#state().ended);
  readonly reachable = computed(() => this.#state().reachable);
  /** The computer has no network, as the browser says. */
  readonly offline = signal(!navigator.onLine);
  readonly account = computed(() => (this.live()?.principal.kind === 'account' ? this.live() : null));
  readonly name = computed(() => this.account()?.principal.name ?? null);
  /** Changes when what failed is worth reading again: the hub is back, or somebody signed in. */
  readonly resumed = this.#resumed.asReadonly();
  /** Somebody else signed in: the page is about to be loaded anew. */
  startsOver = false;
  /** The hub was asked once, or cannot be. */
  readonly ready: Promise<unknown>;

  constructor() {
    const cached = remembered();
    this.#keeper = new Keeper(
      {
        renew: ask,
        lock: (work) => ('locks' in navigator ? navigator.locks.request(ownName('muster.session'), work) : work()),
        tell: (message) => this.#channel.postMessage(message),
        rest: (milliseconds) => this.#rest(milliseconds),
        changed: (state) => this.#changed(state),
        startOver: (live) => {
          this.startsOver = true;
          remember(live);
          location.reload();
        },
      },
      cached,
    );
    this.#state.set(this.#keeper.state);
    this.#channel.onmessage = (event: MessageEvent<Message>) => this.#keeper.hear(event.data, true);
    this.ready = this.#keeper.renew();
    for (const event of ['online', 'offline']) addEventListener(event, () => this.offline.set(!navigator.onLine));
    addEventListener('online', () => this.#wake());
    addEventListener('offline', () => this.lost());
    document.addEventListener('visibilitychange', () => this.#wake());
    // A page that the browser had put aside: what it shows and who it thinks one is are as old as that.
    addEventListener('pageshow', ({ persisted }) => {
      if (persisted) void this.#keeper.renew().then((live) => live && this.#resumed.update((n) => n + 1));
    });
    for (const sign of ['pointerdown', 'keydown']) addEventListener(sign, () => (this.#used = true), { passive: true });
    setInterval(() => {
      if (this.#used && this.live()) void this.#keeper.renew();
      this.#used = false;
    }, USED_EVERY);
  }

  /** Has one of these permissions. */
  may(...any: string[]): boolean {
    return !!this.live()?.permissions.some((held) => any.includes(held));
  }

  send(request: () => Promise<Response>): Promise<Response> {
    return this.#keeper.send(request);
  }

  renew(): Promise<boolean> {
    return this.#keeper.renew();
  }

  /** Lives, perhaps after somebody signed in again. */
  back(): Promise<boolean> {
    return this.#keeper.back();
  }

  lost(): void {
    this.#keeper.lost();
  }

  /** A session without an account, if there is none yet. */
  async begin(): Promise<void> {
    await this.ready;
    if (!this.live()) this.#keeper.hear({ live: await post('api/v1/sessions', { kind: 'cookie' }) });
  }

  async signIn(name: string, password: string): Promise<void> {
    this.#keeper.hear({ live: await post('api/v1/session', { name, password, kind: 'cookie' }) });
  }

  async signOut(): Promise<void> {
    await fetch('api/v1/session', { method: 'DELETE' }).catch(() => {
      throw Failure.unreachable();
    });
    this.#keeper.hear({ out: true });
  }

  #changed(state: State): void {
    const before = this.#state();
    this.#state.set(state);
    remember(state.live);
    const back = (!before.reachable && state.reachable) || (before.ended && !state.ended);
    if (back || before.live?.principal.id !== state.live?.principal.id) this.#resumed.update((n) => n + 1);
  }

  #rest(milliseconds: number): Promise<void> {
    const jitter = 0.75 + Math.random() / 2;
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds * jitter);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

async function ask(): Promise<unknown> {
  const response = await fetch('api/v1/session/renew', { method: 'POST', signal: AbortSignal.timeout(LONGEST_ASK) });
  return response.ok ? response.json() : undefined;
}

async function post(path: string, body: unknown): Promise<Live> {
  const response = await fetch(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  }).catch(() => {
    throw Failure.unreachable();
  });
  if (!response.ok) throw await Failure.from(response);
  const answer = (await response.json().catch(() => undefined)) as Live | undefined;
  if (!answer) throw Failure.unreachable();
  return answer;
}

function remember(live: Live | null): void {
  try {
    localStorage.removeItem(CACHE);
    if (live) localStorage.setItem(CACHE, JSON.stringify(live));
  } catch {
    // Storage may be refused: then the name is shown a moment later.
  }
}

/** What was seen last: shown at once, asked about at once. */
function remembered(): Live | null {
  try {
    return JSON.parse(localStorage.getItem(CACHE) ?? 'null') as Live | null;
  } catch {
    return null;
  }
}
