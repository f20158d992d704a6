import { Component, computed, inject, input, untracked } from '@angular/core';
import { RouterLink } from '@angular/router';

import { follow, read } from '../api/read';
import { Feed } from '../live/feed';
import { LiveMark } from '../live/live-mark';
import { Catalogue } from '../model/catalogue';
import { Choices, type Option } from '../ui/choice';
import { Clock } from '../ui/clock';
import { resolve } from '../ui/days';
import { DaysChoice } from '../ui/days-choice';
import { counted, tail } from '../ui/format';
import { Pager } from '../ui/pager';
import { Phase } from '../ui/phase';
import { asList, asText, queryChanger } from '../ui/query';
import { Failed, Void } from '../ui/void';
import { When } from '../ui/when';
import { InstanceDrawer } from './instance-drawer';
import { markOf, percent, podSays, statusOf } from './instance-words';
import { Meter } from './meter';
import { Filters } from './people';

/** The hub's words, and those that `kubectl get pods` prints of pods that are not over. */
const STATES: Option[] = ['preparing', 'starting', 'ready', 'draining', 'Pending', 'SchedulingGated', 'ContainerCreating', 'ErrImagePull', 'ImagePullBackOff', 'Running', 'Terminating', 'Unknown'].map((value) => ({ value, label: value }));

/** What runs now. */
@Component({
  selector: 'm-instances-page',
  imports: [Choices, DaysChoice, Failed, InstanceDrawer, LiveMark, Meter, Pager, Phase, RouterLink, Void, When],
  template: `<div [class.split]="opened()"><div>
    <header class="head dup"><div class="ht"><h1>Instances</h1></div><div class="acts"><m-live /></div></header>
    <div class="bar">
      <m-choices label="Model" [options]="filters.models()" [value]="model()" (valueChange)="go({ model: $event, after: null })" />
      <m-choices label="Status" all="any" [options]="states" [value]="status()" (valueChange)="go({ status: $event, after: null })" />
      <m-days-choice label="Started" [value]="days()" (valueChange)="go({ days: $event, after: null })" />
      @if (filtered()) {<button type="button" class="btn txt" (click)="go({ model: null, status: null, days: null, after: null })">Clear</button>}
      <a class="btn txt" routerLink="/admin/history">Those that ended</a>
    </div>
    @if (read.failure(); as failure) {<m-failed [failure]="failure" (again)="read.again()" />}
    @if (rows().length > 0) {
      <div class="tw cards"><table class="t compact"><thead><tr><th>Model</th><th>Status</th><th class="num">Started</th><th class="p2">Node</th><th class="num">CPU</th><th class="num">Memory</th><th class="num p3">Idle</th><th class="num p3">Jobs</th><th>Works on</th></tr></thead><tbody>
        @for (row of rows(); track row.id) {
          <tr [class.on]="opened() === row.id">
            <td class="ttl"><a class="tx" [routerLink]="[]" [queryParams]="{ open: row.id }" queryParamsHandling="merge">{{ catalogue.title(row.model) }}</a>&ngsp;<span class="mono id" [title]="row.id">{{ tail(row.id) }}</span>@if (podSays(row); as says) {<p class="says">{{ says }}</p>}</td>
            <td class="sta"><m-phase [is]="markOf(row)" [said]="statusOf(row)" /></td>
            <td class="num" data-l="Started"><span class="v"><m-when [at]="row.launched_at" [relative]="false" /></span></td>
            <td class="p2" data-l="Node"><span class="v">@if (row.node; as node) {<a class="tx" routerLink="/admin/nodes" [queryParams]="{ open: node }">{{ node }}</a>} @else {<span class="z">–</span>}</span></td>
            <td class="r" data-l="CPU"><span class="v"><m-meter [now]="row.resources?.cpu?.now" [peak]="row.resources?.cpu?.peak" kind="cores" /></span></td>
            <td class="r" data-l="Memory"><span class="v"><m-meter [now]="row.resources?.memory?.now" [peak]="row.resources?.memory?.peak" kind="bytes" /></span></td>
            <td class="num p3" data-l="Idle"><span class="v">{{ percent(row.idle_share) }}</span></td>
            <td class="num p3" data-l="Jobs"><span class="v" [class.z]="row.jobs === 0">{{ row.jobs }}</span></td>
            <td data-l="Works on"><span class="v">@if (row.requests[0]; as first) {<a class="mono" routerLink="/admin/requests" [queryParams]="{ open: first }">{{ tail(first) }}</a>@if (row.requests.length > 1) { +{{ row.requests.length - 1 }}}} @else {<span class="z">–</span>}</span></td>
          </tr>
        }
      </tbody></table></div>
      <div class="under"><span>{{ counted(rows().length, 'instance') }}</span><m-pager [after]="after()" [next]="read.value()?.next" first="From the start" more="More" /></div>
    } @else if (read.value()) {
      <div class="sheet">@if (filtered()) {<m-void title="No instance is like that">The filters leave none of those that run.<button step type="button" class="btn" (click)="go({ model: null, status: null, days: null, after: null })">Clear the filters</button></m-void>} @else {<m-void title="Nothing runs">An instance of a model starts when somebody needs it, and goes when it is idle.<a step class="btn" routerLink="/admin/history">What ran before</a></m-void>}</div>
    } @else if (read.loading()) {
      <div class="tw" aria-busy="true"><table class="t compact"><tbody>@for (n of [1, 2, 3]; track n) {<tr><td><i class="sk a"></i></td><td><i class="sk b"></i></td><td class="num"><i class="sk d"></i></td></tr>}</tbody></table></div>
    }
    </div>
    @if (opened(); as id) {<m-instance-drawer [id]="id" (closed)="go({ open: null })" />}
  </div>`,
})
export class InstancesPage {
  readonly model = input([], { transform: asList });
  readonly status = input([], { transform: asList });
  readonly days = input('', { transform: asText });
  readonly after = input('', { transform: asText });
  readonly opened = input('', { transform: asText, alias: 'open' });
  protected readonly filters = inject(Filters);
  protected readonly catalogue = inject(Catalogue);
  readonly #clock = inject(Clock);
  protected readonly go = queryChanger();
  protected readonly states = STATES;
  protected readonly counted = counted;
  protected readonly tail = tail;
  protected readonly markOf = markOf;
  protected readonly statusOf = statusOf;
  protected readonly percent = percent;
  protected readonly podSays = podSays;
  protected readonly read = read('/api/v1/instances', () => ({ query: { ended: false, model: [...this.model()], status: [...this.status()], ...launched(this.days(), untracked(this.#clock.now)), limit: 200, ...(this.after() ? { after: this.after() } : {}) } }));
  protected readonly rows = computed(() => this.read.value()?.items ?? []);
  protected readonly filtered = computed(() => !!(this.days() || this.model().length + this.status().length));

  constructor() {
    follow(inject(Feed).instances, [this.read]);
  }
}

/** Days of the address as the times that instances were launched between. */
export function launched(text: string, now: number): { from?: string; to?: string } {
  const { from, to } = resolve(text, now);
  return { ...(from ? { from: `${from}T00:00:00Z` } : {}), ...(to ? { to: `${to}T23:59:59.999999Z` } : {}) };
}
