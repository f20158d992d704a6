import { Component, computed, effect, input, output, signal } from '@angular/core';

import type { Placed } from '../../workers/result-messages';
import { Drawer } from '../ui/drawer';
import { count } from '../ui/format';
import { Histogram } from '../ui/histogram';
import { Mol } from '../ui/mol';
import type { Shown } from './columns';
import type { Result } from './result';

/** One row: every value whole, what it means, and where it stands among all. */
@Component({
  selector: 'm-row-drawer',
  imports: [Drawer, Histogram, Mol],
  template: `@if (placed(); as it) {
    <m-drawer [title]="title()" [id]="input()" (closed)="closed.emit()">
      @if (molecule()) {<div class="rowpic"><m-mol [smiles]="input()" [name]="title()" [width]="380" [height]="190" /></div>}
      @if (it.row.error !== null) {<p class="bad pad">{{ it.row.error }}</p>}
      <dl class="rowvals">
        @for (one of values(); track one.column.name) {
          <div><dt>{{ one.column.name }}</dt>
            <dd class="val">@if (one.value === null) {<span class="mut">no value</span>} @else {<b>{{ one.value }}</b>@if (one.column.unit) {<span class="mut">{{ one.column.unit }}</span>}}</dd>
            @if (one.below !== null) {<dd class="at"><m-histogram [bins]="one.column.bins" [least]="one.column.least" [most]="one.column.most" [range]="[one.number, one.number]" [fixed]="true" /><span>higher than {{ one.below }} % of {{ count(total()) }}</span></dd>}
            @if (one.column.direction; as end) {<dd class="mut">{{ end }} is strong</dd>}
            @if (one.column.meaning) {<dd class="mut wrap">{{ one.column.meaning }}</dd>}</div>
        }
      </dl>
    </m-drawer>
  }`,
})
export class RowDrawer {
  readonly result = input.required<Result>();
  readonly columns = input.required<readonly Shown[]>();
  readonly at = input.required<number>();
  readonly inputAt = input.required<number>();
  readonly nameAt = input.required<number>();
  readonly molecule = input(false);
  readonly closed = output();
  protected readonly count = count;
  protected readonly placed = signal<Placed | null>(null);
  protected readonly total = computed(() => this.result().columns()?.total ?? 0);
  protected readonly input = computed(() => String(this.placed()?.row.values[this.inputAt()] ?? ''));
  protected readonly title = computed(() => String(this.placed()?.row.values[this.nameAt()] ?? '') || `Row ${count(this.at() + 1)}`);
  protected readonly values = computed(() => {
    const placed = this.placed();
    if (!placed) return [];
    const others = this.columns().filter((one) => one.index !== this.inputAt() && one.index !== this.nameAt());
    return others.map((column) => {
      const value = placed.row.values[column.index] ?? null;
      const below = placed.below[column.index] ?? null;
      return { column, value, number: typeof value === 'number' ? value : 0, below: below === null ? null : Math.floor(below) };
    });
  });

  constructor() {
    effect((onCleanup) => {
      let old = false;
      onCleanup(() => (old = true));
      void this.result().place(this.at()).then((placed) => {
        if (!old) this.placed.set(placed);
      });
    });
  }
}
