import { computed, Service, signal } from '@angular/core';

/** Calls that are under way; the bar over the page shows that there are some. */
@Service()
export class Progress {
  readonly #open = signal(0);
  readonly busy = computed(() => this.#open() > 0);

  begin(): () => void {
    this.#open.update((n) => n + 1);
    let done = false;
    return () => {
      if (!done) this.#open.update((n) => n - 1);
      done = true;
    };
  }
}
