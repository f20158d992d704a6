import { effect, inject, Service, signal } from '@angular/core';

import { Feed } from '../live/feed';
import { buildOf } from './build-of';

/** Whether the hub has another build of the app than this page is of; asked when it is back after a pause. */
@Service()
export class Version {
  readonly #feed = inject(Feed);
  readonly #own = buildOf(document.head.outerHTML + document.body.innerHTML);
  readonly newer = signal(false);

  constructor() {
    let away = false;
    effect(() => {
      const live = this.#feed.live();
      if (live && away) void this.#ask();
      away ||= !live && this.#feed.wasLive;
    });
  }

  async #ask(): Promise<void> {
    const response = await fetch('./', { headers: { accept: 'text/html' }, cache: 'no-store' }).catch(() => null);
    const now = response?.ok ? buildOf(await response.text()) : undefined;
    if (this.#own && now && now !== this.#own) this.newer.set(true);
  }
}
