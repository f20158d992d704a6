import { afterRenderEffect, Component, computed, effect, type ElementRef, inject, input, signal, viewChild } from '@angular/core';
import { RouterLink } from '@angular/router';

import { follow, read } from '../api/read';
import { Feed } from '../live/feed';
import { LiveMark } from '../live/live-mark';
import { Catalogue } from '../model/catalogue';
import { Clock } from '../ui/clock';
import { Code } from '../ui/code';
import { binary, count, counted, duration, tail } from '../ui/format';
import { Icon } from '../ui/icon';
import { Pager } from '../ui/pager';
import { Phase } from '../ui/phase';
import { asText, queryChanger } from '../ui/query';
import { Seg } from '../ui/seg';
import { Failed, Void } from '../ui/void';
import { When } from '../ui/when';
import { bars, hours, type Span } from './gantt';
import { InstanceLog } from './instance-log';
import { InstanceEvents, InstanceNotes, InstanceTimeline } from './instance-parts';
import { askedOf, isBad, launchedInWords, markOf, percent, runsInWords, stateInWords } from './instance-words';
import { podInWords } from './pod-words';
import { StopDialog } from './stop-dialog';
import { UsageLine } from './usage-line';

const TABS = ['Overview', 'Timeline', 'Requests', 'Events', 'Logs', 'Usage', 'Pod'].map((label) => ({ id: label.toLowerCase(), label }));
/** What an instance uses is written down so often, if it does nothing else. */
const SAMPLED = 10_000;
const LEVELS = [
  { value: '', label: 'All' },
  { value: 'warning', label: 'Warnings' },
];

/** All of one instance, while it runs and after. */
@Component({
  selector: 'm-instance-page',
  imports: [Code, Failed, Icon, InstanceEvents, InstanceLog, InstanceNotes, InstanceTimeline, LiveMark, Pager, Phase, RouterLink, Seg, StopDialog, UsageLine, Void, When],
  template: `@if (read.value(); as one) {
      <header class="head"><div class="ht"><div class="crumbs">@if (one.state === 'ended') {<a routerLink="/admin/history">History</a>} @else {<a routerLink="/admin/instances">Instances</a>}</div>
        <h1>{{ catalogue.title(one.model) }}<m-phase [is]="markOf(one)" [said]="stateInWords(one)" /></h1>
        <p class="sub">{{ one.model_version }}@if (one.node) { on <span class="mono tx">{{ one.node }}</span>}, started <m-when [at]="one.launched_at" [relative]="false" />. <span class="mono id">{{ one.id }}</span></p></div>
        <div class="acts"><m-live />@if (one.state !== 'ended') {<button type="button" class="btn danger" [disabled]="!!one.stop" (click)="asking.set(true)"><m-icon name="stop" />{{ one.stop ? 'Stopping' : 'Stop…' }}</button>}</div></header>
      @if (read.failure(); as failure) {<m-failed [failure]="failure" (again)="read.again()" />}
      <m-instance-notes [one]="one" />
      <nav #strip class="tabs mt3" aria-label="Instance">@for (one of tabs; track one.id) {<a [class.on]="one.id === shown()" [attr.aria-current]="one.id === shown() ? 'page' : null" [routerLink]="[]" [queryParams]="{ tab: one.id === 'overview' ? null : one.id }">{{ one.label }}</a>}</nav>
      @switch (shown()) {
        @case ('timeline') {<div class="sheet pad"><m-instance-timeline [all]="one.phases" /></div>}
        @case ('requests') {
          @if (requests.failure(); as failure) {<m-failed [failure]="failure" (again)="requests.again()" />}
          @if (requests.value()?.items?.length) {
            <div class="tw cards"><table class="t compact"><thead><tr><th>Request</th><th>Now</th><th class="num">Inputs</th><th class="num">Jobs</th><th class="num">First</th><th class="num">Last</th></tr></thead><tbody>
              @for (request of requests.value()?.items; track request.id) {<tr><td class="ttl"><a class="mono" routerLink="/admin/requests" [queryParams]="{ open: request.id }">{{ request.id }}</a></td><td class="sta"><span [class.z]="!one.requests.includes(request.id)">{{ one.requests.includes(request.id) ? 'works on it' : '–' }}</span></td><td class="num" data-l="Inputs"><span class="v">{{ count(request.inputs) }}</span></td><td class="num" data-l="Jobs"><span class="v">{{ count(request.jobs) }}</span></td><td class="num" data-l="First"><span class="v"><m-when [at]="request.first_at" [relative]="false" /></span></td><td class="num" data-l="Last"><span class="v"><m-when [at]="request.last_at" [relative]="false" /></span></td></tr>}
            </tbody></table></div>
            <div class="under"><span>Inputs that were sent again count again.</span><m-pager [after]="after()" [next]="requests.value()?.next" /></div>
          } @else if (requests.value()) {<div class="sheet"><m-void title="No request yet">What it works on appears here.</m-void></div>} @else if (requests.loading()) {<div class="sheet pad" aria-busy="true"><i class="sk a"></i></div>}
        }
        @case ('events') {
          @if (events.failure(); as failure) {<m-failed [failure]="failure" (again)="events.again()" />}
          <div class="bar"><m-seg label="Level" [options]="levels" [value]="level()" (valueChange)="go({ level: $event })" /><span class="lbl end">@if (since(); as at) {newest first, kept since <m-when [at]="at" [relative]="false" />}</span></div>
          @if (events.value()) {<m-instance-events class="evs" [all]="told()" [none]="level() ? 'No warnings.' : 'Nothing happened yet.'" />} @else if (events.loading()) {<div class="sheet pad" aria-busy="true"><i class="sk a"></i></div>}
          <div class="under"><m-pager [after]="after()" [next]="events.value()?.next" /></div>
        }
        @case ('logs') {<m-instance-log [id]="id()" [ended]="one.state === 'ended'" [find]="find()" [follow]="follow()" />}
        @case ('usage') {
          @if (one.resources; as used) {
            <div class="tw" tabindex="0" role="region" aria-label="What it uses"><table class="t"><thead><tr><th></th><th class="num">Now</th><th class="num">Mean</th><th class="num">Most</th></tr></thead><tbody>
              <tr><th scope="row">CPU, cores</th><td class="num">{{ used.cpu.now.toFixed(2) }}</td><td class="num">{{ used.cpu.average.toFixed(2) }}</td><td class="num">{{ used.cpu.peak.toFixed(2) }}</td></tr>
              <tr><th scope="row">Memory</th><td class="num">{{ bytes(used.memory.now) }}</td><td class="num">{{ bytes(used.memory.average) }}</td><td class="num">{{ bytes(used.memory.peak) }}</td></tr>
            </tbody></table></div>
            @if (usage.failure(); as failure) {<m-failed [failure]="failure" (again)="usage.again()" />} @else if (usage.value()) {
              <div class="cols2 mt3">@for (line of lines(); track line.label) {<div class="sheet pad c3"><h3>{{ line.label }}<span class="mut w4"> mean as a line, the most as an area</span></h3>
                @if (line.samples.length > 1) {<m-usage-line [label]="line.label" [samples]="line.samples" [say]="line.say" />} @else {<p class="mini">{{ one.state === 'ended' ? 'It ended before there was a line.' : 'The line begins with the next span, in about 30 s.' }}</p>}</div>}</div>
            }
            <div class="under"><span>{{ one.state === 'ended' ? 'As it was last seen.' : 'Sampled while it runs.' }} Kept in spans that grow with its age, from 30 s to 6 h. Idle {{ percent(one.idle_share) }} of its time since it was ready.</span></div>
          } @else {<div class="sheet"><m-void title="Nobody looked yet">What its processes use is sampled while it runs; a model that runs elsewhere does not say it.</m-void></div>}
        }
        @case ('pod') {@if (one.pod) {<div class="sheet pad mb5"><dl class="kv">@for (line of podInWords(one.pod); track line.of) {<dt>{{ line.of }}</dt><dd>{{ line.said }}</dd>}</dl></div><m-code [text]="json(one.pod)" />} @else {<div class="sheet"><m-void [title]="one.runs === 'pod' ? 'Its pod was not seen yet' : 'It has no pod'">{{ one.runs === 'pod' ? 'The cluster did not say anything of it yet.' : 'It runs ' + runsInWords(one) + '.' }}</m-void></div>}}
        @default {
          <div class="sheet"><dl class="big4">
              <div><dt>Time to ready</dt><dd>{{ one.start_seconds == null ? '–' : duration(one.start_seconds) }}</dd><dd class="small">started because {{ launchedInWords(one.launch_cause) }}</dd></div>
              <div><dt>Jobs</dt><dd>{{ count(one.jobs) }}</dd><dd class="small">{{ one.end ? 'until ' + one.end.cause : 'so far' }}</dd></div>
              <div><dt>Idle</dt><dd>{{ percent(one.idle_share) }}</dd><dd class="small">{{ lived() }}</dd></div>
              <div><dt>Works on</dt><dd>{{ one.requests.length === 0 ? 'nothing' : counted(one.requests.length, 'request') }}</dd><dd class="small ids">@for (request of one.requests.slice(0, 4); track request) {<a class="mono" routerLink="/admin/requests" [queryParams]="{ open: request }">{{ tail(request) }}</a>}</dd></div>
            </dl>
            <div class="strip"><h3>Course</h3><svg class="usage phs" height="40" role="img" [attr.aria-label]="course()"><defs><pattern id="hw" class="hw" width="4" height="4" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path d="M0 0V4" /></pattern></defs>
                @for (bar of drawn(); track bar.id) {<rect class="stt" [attr.x]="bar.start + '%'" [attr.width]="bar.starting + '%'" height="16" /><rect class="bsy" [attr.x]="bar.start + bar.starting + '%'" [attr.width]="bar.ready + '%'" height="16" />@if (bar.ended) {<line [attr.class]="bar.bad ? 'eb' : 'en'" [attr.x1]="bar.end + '%'" [attr.x2]="bar.end + '%'" y2="16" />}}
                @for (hour of marks(); track hour.x) {<text [attr.x]="hour.x + '%'" y="34" [attr.text-anchor]="hour.anchor">{{ hour.text }}</text>}
              </svg></div></div>
          @if (one.resources; as used) {
            <div class="cols2 mt3">
              <div class="sheet pad c3"><h3>CPU, cores<span class="mut w4"> now {{ used.cpu.now.toFixed(2) }}, mean {{ used.cpu.average.toFixed(2) }}, most {{ used.cpu.peak.toFixed(2) }}</span></h3><svg class="gauge" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true"><rect class="g0" width="100" height="4" /><rect class="g1" [attr.width]="share(used.cpu)" height="4" /></svg></div>
              <div class="sheet pad c3"><h3>Memory<span class="mut w4"> now {{ bytes(used.memory.now) }}, most {{ bytes(used.memory.peak) }}</span></h3><svg class="gauge" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true"><rect class="g0" width="100" height="4" /><rect class="g1" [attr.width]="share(used.memory)" height="4" /></svg></div>
            </div>
          }
          @if (askedOf(one); as text) {<p class="mt3 mut">It was launched with {{ text }}.</p>}
          <div class="h2r"><h2>Last events</h2>@if (since(); as at) {<span class="mut">kept since <m-when [at]="at" [relative]="false" /></span>}<a class="end" [routerLink]="[]" [queryParams]="{ tab: 'events' }">All of them</a></div>
          @if (events.value(); as last) {<m-instance-events class="evs" [all]="last.items.slice(0, 3)" />} @else if (events.loading()) {<div class="sheet pad" aria-busy="true"><i class="sk a"></i></div>}
        }
      }
      @if (asking()) {<m-stop-dialog [instance]="one" (closed)="asking.set(false)" (stopped)="asking.set(false); read.again()" />}
    } @else if (read.failure(); as failure) {
      @if (failure.status === 404 || failure.status === 400) {<div class="sheet"><m-void title="There is no such instance">Its history may have been cleared.<a step class="btn pri" routerLink="/admin/instances">Instances</a><a step class="btn" routerLink="/admin/history">History</a></m-void></div>} @else {<m-failed [failure]="failure" (again)="read.again()" />}
    } @else {
      <header class="head"><div class="ht"><h1><i class="sk a"></i></h1><p class="sub"><i class="sk c"></i></p></div></header>
    }`,
})
export class InstancePage {
  readonly id = input.required<string>();
  readonly tab = input('', { transform: asText });
  readonly after = input('', { transform: asText });
  readonly level = input('', { transform: asText });
  readonly find = input('', { transform: asText });
  readonly follow = input('', { transform: asText });
  protected readonly catalogue = inject(Catalogue);
  protected readonly askedOf = askedOf;
  protected readonly runsInWords = runsInWords;
  protected readonly podInWords = podInWords;
  readonly #clock = inject(Clock);
  protected readonly go = queryChanger();
  protected readonly tabs = TABS;
  protected readonly levels = LEVELS;
  protected readonly bytes = binary;
  protected readonly count = count;
  protected readonly counted = counted;
  protected readonly duration = duration;
  protected readonly tail = tail;
  protected readonly percent = percent;
  protected readonly launchedInWords = launchedInWords;
  protected readonly markOf = markOf;
  protected readonly stateInWords = stateInWords;
  protected readonly asking = signal(false);
  protected readonly shown = computed(() => TABS.find((one) => one.id === this.tab())?.id ?? 'overview');
  protected readonly read = read('/api/v1/instances/{id}', () => ({ path: { id: this.id() } }));
  protected readonly events = read('/api/v1/instances/{id}/events', () => ({ path: { id: this.id() }, query: { limit: 200, ...(this.shown() === 'events' ? { after: this.after() } : {}) }, quiet: true }));
  protected readonly requests = read('/api/v1/instances/{id}/requests', () => (this.shown() === 'requests' ? { path: { id: this.id() }, query: { limit: 100, after: this.after() }, quiet: true } : undefined));
  protected readonly usage = read('/api/v1/instances/{id}/usage', () => (this.shown() === 'usage' ? { path: { id: this.id() }, quiet: true } : undefined));
  protected readonly lines = computed(() => {
    const spans = this.usage.value()?.spans ?? [];
    const line = (label: string, say: (value: number) => string, of: 'cpu' | 'memory') => ({ label, say, samples: spans.map((span) => ({ at: Date.parse(span.at), value: span[of].average, most: span[of].peak })) });
    return [line('CPU, cores', (value) => value.toFixed(2), 'cpu'), line('Memory', binary, 'memory')];
  });
  protected readonly told = computed(() => (this.events.value()?.items ?? []).filter((one) => !this.level() || one.level === this.level()));
  protected readonly since = computed(() => (this.events.value()?.items ?? []).map((one) => one.first_at).sort()[0]);
  readonly #ended = computed(() => this.read.value()?.state === 'ended');
  readonly #span = computed<Span>(() => {
    const one = this.read.value();
    const from = Date.parse(one?.launched_at ?? '');
    return { from, to: Math.max(from + 60_000, one?.end ? Date.parse(one.end.at) : this.#clock.now()) };
  });
  protected readonly drawn = computed(() => bars([this.read.value()].flatMap((one) => one ?? []), this.#span()));
  protected readonly marks = computed(() => hours(this.#span()));
  protected readonly lived = computed(() => {
    const one = this.read.value();
    if (!one?.ready_at) return 'not ready yet';
    return `of ${duration(((one.end ? Date.parse(one.end.at) : this.#clock.now()) - Date.parse(one.ready_at)) / 1000)} since it was ready`;
  });
  protected readonly course = computed(() => {
    const one = this.read.value();
    return (one?.phases ?? []).map(({ phase, seconds }) => (seconds == null ? phase : `${phase} for ${duration(seconds)}`)).join(', ') + (one && isBad(one) ? ', a bad end' : '');
  });

  protected readonly strip = viewChild<ElementRef<HTMLElement>>('strip');

  constructor() {
    // A phone shows five of seven.
    afterRenderEffect(() => {
      this.shown();
      this.strip()?.nativeElement.querySelector('.on')?.scrollIntoView({ block: 'nearest', inline: 'center' });
    });
    follow(inject(Feed).instances, [this.read, this.events, this.requests]);
    // Nothing says that a sample came.
    effect((onCleanup) => {
      if (this.shown() !== 'usage' || this.#ended()) return;
      const timer = setInterval(() => document.hidden || (this.read.again(), this.usage.again()), SAMPLED);
      onCleanup(() => clearInterval(timer));
    });
  }

  protected share({ now, peak }: { now: number; peak: number }): number {
    return Math.min(100, (now / Math.max(peak, 1e-9)) * 100);
  }

  protected json(value: unknown): string {
    return JSON.stringify(value, null, 2);
  }
}
