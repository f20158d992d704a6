import { Component, computed, effect, inject, untracked } from '@angular/core';
import { RouterLink } from '@angular/router';

import type { Schemas } from '../api/api';
import { read } from '../api/read';
import { Clock } from '../ui/clock';
import { count, duration, tail } from '../ui/format';
import { Phase } from '../ui/phase';
import { Failed } from '../ui/void';
import { When } from '../ui/when';

type Check = Schemas['Check'];

const MARKS: { [state: string]: readonly [mark: string, said: string] } = { good: ['completed', 'good'], note: ['held', 'could be better'], broken: ['failed', 'broken'] };
const ORDER = ['broken', 'note', 'good'];
/** The hub looks itself at most so often. */
const EVERY = 15_000;

/** What the hub stands on, who serves, what is full, and when old things are cleared. */
@Component({
  selector: 'm-health-page',
  imports: [Failed, Phase, RouterLink, When],
  template: `<header class="head dup"><div class="ht"><h1>Health@if (read.value(); as hub) {<m-phase [is]="hub.good ? 'completed' : 'failed'" [said]="hub.good ? 'nothing is broken' : 'something is broken'" />}</h1>
      <p class="sub">@if (about.value(); as hub) {Muster {{ hub.version }}@if (hub.web_build; as build) {, web app <span class="mono">{{ build }}</span>}.{{ ' ' }}}@if (read.value(); as hub) {Looked at <m-when [at]="hub.checked_at" />.}</p></div></header>
    @if (read.failure(); as failure) {<m-failed [failure]="failure" (again)="read.again()" />}
    @if (read.value(); as hub) {
      <div class="tw cards"><table class="t compact"><thead><tr><th>What</th><th>State</th><th>In words</th></tr></thead><tbody>
        @for (one of checks(); track one.name) {<tr><td class="ttl">{{ one.name }}</td><td class="sta"><m-phase [is]="mark(one)[0]" [said]="mark(one)[1]" /></td><td class="wrap full anyw">{{ one.what }}</td></tr>}
      </tbody></table></div>
      <div class="cols2 mt3">
        <section class="sheet pad"><h3>In use</h3><div class="lines">
          @for (bar of bars(); track bar.what) {<div><div class="row"><span>@if (bar.to) {<a [routerLink]="bar.to">{{ bar.what }}</a>} @else {{{ bar.what }}}</span><span>{{ bar.said }}</span></div><svg class="gauge" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true"><rect class="g0" width="100" height="4" /><rect [attr.class]="bar.share > 0.9 ? 'g2' : 'g1'" [attr.width]="bar.share * 100" height="4" /></svg></div>}
        </div></section>
        <section class="sheet pad"><h3>Clearing</h3><dl class="kv">
          <dt>Runs</dt><dd>{{ hub.clearing.every_seconds == null ? 'only by the command muster clean' : 'every ' + duration(hub.clearing.every_seconds) }}</dd>
          <dt>Last</dt><dd>@if (hub.clearing.last; as last) {<m-when [at]="last.began_at" />{{ last.ended_at ? '' : ', under way or broken off' }}} @else {<span class="mut">never yet</span>}</dd>
          <dt>Next</dt><dd>@if (hub.clearing.next_at; as at) {<m-when [at]="at" />} @else {<span class="mut">not planned</span>}</dd>
          @for (one of kept(); track one.what) {<dt>{{ one.what }}</dt><dd>{{ one.said }}</dd>}
        </dl></section>
      </div>
      <div class="h2r"><h2>Servers</h2>@if (hub.servers; as all) {<span class="mut">{{ all.length === 1 ? 'one' : count(all.length) }}</span>}</div>
      @if (hub.servers; as all) {
        <div class="tw cards"><table class="t compact"><thead><tr><th>Server</th><th>What it does</th><th class="num">Started</th><th class="num">Seen</th></tr></thead><tbody>
          @for (one of all; track one.id) {<tr><td class="ttl"><span class="mono" [title]="one.id">{{ tail(one.id) }}</span></td><td data-l="What it does"><span class="v">{{ does(one) }}</span></td><td class="num" data-l="Started"><span class="v"><m-when [at]="one.started_at" /></span></td><td class="num" data-l="Seen"><span class="v" [class.bad]="isSilent(one)"><m-when [at]="one.seen_at" /></span></td></tr>}
        </tbody></table></div>
      } @else {<p class="mut">The database does not answer, so it is not known which servers there are.</p>}
    } @else if (read.loading()) {
      <div class="tw" aria-busy="true"><table class="t compact"><tbody>@for (n of [1, 2, 3, 4]; track n) {<tr><td><i class="sk b"></i></td><td><i class="sk d"></i></td><td><i class="sk a"></i></td></tr>}</tbody></table></div>
    }`,
})
export class HealthPage {
  readonly #clock = inject(Clock);
  protected readonly count = count;
  protected readonly duration = duration;
  protected readonly tail = tail;
  protected readonly about = read('/api/v1/hub', () => ({ quiet: true }));
  protected readonly read = read('/api/v1/hub/state', () => ({}));
  protected readonly checks = computed<readonly Check[]>(() => [...(this.read.value()?.checks ?? [])].sort((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state)));
  protected readonly bars = computed(() => {
    const hub = this.read.value();
    if (!hub) return [];
    const bar = (what: string, { now, most }: { now?: number | null; most: number }, to?: string) => ({ what, to, share: Math.min(1, (now ?? 0) / Math.max(1, most)), said: `${now == null ? 'unknown' : count(now)} of ${count(most)}` });
    return [bar('Instances', hub.instances, '/admin/instances'), bar('Pages and scripts that listen to this server', hub.event_streams)];
  });
  protected readonly kept = computed(() => {
    const clearing = this.read.value()?.clearing;
    if (!clearing) return [];
    const said = (seconds: number | null | undefined) => (seconds == null ? 'for ever' : duration(seconds));
    return [
      { what: 'Requests of accounts', said: said(clearing.account_seconds) },
      { what: 'Anonymous requests', said: said(clearing.anonymous_seconds) },
      { what: 'Known predictions', said: `${said(clearing.predictions_seconds)}${clearing.predictions_seconds == null ? '' : ' after their last use'}` },
      { what: 'Instances that ended', said: said(clearing.instances_seconds) },
    ];
  });

  constructor() {
    const turn = computed(() => Math.floor(this.#clock.now() / EVERY));
    let seen = turn();
    effect(() => {
      if (turn() === seen) return;
      seen = turn();
      untracked(() => this.read.again());
    });
  }

  protected mark(check: Check): readonly [string, string] {
    return MARKS[check.state] ?? ['ended', check.state];
  }

  protected does(server: Schemas['HubServer']): string {
    return [server.plans ? 'plans and clears' : 'serves', server.answers ? 'answered this' : ''].filter(Boolean).join(', ');
  }

  /** It says that it lives every second or so. */
  protected isSilent(server: Schemas['HubServer']): boolean {
    return untracked(this.#clock.now) - Date.parse(server.seen_at) > 30_000;
  }
}
