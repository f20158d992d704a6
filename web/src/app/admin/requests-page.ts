import { Component, computed, effect, inject, input, signal, untracked } from '@angular/core';
import { RouterLink } from '@angular/router';

import { Api, type Schemas, url } from '../api/api';
import { Failure } from '../api/failure';
import { alike, read, readBy } from '../api/read';
import { Feed } from '../live/feed';
import { LiveMark } from '../live/live-mark';
import { Catalogue } from '../model/catalogue';
import { Choices, type Option } from '../ui/choice';
import { Clock } from '../ui/clock';
import { resolve } from '../ui/days';
import { DaysChoice } from '../ui/days-choice';
import { Dialog } from '../ui/dialog';
import { count, counted, figure, tail } from '../ui/format';
import { Icon } from '../ui/icon';
import { Pager } from '../ui/pager';
import { Phase } from '../ui/phase';
import { asList, asText, queryChanger } from '../ui/query';
import { Seg } from '../ui/seg';
import { Toasts } from '../ui/toasts';
import { Failed, Void } from '../ui/void';
import { When } from '../ui/when';
import { act, type Act, DONE } from './acts';
import { CancelDialog } from './cancel-dialog';
import { Filters } from './people';
import { RequestDrawer } from './request-drawer';
import { sessionsOf, usersOf, WHO } from './who';

type Overseen = Schemas['AdminRequest'];

const PAGE = 50;
const OPEN = ['waiting', 'running'];
/** A page that was cut goes on by itself so often. */
const MOST_CUTS = 50;
const PHASES: Option[] = ['waiting', 'running', 'completed', 'failed', 'cancelled'].map((value) => ({ value, label: value }));

@Component({
  selector: 'm-admin-requests-page',
  imports: [CancelDialog, Choices, DaysChoice, Dialog, Failed, Icon, LiveMark, Pager, Phase, RequestDrawer, RouterLink, Seg, Void, When],
  template: `<div [class.split]="opened()"><div>
    <header class="head dup"><div class="ht"><h1>Requests</h1><p class="sub">Everybody’s. Inputs, results and file names are not shown here to anyone.</p></div>
      <div class="acts"><m-live /><a class="btn" [href]="csv()" download="requests.csv"><m-icon name="download" />CSV</a></div></header>
    <div class="bar">
      <m-seg label="Who" [options]="who_" [value]="who()" (valueChange)="filter({ who: $event })" />
      <m-choices label="Person or session" [options]="filters.people()" [value]="person()" (valueChange)="filter({ person: $event })" />
      <m-choices label="Model" [options]="filters.models()" [value]="model()" (valueChange)="filter({ model: $event })" />
      <m-days-choice [value]="days()" (valueChange)="filter({ days: $event })" />
      <m-choices label="State" all="any" [options]="phases" [value]="phase()" (valueChange)="filter({ phase: $event })" />
      <form class="ctl inp" (submit)="$event.preventDefault(); go({ open: sought.value.trim() })"><m-icon name="search" /><input #sought type="search" placeholder="Request id" aria-label="Open the request with this id" [value]="opened()" /></form>
      @if (filtered()) {<button type="button" class="btn txt" (click)="filter({ who: null, person: null, model: null, days: null, phase: null })">Clear</button>}
    </div>
    <div class="bar noteb">
      @if (fresh() > 0) {<button type="button" class="chip plain new" (click)="showNew()"><m-icon name="up" />{{ fresh() === 50 ? '50 or more' : fresh() }} new</button>}
      @if (older(); as n) {<span class="lbl">{{ n === 50 ? '50 or more' : n }} older {{ n === 1 ? 'one has' : 'ones have' }} not ended. <button type="button" class="link" (click)="filter({ days: null, phase: open })">Show them</button></span>}
      <span class="lbl end"><b class="strong tx">{{ active() }}</b> active on this page</span>
    </div>
    @if (read.failure(); as failure) {<m-failed [failure]="failure" (again)="read.again()" />}
    @if (rows().length > 0) {
      <div class="tw cards"><table class="t compact"><thead><tr><th><input type="checkbox" class="cb" aria-label="Select all" [checked]="allSelected()" (change)="selectAll()" /></th><th class="num" aria-sort="descending"><m-icon name="sort" kind="sort" />Submitted</th><th>Model</th><th>State</th><th>Person</th><th class="num">Inputs</th><th class="num p3">Done</th><th class="num p2">Errors</th><th>Result</th><th class="num p3">Wait, s</th><th class="num p2">Total, s</th><th class="num p3">Tries</th><th class="p2">Why</th></tr></thead>
        <tbody>
          @for (row of rows(); track $index) {
            <tr [class.on]="selected().has(row.id) || opened() === row.id">
              <td class="cbx"><input type="checkbox" class="cb" [attr.aria-label]="'Select ' + row.id" [checked]="selected().has(row.id)" (change)="select(row.id)" /></td>
              <td class="num" data-l="Submitted"><span class="v"><m-when [at]="row.submitted_at" [relative]="false" /></span></td>
              <td class="ttl"><a class="tx" [routerLink]="[]" [queryParams]="{ open: row.id }" queryParamsHandling="merge">{{ catalogue.title(row.model) }}</a></td>
              <td class="sta"><m-phase [is]="row.phase" /></td>
              <td class="per" data-l="Person"><span class="v">@if (row.user_name) {{{ row.user_name }}} @else if (row.user) {<span class="mut">account</span>&ngsp;<span class="mono id" [title]="row.user">{{ tail(row.user) }}</span>} @else {<span class="mut">anonymous</span>&ngsp;<span class="mono id" [title]="row.session">{{ tail(row.session ?? '') }}</span>}</span></td>
              <td class="num" data-l="Inputs"><span class="v">{{ count(row.inputs) }}</span></td>
              <td class="num p3" [class.nil]="row.done === 0" data-l="Done"><span class="v" [class.z]="row.done === 0">{{ count(row.done) }}</span></td>
              <td class="num p2" [class.nil]="row.failed === 0" data-l="Errors"><span class="v" [class.z]="row.failed === 0" [class.bad]="row.failed > 0">{{ count(row.failed) }}</span></td>
              <td [class.nil]="row.result_status === 'none'" data-l="Result"><span class="v" [class.z]="row.result_status === 'none'" [class.bad]="row.result_status === 'errors'">{{ row.result_status === 'none' ? '–' : row.result_status }}</span></td>
              <td class="num p3" data-l="Wait, s"><span class="v" [class.z]="!row.started_at">{{ figure(seconds(row.submitted_at, row.started_at)) }}</span></td>
              <td class="num p2" data-l="Total, s"><span class="v" [class.z]="!row.ended_at">{{ figure(seconds(row.submitted_at, row.ended_at)) }}</span></td>
              <td class="num z0 p3" data-l="Tries"><span class="v" [class.z]="row.attempts === 0">{{ row.attempts }}</span></td>
              <td class="full p2"><span class="mut cutw">@if (row.error_class) {<span class="mono">{{ row.error_class }}</span>} @else {{{ row.waiting_reason }}}</span></td>
            </tr>
          }
        </tbody></table></div>
      <div class="under"><span>{{ counted(rows().length, 'request') }} on this page</span><m-pager [after]="after()" [next]="read.value()?.next" /></div>
    } @else if (read.value()) {
      <div class="sheet">@if (filtered() || after()) {<m-void title="No request is like that">The filters leave none.<button step type="button" class="btn" (click)="filter({ who: null, person: null, model: null, days: null, phase: null })">Clear the filters</button></m-void>} @else {<m-void title="Nobody asked for anything yet">What people run appears here.<a step class="btn" routerLink="/">Models</a></m-void>}</div>
    } @else if (read.loading()) {
      <div class="tw" aria-busy="true"><table class="t compact"><tbody>@for (n of [1, 2, 3, 4, 5]; track n) {<tr><td><i class="sk d"></i></td><td><i class="sk a"></i></td><td><i class="sk b"></i></td><td class="num"><i class="sk d"></i></td></tr>}</tbody></table></div>
    }
    @if (selected().size > 0) {
      <div class="selbar" role="region" aria-label="Selected requests"><b>{{ selected().size }} selected</b><button type="button" (click)="act('requeue')">Try again</button><button type="button" (click)="act('front')">To the front</button><button type="button" (click)="asking.set(true)">Cancel…</button><i class="sepv"></i><button type="button" (click)="selected.set(none)">Clear</button></div>
    }
    </div>@if (opened(); as id) {<m-request-drawer [id]="id" (closed)="go({ open: null })" (acted)="read.again()" />}
    </div>
    @if (asking()) {<m-cancel-dialog [number]="selected().size" (closed)="asking.set(false)" (cancelled)="asking.set(false); act('cancel', $event)" />}
    @if (failures().length > 0) {
      <m-dialog label="What did not work" [wide]="true" (closed)="failures.set([])"><h2>{{ counted(failures().length, 'request') }} could not be changed</h2><p class="lead">They stay selected.</p><dl class="kv mt3">@for (one of failures(); track one.id) {<dt class="mono">{{ tail(one.id) }}</dt><dd>{{ one.why }}</dd>}</dl></m-dialog>
    }`,
})
export class AdminRequestsPage {
  readonly who = input('', { transform: asText });
  readonly person = input([], { transform: asList });
  readonly model = input([], { transform: asList });
  readonly phase = input([], { transform: asList });
  readonly days = input('', { transform: asText });
  readonly after = input('', { transform: asText });
  readonly opened = input('', { transform: asText, alias: 'open' });
  protected readonly filters = inject(Filters);
  protected readonly catalogue = inject(Catalogue);
  protected readonly feed = inject(Feed);
  readonly #api = inject(Api);
  readonly #clock = inject(Clock);
  readonly #toasts = inject(Toasts);
  protected readonly go = queryChanger();
  protected readonly who_ = WHO;
  protected readonly phases = PHASES;
  protected readonly open = OPEN;
  protected readonly count = count;
  protected readonly counted = counted;
  protected readonly figure = figure;
  protected readonly tail = tail;
  protected readonly none: ReadonlySet<string> = new Set();
  protected readonly selected = signal(this.none);
  protected readonly asking = signal(false);
  protected readonly failures = signal<readonly { id: string; why: string }[]>([]);

  readonly #filter = computed(() => ({
    ...(this.who() === 'account' || this.who() === 'anonymous' ? { auth_type: this.who() } : {}),
    user: usersOf(this.person()),
    session: sessionsOf(this.person()),
    model: [...this.model()],
    phase: [...this.phase()],
    ...resolve(this.days(), untracked(this.#clock.now)),
  }), { equal: alike });
  protected readonly read = readBy((signal, quiet) => {
    const filter = this.#filter();
    const start = this.after();
    return async () => {
      let after = start;
      for (let cuts = 0; ; cuts++) {
        const page = await this.#api.get('/api/v1/admin/requests', { query: { ...filter, limit: PAGE, ...(after ? { after } : {}) }, signal, quiet });
        if (page.items.length > 0 || !page.cut || !page.next || cuts === MOST_CUTS) return page;
        after = page.next;
      }
    };
  });
  /** The newest, to say how many came since the table was read. */
  readonly #newest = read('/api/v1/admin/requests', () => (this.feed.everybodys() > untracked(this.read.asked) && !this.after() ? { query: { ...this.#filter(), limit: PAGE }, quiet: true } : undefined));
  /** Older ones that still wait or run, whatever days are asked for. */
  readonly #older = read('/api/v1/admin/requests', () => {
    const { from } = resolve(this.days(), untracked(this.#clock.now));
    if (!from || this.phase().length > 0) return undefined;
    const before = new Date(Date.parse(from) - 86_400_000).toISOString().slice(0, 10);
    return { query: { ...this.#filter(), from: undefined, to: before, phase: OPEN, limit: PAGE }, quiet: true };
  });
  protected readonly rows = computed<readonly Overseen[]>(() => {
    const read = this.read.value()?.items ?? [];
    // What is on the page stays where it is; how it stands is as new as can be.
    const newest = this.#newest.at() > this.read.at() ? (this.#newest.value()?.items ?? []) : [];
    const newer = new Map(newest.map((one) => [one.id, one]));
    return read.map((one) => newer.get(one.id) ?? one);
  });
  protected readonly fresh = computed(() => {
    const known = new Set((this.read.value()?.items ?? []).map((one) => one.id));
    const first = this.read.value()?.items[0]?.id ?? '';
    return this.after() ? 0 : (this.#newest.value()?.items ?? []).filter((one) => !known.has(one.id) && one.id > first).length;
  });
  protected readonly older = computed(() => this.#older.value()?.items.length ?? 0);
  protected readonly active = computed(() => this.rows().filter((one) => OPEN.includes(one.phase)).length);
  protected readonly filtered = computed(() => !!(this.who() || this.days() || this.person().length + this.model().length + this.phase().length));
  protected readonly allSelected = computed(() => this.rows().length > 0 && this.rows().every((one) => this.selected().has(one.id)));
  protected readonly csv = computed(() => url('/api/v1/admin/requests', { query: { ...this.#filter(), format: 'csv' } }));

  constructor() {
    effect(() => {
      this.#filter();
      untracked(() => this.selected.set(this.none));
    });
  }

  /** A filter that changes starts at the newest. */
  protected filter(change: { [name: string]: string | readonly string[] | null }): void {
    this.go({ ...change, after: null });
  }

  protected showNew(): void {
    this.read.again();
  }

  protected seconds(from: string, to: string | null | undefined): number | null {
    return to ? (Date.parse(to) - Date.parse(from)) / 1000 : null;
  }

  protected select(id: string): void {
    this.selected.update((all) => {
      const now = new Set(all);
      if (!now.delete(id)) now.add(id);
      return now;
    });
  }

  protected selectAll(): void {
    this.selected.set(this.allSelected() ? this.none : new Set(this.rows().map((one) => one.id)));
  }

  /** One after the other; what fails is named and stays selected. */
  protected async act(action: Act, reason = ''): Promise<void> {
    const failed: { id: string; why: string }[] = [];
    let done = 0;
    for (const id of this.selected()) {
      try {
        await act(this.#api, action, id, reason);
        done++;
      } catch (error) {
        failed.push({ id, why: Failure.of(error).detail });
      }
    }
    if (done > 0) this.#toasts.say(`${counted(done, 'request')} ${done === 1 ? 'is' : 'are'} ${DONE[action]}.`);
    this.failures.set(failed);
    this.selected.set(new Set(failed.map((one) => one.id)));
    this.read.again();
  }
}
