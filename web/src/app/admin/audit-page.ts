import { Component, computed, inject, input, untracked } from '@angular/core';
import { RouterLink } from '@angular/router';

import type { Schemas } from '../api/api';
import { read } from '../api/read';
import { Choice, type Option } from '../ui/choice';
import { Clock } from '../ui/clock';
import { resolve } from '../ui/days';
import { DaysChoice } from '../ui/days-choice';
import { counted, tail } from '../ui/format';
import { Pager } from '../ui/pager';
import { asText, queryChanger } from '../ui/query';
import { Failed, Void } from '../ui/void';
import { When } from '../ui/when';

/** As entries name them: what the hub adds is missing here until it stands here. */
const NAMED: { readonly [action in Schemas['AuditEntry']['action']]: true } = {
  create: true,
  grant: true,
  revoke: true,
  disable: true,
  enable: true,
  'end-sessions': true,
  'reset-link': true,
  delete: true,
  'cancel-request': true,
  'front-request': true,
  'requeue-request': true,
  'stop-instance': true,
  'create-model': true,
  'edit-model': true,
  'enable-model': true,
  'disable-model': true,
  'delete-model': true,
  'clear-cache': true,
  'push-model': true,
  'publish-model': true,
  'roll-back-model': true,
  'cordon-node': true,
  'drain-node': true,
  'uncordon-node': true,
  clean: true,
};
const ACTIONS = Object.keys(NAMED);

/** What administrators did, the newest first. */
@Component({
  selector: 'm-audit-page',
  imports: [Choice, DaysChoice, Failed, Pager, RouterLink, Void, When],
  template: `<header class="head dup"><div class="ht"><h1>Audit</h1><p class="sub">What administrators did, to whom, and when.</p></div></header>
    <div class="bar">
      <m-choice label="What" [options]="actions()" [value]="action()" (valueChange)="filter({ action: $event })" />
      <m-choice label="Who" [options]="actors()" [value]="actor()" (valueChange)="filter({ actor: $event })" />
      <m-choice label="To whom" [options]="subjects()" [value]="subject()" (valueChange)="filter({ subject: $event })" />
      <m-days-choice label="Days" [value]="days()" (valueChange)="filter({ days: $event })" />
      @if (filtered()) {<button type="button" class="btn txt" (click)="clear()">Clear</button>}
    </div>
    @if (read.failure(); as failure) {<m-failed [failure]="failure" (again)="read.again()" />}
    @if (rows().length > 0) {
      <div class="tw cards"><table class="t compact"><thead><tr><th class="num">When</th><th>What</th><th>Who</th><th>To whom</th><th>In words</th></tr></thead><tbody>
        @for (one of rows(); track one.id) {
          <tr><td class="num" data-l="When"><span class="v"><m-when [at]="one.at" [relative]="false" /></span></td>
            <td class="ttl mono">{{ one.action }}</td>
            <td data-l="Who"><span class="v">@if (one.actor; as id) {<a [class.mono]="!one.actor_name" routerLink="/admin/users" [queryParams]="{ open: id }">{{ one.actor_name ?? tail(id) }}</a>} @else {<span class="mut">the console</span>}</span></td>
            <td data-l="To whom"><span class="v">@if (one.subject; as id) {<a [class.mono]="!one.subject_name" routerLink="/admin/users" [queryParams]="{ open: id }">{{ one.subject_name ?? tail(id) }}</a>} @else {<span class="z">–</span>}</span></td>
            <td class="wrap full anyw">@if (one.detail.length > long) {<details><summary>{{ one.detail.slice(0, long) }}…</summary>{{ one.detail }}</details>} @else {{{ one.detail }}}</td></tr>
        }
      </tbody></table></div>
      <div class="under"><span>{{ counted(rows().length, 'entry', 'entries') }} on this page</span><m-pager [after]="after()" [next]="read.value()?.next" /></div>
    } @else if (read.value()) {
      <div class="sheet">@if (filtered()) {<m-void title="Nothing like that was done">The filters leave no entry.<button step type="button" class="btn" (click)="clear()">Clear the filters</button></m-void>} @else {<m-void title="Nothing was done yet">Grants, stops, edits of models and the like are written down here, with who did them.<a step class="btn" routerLink="/admin/users">Users</a></m-void>}</div>
    } @else if (read.loading()) {
      <div class="tw" aria-busy="true"><table class="t compact"><tbody>@for (n of [1, 2, 3, 4, 5]; track n) {<tr><td><i class="sk d"></i></td><td><i class="sk b"></i></td><td><i class="sk a"></i></td></tr>}</tbody></table></div>
    }`,
})
export class AuditPage {
  readonly action = input('', { transform: asText });
  readonly actor = input('', { transform: asText });
  readonly subject = input('', { transform: asText });
  readonly days = input('', { transform: asText });
  readonly after = input('', { transform: asText });
  readonly #clock = inject(Clock);
  readonly #go = queryChanger();
  protected readonly counted = counted;
  protected readonly tail = tail;
  /** Longer ones are folded. */
  protected readonly long = 120;
  protected readonly read = read('/api/v1/audit', () => ({ query: { action: this.action(), actor: this.actor(), subject: this.subject(), ...resolve(this.days(), untracked(this.#clock.now)), after: this.after() } }));
  readonly #users = read('/api/v1/users', () => ({ query: { limit: 200 }, quiet: true }));
  protected readonly rows = computed(() => this.read.value()?.items ?? []);
  protected readonly filtered = computed(() => !!(this.action() || this.actor() || this.subject() || this.days()));
  protected readonly actions = computed(() => options(ACTIONS.map((value) => ({ value, label: value })), this.action()));
  readonly #accounts = computed<Option[]>(() => (this.#users.value()?.items ?? []).map((one) => ({ value: one.id, label: one.name })));
  protected readonly actors = computed(() => options(this.#accounts(), this.actor()));
  protected readonly subjects = computed(() => options(this.#accounts(), this.subject()));

  protected filter(change: { [name: string]: string }): void {
    this.#go({ ...change, after: null });
  }

  protected clear(): void {
    this.#go({ action: null, actor: null, subject: null, days: null, after: null });
  }
}

/** With what is chosen, also if it is not among them: an account that was deleted. */
function options(all: readonly Option[], chosen: string): Option[] {
  const known = !chosen || all.some((one) => one.value === chosen);
  return [{ value: '', label: 'any' }, ...all, ...(known ? [] : [{ value: chosen, label: tail(chosen) }])];
}
