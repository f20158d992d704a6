import { Component, inject, input, output, signal } from '@angular/core';
import { RouterLink } from '@angular/router';

import { follow, read } from '../api/read';
import { Feed } from '../live/feed';
import { Catalogue } from '../model/catalogue';
import { Drawer } from '../ui/drawer';
import { binary, count, counted, tail } from '../ui/format';
import { Icon } from '../ui/icon';
import { Phase } from '../ui/phase';
import { Failed } from '../ui/void';
import { InstanceEvents, InstanceNotes, InstanceTimeline } from './instance-parts';
import { askedOf, launchedInWords, markOf, percent, runsInWords, stateInWords } from './instance-words';
import { StopDialog } from './stop-dialog';

/** An instance beside the table: its life, its newest events, and stop. */
@Component({
  selector: 'm-instance-drawer',
  imports: [Drawer, Failed, Icon, InstanceEvents, InstanceNotes, InstanceTimeline, Phase, RouterLink, StopDialog],
  template: `<m-drawer [title]="catalogue.title(read.value()?.model ?? '')" [id]="id()" (closed)="closed.emit()">
    @if (read.failure(); as failure) {@if (failure.status === 404) {<p class="mt3 mut">There is no such instance, or its history was cleared.</p>} @else {<m-failed [failure]="failure" (again)="read.again()" />}}
    @if (read.value(); as one) {
      <div class="bar mt3"><m-phase [is]="markOf(one)" [said]="stateInWords(one)" />
        <div class="end"><a class="btn" [routerLink]="['/admin/instances', id()]">Open</a>@if (one.state !== 'ended') {<button type="button" class="btn danger" [disabled]="!!one.stop" (click)="asking.set(true)"><m-icon name="stop" />{{ one.stop ? 'Stopping' : 'Stop…' }}</button>}</div></div>
      <m-instance-notes [one]="one" />
      <div class="sec"><h3>Timeline</h3><m-instance-timeline [all]="one.phases" /></div>
      <div class="sec"><h3>Facts</h3><dl class="kv">
        <dt>Version</dt><dd>{{ one.model_version }}</dd><dt>Runs</dt><dd>{{ runsInWords(one) }}</dd><dt>Why it started</dt><dd>{{ launchedInWords(one.launch_cause) }}</dd>
        @if (one.node; as node) {<dt>Node</dt><dd>@if (one.state === 'ended') {{{ node }}} @else {<a routerLink="/admin/nodes" [queryParams]="{ open: node }">{{ node }}</a>}</dd>}
        @if (askedOf(one); as text) {<dt>Asks for</dt><dd>{{ text }}</dd>}
        <dt>Jobs</dt><dd>{{ count(one.jobs) }}@if (one.idle_share != null) {, idle {{ percent(one.idle_share) }} of its time}</dd>
        @if (one.resources; as used) {<dt>CPU</dt><dd>{{ used.cpu.now.toFixed(2) }} cores, most {{ used.cpu.peak.toFixed(2) }}</dd><dt>Memory</dt><dd>{{ bytes(used.memory.now) }}, most {{ bytes(used.memory.peak) }}</dd>}
      </dl></div>
      <div class="sec"><h3>{{ one.state === 'ended' ? 'Worked on' : 'Works on' }}<span>{{ one.requests.length > 0 ? counted(one.requests.length, 'request') + ' now' : 'nothing now' }}</span></h3>
        <dl class="kv">@for (request of requests.value()?.items ?? []; track request.id) {<dt><a class="mono" routerLink="/admin/requests" [queryParams]="{ open: request.id }">{{ tail(request.id) }}</a></dt><dd>{{ counted(request.inputs, 'input') }} in {{ counted(request.jobs, 'job') }}</dd>} @empty {<dd class="mut">No request yet.</dd>}</dl></div>
      <div class="sec"><h3>Events<span>newest first</span><a class="end" [routerLink]="['/admin/instances', id()]" [queryParams]="{ tab: 'logs' }">Log</a></h3>@if (events.value(); as it) {<m-instance-events [all]="it.items" />} @else if (events.loading()) {<i class="sk a"></i>}</div>
    } @else if (!read.failure()) {<p class="mt3"><i class="sk a"></i></p>}
  </m-drawer>
  @if (asking()) {@if (read.value(); as one) {<m-stop-dialog [instance]="one" (closed)="asking.set(false)" (stopped)="asking.set(false); read.again()" />}}`,
})
export class InstanceDrawer {
  readonly id = input.required<string>();
  readonly closed = output();
  protected readonly catalogue = inject(Catalogue);
  protected readonly askedOf = askedOf;
  protected readonly runsInWords = runsInWords;
  protected readonly count = count;
  protected readonly counted = counted;
  protected readonly bytes = binary;
  protected readonly tail = tail;
  protected readonly percent = percent;
  protected readonly launchedInWords = launchedInWords;
  protected readonly markOf = markOf;
  protected readonly stateInWords = stateInWords;
  protected readonly asking = signal(false);
  protected readonly read = read('/api/v1/instances/{id}', () => ({ path: { id: this.id() } }));
  protected readonly events = read('/api/v1/instances/{id}/events', () => ({ path: { id: this.id() }, query: { limit: 200 }, quiet: true }));
  protected readonly requests = read('/api/v1/instances/{id}/requests', () => ({ path: { id: this.id() }, query: { limit: 20 }, quiet: true }));
  constructor() {
    follow(inject(Feed).instances, [this.read, this.events, this.requests]);
  }
}
