import { Component, computed, effect, inject, input, output, signal, untracked } from '@angular/core';
import { RouterLink } from '@angular/router';

import { Api, type Schemas } from '../api/api';
import { Failure } from '../api/failure';
import { follow, read, readBy } from '../api/read';
import { Feed } from '../live/feed';
import { Catalogue } from '../model/catalogue';
import { Drawer } from '../ui/drawer';
import { count, duration, exact, tail } from '../ui/format';
import { Phase } from '../ui/phase';
import { Toasts } from '../ui/toasts';
import { Failed } from '../ui/void';
import { When } from '../ui/when';
import { act, type Act, DONE } from './acts';
import { CancelDialog } from './cancel-dialog';

type Overseen = Schemas['AdminRequest'];

const DOTS: { [phase: string]: string } = { waiting: 'w', running: 'w', completed: 'c' };
/** Tries of a chain that are shown to either side. */
const MOST = 10;

/** Somebody's request beside the table: when it was in which phase, where it ran, what can be done. Never what is in it. */
@Component({
  selector: 'm-request-drawer',
  imports: [CancelDialog, Drawer, Failed, Phase, RouterLink, When],
  template: `<m-drawer [title]="catalogue.title(read.value()?.model ?? '')" [id]="id()" (closed)="closed.emit()">
    @if (read.failure(); as failure) {@if (failure.status === 404 || failure.status === 400) {<p class="mt3 mut">There is no such request. It may have been cleared.</p>} @else {<m-failed [failure]="failure" (again)="read.again()" />}}
    @if (read.value(); as request) {
      <div class="bar mt3"><m-phase [is]="request.phase" /><span class="mut">{{ count(request.done) }} of {{ count(request.inputs) }}</span>
        <div class="end">@if (isOpen()) {@if (request.phase === 'waiting') {<button type="button" class="btn" [disabled]="busy()" (click)="act('front')">To the front</button>}<button type="button" class="btn danger" (click)="asking.set(true)">Cancel…</button>} @else if (request.phase === 'failed' && !request.requeued_as) {<button type="button" class="btn" [disabled]="busy()" (click)="act('requeue')">Try again</button>}</div></div>
      @if (failure(); as failure) {<p class="bad" role="alert">{{ failure.detail }}</p>}
      <div class="sec"><h3>Timeline</h3><div class="ph">
        @for (one of timeline(); track one.phase) {<span [class.ln1]="!$last" [class.p0]="$last"><span class="dot {{ one.dot }}"></span></span><span>{{ one.phase }}</span><span class="m">{{ one.lasted }}</span><span class="m" [title]="exact(one.at)"><m-when [at]="one.at" [relative]="false" /></span>}
      </div></div>
      <div class="sec"><h3>Facts</h3><dl class="kv">
        <dt>Person</dt><dd>@if (request.user; as user) {<a routerLink="/admin/users" [queryParams]="{ open: user }">{{ request.user_name ?? 'account ' + tail(user) }}</a>} @else {anonymous <span class="mono" [title]="request.session">{{ tail(request.session ?? '') }}</span>}</dd>
        <dt>Version</dt><dd>{{ request.model_version }}</dd>
        <dt>Result</dt><dd>{{ request.result_status }}, {{ count(request.failed) }} without prediction, {{ count(request.cached) }} known before</dd>
        <dt>Tries</dt><dd>{{ request.attempts }}</dd>
        @if (request.waiting_reason) {<dt>Waits</dt><dd>{{ request.waiting_reason }}</dd>}
        @if (request.error_class) {<dt>Why</dt><dd><span class="mono">{{ request.error_class }}</span> {{ request.error }}</dd>}
      </dl></div>
      @if ((chain.value() ?? []).length > 1) {
        <div class="sec"><h3>Tried again<span>the oldest first</span></h3><div class="chain">
          @for (one of chain.value(); track one.id) {<div [class.here]="one.id === id()"><a class="mono" [routerLink]="[]" [queryParams]="{ open: one.id }" queryParamsHandling="merge" [attr.aria-current]="one.id === id() ? 'true' : null">{{ tail(one.id) }}</a><m-phase [is]="one.phase" /><span class="mut end"><m-when [at]="one.submitted_at" [relative]="false" /></span></div>}
        </div></div>
      }
      @if (request.instances.length > 0) {<div class="sec"><h3>Instances<span>where its inputs were sent last</span></h3><div class="ids">@for (one of request.instances; track one) {<a class="mono" [routerLink]="['/admin/instances', one]">{{ tail(one) }}</a>}</div></div>}
    } @else if (!read.failure()) {<p class="mt3"><i class="sk a"></i></p>}
  </m-drawer>
  @if (asking()) {<m-cancel-dialog [number]="1" (closed)="asking.set(false)" (cancelled)="asking.set(false); act('cancel', $event)" />}`,
})
export class RequestDrawer {
  readonly id = input.required<string>();
  readonly closed = output();
  readonly acted = output();
  protected readonly catalogue = inject(Catalogue);
  readonly #api = inject(Api);
  readonly #toasts = inject(Toasts);
  protected readonly count = count;
  protected readonly tail = tail;
  protected readonly exact = exact;
  protected readonly asking = signal(false);
  protected readonly busy = signal(false);
  protected readonly failure = signal<Failure | null>(null);
  protected readonly read = read('/api/v1/admin/requests/{id}', () => ({ path: { id: this.id() } }));
  protected readonly isOpen = computed(() => ['waiting', 'running'].includes(this.read.value()?.phase ?? ''));
  protected readonly timeline = computed(() => {
    const all = this.read.value()?.timeline ?? [];
    return all.map(({ phase, at }, place) => {
      const next = all[place + 1];
      return { phase, at, dot: DOTS[phase] ?? '', lasted: next ? `for ${duration((Date.parse(next.at) - Date.parse(at)) / 1000)}` : '' };
    });
  });
  /** The tries before it and after it. */
  protected readonly chain = readBy<readonly Overseen[]>((signal) => {
    const here = this.read.value();
    if (!here || here.id !== this.id() || !(here.requeued_from || here.requeued_as)) return undefined;
    const find = (id: string): Promise<Overseen | null> => this.#api.get('/api/v1/admin/requests/{id}', { path: { id }, signal, quiet: true }).catch(() => null);
    return async () => {
      const all: Overseen[] = [here];
      for (let id = here.requeued_from, n = 0; id && n < MOST; n++) {
        const one = await find(id);
        if (one) all.unshift(one);
        id = one?.requeued_from;
      }
      for (let id = here.requeued_as, n = 0; id && n < MOST; n++) {
        const one = await find(id);
        if (one) all.push(one);
        id = one?.requeued_as;
      }
      return all;
    };
  });

  constructor() {
    follow(inject(Feed).everybodys, [this.read]);
    effect(() => {
      this.id();
      untracked(() => this.failure.set(null));
    });
  }

  protected async act(what: Act, reason = ''): Promise<void> {
    this.busy.set(true);
    this.failure.set(null);
    try {
      await act(this.#api, what, this.id(), reason);
      this.#toasts.say(`1 request is ${DONE[what]}.`);
      this.read.again();
      this.acted.emit();
    } catch (error) {
      this.failure.set(Failure.of(error));
    } finally {
      this.busy.set(false);
    }
  }
}
