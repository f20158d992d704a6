import { Component, computed, input } from '@angular/core';

/** What an instance uses now, against the most it used. */
@Component({
  selector: 'm-meter',
  template: `@if (now() === undefined || now() === null) {<span class="z">–</span>} @else {<span class="meter" [title]="'most ' + say(peak() ?? 0)"><svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true"><rect class="m0" width="100" height="6" /><rect class="m1" [attr.width]="share()" height="6" /></svg><span>{{ say(now() ?? 0) }}</span></span>}`,
})
export class Meter {
  readonly now = input<number | null>();
  readonly peak = input<number | null>();
  readonly kind = input.required<'cores' | 'bytes'>();
  protected readonly share = computed(() => Math.min(100, ((this.now() ?? 0) / Math.max(this.peak() ?? 0, 1e-9)) * 100));

  protected say(value: number): string {
    if (this.kind() === 'cores') return value.toFixed(2);
    const gib = value / 2 ** 30;
    return gib >= 0.95 ? `${gib.toFixed(1)} G` : `${Math.round(value / 2 ** 20)} M`;
  }
}
