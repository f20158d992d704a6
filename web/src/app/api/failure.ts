import type { components } from '../../generated/schema';

export type Problem = components['schemas']['Problem'];
export type BadValue = components['schemas']['BadValue'];

/** Why a call did not give what it was to give. */
export class Failure extends Error {
  constructor(
    /** 0 if there was no answer. */
    readonly status: number,
    /** What went wrong with this very call, and what to do. */
    readonly detail: string,
    readonly problem: Partial<Problem> = {},
    /** For the person who reports it. */
    readonly requestId: string | null = null,
    readonly retryAfter: number | null = null,
  ) {
    super(detail);
  }

  /** The slug of the problem's type: `unknown-model`. */
  get kind(): string {
    return this.problem.type?.split('/').pop() ?? '';
  }

  /** Does it pass by itself? */
  get passes(): boolean {
    return this.status === 0 || this.status === 502 || this.status === 503 || this.status === 504;
  }

  static unreachable(): Failure {
    return new Failure(0, 'The hub cannot be reached.');
  }

  static of(error: unknown): Failure {
    return error instanceof Failure ? error : new Failure(-1, String(error));
  }

  /** What a server answered that was not what was asked for; proxies answer without our problems. */
  static async from(response: Response): Promise<Failure> {
    const ours = response.headers.get('content-type')?.startsWith('application/problem+json');
    const problem = ours ? ((await response.json().catch(() => ({}))) as Partial<Problem>) : {};
    const detail = problem.detail ?? `The answer was ${response.status} ${response.statusText}`.trim();
    const after = Number(response.headers.get('retry-after'));
    const id = response.headers.get('x-request-id');
    return new Failure(response.status, detail, problem, id, after > 0 ? after : null);
  }
}
