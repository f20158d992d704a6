import { Component, computed, input } from '@angular/core';

import { count, counted, figure } from '../ui/format';
import { Box, BoxAxis } from './box';
import { type Decades, five, type Row, type Times } from './scale';

const TIMES: readonly { id: Times; label: string }[] = [
  { id: 'waiting', label: 'Waiting' },
  { id: 'job', label: 'Job' },
  { id: 'total', label: 'Total' },
];

/** Every number of a group, and its requests day by day. */
@Component({
  selector: 'm-statistics-detail',
  imports: [Box, BoxAxis],
  template: `<div class="detin"><div tabindex="0" role="group" [attr.aria-label]="'Times of ' + measured()">
      <h3>Times of {{ measured() }}<span>seconds, logarithmic, a line every factor of 10</span></h3>
      <table class="b5"><thead><tr><th></th><th class="bxx"><m-box-axis [axis]="axis()" [width]="190" /></th><th>least</th><th>p50</th><th>p95</th><th>p99</th><th>most</th><th>mean</th><th>sum</th></tr></thead><tbody>
        @for (one of times; track one.id) {
          <tr><td>{{ one.label }}</td><td class="bxx"><m-box [five]="five(row(), one.id)" [axis]="axis()" [width]="190" /></td>
            @for (name of figures; track name) {<td>{{ figure(value(one.id, name)) }}</td>}</tr>
        }
      </tbody></table>
    </div><div>
      <h3>Requests a day</h3>
      <svg class="days" height="104" role="img" [attr.aria-label]="words()">
        @for (bar of bars(); track $index) {<rect class="ok" [attr.x]="bar.x + '%'" [attr.width]="bar.w + '%'" [attr.y]="84 - bar.h" [attr.height]="bar.h" />}
        <line class="gl" x1="0" x2="100%" y1="84.5" y2="84.5" />
        @for (label of labels(); track label.x) {<text [attr.x]="label.x + '%'" y="100" [attr.text-anchor]="label.anchor">{{ label.text }}</text>}
        <text x="0" y="10">{{ count(most()) }}</text>
      </svg>
    </div></div>`,
})
export class StatisticsDetail {
  readonly row = input.required<Row>();
  readonly axis = input.required<Decades>();
  readonly days = input.required<readonly string[]>();
  readonly values = input.required<readonly number[]>();
  readonly by = input('');
  protected readonly times = TIMES;
  protected readonly figures = ['min', 'p50', 'p95', 'p99', 'max', 'avg', 'total'] as const;
  protected readonly five = five;
  protected readonly figure = figure;
  protected readonly count = count;
  protected readonly most = computed(() => Math.max(1, ...this.values()));
  protected readonly measured = computed(() => {
    const { succeeded, failed, cancelled } = this.row();
    if (this.by() === 'failures') return counted(failed, 'failure');
    return this.by() === 'all' ? `${count(succeeded + failed + cancelled)} that ended` : counted(succeeded, 'success', 'successes');
  });
  protected readonly bars = computed(() => {
    const step = 100 / Math.max(1, this.values().length);
    return this.values().map((value, at) => ({ x: at * step + step * 0.15, w: Math.min(step * 0.7, 8), h: (value / this.most()) * 68 }));
  });
  protected readonly labels = computed(() => {
    const days = this.days();
    const said = (day: string) => `${Number(day.slice(8))} ${new Date(day).toLocaleString('en', { month: 'short', timeZone: 'UTC' })}`;
    const [first, last] = [days[0], days.at(-1)];
    if (!first || !last) return [];
    return first === last ? [{ x: 0, text: said(first), anchor: 'start' }] : [{ x: 0, text: said(first), anchor: 'start' }, { x: 100, text: said(last), anchor: 'end' }];
  });
  protected readonly words = computed(() => this.days().map((day, at) => `${day}: ${this.values()[at] ?? 0}`).join(', ') || 'Requests a day');

  protected value(times: Times, name: (typeof this.figures)[number]) {
    return this.row()[`${times}_seconds_${name}`];
  }
}
