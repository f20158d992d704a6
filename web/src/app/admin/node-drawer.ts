import { Component, computed, inject, input, output, signal } from '@angular/core';
import { RouterLink } from '@angular/router';

import { follow, read } from '../api/read';
import { Feed } from '../live/feed';
import { Catalogue } from '../model/catalogue';
import { Drawer } from '../ui/drawer';
import { binary, counted, tail } from '../ui/format';
import { Phase } from '../ui/phase';
import { Failed } from '../ui/void';
import { When } from '../ui/when';
import { NodeDialog } from './node-dialog';
import { ACTS, actsOf, changesOf, MARKS, nameOf, type NodeAct, roomInWords } from './node-words';

/** A node beside the list: what is on it, why it stays, and what the plan would do without it. */
@Component({
  selector: 'm-node-drawer',
  imports: [Drawer, Failed, NodeDialog, Phase, RouterLink, When],
  template: `<m-drawer title="Node" [id]="id()" (closed)="closed.emit()">
    @if (read.failure(); as failure) {@if (failure.status === 404) {<p class="mt3 mut">There is no such node now.</p>} @else {<m-failed [failure]="failure" (again)="read.again()" />}}
    @if (read.value(); as node) {
      <div class="bar mt3"><m-phase [is]="mark()" [said]="node.stage.name" />
        <div class="end">@for (act of actsOf(node); track act) {<button type="button" class="btn" [class.danger]="act === 'drain'" (click)="asking.set(act)">{{ acts[act] }}</button>}</div></div>
      <p class="mut">{{ node.stage.message }}@if (node.stage.since; as since) { Since <m-when [at]="since" [relative]="false" />.}</p>
      <div class="sec"><h3>Why it stays</h3><p>{{ node.kept?.message ?? 'The hub takes no such nodes away.' }}@if (node.kept?.until; as until) { It goes at <m-when [at]="until" [relative]="false" /> if that stays so.}</p>
        @for (one of node.actions; track $index) {<p>Now: {{ one.message }}</p>}@for (one of node.advice; track $index) {<p>Advised: {{ one.message }}</p>}</div>
      <div class="sec"><h3>Without it<span>what the plan would do</span></h3>
        @if (without.failure(); as failure) {<m-failed [failure]="failure" (again)="without.again()" />}
        @if (without.value()) {<ul class="flat">@for (one of changes(); track $index) {<li>{{ one }}</li>} @empty {<li class="mut">Nothing else than it does now.</li>}</ul>} @else if (without.loading()) {<i class="sk a"></i>}</div>
      <div class="sec"><h3>Instances<span>{{ node.instances.length > 0 ? roomInWords(node.held_by_instances) : 'none' }}</span></h3>
        <dl class="kv">@for (one of node.instances; track one.id) {<dt><a routerLink="/admin/instances" [queryParams]="{ open: one.id }">{{ catalogue.title(one.model) }}</a>&ngsp;<span class="mono id" [title]="one.id">{{ tail(one.id) }}</span></dt><dd>{{ roomInWords(one.asked) }}@if (one.idle_since; as since) {, idle since <m-when [at]="since" [relative]="false" />} @else if (one.state !== 'ready') {, {{ one.state }}}</dd>}</dl></div>
      @if (node.tenants.length > 0) {<div class="sec"><h3>Others<span>{{ counted(node.others, 'one', 'of them') }}, {{ roomInWords(node.held_by_others) }}</span></h3>
        <dl class="kv">@for (one of node.tenants; track one.id) {<dt class="mono">{{ one.id }}</dt><dd>{{ roomInWords(one.asked) }}@if (one.stays_because; as why) {. {{ why }}}</dd>}</dl></div>}
      @if (node.devices.length > 0) {<div class="sec"><h3>Devices</h3>
        <dl class="kv">@for (one of node.devices; track one.id) {<dt>{{ one.name || nameOf(one.resource) }}@if (one.memory > 0) {, {{ binary(one.memory) }}}</dt><dd><span class="mono">{{ one.id }}</span>: @if (one.instance; as instance) {<a routerLink="/admin/instances" [queryParams]="{ open: instance }">{{ modelOn(instance) }}</a>} @else {{{ one.used_by_others ? 'used by programs that are not the hub’s' : 'free' }}}</dd>}</dl></div>}
      <div class="sec"><h3>Facts</h3><dl class="kv">
        <dt>Group</dt><dd>{{ node.group ?? 'none: nobody makes such nodes' }}</dd><dt>Has</dt><dd>{{ roomInWords(node.allocatable) }}</dd><dt>Free</dt><dd>{{ roomInWords(node.free) }}</dd>
        @if (node.stage.lacks.length > 0) {<dt>Lacks</dt><dd>{{ node.stage.lacks.join(', ') }}</dd>}
        @if (labels().length > 0) {<dt>Labels</dt><dd class="mono">{{ labels().join(' ') }}</dd>}
        @if (node.taints.length > 0) {<dt>Taints</dt><dd class="mono">{{ node.taints.join(' ') }}</dd>}
        @if (node.unneeded_since; as since) {<dt>Not needed</dt><dd>since <m-when [at]="since" [relative]="false" /></dd>}
        @if (node.price > 0) {<dt>Price</dt><dd>{{ node.price }} an hour</dd>}
        <dt>Hubs</dt><dd>{{ node.servers.length > 0 ? counted(node.servers.length, 'hub') + ' launches instances there' : 'none launches instances there' }}</dd>
      </dl></div>
    } @else if (!read.failure()) {<p class="mt3"><i class="sk a"></i></p>}
  </m-drawer>
  @if (asking(); as act) {@if (read.value(); as node) {<m-node-dialog [node]="node" [act]="act" (closed)="asking.set(null)" (done)="asking.set(null); read.again(); changed.emit()" />}}`,
})
export class NodeDrawer {
  readonly id = input.required<string>();
  readonly closed = output();
  readonly changed = output();
  protected readonly catalogue = inject(Catalogue);
  protected readonly binary = binary;
  protected readonly counted = counted;
  protected readonly tail = tail;
  protected readonly acts = ACTS;
  protected readonly actsOf = actsOf;
  protected readonly nameOf = nameOf;
  protected readonly roomInWords = roomInWords;
  protected readonly read = read('/api/v1/nodes/{id}', () => ({ path: { id: this.id() } }));
  protected readonly without = read('/api/v1/plan', () => ({ query: { without: [this.id()], world: false }, quiet: true }));
  protected readonly mark = computed(() => MARKS[this.read.value()?.stage.name ?? ''] ?? 'ended');
  protected readonly labels = computed(() => Object.entries(this.read.value()?.labels ?? {}).map(([name, value]) => `${name}=${String(value)}`));
  protected readonly changes = computed(() => changesOf(this.without.value()?.words, (model) => this.catalogue.title(model)));
  protected readonly asking = signal<NodeAct | null>(null);

  constructor() {
    const feed = inject(Feed);
    follow(feed.nodes, [this.read, this.without]);
  }

  protected modelOn(instance: string): string {
    const found = this.read.value()?.instances.find((one) => one.id === instance);
    return found ? this.catalogue.title(found.model) : tail(instance);
  }
}
