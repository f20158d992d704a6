import { Component, computed, input } from '@angular/core';
import { RouterLink } from '@angular/router';

import type { Schemas } from '../api/api';
import { read } from '../api/read';
import { Choice, type Option } from '../ui/choice';
import { count, counted } from '../ui/format';
import { Icon } from '../ui/icon';
import { Pager } from '../ui/pager';
import { Phase } from '../ui/phase';
import { asText, queryChanger } from '../ui/query';
import { Failed, Void } from '../ui/void';
import { When } from '../ui/when';
import { UserDrawer } from './user-drawer';

const PERMISSIONS = ['ADMIN', 'MODEL_EDITOR'];
const HOLDING: Option[] = [{ value: '', label: 'any' }, ...PERMISSIONS.map((value) => ({ value, label: value }))];
const STATES: Option[] = [
  { value: '', label: 'any' },
  { value: 'no', label: 'active' },
  { value: 'yes', label: 'disabled' },
];

/** Accounts, the oldest first. */
@Component({
  selector: 'm-users-page',
  imports: [Choice, Failed, Icon, Pager, Phase, RouterLink, UserDrawer, Void, When],
  template: `<div [class.split]="opened()"><div>
    <header class="head dup"><div class="ht"><h1>Users</h1><p class="sub">People with an account. Anonymous sessions are in the statistics.</p></div></header>
    <div class="bar">
      <label class="ctl inp"><m-icon name="search" /><input #search type="search" placeholder="Name or address" aria-label="Search the users" [value]="q()" (input)="look(search.value)" /></label>
      <m-choice label="Permission" [options]="holding" [value]="permission()" (valueChange)="go({ permission: $event, after: null })" />
      <m-choice label="State" [options]="states" [value]="disabled()" (valueChange)="go({ disabled: $event, after: null })" />
      @if (filtered()) {<button type="button" class="btn txt" (click)="clear()">Clear</button>}
    </div>
    @if (read.failure(); as failure) {<m-failed [failure]="failure" (again)="read.again()" />}
    @if (rows().length > 0) {
      <div class="tw cards"><table class="t compact"><thead><tr><th>User</th><th>Name</th><th class="p2">Address</th><th>State</th><th>Permissions</th><th class="num">Requests</th><th class="num">Last use</th><th class="num p3">Since</th></tr></thead><tbody>
        @for (one of rows(); track one.id) {
          <tr [class.on]="opened() === one.id"><td class="ttl"><a class="tx" [routerLink]="[]" [queryParams]="{ open: one.id }" queryParamsHandling="merge">{{ one.name }}</a></td>
            <td data-l="Name"><span class="v">{{ one.first_name }} {{ one.last_name }}</span></td>
            <td class="p2 full"><span class="v">{{ one.email }}@if (!one.email_verified) {<span class="mut"> not confirmed</span>}</span></td>
            <td class="sta"><m-phase [is]="one.disabled ? 'disabled' : 'ready'" [said]="one.disabled ? 'disabled' : 'active'" /></td>
            <td [class.nil]="one.permissions.length === 0" data-l="Permissions"><span class="v mono" [class.z]="one.permissions.length === 0">{{ one.permissions.join(', ') || '–' }}</span></td>
            <td class="num" data-l="Requests"><span class="v">@if (one.requests > 0) {<a class="tx" routerLink="/admin/requests" [queryParams]="{ person: 'u:' + one.id }">{{ count(one.requests) }}</a>} @else {<span class="z">0</span>}</span></td>
            <td class="num" data-l="Last use"><span class="v">@if (one.last_used_at; as at) {<m-when [at]="at" />} @else {<span class="z">–</span>}</span></td>
            <td class="num p3" data-l="Since"><span class="v"><m-when [at]="one.created_at" [relative]="false" /></span></td></tr>
        }
      </tbody></table></div>
      <div class="under"><span>{{ counted(rows().length, 'user') }} on this page</span><m-pager [after]="after()" [next]="read.value()?.next" first="From the start" more="More" /></div>
    } @else if (read.value()) {
      <div class="sheet"><m-void title="No user is like that">{{ q() ? 'No name or address has “' + q() + '” in it' : 'The filters leave none' }}{{ q() && (permission() || disabled()) ? ', with these filters.' : '.' }}<button step type="button" class="btn" (click)="clear()">Clear the filters</button></m-void></div>
    } @else if (read.loading()) {
      <div class="tw" aria-busy="true"><table class="t compact"><tbody>@for (n of [1, 2, 3]; track n) {<tr><td><i class="sk a"></i></td><td><i class="sk b"></i></td><td class="num"><i class="sk d"></i></td></tr>}</tbody></table></div>
    }
    </div>@if (opened(); as id) {<m-user-drawer [id]="id" (closed)="go({ open: null })" (changed)="read.again()" />}
  </div>`,
})
export class UsersPage {
  readonly q = input('', { transform: asText });
  readonly permission = input('', { transform: asText });
  readonly disabled = input('', { transform: asText });
  readonly after = input('', { transform: asText });
  readonly opened = input('', { transform: asText, alias: 'open' });
  protected readonly go = queryChanger();
  protected readonly holding = HOLDING;
  protected readonly states = STATES;
  protected readonly count = count;
  protected readonly counted = counted;
  protected readonly read = read('/api/v1/users', () => ({
    query: { search: this.q(), permission: this.permission(), ...(this.disabled() ? { disabled: this.disabled() === 'yes' } : {}), after: this.after() },
  }));
  protected readonly rows = computed<readonly Schemas['User'][]>(() => this.read.value()?.items ?? []);
  protected readonly filtered = computed(() => !!(this.q() || this.permission() || this.disabled()));
  #later: ReturnType<typeof setTimeout> | undefined;

  /** The hub is asked when the typing rests. */
  protected look(text: string): void {
    clearTimeout(this.#later);
    this.#later = setTimeout(() => this.go({ q: text, after: null }, true), 200);
  }

  protected clear(): void {
    clearTimeout(this.#later);
    this.go({ q: null, permission: null, disabled: null, after: null });
  }
}
