import { computed, inject, Service } from '@angular/core';

import { Api, type Schemas } from '../api/api';
import { follow, readBy } from '../api/read';
import { Feed } from '../live/feed';

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

  constructor() {
    follow(inject(Feed).models, [this.read]);
  }

  title(id: string): string {
    return this.models().find((one) => one.id === id)?.title || id;
  }
}
