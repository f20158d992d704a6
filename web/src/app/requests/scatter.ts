import { Component, computed, input } from '@angular/core';

import type { Pair } from './pairs';

/** More points than these cannot be told apart. */
const MOST = 2_000;
const SIDE = 280;
const EDGE = 6;

/** One value against the other, with the line on which they are equal. The table has the same numbers. */
@Component({
  selector: 'm-scatter',
  template: `<svg class="scatter" [attr.viewBox]="'0 0 ' + side + ' ' + side" role="img" [attr.aria-label]="said()">
    <path class="base" [attr.d]="'M.5 0V' + (side - 0.5) + 'H' + side" />
    @if (line(); as d) {<path class="even" [attr.d]="d" />}
    @for (point of points(); track $index) {<circle [attr.cx]="point.x" [attr.cy]="point.y" r="2.5" />}
  </svg>
  <div class="ends"><span>{{ ends()[0] }}</span><span>{{ across() }}</span><span>{{ ends()[1] }}</span></div>`,
})
export class Scatter {
  readonly pairs = input.required<readonly Pair[]>();
  readonly across = input.required<string>();
  readonly up = input.required<string>();
  protected readonly side = SIDE;
  readonly #both = computed(() => {
    const all = this.pairs().filter((pair) => pair.difference !== null);
    const step = Math.max(1, Math.ceil(all.length / MOST));
    return all.filter((_, at) => at % step === 0);
  });
  /** Both axes have the same ends, so that what is equal is on the diagonal. */
  readonly #range = computed(() => {
    let [least, most] = [Infinity, -Infinity];
    for (const { a, b } of this.#both()) {
      least = Math.min(least, a ?? least, b ?? least);
      most = Math.max(most, a ?? most, b ?? most);
    }
    return least <= most ? { least, most } : { least: 0, most: 1 };
  });
  protected readonly ends = computed(() => [this.#range().least, this.#range().most].map((value) => Number(value.toPrecision(4)).toLocaleString('en', { maximumFractionDigits: 6 })));
  protected readonly line = computed(() => `M${EDGE} ${SIDE - EDGE}L${SIDE - EDGE} ${EDGE}`);
  protected readonly points = computed(() => {
    const { least, most } = this.#range();
    const share = (value: number | null) => (most > least ? ((value ?? 0) - least) / (most - least) : 0.5);
    const room = SIDE - 2 * EDGE;
    return this.#both().map(({ a, b }) => ({ x: (EDGE + share(a) * room).toFixed(1), y: (SIDE - EDGE - share(b) * room).toFixed(1) }));
  });
  protected readonly said = computed(() => `${this.up()} against ${this.across()}: ${this.#both().length} points, from ${this.ends()[0]} to ${this.ends()[1]}`);
}
