import { Component, computed, effect, inject, input, output, untracked } from '@angular/core';
import { RouterLink } from '@angular/router';

import { read } from '../api/read';
import { Feed } from '../live/feed';
import { Catalogue } from '../model/catalogue';
import { count, duration, exact, tail } from '../ui/format';
import { Phase } from '../ui/phase';
import { Failed } from '../ui/void';
import { When } from '../ui/when';
import { Drawer } from '../ui/drawer';

const DOTS: { [phase: string]: string } = { waiting: 'w', running: 'w', completed: 'c', failed: '', cancelled: '' };

/** Somebody's request beside the table: when it was in which phase, where it ran. Never what is in it. */
@Component({
  selector: 'm-request-drawer',
  imports: [Drawer, Failed, Phase, RouterLink, When],
  template: `<m-drawer [title]="catalogue.title(read.value()?.model ?? '')" [id]="id()" (closed)="closed.emit()">
    @if (read.failure(); as failure) {<m-failed [failure]="failure" (again)="read.again()" />}
    @if (read.value(); as request) {
      <div class="bar mt3"><m-phase [is]="request.phase" /><span class="mut">{{ count(request.done) }} of {{ count(request.inputs) }}</span></div>
      <div class="sec"><h3>Timeline</h3><div class="ph">
        @for (one of timeline(); track one.phase) {<span [class.ln1]="!$last" [class.p0]="$last"><span class="dot {{ one.dot }}"></span></span><span>{{ one.phase }}</span><span class="m">{{ one.lasted }}</span><span class="m" [title]="exact(one.at)"><m-when [at]="one.at" [relative]="false" /></span>}
      </div></div>
      <div class="sec"><h3>Facts</h3><dl class="kv">
        <dt>Person</dt><dd>{{ request.user_name ?? (request.user ? 'account ' + tail(request.user) : 'anonymous ' + tail(request.session ?? '')) }}</dd>
        <dt>Version</dt><dd>{{ request.model_version }}</dd>
        <dt>Result</dt><dd>{{ request.result_status }}, {{ count(request.failed) }} without prediction, {{ count(request.cached) }} known before</dd>
        <dt>Tries</dt><dd>{{ request.attempts }}</dd>
        @if (request.waiting_reason) {<dt>Waits</dt><dd>{{ request.waiting_reason }}</dd>}
        @if (request.error_class) {<dt>Why</dt><dd><span class="mono">{{ request.error_class }}</span> {{ request.error }}</dd>}
        @if (request.requeued_from; as from) {<dt>Tries again</dt><dd><a class="mono" [routerLink]="[]" [queryParams]="{ open: from }" queryParamsHandling="merge">{{ tail(from) }}</a></dd>}
        @if (request.requeued_as; as next) {<dt>Tried again as</dt><dd><a class="mono" [routerLink]="[]" [queryParams]="{ open: next }" queryParamsHandling="merge">{{ tail(next) }}</a></dd>}
      </dl></div>
      @if (request.instances.length > 0) {<div class="sec"><h3>Instances<span>where its inputs were sent last</span></h3><div class="ids">@for (one of request.instances; track one) {<a class="mono" routerLink="/admin/instances" [queryParams]="{ open: one }">{{ tail(one) }}</a>}</div></div>}
    } @else if (!read.failure()) {<p class="mt3"><i class="sk a"></i></p>}
  </m-drawer>`,
})
export class RequestDrawer {
  readonly id = input.required<string>();
  readonly closed = output();
  readonly acted = output();
  protected readonly catalogue = inject(Catalogue);
  readonly #feed = inject(Feed);
  protected readonly count = count;
  protected readonly tail = tail;
  protected readonly exact = exact;
  protected readonly read = read('/api/v1/admin/requests/{id}', () => ({ path: { id: this.id() } }));
  protected readonly timeline = computed(() => {
    const all = this.read.value()?.timeline ?? [];
    return all.map(({ phase, at }, place) => {
      const next = all[place + 1];
      return { phase, at, dot: DOTS[phase] ?? '', lasted: next ? `for ${duration((Date.parse(next.at) - Date.parse(at)) / 1000)}` : '' };
    });
  });

  constructor() {
    effect(() => {
      if (this.#feed.everybodys() > 0) untracked(() => this.read.again());
    });
  }
}
