import type { components } from '../../generated/schema';

export type Live = components['schemas']['Session'];
export type Reason = 'idle' | 'lifetime' | 'revoked' | 'signed-out' | 'none';

export interface State {
  /** The last session that was seen to live; kept when the hub cannot be reached, and when it ended. */
  readonly live: Live | null;
  /** Why it ended, if the hub said that it did. */
  readonly ended: Reason | null;
  readonly reachable: boolean;
}

/** What the keeper touches of the world. */
export interface World {
  /** Asks the hub what became of the session. */
  renew(): Promise<unknown>;
  /** One tab of the browser after the other. */
  lock<T>(work: () => Promise<T>): Promise<T>;
  /** To the other tabs. */
  tell(message: Message): void;
  /** Ends after a time, or when something says that it is worth a try. */
  rest(milliseconds: number): Promise<void>;
  changed(state: State): void;
  /** Somebody else signed in: what is shown is not theirs. */
  startOver(live: Live): void;
}

export type Message = { readonly live: Live } | { readonly ended: Reason } | { readonly out: true };

const FIRST_REST = 1_000;
const LONGEST_REST = 30_000;

/**
 * Keeps the session. Only the hub's word that it ended ends it: no error, no clock, no silence. Tabs
 * ask one after the other, and what one hears the others know.
 */
export class Keeper {
  state: State;
  /** Counts what was heard of the session: a 401 to an older one says nothing about the new one. */
  #heard = 0;
  #asking: Promise<boolean> | null = null;
  #retrying = false;
  #resumed = Promise.withResolvers<void>();

  constructor(
    private readonly world: World,
    cached: Live | null,
  ) {
    this.state = { live: cached, ended: null, reachable: true };
  }

  /** Sends. After a 401, which says that nothing was done, it asks what became of the session and sends again. */
  async send(request: () => Promise<Response>): Promise<Response> {
    const heard = this.#heard;
    const response = await request();
    if (response.status !== 401) return response;
    return (await this.#comesBack(heard === this.#heard ? await this.renew() : this.#lives())) ? request() : response;
  }

  /** Does it live? If it ended, it does when the same person signed in again. */
  async back(): Promise<boolean> {
    return this.#comesBack(await this.renew());
  }

  /** Does it live? Asks once, however many want to know. */
  renew(): Promise<boolean> {
    this.#asking ??= this.#ask().finally(() => (this.#asking = null));
    return this.#asking;
  }

  async #comesBack(lives: boolean): Promise<boolean> {
    if (!lives && this.state.ended) await this.#resumed.promise;
    return this.#lives();
  }

  /** A call got no answer. */
  lost(): void {
    this.#set({ ...this.state, reachable: false });
    void this.#retry();
  }

  /** What this tab was told by a login, or what another tab was told. */
  hear(message: Message, fromElsewhere = false): void {
    this.#heard++;
    const before = this.state.live;
    if ('live' in message) {
      const { live } = message;
      if (before?.principal.kind === 'account' && before.principal.id !== live.principal.id) {
        if (!fromElsewhere) this.world.tell(message);
        this.world.startOver(live);
        return;
      }
      this.#set({ live, ended: null, reachable: true });
      this.#resumed.resolve();
      this.#resumed = Promise.withResolvers<void>();
    } else if ('out' in message) {
      this.#set({ live: null, ended: null, reachable: true });
    } else {
      // Somebody without an account lost nothing that signing in brings back.
      const known = before?.principal.kind === 'account';
      this.#set({ live: known ? before : null, ended: known ? message.ended : null, reachable: true });
    }
    if (!fromElsewhere) this.world.tell(message);
  }

  #ask(): Promise<boolean> {
    const heard = this.#heard;
    return this.world.lock(async () => {
      // Another tab asked while this one waited for its turn.
      if (heard !== this.#heard) return this.#lives();
      const answer = understand(await this.world.renew().catch(() => undefined));
      // Somebody signed in or out meanwhile: what was asked was about the session before.
      if (heard !== this.#heard) return this.#lives();
      if (!answer) {
        this.lost();
        return false;
      }
      this.hear(answer);
      return this.#lives();
    });
  }

  async #retry(): Promise<void> {
    if (this.#retrying) return;
    this.#retrying = true;
    for (let rest = FIRST_REST; !this.state.reachable; rest = Math.min(LONGEST_REST, rest * 2)) {
      await this.world.rest(rest);
      if (!this.state.reachable) await this.renew();
    }
    this.#retrying = false;
  }

  #lives(): boolean {
    return this.state.live !== null && this.state.ended === null && this.state.reachable;
  }

  #set(state: State): void {
    this.state = state;
    this.world.changed(state);
  }
}

/** The hub's answer, or nothing if it is not the hub's: an error page, a portal's sign-in form. */
function understand(answer: unknown): Message | undefined {
  if (typeof answer !== 'object' || answer === null || !('state' in answer)) return undefined;
  if (answer.state === 'live' && 'principal' in answer) return { live: answer as Live };
  if (answer.state === 'ended' && 'reason' in answer) return { ended: answer.reason as Reason };
  return undefined;
}
