import { Component, computed, type ElementRef, input, output, viewChild } from '@angular/core';

/** How a column's values are spread; a range is chosen by drawing over it. */
@Component({
  selector: 'm-histogram',
  template: `<svg #svg class="hist" [class.fixed]="fixed()" [attr.width]="width()" height="29" [attr.viewBox]="'0 0 ' + width() + ' 29'" aria-hidden="true" (pointerdown)="begin($event)" (pointermove)="move($event)" (pointerup)="end($event)">
    @for (bar of bars(); track $index) {
      <rect [attr.x]="bar.x" [attr.y]="28 - bar.all" [attr.width]="bar.w" [attr.height]="bar.all" class="h0" />
      <rect [attr.x]="bar.x" [attr.y]="28 - bar.shown" [attr.width]="bar.w" [attr.height]="bar.shown" [attr.class]="range() && !fixed() ? 'h1' : 'h2'" />
    }
    <path class="base" [attr.d]="'M0 28.5H' + width()" />
    @if (brush(); as b) {<rect class="brush" [class.mark]="fixed()" [attr.x]="b.x" y="0" [attr.width]="b.w" height="28" /><path class="hand" [attr.d]="'M' + b.x + ' 0v28M' + (b.x + b.w) + ' 0v28'" />@if (!fixed()) {<rect class="grip" [attr.x]="b.x - 2" y="9" width="4" height="10" rx="1.5" /><rect class="grip" [attr.x]="b.x + b.w - 2" y="9" width="4" height="10" rx="1.5" />}}
  </svg>`,
})
export class Histogram {
  readonly bins = input.required<readonly number[]>();
  readonly of = input<readonly number[]>();
  readonly least = input.required<number>();
  readonly most = input.required<number>();
  readonly range = input<readonly [number, number] | null>(null);
  readonly width = input(84);
  /** Nothing can be chosen. */
  readonly fixed = input(false);
  readonly chosen = output<readonly [number, number] | null>();
  protected readonly svg = viewChild.required<ElementRef<SVGElement>>('svg');
  #from: number | null = null;

  protected readonly bars = computed(() => {
    const all = this.bins();
    const shown = this.of() ?? all;
    const most = Math.max(1, ...all);
    const step = this.width() / all.length;
    const tall = (n: number) => (n === 0 ? 0 : Math.max(1, (n / most) * 26));
    return all.map((n, at) => ({ x: at * step + 0.5, w: Math.max(1, step - 1), all: tall(n), shown: tall(shown[at] ?? 0) }));
  });
  protected readonly brush = computed(() => {
    const range = this.range();
    if (!range) return null;
    const span = this.most() - this.least() || 1;
    const x = Math.max(0, ((range[0] - this.least()) / span) * this.width());
    const end = Math.min(this.width(), ((range[1] - this.least()) / span) * this.width());
    return { x, w: Math.max(1, end - x) };
  });

  #at(event: PointerEvent): number {
    const box = this.svg().nativeElement.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    return this.least() + share * (this.most() - this.least());
  }

  protected begin(event: PointerEvent): void {
    if (this.fixed()) return;
    this.svg().nativeElement.setPointerCapture(event.pointerId);
    this.#from = this.#at(event);
  }

  protected move(event: PointerEvent): void {
    if (this.#from === null) return;
    const to = this.#at(event);
    this.chosen.emit([Math.min(this.#from, to), Math.max(this.#from, to)]);
  }

  protected end(event: PointerEvent): void {
    const from = this.#from;
    this.#from = null;
    if (from !== null && Math.abs(this.#at(event) - from) < (this.most() - this.least()) / 50) this.chosen.emit(null);
  }
}
