import { computed, inject } from '@angular/core';
import { toSignal } from '@angular/core/rxjs-interop';
import { ActivatedRoute } from '@angular/router';

import { queryChanger } from '../ui/query';
import { parseRanges, type Range, writeRanges } from './ranges';

/** What of a result is shown, and how: all of it stands in the address. */
export function resultQuery() {
  const query = toSignal(inject(ActivatedRoute).queryParamMap, { requireSync: true });
  const go = queryChanger();
  const text = (name: string) => computed(() => query().get(name) ?? '');
  const list = (name: string) => computed(() => query().getAll(name), { equal: (a, b) => a.join('\n') === b.join('\n') });
  const [q, sort, range, only, colour, page, sub, view, row] = ['q', 'sort', 'range', 'only', 'colour', 'page', 'sub', 'view', 'row'].map(text);
  const of = (one: (() => string) | undefined) => one?.() ?? '';
  const ranges = computed<Range[]>(() => parseRanges(of(range)));
  return {
    go,
    text: computed(() => of(q)),
    sort: computed(() => of(sort).replace(/^-/, '')),
    down: computed(() => of(sort).startsWith('-')),
    ranges,
    failed: computed(() => of(only) === 'failed'),
    colour: computed(() => of(colour)),
    page: computed(() => Math.max(1, Number.parseInt(of(page), 10) || 1)),
    substructure: computed(() => of(sub)),
    cards: computed(() => of(view) === 'cards'),
    /** The row that is opened: its place in the result; -1 for none. */
    row: computed(() => (/^\d+$/.test(of(row)) ? Number(of(row)) - 1 : -1)),
    hidden: list('hide'),
    pinned: list('pin'),
    filtered: computed(() => !!(of(q) || of(range) || of(only) || of(sub))),
    clear: () => go({ q: null, range: null, only: null, sub: null, page: null }),
    /** Most first, least first, as it was sent. */
    order: (name: string) => {
      const now = of(sort);
      go({ sort: now === `-${name}` ? name : now === name ? null : `-${name}`, page: null });
    },
    limit: (name: string, range: readonly [number, number] | null) => {
      const others = ranges().filter((one) => one.column !== name);
      const given = range && Number.isFinite(range[0]) && Number.isFinite(range[1]);
      go({ range: writeRanges(given ? [...others, { column: name, low: range[0], high: range[1] }] : others), page: null }, true);
    },
  };
}

export type ResultQuery = ReturnType<typeof resultQuery>;
