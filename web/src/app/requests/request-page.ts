import { Component, DestroyRef, computed, effect, inject, input, signal, untracked } from '@angular/core';
import { Router, RouterLink } from '@angular/router';

import { Api, type Schemas } from '../api/api';
import { Failure } from '../api/failure';
import { follow, read } from '../api/read';
import { Feed } from '../live/feed';
import { Catalogue } from '../model/catalogue';
import { takesAlike } from '../model/words';
import { Clock } from '../ui/clock';
import { count, counted, duration, exact, moment, tail } from '../ui/format';
import { Icon } from '../ui/icon';
import { Phase } from '../ui/phase';
import { Pop } from '../ui/pop';
import { Toasts } from '../ui/toasts';
import { Failed, Void } from '../ui/void';
import { Downloads } from './downloads';
import { LabelDialog } from './label-dialog';
import { Progressing } from './progressing';
import { Result } from './result';
import { ResultTable } from './result-table';

const UNDO = 5_000;
@Component({
  selector: 'm-request-page',
  imports: [Downloads, Failed, Icon, LabelDialog, Phase, Pop, Progressing, ResultTable, RouterLink, Void],
  template: `@if (read.value(); as request) {
      <header class="head big"><div class="ht">
        <div class="crumbs"><a routerLink="/requests">My requests</a> <span class="sl">/</span>&ngsp;<span class="mono id" [title]="request.id">{{ tail(request.id) }}</span></div>
        <h1>{{ request.label || title() }}<m-phase [is]="request.phase" [said]="leaving() ? 'cancelling' : undefined" /></h1>
        <p class="sub"><a [routerLink]="['/models', request.model]">{{ catalogue.title(request.model) }}</a> {{ version() }}, <b>{{ counted(request.inputs, 'input') }}</b>{{ outcome() }}</p>
      </div>
      <div class="acts">
        @if (open()) {
          <span class="live"><i [class.off]="!feed.live()"></i>{{ feed.live() ? 'Live' : 'Reconnecting' }}</span>
          <button type="button" class="btn danger" [disabled]="leaving()" (click)="cancel()"><m-icon name="s-cancelled" />Cancel</button>
        } @else {
          <button type="button" #more class="btn" aria-haspopup="dialog" [attr.aria-expanded]="models.open()" (click)="models.toggle(more)"><m-icon name="again" />Run again<m-icon name="down" /></button>
          <div mPop #models="mPop" role="group" aria-label="Run again">
            @for (one of takers(); track one.id) {<button type="button" class="mi" (click)="models.close(); runAgain(one.id)">{{ one.id === request.model ? 'With the same model' : one.title || one.id }}<span>{{ one.state }}</span></button>}
          </div>
          @if (request.phase === 'completed') {<a class="btn" [routerLink]="['/requests', request.id, 'compare']"><m-icon name="compare" />Compare</a>}
          @if (request.phase === 'completed') {<m-downloads [request]="request" [model]="model.value()" [result]="result" />}
          <button type="button" class="btn icon" aria-label="Label" title="Label" (click)="naming.set(true)"><m-icon name="draw" /></button>
          <button type="button" class="btn icon" aria-label="Delete" title="Delete" (click)="remove()"><m-icon name="x" /></button>
        }
      </div></header>
      @if (naming()) {<m-label-dialog [request]="request" (changed)="read.set($event)" (closed)="naming.set(false)" />}
      @if (read.failure(); as failure) {<m-failed [failure]="failure" (again)="read.again()" />}
      @if (open()) {
        <m-progressing [request]="request" [model]="model.value()" />
      } @else {
        <div class="tl">
          <div class="e"><b>Submitted</b><span [title]="exact(request.submitted_at)">{{ moment(request.submitted_at, clock.now()) }}</span></div>
          <div class="seg1 w">waiting {{ waited() }}</div>
          @if (request.started_at; as at) {<div class="e"><b>Started</b><span [title]="exact(at)">{{ moment(at, clock.now()) }}</span></div><div class="seg1 r">running {{ ran() }}</div>}
          @if (request.ended_at; as at) {<div class="e"><b>{{ ended() }}</b><span [title]="exact(at)">{{ moment(at, clock.now()) }}</span></div>}
        </div>
        @if (request.phase !== 'completed') {
          <div class="note mb5" [class.f]="request.phase === 'failed'"><m-icon name="info" /><span><b class="strong">{{ request.phase === 'failed' ? 'It failed.' : 'It was cancelled.' }}</b> {{ reason() }}@if (request.phase === 'failed') { Only the inputs of today were counted. Run it again, or with another model.}</span></div>
        }
        <m-result-table [hidden]="request.phase !== 'completed'" [result]="result" [request]="request" [model]="model.value()" />
      }
      @if (request.phase !== 'completed') {
        <div class="h2r"><h2>What was read</h2></div>
        <div class="sheet pad"><dl class="kv">
          <dt>Input column</dt><dd>{{ request.reading.column ?? (request.reading.header === 'not_a_file' ? 'a list of inputs' : 'each line is an input') }}{{ request.reading.header === 'used' ? ', the first line is the header' : '' }}</dd>
          <dt>Rows</dt><dd>{{ count(request.reading.rows) }}{{ request.reading.blank_lines_skipped > 0 ? ', ' + counted(request.reading.blank_lines_skipped, 'blank line') + ' skipped' : '' }}</dd>
          @if (others(); as names) {<dt>Other columns</dt><dd>{{ names }}: they come back beside the predictions</dd>}
        </dl></div>
      }
    } @else if (read.failure(); as failure) {
      @if (failure.kind === 'not-found' || failure.status === 401 || failure.status === 400) {
        <div class="sheet"><m-void title="There is no such request">It was deleted or cleared, or it belongs to somebody else.<a step class="btn pri" routerLink="/requests">My requests</a></m-void></div>
      } @else {<m-failed [failure]="failure" (again)="read.again()" />}
    } @else {
      <header class="head big"><div class="ht"><h1><i class="sk a"></i></h1><p class="sub"><i class="sk c"></i></p></div></header>
    }`,
})
export class RequestPage {
  readonly id = input.required<string>();
  protected readonly feed = inject(Feed);
  protected readonly clock = inject(Clock);
  protected readonly catalogue = inject(Catalogue);
  readonly #api = inject(Api);
  readonly #toasts = inject(Toasts);
  readonly #router = inject(Router);
  protected readonly count = count;
  protected readonly counted = counted;
  protected readonly tail = tail;
  protected readonly moment = moment;
  protected readonly exact = exact;
  protected readonly result = new Result();
  protected readonly read = read('/api/v1/requests/{id}', () => ({ path: { id: this.id() } }));
  readonly #of = computed(() => this.read.value()?.model);
  protected readonly model = read('/api/v1/models/{id}', () => {
    const id = this.#of();
    return id ? { path: { id }, quiet: true } : undefined;
  });
  protected readonly leaving = signal(false);
  protected readonly naming = signal(false);
  #undo: ReturnType<typeof setTimeout> | undefined;

  protected readonly open = computed(() => ['waiting', 'running'].includes(this.read.value()?.phase ?? ''));
  /** The same model, then all that take such inputs. */
  protected readonly takers = computed(() => {
    const own = this.read.value()?.model;
    const all = this.catalogue.models();
    const kind = all.find((one) => one.id === own);
    const alike = all.filter((one) => one.id !== own && kind && takesAlike(one, kind));
    return kind ? [kind, ...alike] : [];
  });
  protected readonly version = computed(() => this.read.value()?.model_version.split('+')[0] ?? '');
  protected readonly title = computed(() => {
    const request = this.read.value();
    return request ? `${this.catalogue.title(request.model)}, ${counted(request.inputs, 'input')}` : '';
  });
  protected readonly ended = computed(() => {
    const phase = this.read.value()?.phase ?? '';
    return phase.charAt(0).toUpperCase() + phase.slice(1);
  });
  protected readonly outcome = computed(() => {
    const request = this.read.value();
    if (!request) return '';
    const { done, failed, cached, expires_at } = request;
    const known = cached > 0 ? `, ${count(cached)} of them known before` : '';
    const predictions = request.phase === 'completed' ? `, ${counted(done - failed, 'prediction')}${known}` : '';
    const left = expires_at ? `. Deleted in ${duration((Date.parse(expires_at) - this.clock.now()) / 1000)}.` : '';
    return `${predictions}${left}`;
  });
  /** A sentence, as the others are. */
  protected readonly reason = computed(() => (this.read.value()?.reason ?? '').replace(/[^.!?]$/, '$&.'));
  protected readonly others = computed(() => {
    const reading = this.read.value()?.reading;
    return reading?.columns?.filter((name) => name !== reading.column).join(', ') ?? '';
  });
  protected readonly waited = computed(() => between(this.read.value()?.submitted_at, this.read.value()?.started_at ?? this.read.value()?.ended_at));
  protected readonly ran = computed(() => between(this.read.value()?.started_at, this.read.value()?.ended_at));

  constructor() {
    let opened = '';
    effect(() => {
      const request = this.read.value();
      if (request?.phase !== 'completed' || opened === request.id) return;
      opened = request.id;
      untracked(() => this.result.open(`api/v1/requests/${request.id}/result?format=ndjson`));
    });
    effect(() => {
      const news = this.feed.request();
      const known = untracked(this.read.value);
      if (!news || news.id !== untracked(this.id) || !known) return;
      // What the news say is shown; what they do not say is read when it ended.
      untracked(() => this.read.set({ ...known, done: news.done, failed: news.failed }));
      if (news.phase !== known.phase) this.read.again();
    });
    follow(this.feed.requests, [this.read], this.open);
    follow(this.feed.models, [this.read, this.model], this.open);
    const leave = () => {
      if (this.leaving()) void this.#cancelNow();
    };
    addEventListener('pagehide', leave);
    inject(DestroyRef).onDestroy(() => {
      removeEventListener('pagehide', leave);
      leave();
    });
  }

  /** Five seconds to think again. Whoever leaves the page meant it. */
  protected cancel(): void {
    this.leaving.set(true);
    this.#undo = setTimeout(() => void this.#cancelNow(), UNDO);
    this.#toasts.say('It is cancelled in 5 s.', {
      label: 'Undo',
      run: () => {
        clearTimeout(this.#undo);
        this.leaving.set(false);
      },
    });
  }

  async #cancelNow(): Promise<void> {
    clearTimeout(this.#undo);
    const id = this.id();
    this.leaving.set(false);
    try {
      this.read.set((await this.#api.post('/api/v1/requests/{id}/cancel', { path: { id }, keepalive: true })) as Schemas['Request']);
    } catch (error) {
      this.#toasts.say(Failure.of(error).detail);
    }
  }

  /** The inputs are the hub's: those of a failed request as well. */
  protected async runAgain(model: string): Promise<void> {
    const { label } = this.read.value() ?? {};
    try {
      const next = await this.#api.post('/api/v1/requests', { body: { model, inputs_of: this.id(), label: label ?? null }, headers: { 'idempotency-key': crypto.randomUUID() } });
      await this.#router.navigate(['/requests', next.id]);
    } catch (error) {
      this.#toasts.say(Failure.of(error).detail);
    }
  }

  protected async remove(): Promise<void> {
    try {
      await this.#api.call('delete', '/api/v1/requests/{id}', { path: { id: this.id() } });
      this.#toasts.say('It is deleted, with its inputs and its result.');
      await this.#router.navigateByUrl('/requests');
    } catch (error) {
      this.#toasts.say(Failure.of(error).detail);
    }
  }
}

function between(from: string | null | undefined, to: string | null | undefined): string {
  return from && to ? duration((Date.parse(to) - Date.parse(from)) / 1000) : '–';
}
