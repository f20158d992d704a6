import { Component, computed, inject, input } from '@angular/core';
import { RouterLink } from '@angular/router';

import { Api, type Schemas, url } from '../api/api';
import { Failure } from '../api/failure';
import { follow, read } from '../api/read';
import { Feed } from '../live/feed';
import { Catalogue } from '../model/catalogue';
import { Session } from '../session/session';
import { Choices, type Option } from '../ui/choice';
import { Clock } from '../ui/clock';
import { count, counted, duration, tail } from '../ui/format';
import { Icon } from '../ui/icon';
import { Phase } from '../ui/phase';
import { daysInWords, resolve } from '../ui/days';
import { DaysChoice } from '../ui/days-choice';
import { asList, asText, queryChanger } from '../ui/query';
import { Toasts } from '../ui/toasts';
import { Failed, Void } from '../ui/void';
import { When } from '../ui/when';

const PHASES: Option[] = ['waiting', 'running', 'completed', 'failed', 'cancelled'].map((value) => ({ value, label: value }));

@Component({
  selector: 'm-requests-page',
  imports: [Choices, DaysChoice, Failed, Icon, Phase, RouterLink, Void, When],
  template: `<header class="head big dup"><div class="ht"><h1>My requests</h1><p class="sub">{{ session.name() ? 'Yours, in all your sessions.' : 'Of this browser. Sign in to take them along; without an account nobody can see them but here.' }}</p></div>
      <div class="acts"><span class="live"><i [class.off]="!feed.live()"></i>{{ feed.live() ? 'Live' : 'Not live' }}</span>
        @if (items().length > 0) {<a class="btn" [href]="csv()" download="requests.csv"><m-icon name="download" />CSV</a>}
        <a class="btn pri" routerLink="/">New request</a></div></header>
    @if (items().length > 0 || filtered()) {
      <div class="bar">
        <label class="ctl inp"><m-icon name="search" /><input #search type="search" placeholder="Label or id" aria-label="Search your requests" [value]="q()" (change)="go({ q: search.value, after: null })" /></label>
        <m-choices label="State" all="any" [options]="phases" [value]="phase()" (valueChange)="go({ phase: $event, after: null })" />
        <m-choices label="Model" all="any" [options]="models()" [value]="model()" (valueChange)="go({ model: $event, after: null })" />
        <m-days-choice [value]="days()" (valueChange)="go({ days: $event, after: null })" />
        @if (filtered()) {<button type="button" class="btn txt" (click)="go({ phase: null, model: null, q: null, days: null, after: null })">Clear</button>}
        <span class="lbl end"><b class="strong tx">{{ active() }}</b> active on this page</span>
      </div>
    }
    @if (broken(); as failure) {<m-failed [failure]="failure" (again)="read.again()" />}
    @if (items().length > 0) {
      <div class="tw cards"><table class="t reqs"><thead><tr><th>Model</th><th>Inputs</th><th>State</th><th class="p3"><span class="vh">Note</span></th><th class="num">Done</th><th class="num p2">Time</th><th class="num">Submitted</th><th class="num p2">Deleted in</th><th><span class="vh">Actions</span></th></tr></thead>
        <tbody>
          @for (request of items(); track request.id) {
            <tr>
              <td class="ttl"><a class="tx strong" [routerLink]="['/requests', request.id]">{{ request.label || catalogue.title(request.model) }}</a>@if (request.label) {<span class="mut">&ngsp;{{ catalogue.title(request.model) }}</span>}&ngsp;<span class="mono id" [title]="request.id">{{ tail(request.id) }}</span></td>
              <td class="full mut">{{ counted(request.inputs, 'input') }}</td>
              <td class="sta"><m-phase [is]="request.phase" /></td>
              <td class="full whyc p3"><span class="mut">{{ note(request) }}</span>@if (request.failed > 0) {<span class="bad">{{ count(request.failed) }} without</span>}</td>
              <td class="num" data-l="Done"><span class="v">@if (request.phase === 'running') {<svg class="prog" viewBox="0 0 64 4" aria-hidden="true"><rect class="p0" width="64" height="4" /><rect class="p1" [attr.width]="(64 * request.done) / request.inputs" height="4" /></svg>}{{ count(request.done) }}@if (request.done < request.inputs) {<span class="mut"> of {{ count(request.inputs) }}</span>}</span></td>
              <td class="num p2" data-l="Time"><span class="v">{{ took(request) }}</span></td>
              <td class="num" data-l="Submitted"><span class="v"><m-when [at]="request.submitted_at" [relative]="false" /></span></td>
              <td class="num mut p2" [class.nil]="!request.expires_at" data-l="Deleted in"><span class="v">{{ left(request) }}</span></td>
              <td class="r act">@if (isOpen(request)) {<button type="button" class="btn txt" (click)="cancel(request)">Cancel</button>} @else if (request.phase === 'completed') {<a class="btn txt" [href]="'api/v1/requests/' + request.id + '/result?format=csv'" [download]="request.model + '-' + request.id.slice(-6) + '.csv'">CSV</a>}</td>
            </tr>
          }
        </tbody></table></div>
      <div class="under"><span>{{ counted(items().length, 'request') }} on this page</span><span class="end">
        @if (after()) {<button type="button" class="btn" (click)="go({ after: null })">Newest</button>}
        @if (read.value()?.next; as next) {<button type="button" class="btn" (click)="go({ after: next })">Older</button>}</span></div>
    } @else if (!read.value() && read.loading() && session.known()) {
      <div class="tw" aria-busy="true"><table class="t reqs"><tbody>@for (n of [1, 2, 3]; track n) {<tr><td><i class="sk a"></i></td><td><i class="sk b"></i></td><td><i class="sk c"></i></td><td class="num"><i class="sk d"></i></td></tr>}</tbody></table></div>
    } @else if (!read.value() && broken()) {
      <!-- Nobody knows whether there are any. -->
    } @else if (filtered()) {
      <div class="sheet"><m-void title="No request is like that">{{ inWords() }}<button step type="button" class="btn" (click)="go({ phase: null, model: null, q: null, days: null, after: null })">Show all</button></m-void></div>
    } @else {
      <div class="sheet"><m-void title="You have no requests yet">What you run appears here, with its state and its result, until it is cleared.<a step class="btn pri" routerLink="/">Paste molecules</a>@if (!session.name()) {<a step class="btn" routerLink="/sign-in">Sign in</a>}</m-void></div>
    }`,
})
export class RequestsPage {
  readonly phase = input([], { transform: asList });
  readonly model = input([], { transform: asList });
  readonly q = input('', { transform: asText });
  readonly days = input('', { transform: asText });
  readonly after = input('', { transform: asText });
  protected readonly session = inject(Session);
  protected readonly feed = inject(Feed);
  protected readonly catalogue = inject(Catalogue);
  protected readonly clock = inject(Clock);
  readonly #api = inject(Api);
  readonly #toasts = inject(Toasts);
  protected readonly go = queryChanger();
  protected readonly phases = PHASES;
  protected readonly count = count;
  protected readonly counted = counted;
  protected readonly tail = tail;
  readonly #query = computed(() => {
    const { from, to } = resolve(this.days(), Date.now());
    const [phase, model, search] = [[...this.phase()], [...this.model()], this.q()];
    return { ...(phase.length > 0 && { phase }), ...(model.length > 0 && { model }), ...(search && { search }), ...(from && { from }), ...(to && { to }) };
  });
  protected readonly inWords = computed(() => {
    const parts = [this.phase().join(' or '), this.model().length > 0 ? `of ${this.model().map((id) => this.catalogue.title(id)).join(' or ')}` : '', this.q() && `called “${this.q()}”`, this.days() && `of ${daysInWords(this.days())}`];
    return `None of yours is ${parts.filter(Boolean).join(', ') || 'there'}.`;
  });
  protected readonly read = read('/api/v1/requests', () => {
    if (!this.session.known()) return undefined;
    return { query: { ...this.#query(), ...(this.after() ? { after: this.after() } : {}) } };
  });
  /** Without a session there is nothing to read, which is no failure. */
  protected readonly broken = computed(() => {
    const failure = this.read.failure();
    return failure?.status === 401 ? undefined : failure;
  });
  protected readonly items = computed(() => this.read.value()?.items ?? []);
  protected readonly filtered = computed(() => !!(this.phase().length > 0 || this.model().length > 0 || this.q() || this.days() || this.after()));
  protected readonly active = computed(() => this.items().filter((one) => this.isOpen(one)).length);
  protected readonly models = computed<Option[]>(() => this.catalogue.models().map((one) => ({ value: one.id, label: one.title || one.id })));
  protected readonly csv = computed(() => url('/api/v1/requests', { query: { ...this.#query(), format: 'csv' } }));

  constructor() {
    follow(this.feed.requests, [this.read]);
  }

  protected isOpen(request: Schemas['Request']): boolean {
    return request.phase === 'waiting' || request.phase === 'running';
  }

  protected note(request: Schemas['Request']): string {
    if (request.phase === 'waiting') return request.waiting_reason ?? '';
    if (request.phase === 'failed' || request.phase === 'cancelled') return request.reason ?? '';
    return '';
  }

  protected took(request: Schemas['Request']): string {
    const end = request.ended_at ? Date.parse(request.ended_at) : this.clock.now();
    return duration((end - Date.parse(request.submitted_at)) / 1000);
  }

  protected left(request: Schemas['Request']): string {
    return request.expires_at ? duration((Date.parse(request.expires_at) - this.clock.now()) / 1000) : '–';
  }

  protected async cancel(request: Schemas['Request']): Promise<void> {
    try {
      await this.#api.post('/api/v1/requests/{id}/cancel', { path: { id: request.id } });
      this.read.again();
    } catch (error) {
      this.#toasts.say(Failure.of(error).detail);
    }
  }
}
