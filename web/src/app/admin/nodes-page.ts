import { Component, computed, inject, input, signal } from '@angular/core';
import { RouterLink } from '@angular/router';

import { follow, read } from '../api/read';
import { Feed } from '../live/feed';
import { LiveMark } from '../live/live-mark';
import { Catalogue } from '../model/catalogue';
import { Choices, type Option } from '../ui/choice';
import { counted, tail } from '../ui/format';
import { Icon } from '../ui/icon';
import { Pager } from '../ui/pager';
import { Phase } from '../ui/phase';
import { asList, asText, queryChanger } from '../ui/query';
import { Failed, Void } from '../ui/void';
import { When } from '../ui/when';
import { GroupScale } from './group-scale';
import { NodeDialog } from './node-dialog';
import { NodeDrawer } from './node-drawer';
import { NodeRoom } from './node-room';
import { ACTS, actsOf, MARKS, type Node, type NodeAct, roomInWords, scalerHead, scalerMark, styleOf, sumInWords } from './node-words';

const STAGES: Option[] = Object.keys(MARKS).map((value) => ({ value, label: value }));
const MODES = { delegate: 'Nodes are left to somebody else.', advise: 'Nodes are somebody else’s: the hub says what it would do.', own: 'The hub makes nodes and takes them away.' };

/** Where instances run: the room of each node, who holds it, and what is planned with it. */
@Component({
  selector: 'm-nodes-page',
  imports: [Choices, Failed, GroupScale, Icon, LiveMark, NodeDialog, NodeDrawer, NodeRoom, Pager, Phase, RouterLink, Void, When],
  template: `<svg class="sprite hatch" aria-hidden="true"><defs><pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="5" height="5" /><path d="M0 0V5" /></pattern></defs></svg>
  <div [class.split]="opened()"><div>
    <header class="head dup"><div class="ht"><h1>Nodes</h1><p class="sub">@if (nodes().length > 0) {{{ sum() }}&ngsp;}@if (plan.value(); as it) {{{ modes[it.words.mode] }} The last plan is of <m-when [at]="it.now" [relative]="false" />.}</p></div>
      <div class="acts"><m-live /><a class="btn" href="api/v1/plan" download="plan.json"><m-icon name="download" />World and plan</a></div></header>
    @if (read.failure(); as failure) {<m-failed [failure]="failure" (again)="again()" />} @else if (plan.failure() ?? groups.failure() ?? scalers.failure(); as failure) {<m-failed [failure]="failure" (again)="again()" />}
    @if (plan.value()?.words?.unseen; as why) {<div class="note w mb5"><m-icon name="warn" /><span>{{ why }}</span></div>}
    @if (told().length > 0) {
      <div class="h2r first"><h2>Plan</h2><span class="mut">what is done, who waits, what is advised</span></div>
      <div class="sheet">@for (one of told(); track $index) {<div class="adv"><m-icon [name]="one.icon" /><div><b>{{ one.head }}</b><p>{{ one.text }}</p></div></div>}</div>
    }
    @if (groups.value()?.items; as all) {@if (all.length > 0) {
      <div class="h2r"><h2>Groups</h2></div>
      <div class="sheet grpc">@for (group of all; track group.id) {<div><m-group-scale [group]="group" /></div>}</div>
    }}
    @if (scalers.value(); as asked) {@if (asked.unseen || asked.items.length > 0) {
      <div class="h2r"><h2>Autoscalers</h2><span class="mut no-phone">who else makes nodes, and what they say</span></div>
      @if (asked.unseen; as why) {<div class="note w mb5"><m-icon name="warn" /><span>The cluster cannot be asked: {{ why }}</span></div>}
      @else {<div class="sheet">@for (one of asked.items; track one.name) {<div class="adv"><m-icon [name]="scalerMark(one)" /><div><b>{{ scalerHead(one) }}</b>@for (line of one.says; track $index) {<p>{{ line }}</p>}</div></div>}</div>}
    }}
    <div class="h2r"><h2>Nodes</h2><span class="mut no-phone">what instances asked for, of what the node has</span>
      <span class="end lg"><span><i class="ok l62"></i>works</span><span><i class="ok l24"></i>idle</span><span><i class="ldr"></i>drains</span><span><i class="lot"></i>others</span></span></div>
    @if (nodes().length > 1 || filtered()) {
      <div class="bar">
        @if (groupNames().length > 0) {<m-choices label="Group" [options]="groupNames()" [value]="group()" (valueChange)="go({ group: $event, after: null })" />}
        <m-choices label="Stage" all="any" [options]="stages" [value]="stage()" (valueChange)="go({ stage: $event, after: null })" />
        @if (filtered()) {<button type="button" class="btn txt" (click)="go({ group: null, stage: null, after: null })">Clear</button>}
      </div>
    }
    @if (nodes().length > 0) {
      <div class="sheet">
        @for (node of nodes(); track node.id) {
          <article class="node" [class.on]="opened() === node.id">
            <div><h3 class="nm mono"><a class="tx" [routerLink]="[]" [queryParams]="{ open: node.id }" queryParamsHandling="merge">{{ node.id }}</a></h3><div class="meta">{{ meta(node) }}</div>
              <m-phase [is]="marks[node.stage.name] ?? 'ended'" [said]="node.stage.name" />@if (node.stage.since; as since) {<span class="meta">&ngsp;since <m-when [at]="since" [relative]="false" /></span>}</div>
            <div><m-node-room [node]="node" />
              <ul class="holders">@for (one of node.instances; track one.id) {<li><i class="dot {{ styleOf(one) }}"></i><a class="tx" routerLink="/admin/instances" [queryParams]="{ open: one.id }">{{ catalogue.title(one.model) }}</a>&ngsp;<span class="mono id" [title]="one.id">{{ tail(one.id) }}</span><span class="mut">&ngsp;{{ roomInWords(one.asked) }}</span></li>} @empty {<li class="mut">No instance is on it.</li>}</ul></div>
            <div class="keep"><b>{{ node.stage.message }}</b>{{ node.kept ? 'Stays: ' + node.kept.message : node.group ? 'Nothing keeps it.' : 'The hub takes no such nodes away.' }}@if (node.unneeded_since; as since) { Nobody needs it since <m-when [at]="since" [relative]="false" />.}
              @for (one of node.advice; track $index) {<p>Advised: {{ one.message }}</p>}
              <div class="na">@for (act of actsOf(node); track act) {<button type="button" class="btn txt q" (click)="asking.set({ id: node.id, act })">{{ acts[act] }}</button>}<a class="btn txt q" [routerLink]="[]" [queryParams]="{ open: node.id }" queryParamsHandling="merge">Explain</a></div></div>
          </article>
        }
      </div>
      <div class="under"><span>{{ counted(nodes().length, 'node') }} on this page</span><m-pager [after]="after()" [next]="read.value()?.next" first="From the start" more="More" /></div>
    } @else if (read.value()) {
      <div class="sheet">@if (filtered()) {<m-void title="No node is like that">The filters leave none.<button step type="button" class="btn" (click)="go({ group: null, stage: null, after: null })">Clear the filters</button></m-void>} @else {<m-void title="There is no node">The machine of each hub is one once the hub that plans has seen it. Models that run elsewhere need none.<a step class="btn" routerLink="/admin/health">Health of the hub</a></m-void>}</div>
    } @else if (read.loading()) {
      <div class="sheet" aria-busy="true">@for (n of [1, 2]; track n) {<div class="node"><div><i class="sk a"></i></div><div><i class="sk c"></i></div><div><i class="sk b"></i></div></div>}</div>
    }
    </div>
    @if (opened(); as id) {<m-node-drawer [id]="id" (closed)="go({ open: null })" (changed)="again()" />}
  </div>
  @if (asked(); as node) {<m-node-dialog [node]="node" [act]="asking()?.act ?? 'cordon'" (closed)="asking.set(null)" (done)="asking.set(null); again()" />}`,
})
export class NodesPage {
  readonly group = input([], { transform: asList });
  readonly stage = input([], { transform: asList });
  readonly after = input('', { transform: asText });
  readonly opened = input('', { transform: asText, alias: 'open' });
  protected readonly catalogue = inject(Catalogue);
  protected readonly go = queryChanger();
  protected readonly stages = STAGES;
  protected readonly marks = MARKS;
  protected readonly modes = MODES;
  protected readonly counted = counted;
  protected readonly tail = tail;
  protected readonly roomInWords = roomInWords;
  protected readonly styleOf = styleOf;
  protected readonly acts = ACTS;
  protected readonly actsOf = actsOf;
  protected readonly scalerHead = scalerHead;
  protected readonly scalerMark = scalerMark;
  protected readonly asking = signal<{ readonly id: string; readonly act: NodeAct } | null>(null);
  protected readonly read = read('/api/v1/nodes', () => ({ query: { group: [...this.group()], stage: [...this.stage()] as Node['stage']['name'][], limit: 200, ...(this.after() ? { after: this.after() } : {}) } }));
  protected readonly groups = read('/api/v1/node-groups', () => ({ quiet: true }));
  protected readonly scalers = read('/api/v1/autoscalers', () => ({ quiet: true }));
  protected readonly plan = read('/api/v1/plan', () => ({ query: { world: false }, quiet: true }));
  protected readonly nodes = computed(() => this.read.value()?.items ?? []);
  /** As it is now, not as it was when somebody asked. */
  protected readonly asked = computed(() => this.nodes().find(({ id }) => id === this.asking()?.id));
  protected readonly sum = computed(() => sumInWords(this.nodes()));
  protected readonly filtered = computed(() => this.group().length + this.stage().length > 0);
  protected readonly groupNames = computed<Option[]>(() => (this.groups.value()?.items ?? []).map(({ id }) => ({ value: id, label: id })));
  /** What is done, who waits and why, and what would be done: the first words of each are its kind. */
  protected readonly told = computed(() => {
    const words = this.plan.value()?.words;
    if (!words) return [];
    return [
      ...words.actions.map(({ message }) => ({ icon: 'right', head: 'Now', text: message })),
      ...words.held.map(({ model, message }) => ({ icon: 's-waiting', head: `${this.catalogue.title(model)} waits`, text: message })),
      ...words.advice.map(({ message }) => ({ icon: 'info', head: 'Advice', text: message })),
    ];
  });

  constructor() {
    follow(inject(Feed).nodes, [this.read, this.groups, this.plan, this.scalers]);
  }

  protected again(): void {
    for (const one of [this.read, this.groups, this.plan, this.scalers]) one.again();
  }

  protected meta(node: Node): string {
    const labels = Object.entries(node.labels).filter(([name]) => !name.includes('kubernetes.io/') || name.endsWith('/zone'));
    return [node.group ?? 'no group', ...labels.slice(0, 3).map(([name, value]) => `${name.replace(/^.*\//, '')} ${String(value)}`)].join(', ');
  }
}
