import { computed, inject, Service, signal } from '@angular/core';

import { Api, type Schemas } from '../api/api';
import { follow, readBy } from '../api/read';
import { Feed } from '../live/feed';
import { Session } from '../session/session';

export type ModelSummary = Schemas['ModelSummary'];

/** All models, read once and again when the hub says that something changed. */
@Service()
export class Catalogue {
  readonly #api = inject(Api);
  readonly read = readBy((signal, quiet) => async () => {
    const all: ModelSummary[] = [];
    for (let after: string | undefined; ; ) {
      const page = await this.#api.get('/api/v1/models', { query: { limit: 200, ...(after ? { after } : {}) }, signal, quiet });
      all.push(...page.items);
      if (!page.next) return all;
      after = page.next;
    }
  });
  readonly models = computed(() => this.read.value() ?? []);
  readonly #session = inject(Session);
  /** A title was asked for that the list has not: disabled models are not in it, and who keeps models may know them. */
  readonly #missed = signal(false);
  readonly #kept = readBy((signal) => {
    if (!this.#missed() || !this.#session.may('ADMIN', 'MODEL_EDITOR')) return undefined;
    return async () => {
      const titles = new Map<string, string>();
      for (let after: string | undefined; ; ) {
        const page = await this.#api.get('/api/v1/catalogue', { query: { limit: 200, ...(after ? { after } : {}) }, signal, quiet: true });
        for (const { id, card } of page.items) titles.set(id, card.title);
        if (!page.next) return titles;
        after = page.next;
      }
    };
  });

  constructor() {
    follow(inject(Feed).models, [this.read]);
    follow(inject(Feed).models, [this.#kept], () => this.#missed());
  }

  title(id: string): string {
    const title = this.models().find((one) => one.id === id)?.title ?? this.#kept.value()?.get(id);
    if (title === undefined && id && this.read.value()) queueMicrotask(() => this.#missed.set(true));
    return title || id;
  }
}
