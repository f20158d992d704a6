import { Component, computed, inject, input } from '@angular/core';
import { RouterLink } from '@angular/router';

import { url } from '../api/api';
import { absolute } from '../api/place';
import { read } from '../api/read';
import { Catalogue } from '../model/catalogue';
import { Choice, Choices, type Option } from '../ui/choice';
import { copied } from '../ui/code';
import { DaysChoice } from '../ui/days-choice';
import { count, figure, tail } from '../ui/format';
import { Icon } from '../ui/icon';
import { asList, asText, queryChanger } from '../ui/query';
import { Seg } from '../ui/seg';
import { Spark } from '../ui/spark';
import { Toasts } from '../ui/toasts';
import { Failed, Void } from '../ui/void';
import { Box, BoxAxis } from './box';
import { Filters } from './people';
import { decades, five, type Row, type Times } from './scale';
import { StatisticsDetail } from './statistics-detail';
import { type Group, GROUP_NAMES, GROUPS, groupsOf, query, SIZES } from './statistics-query';
import { WHO } from './who';

const FEW = 20;
const PHASES: Option[] = ['waiting', 'running', 'completed', 'failed', 'cancelled'].map((value) => ({ value, label: value }));
const COLUMNS = [
  { id: 'requests', label: 'Requests' },
  { id: 'inputs', label: 'Inputs' },
  { id: 'waiting', label: 'Waiting time' },
  { id: 'job', label: 'Job time' },
  { id: 'total', label: 'Total time' },
] as const;
const SHOWN = ['requests', 'job', 'total'];

@Component({
  selector: 'm-statistics-page',
  imports: [Box, BoxAxis, Choice, Choices, DaysChoice, Failed, Icon, RouterLink, Seg, Spark, StatisticsDetail, Void],
  template: `<header class="head dup"><div class="ht"><h1>Statistics</h1></div><div class="acts">
      <button type="button" class="btn no-phone" (click)="copyCurl()">Copy as curl</button>
      <a class="btn pri" [href]="csv()" [download]="'statistics-' + groups().join('-') + '.csv'"><m-icon name="download" />Download CSV, {{ rows().length === 1 ? '1 row' : count(rows().length) + ' rows' }}</a></div></header>
    <div class="bar">
      <m-seg label="Who" [options]="who_" [value]="who()" (valueChange)="go({ who: $event })" />
      <m-days-choice [value]="days()" (valueChange)="go({ days: $event })" />
      <m-choices label="Models" [options]="filters.models()" [value]="model()" (valueChange)="go({ model: $event })" />
      <m-choices label="People" [options]="filters.people()" [value]="person()" (valueChange)="go({ person: $event })" />
      <m-choice label="Size" [options]="sizes" [value]="size()" (valueChange)="go({ size: $event })" />
      <m-choices label="Outcome" all="any" [options]="phases" [value]="phase()" (valueChange)="go({ phase: $event })" />
      @if (filtered()) {<button type="button" class="btn txt" (click)="go({ who: null, days: null, model: null, person: null, size: null, phase: null })">Clear</button>}
    </div>
    <div class="bar">
      <m-choice label="Group by" [options]="firsts" [value]="groups()[0] ?? 'model'" none="model" (valueChange)="go({ group: $event, open: null })" />
      <m-choice label="then" [options]="seconds()" [value]="groups()[1] ?? ''" (valueChange)="go({ then: $event, open: null })" />
      <m-choice label="Times of" [options]="bys" [value]="by()" (valueChange)="go({ by: $event })" />
      <div class="grps end no-phone" role="group" aria-label="Columns"><span class="mut">Columns</span>@for (one of columns; track one.id) {<label><input type="checkbox" class="cb" [checked]="has(one.id)" (change)="toggle(one.id)" />{{ one.label }}</label>}</div>
    </div>
    @if (read.failure(); as failure) {<m-failed [failure]="failure" (again)="read.again()" />}
    @if (rows().length > 0) {
      <div class="tw cards"><table class="t compact stats"><thead>
        <tr class="gh"><th [attr.colspan]="groups().length"></th><th [attr.colspan]="has('requests') ? 4 : 2">Requests</th>@if (has('requests')) {<td class="p2"></td><td class="p3"></td>}@if (has('inputs')) {<th class="g" colspan="3">Inputs</th>}
          @for (one of times(); track one.id) {<th class="g" [attr.colspan]="$first && times().length > 1 ? 2 : 3">{{ one.label }}, s</th>@if ($first && times().length > 1) {<td class="p3"></td>}}</tr>
        <tr>
          @for (group of groups(); track group) {<th>{{ names[group] }}</th>}
          <th class="num" [attr.aria-sort]="sorted('total')"><button type="button" class="hd" (click)="order('total')">@if (sortOn('total')) {<m-icon name="sort" kind="sort" />}total</button></th>
          @if (has('requests')) {
            @for (one of outcomes; track one) {<th class="num" [class.p2]="one === 'succeeded'" [class.p3]="one === 'cancelled'" [attr.aria-sort]="sorted(one)"><button type="button" class="hd" (click)="order(one)">@if (sortOn(one)) {<m-icon name="sort" kind="sort" />}{{ one }}</button></th>}
          }
          <th class="num">a day</th>
          @if (has('inputs')) {@for (one of inputs; track one.id) {<th class="num" [class.g]="$first" [attr.aria-sort]="sorted(one.id)"><button type="button" class="hd" (click)="order(one.id)">@if (sortOn(one.id)) {<m-icon name="sort" kind="sort" />}{{ one.label }}</button></th>}}
          @for (one of times(); track one.id) {
            <th class="num g" [attr.aria-sort]="sorted(one.id + '_seconds_p50')"><button type="button" class="hd" (click)="order(one.id + '_seconds_p50')">@if (sortOn(one.id + '_seconds_p50')) {<m-icon name="sort" kind="sort" />}p50</button></th>
            <th class="num" [attr.aria-sort]="sorted(one.id + '_seconds_p95')"><button type="button" class="hd" (click)="order(one.id + '_seconds_p95')">@if (sortOn(one.id + '_seconds_p95')) {<m-icon name="sort" kind="sort" />}p95</button></th>
            <th class="r ax" [class.p3]="$first && times().length > 1"><m-box-axis [axis]="axis()" /></th>
          }
        </tr></thead>
        <tbody>
          @for (row of rows(); track key(row)) {
            <tr [class.on]="open() === key(row)">
              @for (group of groups(); track group) {<td [class.ttl]="$first">@if ($first) {<button type="button" class="link tx" [attr.aria-expanded]="open() === key(row)" (click)="go({ open: open() === key(row) ? null : key(row) })">{{ nameOf(group, row) }}</button>} @else {{{ nameOf(group, row) }}}</td>}
              <td class="num strong" data-l="Total"><span class="v"><a class="tx" routerLink="/admin/requests" [queryParams]="linkTo(row)">{{ count(row.total) }}</a></span></td>
              @if (has('requests')) {
                @for (one of outcomes; track one) {<td class="num" [class.p2]="one === 'succeeded'" [class.p3]="one === 'cancelled'" [class.nil]="row[one] === 0" [attr.data-l]="one"><span class="v">@if (row[one] === 0) {<span class="z">0</span>} @else {<a [class]="one === 'failed' ? 'bad' : 'tx'" routerLink="/admin/requests" [queryParams]="linkTo(row, one)">{{ count(row[one]) }}</a>}</span></td>}
              }
              <td class="r sta2"><m-spark label="Requests a day" [values]="trendOf(row)" [width]="72" [height]="18" /></td>
              @if (has('inputs')) {@for (one of inputs; track one.id) {<td class="num" [class.g]="$first" [attr.data-l]="one.label"><span class="v" [class.z]="row[one.id] === 0" [class.bad]="one.id === 'failed_inputs' && row[one.id] > 0">{{ count(row[one.id]) }}</span></td>}}
              @for (one of times(); track one.id) {
                <td class="num g c1" [attr.data-l]="one.label + ' p50, s'"><span class="v" [class.few]="few(row)" [title]="few(row) ? 'fewer than 20 measured' : ''">{{ figure(row[p50(one.id)]) }}</span></td>
                <td class="num" [attr.data-l]="one.label + ' p95, s'"><span class="v" [class.few]="few(row)">{{ figure(row[p95(one.id)]) }}</span></td>
                <td class="r z0" [class.p3]="$first && times().length > 1"><m-box [five]="five(row, one.id)" [axis]="axis()" [few]="few(row)" /></td>
              }
            </tr>
            @if (open() === key(row)) {<tr class="det"><td [attr.colspan]="width()"><m-statistics-detail [row]="row" [axis]="axis()" [days]="trends().days" [values]="trendOf(row)" [by]="by()" /></td></tr>}
          }
        </tbody>
        @if (read.value()?.totals; as all) {
          <tfoot><tr>
            <td class="ttl" [attr.colspan]="groups().length">All {{ rows().length === 1 ? '' : count(rows().length) }}</td>
            <td class="num" data-l="Total"><span class="v">{{ count(all.total) }}</span></td>
            @if (has('requests')) {@for (one of outcomes; track one) {<td class="num" [class.p2]="one === 'succeeded'" [class.p3]="one === 'cancelled'" [attr.data-l]="one"><span class="v">{{ count(all[one]) }}</span></td>}}
            <td class="r sta2"><m-spark label="Requests a day" [values]="trends().all" [width]="72" [height]="18" /></td>
            @if (has('inputs')) {@for (one of inputs; track one.id) {<td class="num" [class.g]="$first" [attr.data-l]="one.label"><span class="v">{{ count(all[one.id]) }}</span></td>}}
            @for (one of times(); track one.id) {
              <td class="num g c1" [attr.data-l]="one.label + ' p50, s'"><span class="v">{{ figure(all[p50(one.id)]) }}</span></td><td class="num" [attr.data-l]="one.label + ' p95, s'"><span class="v">{{ figure(all[p95(one.id)]) }}</span></td>
              <td class="r z0" [class.p3]="$first && times().length > 1"><m-box [five]="five(all, one.id)" [axis]="axis()" /></td>
            }
          </tr></tfoot>
        }
      </table></div>
      <div class="under"><span class="lg"><span>thin: least to most; thick: p50 to p95; tick: p99</span><span><span class="few">0.00</span> fewer than 20 measured</span></span><span class="end">Days are UTC. Percentiles are within 5 %, all else is exact.</span></div>
      @if (read.value()?.next) {<div class="note w mt"><m-icon name="info" /><span>Only the first {{ count(rows().length) }} groups are shown. The CSV has all of them.</span></div>}
    } @else if (read.value()) {
      <div class="sheet">@if (filtered()) {<m-void title="No request is like that">The filters leave none.<button step type="button" class="btn" (click)="go({ who: null, days: null, model: null, person: null, size: null, phase: null })">Clear the filters</button></m-void>} @else {<m-void title="Nobody asked for anything yet">Every request is counted here, from its first moment on.<a step class="btn" routerLink="/">Models</a></m-void>}</div>
    } @else if (read.loading()) {
      <div class="tw" aria-busy="true"><table class="t compact"><tbody>@for (n of [1, 2, 3, 4, 5]; track n) {<tr><td><i class="sk a"></i></td><td class="num"><i class="sk d"></i></td><td class="num"><i class="sk d"></i></td><td class="num"><i class="sk b"></i></td></tr>}</tbody></table></div>
    }`,
})
export class StatisticsPage {
  readonly who = input('', { transform: asText });
  readonly days = input('', { transform: asText });
  readonly model = input([], { transform: asList });
  readonly person = input([], { transform: asList });
  readonly phase = input([], { transform: asList });
  readonly size = input('', { transform: asText });
  readonly by = input('', { transform: asText });
  readonly group = input('', { transform: asText });
  readonly then = input('', { transform: asText });
  readonly sort = input('', { transform: asText });
  readonly cols = input('', { transform: asText });
  readonly open = input('', { transform: asText });
  protected readonly filters = inject(Filters);
  readonly #catalogue = inject(Catalogue);
  readonly #toasts = inject(Toasts);
  protected readonly go = queryChanger();
  protected readonly who_ = WHO;
  protected readonly sizes = SIZES;
  protected readonly phases = PHASES;
  protected readonly columns = COLUMNS;
  protected readonly names = GROUP_NAMES;
  protected readonly outcomes = ['succeeded', 'failed', 'cancelled', 'active'] as const;
  protected readonly inputs = [
    { id: 'inputs', label: 'inputs' },
    { id: 'failed_inputs', label: 'without' },
    { id: 'cache_hits', label: 'known' },
  ] as const;
  protected readonly count = count;
  protected readonly figure = figure;
  protected readonly five = five;
  protected readonly firsts: Option[] = GROUPS.map((value) => ({ value, label: GROUP_NAMES[value] }));
  protected readonly bys: Option[] = [
    { value: '', label: 'successes' },
    { value: 'failures', label: 'failures' },
    { value: 'all', label: 'all that ended' },
  ];

  readonly #asked = computed(() => ({ who: this.who(), days: this.days(), models: this.model(), people: this.person(), phases: this.phase(), size: this.size(), by: this.by(), group: this.group(), then: this.then(), sort: this.sort() }));
  protected readonly groups = computed(() => groupsOf(this.#asked()));
  readonly #query = computed(() => query(this.#asked(), Date.now()));
  protected readonly read = read('/api/v1/stats', () => ({ query: { ...this.#query(), limit: 1000 } }));
  readonly #trend = read('/api/v1/stats', () => ({ query: { ...this.#query(), group_by: [...new Set<Group>([...this.groups(), 'day'])], sort: ['-day'], limit: 1000 }, quiet: true }));
  protected readonly rows = computed(() => this.read.value()?.items ?? []);
  protected readonly seconds = computed<Option[]>(() => [{ value: '', label: 'nothing' }, ...this.firsts.filter((one) => one.value !== this.groups()[0])]);
  protected readonly times = computed(() => COLUMNS.filter((one) => ['waiting', 'job', 'total'].includes(one.id) && this.has(one.id)) as readonly { id: Times; label: string }[]);
  protected readonly filtered = computed(() => !!(this.who() || this.days() || this.size() || this.model().length + this.person().length + this.phase().length));
  protected readonly axis = computed(() => decades([...this.rows(), ...(this.read.value() ? [this.read.value()?.totals as Row] : [])].flatMap((row) => this.times().flatMap((one) => five(row, one.id) ?? []))));
  protected readonly width = computed(() => this.groups().length + 2 + (this.has('requests') ? 4 : 0) + (this.has('inputs') ? 3 : 0) + this.times().length * 3);
  protected readonly csv = computed(() => url('/api/v1/stats', { query: { ...this.#query(), format: 'csv' } }));
  /** Requests a day: of each group and of all, over the same days. */
  protected readonly trends = computed(() => {
    const items = this.#trend.value()?.items ?? [];
    const days = daysBetween(items.flatMap((row) => row.day ?? []));
    const place = new Map(days.map((one, at) => [one, at]));
    const of = new Map<string, number[]>();
    const all = Array<number>(days.length).fill(0);
    for (const row of items) {
      const at = place.get(row.day ?? '') ?? -1;
      if (at < 0) continue;
      const key = this.key(row);
      const values = of.get(key) ?? Array<number>(days.length).fill(0);
      values[at] = (values[at] ?? 0) + row.total;
      all[at] = (all[at] ?? 0) + row.total;
      of.set(key, values);
    }
    return { days, of, all };
  });

  protected has(column: string): boolean {
    return (this.cols() ? this.cols().split('.') : SHOWN).includes(column);
  }

  protected toggle(column: string): void {
    const now = COLUMNS.map((one) => one.id).filter((id) => (id === column ? !this.has(id) : this.has(id)));
    this.go({ cols: now.join('.') });
  }

  protected key(row: Row): string {
    return this.groups().map((group) => row[group] ?? '').join('|');
  }

  protected nameOf(group: Group, row: Row): string {
    const value = row[group];
    if (group === 'model') return this.#catalogue.title(value ?? '');
    if (group === 'user') return value ? (row.user_name ?? `account ${tail(value)}`) : 'anonymous sessions';
    if (group === 'session') return value ? `anonymous ${tail(value)}` : 'accounts';
    return value ?? '–';
  }

  protected trendOf(row: Row): readonly number[] {
    return this.trends().of.get(this.key(row)) ?? [];
  }

  protected few(row: Row): boolean {
    const measured = this.by() === 'failures' ? row.failed : this.by() === 'all' ? row.total - row.active : row.succeeded;
    return measured < FEW;
  }

  protected p50(times: Times) {
    return `${times}_seconds_p50` as const;
  }

  protected p95(times: Times) {
    return `${times}_seconds_p95` as const;
  }

  protected sortOn(column: string): boolean {
    return (this.sort() || '-total').replace(/^-/, '') === column;
  }

  protected sorted(column: string): 'ascending' | 'descending' | 'none' {
    if (!this.sortOn(column)) return 'none';
    return (this.sort() || '-total').startsWith('-') ? 'descending' : 'ascending';
  }

  protected order(column: string): void {
    this.go({ sort: (this.sort() || '-total') === `-${column}` ? column : `-${column}` });
  }

  /** The requests that a figure counts. */
  protected linkTo(row: Row, outcome?: string) {
    const phase = { succeeded: ['completed'], failed: ['failed'], cancelled: ['cancelled'], active: ['waiting', 'running'] }[outcome ?? ''];
    const person = row.user ? [`u:${row.user}`] : row.session ? [`s:${row.session}`] : this.person();
    return { who: row.auth_type ?? (this.who() || null), days: row.day ? `${row.day}..${row.day}` : this.days() || null, model: row.model ?? this.model(), person, phase: phase ?? this.phase() };
  }

  protected async copyCurl(): Promise<void> {
    await copied(`curl -s '${absolute(url('/api/v1/stats', { query: this.#query() }))}' -H "Authorization: Bearer $token"`, this.#toasts);
  }
}

/** All days from the first to the last of these, at most 60. */
function daysBetween(days: readonly string[]): string[] {
  const sorted = [...days].sort();
  const [first, last] = [Date.parse(sorted[0] ?? ''), Date.parse(sorted.at(-1) ?? '')];
  if (Number.isNaN(first) || Number.isNaN(last)) return [];
  const from = Math.max(first, last - 59 * 86_400_000);
  return Array.from({ length: Math.round((last - from) / 86_400_000) + 1 }, (_, at) => new Date(from + at * 86_400_000).toISOString().slice(0, 10));
}
