import { Component, computed, input } from '@angular/core';

import { figure } from '../ui/format';
import { type Decades, type Five, place, tick } from './scale';

/** Thin from least to most, thick from p50 to p95, a tick at p99; on the axis of its column. */
@Component({
  selector: 'm-box',
  template: `@if (marks(); as m) {<svg class="box" [class.off]="few()" [attr.width]="width()" height="16" [attr.viewBox]="'0 0 ' + width() + ' 16'" role="img" [attr.aria-label]="words()">
      @for (x of ticks(); track x) {<path class="tick" [attr.d]="'M' + x + ' 0V16'" />}
      <path class="wh" [attr.d]="'M' + m.min + ' 8H' + m.max + 'M' + m.min + ' 5.5v5M' + m.max + ' 5.5v5'" />
      <rect class="bx" [attr.x]="m.p50" y="4" [attr.width]="m.wide" height="8" /><path class="p50" [attr.d]="'M' + m.p50 + ' 3v10'" /><path class="p99" [attr.d]="'M' + m.p99 + ' 4.5v7'" />
    </svg>} @else {<span class="z">–</span>}`,
})
export class Box {
  readonly five = input.required<Five | null>();
  readonly axis = input.required<Decades>();
  readonly few = input(false);
  readonly width = input(132);
  protected readonly ticks = computed(() => {
    const { from, to } = this.axis();
    return Array.from({ length: to - from + 1 }, (_, n) => 0.5 + (n / (to - from)) * (this.width() - 1));
  });
  protected readonly marks = computed(() => {
    const five = this.five();
    if (!five) return null;
    const at = (seconds: number) => Math.round((0.5 + place(seconds, this.axis()) * (this.width() - 1)) * 10) / 10;
    return { min: at(five.min), p50: at(five.p50), p99: at(five.p99), max: at(five.max), wide: Math.max(1, at(five.p95) - at(five.p50)) };
  });
  protected readonly words = computed(() => {
    const five = this.five();
    return five ? `least ${figure(five.min)} s, median ${figure(five.p50)} s, 95 % ${figure(five.p95)} s, 99 % ${figure(five.p99)} s, most ${figure(five.max)} s` : '';
  });
}

/** The axis over a column of boxes. */
@Component({
  selector: 'm-box-axis',
  template: `<svg class="axis" [attr.width]="width()" height="14" [attr.viewBox]="'0 0 ' + width() + ' 14'" aria-hidden="true">@for (one of labels(); track one.x) {<text [attr.x]="one.x" y="10" [attr.text-anchor]="one.anchor">{{ one.text }}</text>}</svg>`,
})
export class BoxAxis {
  readonly axis = input.required<Decades>();
  readonly width = input(132);
  protected readonly labels = computed(() => {
    const { from, to } = this.axis();
    const step = to - from > 3 ? 2 : 1;
    const powers = Array.from({ length: to - from + 1 }, (_, n) => from + n).filter((power) => (power - from) % step === 0);
    return powers.map((power) => ({ x: place(10 ** power, { from, to }) * this.width(), text: tick(power), anchor: power === from ? 'start' : power === to ? 'end' : 'middle' }));
  });
}
