import { Component, computed, inject, input } from '@angular/core';

import type { Schemas } from '../api/api';
import { Clock } from '../ui/clock';
import { duration, moment } from '../ui/format';
import { roomInWords } from './node-words';

const FROM = 6;
const WIDE = 268;
const MOST_TICKS = 8;

/** A group of nodes: its size on the scale of what it may be, and what came of its orders. */
@Component({
  selector: 'm-group-scale',
  template: `<div class="gt"><b class="mono">{{ group().id }}</b><span>{{ template() }}</span></div>
    <svg viewBox="0 0 280 34" preserveAspectRatio="xMinYMid meet" role="img" [attr.aria-label]="words()">
      <path class="sc0" d="M6 12H274" />
      @for (tick of ticks(); track tick) {<path class="sc0" [attr.d]="'M' + x(tick) + ' 9v6'" /><text [attr.x]="x(tick)" y="30" text-anchor="middle">{{ tick }}</text>}
      <rect class="sc1" x="6" y="10" [attr.width]="x(group().nodes) - 6" height="4" />
      @if (group().target > group().nodes) {<rect class="rg-s" [attr.x]="x(group().nodes)" y="10" [attr.width]="x(group().target) - x(group().nodes)" height="4" />}
      <path class="sc0 lim2" [attr.d]="'M' + x(group().min) + ' 4v16M' + x(group().max) + ' 4v16'" />
      <circle [attr.class]="come() > 0 ? 'sc2' : 'sc1'" [attr.cx]="x(group().target)" cy="12" r="5" />
    </svg>
    <p>{{ words() }}@if (group().boot_seconds; as seconds) { A node takes about {{ duration(seconds) }} to start.}@if (group().order; as order) { Ordered at {{ moment(order.at, clock.now()) }} to have {{ order.to }}.}</p>
    @for (one of warnings(); track $index) {<p class="warnc">{{ one }}</p>}
    @for (one of group().actions; track $index) {<p>{{ one.message }}</p>}
    @for (one of group().advice; track $index) {<p>Advised: {{ one.message }}</p>}`,
})
export class GroupScale {
  readonly group = input.required<Schemas['NodeGroup']>();
  protected readonly clock = inject(Clock);
  protected readonly duration = duration;
  protected readonly moment = moment;
  /** The end of the scale. */
  readonly #most = computed(() => Math.max(1, this.group().max, this.group().target, this.group().nodes));
  protected readonly ticks = computed(() => {
    const step = Math.ceil(this.#most() / MOST_TICKS);
    return Array.from({ length: Math.floor(this.#most() / step) + 1 }, (_, n) => n * step);
  });
  protected readonly template = computed(() => {
    const { template, price } = this.group();
    return [template ? roomInWords(template.allocatable) : '', price > 0 ? `price ${price}` : ''].filter(Boolean).join(', ');
  });
  /** Ordered, or already made and not yet ready. */
  protected readonly come = computed(() => Math.max(this.group().upcoming, this.group().machines.filter(({ state }) => state === 'booting').length));
  protected readonly words = computed(() => {
    const { nodes, min, max } = this.group();
    const come = this.come();
    return `${nodes} ${nodes === 1 ? 'is' : 'are'} there${come > 0 ? `, ${come} ${come === 1 ? 'comes' : 'come'}` : ''}. Between ${min} and ${max}.`;
  });
  protected readonly warnings = computed(() => {
    const { failures, unseen, only_advised, healthy, machines } = this.group();
    const failed = failures && `${failures.in_a_row === 1 ? 'The last order' : `The last ${failures.in_a_row} orders`} failed: ${failures.message.replace(/\.?$/, '.')} Nothing is ordered before ${moment(failures.next_try, this.clock.now())}.`;
    const lost = machines.filter(({ state }) => state === 'failed').map((one) => `${one.id} failed${one.message ? `: ${one.message}` : '.'}`);
    return [failed, unseen, only_advised, healthy ? null : 'More of its nodes are unready than happens by itself.', ...lost].filter((one) => one != null);
  });

  protected x(n: number): number {
    return FROM + Math.min(1, n / this.#most()) * WIDE;
  }
}
