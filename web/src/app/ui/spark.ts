import { Component, computed, input } from '@angular/core';

const WIDEST = 12;

/** Bars, the last one now; the same numbers as words. */
@Component({
  selector: 'm-spark',
  template: `<svg class="spark" [attr.width]="width()" [attr.height]="height()" [attr.viewBox]="'0 0 ' + width() + ' ' + height()" role="img" [attr.aria-label]="label() + ': ' + values().join(', ')">
    @for (bar of bars(); track $index) {<rect [attr.x]="bar.x" [attr.y]="bar.y" [attr.width]="bar.w" [attr.height]="bar.h" rx=".8" [attr.class]="$last && marked() ? 'b1' : 'b0'" />}
  </svg>`,
})
export class Spark {
  readonly values = input.required<readonly number[]>();
  readonly label = input('');
  readonly width = input(70);
  readonly height = input(16);
  readonly marked = input(false);
  protected readonly bars = computed(() => {
    const [values, width, height] = [this.values(), this.width(), this.height()];
    const most = Math.max(1, ...values);
    const step = width / Math.max(1, values.length);
    return values.map((value, at) => {
      const h = value === 0 ? 1 : Math.max(1, (value / most) * (height - 1));
      return { x: at * step, y: height - h, w: Math.min(WIDEST, Math.max(1, step - 2)), h };
    });
  });
}
