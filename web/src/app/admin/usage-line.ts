import { Component, computed, input } from '@angular/core';

import { moment } from '../ui/format';
import { drawn, type Sample } from './usage';

/** What an instance used, span after span. */
@Component({
  selector: 'm-usage-line',
  template: `<svg class="usage" viewBox="0 0 100 40" preserveAspectRatio="none" height="88" role="img" [attr.aria-label]="words()">
      <line class="gl" x1="0" x2="100" y1="40" y2="40" /><path class="ar" [attr.d]="line().area" /><path class="li" [attr.d]="line().line" />
    </svg>
    <div class="mini ends"><span>{{ from() }}</span><span>{{ to() }}</span></div>`,
})
export class UsageLine {
  readonly samples = input.required<readonly Sample[]>();
  readonly label = input.required<string>();
  readonly say = input.required<(value: number) => string>();
  protected readonly line = computed(() => drawn(this.samples()));
  protected readonly from = computed(() => timeOf(this.samples()[0]));
  protected readonly to = computed(() => timeOf(this.samples().at(-1)));
  protected readonly words = computed(() => {
    const all = this.samples();
    const [first, last] = [all[0]?.value ?? 0, all.at(-1)?.value ?? 0];
    return `${this.label()}: ${this.say()(first)} at ${this.from()}, ${this.say()(last)} at ${this.to()}, at most ${this.say()(Math.max(0, ...all.map((one) => one.most)))}`;
  });
}

function timeOf(sample: Sample | undefined): string {
  return sample ? moment(new Date(sample.at).toISOString(), sample.at) : '';
}
