import { Component, computed, input } from '@angular/core';
import { RouterLink } from '@angular/router';

import { read } from '../api/read';
import { counted, tail } from '../ui/format';
import { Pager } from '../ui/pager';
import { asText } from '../ui/query';
import { Failed, Void } from '../ui/void';
import { When } from '../ui/when';

/** What administrators did, the newest first. */
@Component({
  selector: 'm-audit-page',
  imports: [Failed, Pager, RouterLink, Void, When],
  template: `<header class="head dup"><div class="ht"><h1>Audit</h1><p class="sub">What administrators did, to whom, and when.</p></div></header>
    @if (read.failure(); as failure) {<m-failed [failure]="failure" (again)="read.again()" />}
    @if (rows().length > 0) {
      <div class="tw cards"><table class="t compact"><thead><tr><th class="num">When</th><th>What</th><th>Who</th><th>To whom</th><th>In words</th></tr></thead><tbody>
        @for (one of rows(); track one.id) {
          <tr><td class="num" data-l="When"><span class="v"><m-when [at]="one.at" [relative]="false" /></span></td>
            <td class="ttl mono">{{ one.action }}</td>
            <td data-l="Who"><span class="v">@if (one.actor; as id) {<a class="mono" routerLink="/admin/users" [queryParams]="{ open: id }">{{ tail(id) }}</a>} @else {<span class="mut">the server’s console</span>}</span></td>
            <td data-l="To whom"><span class="v">@if (one.subject; as id) {<a class="mono" routerLink="/admin/users" [queryParams]="{ open: id }">{{ tail(id) }}</a>} @else {<span class="z">–</span>}</span></td>
            <td class="wrap full anyw">@if (one.detail.length > long) {<details><summary>{{ one.detail.slice(0, long) }}…</summary>{{ one.detail }}</details>} @else {{{ one.detail }}}</td></tr>
        }
      </tbody></table></div>
      <div class="under"><span>{{ counted(rows().length, 'entry', 'entries') }} on this page</span><m-pager [after]="after()" [next]="read.value()?.next" /></div>
    } @else if (read.value()) {
      <div class="sheet"><m-void title="Nothing was done yet">Grants, stops, edits of models and the like are written down here, with who did them.<a step class="btn" routerLink="/admin/users">Users</a></m-void></div>
    } @else if (read.loading()) {
      <div class="tw" aria-busy="true"><table class="t compact"><tbody>@for (n of [1, 2, 3, 4, 5]; track n) {<tr><td><i class="sk d"></i></td><td><i class="sk b"></i></td><td><i class="sk a"></i></td></tr>}</tbody></table></div>
    }`,
})
export class AuditPage {
  readonly after = input('', { transform: asText });
  protected readonly counted = counted;
  protected readonly tail = tail;
  /** Longer ones are folded. */
  protected readonly long = 120;
  protected readonly read = read('/api/v1/audit', () => ({ query: { after: this.after() } }));
  protected readonly rows = computed(() => this.read.value()?.items ?? []);
}
