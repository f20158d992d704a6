import { Service, signal } from '@angular/core';

/** The hub's time: ages are counted against it, not against this computer's clock. */
@Service()
export class Clock {
  #ahead = 0;
  /** Milliseconds; moves once a second while the page is seen. */
  readonly now = signal(Date.now());

  constructor() {
    setInterval(() => {
      if (!document.hidden) this.now.set(Date.now() + this.#ahead);
    }, 1_000);
  }

  /** The `Date` of an answer. A second and less is its coarseness and the way here. */
  heard(date: string | null): void {
    const time = Date.parse(date ?? '');
    if (Number.isNaN(time)) return;
    const ahead = time - Date.now();
    this.#ahead = Math.abs(ahead) > 1_500 ? ahead : 0;
  }
}
