import { computed, inject, Service } from '@angular/core';

import { read } from '../api/read';
import { Catalogue } from '../model/catalogue';
import type { Option } from '../ui/choice';
import { count, tail } from '../ui/format';

/** Everything there is to filter by: read once, whatever is filtered. */
@Service()
export class Filters {
  readonly #catalogue = inject(Catalogue);
  readonly read = read('/api/v1/stats/filters', () => ({ quiet: true }));
  readonly models = computed<Option[]>(() => (this.read.value()?.models ?? []).map((one) => ({ value: one.id, label: this.#catalogue.title(one.id), more: count(one.requests) })));
  /** Accounts as `u:ID`, anonymous sessions as `s:ID`. */
  readonly people = computed<Option[]>(() => {
    const all = this.read.value();
    const users = (all?.users ?? []).map((one) => ({ value: `u:${one.id}`, label: one.name ?? `account ${tail(one.id)}`, more: count(one.requests) }));
    const sessions = (all?.sessions ?? []).map((one) => ({ value: `s:${one.id}`, label: `anonymous ${tail(one.id)}`, more: count(one.requests) }));
    return [...users, ...sessions];
  });
}
