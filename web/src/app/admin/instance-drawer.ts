import { Component, computed, effect, inject, input, output, signal, untracked } from '@angular/core';
import { RouterLink } from '@angular/router';

import { Api } from '../api/api';
import { Failure } from '../api/failure';
import { read } from '../api/read';
import { Feed } from '../live/feed';
import { Catalogue } from '../model/catalogue';
import { Drawer } from '../ui/drawer';
import { bytes, count, counted, duration, exact, tail } from '../ui/format';
import { Icon } from '../ui/icon';
import { Phase } from '../ui/phase';
import { Failed } from '../ui/void';
import { When } from '../ui/when';
import { StopDialog } from './stop-dialog';

const DOTS: { [phase: string]: string } = { starting: 'w', draining: 'w', ready: 'c' };
const LINES = 400;

/** An instance beside the table: its life, its events as they came, its log, and stop. */
@Component({
  selector: 'm-instance-drawer',
  imports: [Drawer, Failed, Icon, Phase, RouterLink, StopDialog, When],
  template: `<m-drawer [title]="catalogue.title(read.value()?.model ?? '')" [id]="id()" (closed)="closed.emit()">
    @if (read.failure(); as failure) {@if (failure.status === 404) {<p class="mt3 mut">There is no such instance, or its history was cleared.</p>} @else {<m-failed [failure]="failure" (again)="read.again()" />}}
    @if (read.value(); as one) {
      <div class="bar mt3"><m-phase [is]="one.stop && one.state !== 'ended' ? 'stopping' : one.state" [said]="words()" />
        @if (one.state !== 'ended') {<div class="end"><button type="button" class="btn danger" [disabled]="!!one.stop" (click)="asking.set(true)"><m-icon name="stop" />{{ one.stop ? 'Stopping' : 'Stop…' }}</button></div>}</div>
      @if (one.stop; as stop) {<div class="note w mt"><m-icon name="info" /><span><span [title]="stop.by">An administrator</span> asked for it <m-when [at]="stop.asked_at" />: {{ workOf(stop.work) }}.@if (stop.reason) { Reason: {{ stop.reason }}.}</span></div>}
      @if (one.end; as end) {<div class="note mt"><m-icon name="s-ended" /><span><b class="strong">{{ end.cause }}</b> {{ end.message }}@if (end.exit_code != null) {, exit code {{ end.exit_code }}}</span></div>}
      <div class="sec"><h3>Timeline</h3><div class="ph">
        @for (phase of phases(); track $index) {<span [class.ln1]="!$last" [class.p0]="$last"><span class="dot {{ phase.dot }}"></span></span><span>{{ phase.phase }}</span><span class="m">{{ phase.said }}</span><span class="m" [title]="exact(phase.at)"><m-when [at]="phase.at" [relative]="false" /></span>}
      </div></div>
      <div class="sec"><h3>Facts</h3><dl class="kv">
        <dt>Version</dt><dd>{{ one.model_version }}</dd><dt>Why it started</dt><dd>{{ one.launch_cause }}</dd>
        @if (one.node) {<dt>Node</dt><dd>{{ one.node }}</dd>}
        <dt>Jobs</dt><dd>{{ count(one.jobs) }}@if (one.idle_share != null) {, idle {{ percent(one.idle_share) }} of its time}</dd>
        @if (one.resources; as used) {<dt>CPU</dt><dd>{{ used.cpu.now.toFixed(2) }} cores, most {{ used.cpu.peak.toFixed(2) }}</dd><dt>Memory</dt><dd>{{ bytes(used.memory.now) }}, most {{ bytes(used.memory.peak) }}</dd>}
      </dl></div>
      <div class="sec"><h3>{{ one.state === 'ended' ? 'Worked on' : 'Works on' }}<span>{{ one.requests.length > 0 ? counted(one.requests.length, 'request') + ' now' : 'nothing now' }}</span></h3>
        <dl class="kv">@for (request of requests.value()?.items ?? []; track request.id) {<dt><a class="mono" routerLink="/admin/requests" [queryParams]="{ open: request.id }">{{ tail(request.id) }}</a></dt><dd>{{ counted(request.inputs, 'input') }} in {{ counted(request.jobs, 'job') }}</dd>} @empty {<dd class="mut">No request yet.</dd>}</dl></div>
      <div class="sec"><h3>Events<span>newest first, as they came</span></h3><div class="ev">
        @for (event of events.value()?.items ?? []; track $index) {
          <div [class.warn]="event.level === 'warning'"><div class="eh">@if (event.level === 'warning') {<m-icon name="warn" />}<b>{{ event.kind }}</b><span class="mut">{{ event.source }}</span><span class="end" [title]="exact(event.last_at)">@if (event.count > 1) {{{ count(event.count) }}×, last }<m-when [at]="event.last_at" [relative]="false" /></span></div><p>{{ event.message }}</p>
            @if (event.raw) {<details><summary class="mut">JSON</summary><pre class="code" tabindex="0">{{ json(event.raw) }}</pre></details>}</div>
        } @empty {<div class="mut">Nothing happened yet.</div>}
      </div></div>
      <div class="sec"><h3>Log<span>may quote inputs</span><button type="button" class="link end" (click)="showLog()">{{ log() === null ? 'Show' : 'Read again' }}</button></h3>
        @if (log() !== null) {<pre class="code log" tabindex="0">{{ log() || 'It is empty.' }}</pre>}</div>
      @if (one.pod) {<div class="sec"><h3>Pod</h3><details><summary class="mut">JSON</summary><pre class="code" tabindex="0">{{ json(one.pod) }}</pre></details></div>}
    } @else if (!read.failure()) {<p class="mt3"><i class="sk a"></i></p>}
  </m-drawer>
  @if (asking()) {@if (read.value(); as one) {<m-stop-dialog [instance]="one" (closed)="asking.set(false)" (stopped)="asking.set(false); read.again()" />}}`,
})
export class InstanceDrawer {
  readonly id = input.required<string>();
  readonly closed = output();
  protected readonly catalogue = inject(Catalogue);
  readonly #api = inject(Api);
  readonly #feed = inject(Feed);
  protected readonly count = count;
  protected readonly counted = counted;
  protected readonly bytes = bytes;
  protected readonly tail = tail;
  protected readonly exact = exact;
  protected readonly asking = signal(false);
  protected readonly log = signal<string | null>(null);
  protected readonly read = read('/api/v1/instances/{id}', () => ({ path: { id: this.id() } }));
  protected readonly events = read('/api/v1/instances/{id}/events', () => ({ path: { id: this.id() }, query: { limit: 200 }, quiet: true }));
  protected readonly requests = read('/api/v1/instances/{id}/requests', () => ({ path: { id: this.id() }, query: { limit: 20 }, quiet: true }));
  protected readonly words = computed(() => {
    const one = this.read.value();
    if (!one) return '';
    if (one.state === 'ended') return `ended: ${one.end?.cause ?? ''}`;
    if (one.stop) return 'stopping';
    const busy = one.requests.length > 0 ? 'busy' : one.state === 'ready' ? 'idle' : '';
    return [one.pod_status ?? one.state, busy].filter(Boolean).join(', ');
  });
  protected readonly phases = computed(() =>
    (this.read.value()?.phases ?? []).map(({ phase, at, cause, seconds }) => ({ phase, at, dot: DOTS[phase] ?? '', said: [seconds == null ? '' : duration(seconds), cause].filter(Boolean).join(': ') })),
  );

  constructor() {
    effect(() => {
      this.id();
      untracked(() => this.log.set(null));
    });
    effect(() => {
      if (this.#feed.instances() === 0) return;
      untracked(() => [this.read, this.events, this.requests].forEach((one) => one.again()));
    });
  }

  protected percent(share: number): string {
    return `${Math.round(share * 100)} %`;
  }

  protected json(value: unknown): string {
    return JSON.stringify(value, null, 2);
  }

  protected workOf(work: string): string {
    return work === 'drain' ? 'it finishes its work first' : work === 'fail' ? 'its requests fail' : 'its work goes back to the queue';
  }

  protected async showLog(): Promise<void> {
    try {
      const answer = await this.#api.fetch(`/api/v1/instances/${this.id()}/logs?tail=${LINES}`, {});
      this.log.set(await answer.text());
    } catch (error) {
      this.log.set(Failure.of(error).detail);
    }
  }
}
