import { Component, computed, inject, signal } from '@angular/core';
import { Router, RouterLink } from '@angular/router';

import { Api } from '../api/api';
import { Failure } from '../api/failure';
import { read } from '../api/read';
import { Session } from '../session/session';
import { Code } from '../ui/code';
import { bytes, count, duration } from '../ui/format';
import { Toasts } from '../ui/toasts';
import { Failed, Void } from '../ui/void';
import { When } from '../ui/when';

const KINDS: { [kind: string]: string } = { cookie: 'browser', bearer: 'script or command line', token: 'API token' };

@Component({
  selector: 'm-account-page',
  imports: [Code, Failed, RouterLink, Void, When],
  template: `@if (!session.name()) {
      <div class="sheet"><m-void title="You are not signed in">Without an account your requests belong to this browser.<a step class="btn pri" routerLink="/sign-in">Sign in</a><a step class="btn" routerLink="/sign-up">Make an account</a></m-void></div>
    } @else {
      <header class="head big"><div class="ht"><h1>{{ me.value()?.first_name }} {{ me.value()?.last_name }}</h1><p class="sub">{{ session.name() }}@if (me.value(); as my) {, {{ my.email }}{{ my.email_verified ? '' : ' (not confirmed)' }}. Here since <m-when [at]="my.created_at" />.}</p></div>
        <div class="acts"><button type="button" class="btn" (click)="signOut()">Sign out</button></div></header>
      @if (me.failure(); as failure) {<m-failed [failure]="failure" (again)="me.again()" />}
      <div class="cols2">
        <section class="sheet pad"><h3>Limits</h3><div class="lines">
          @for (bar of bars(); track bar.what) {<div><div class="row"><span>{{ bar.what }}</span><span>{{ bar.said }}</span></div><svg class="gauge" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true"><rect class="g0" width="100" height="4" /><rect [attr.class]="bar.share > 0.9 ? 'g2' : 'g1'" [attr.width]="bar.share * 100" height="4" /></svg></div>}
        </div>@if (limits.value(); as my) {<p class="mut mt3">A new day begins in {{ duration(my.seconds_until_next_day) }} (midnight UTC).</p>}</section>
        <section class="sheet pad"><h3>Make an API token</h3><p class="mut">For scripts: it does what you may do, until you revoke it. It is shown once.</p>
          @if (made(); as token) {<m-code [text]="token" /><p class="mut mt">Send it as <span class="mono">Authorization: Bearer TOKEN</span>.</p>}
          <form class="two-f mt" (submit)="make($event, box)"><div class="field"><label for="token-name">Name</label><input #box class="in sm" id="token-name" required placeholder="notebook" /></div><button class="btn align-end">Make it</button></form>
          @if (failure(); as failure) {<p class="bad mt" role="alert">{{ failure.detail }}</p>}</section>
      </div>
      <div class="h2r"><h2>Sessions and tokens</h2></div>
      <div class="tw cards"><table class="t"><thead><tr><th>Kind</th><th>Name</th><th>Made</th><th>Last used</th><th>Ends</th><th><span class="vh">Actions</span></th></tr></thead><tbody>
        @for (one of all(); track one.id) {
          <tr><td class="ttl">{{ kinds[one.kind] ?? one.kind }}{{ one.current ? ', this one' : '' }}</td><td data-l="Name"><span class="v">{{ one.name || '–' }}</span></td><td data-l="Made"><m-when [at]="one.created_at" /></td><td data-l="Last used"><m-when [at]="one.seen_at" /></td><td data-l="Ends"><m-when [at]="one.expires_at" /></td>
            <td class="r">@if (!one.current) {<button type="button" class="btn txt" (click)="end(one)">{{ one.kind === 'token' ? 'Revoke' : 'End' }}</button>}</td></tr>
        } @empty {<tr><td colspan="6"><i class="sk a"></i></td></tr>}
      </tbody></table></div>
    }`,
})
export class AccountPage {
  protected readonly session = inject(Session);
  readonly #api = inject(Api);
  readonly #router = inject(Router);
  readonly #toasts = inject(Toasts);
  protected readonly kinds = KINDS;
  protected readonly duration = duration;
  protected readonly me = read('/api/v1/me', () => (this.session.name() ? {} : undefined));
  protected readonly limits = read('/api/v1/me/limits', () => (this.session.name() ? {} : undefined));
  readonly #sessions = read('/api/v1/me/sessions', () => (this.session.name() ? {} : undefined));
  readonly #tokens = read('/api/v1/me/tokens', () => (this.session.name() ? {} : undefined));
  protected readonly all = computed(() => {
    const found = [...(this.#sessions.value()?.items ?? []), ...(this.#tokens.value()?.items ?? [])];
    return found.filter((one, at) => found.findIndex((other) => other.id === one.id) === at);
  });
  protected readonly made = signal<string | null>(null);
  protected readonly failure = signal<Failure | null>(null);
  protected readonly bars = computed(() => {
    const my = this.limits.value();
    if (!my) return [];
    const bar = (what: string, used: number, most: number, said: (n: number) => string) => ({ what, share: Math.min(1, used / Math.max(1, most)), said: `${said(used)} of ${said(most)}` });
    return [
      bar('Requests that wait', my.used.waiting_requests, my.limits.waiting_requests, count),
      bar('Inputs that wait', my.used.waiting_inputs, my.limits.waiting_inputs, count),
      bar('Inputs today', my.used.day_inputs, my.limits.day_inputs, count),
      bar('Stored', my.used.bytes, my.limits.bytes, bytes),
    ];
  });

  protected async signOut(): Promise<void> {
    await this.#try(() => this.session.signOut());
    await this.#router.navigateByUrl('/');
  }

  protected async make(event: Event, box: HTMLInputElement): Promise<void> {
    event.preventDefault();
    await this.#try(async () => {
      const made = await this.#api.post('/api/v1/me/tokens', { body: { name: box.value } });
      this.made.set(made.token);
      box.value = '';
      this.#tokens.again();
    });
  }

  protected async end(one: { id: string; kind: string }): Promise<void> {
    await this.#try(async () => {
      if (one.kind === 'token') await this.#api.post('/api/v1/me/tokens/{id}/revoke', { path: { id: one.id } });
      else await this.#api.post('/api/v1/me/sessions/{id}/end', { path: { id: one.id } });
      this.#toasts.say(one.kind === 'token' ? 'The token is revoked.' : 'The session is over.');
      this.#sessions.again();
      this.#tokens.again();
    });
  }

  async #try(work: () => Promise<void>): Promise<void> {
    this.failure.set(null);
    try {
      await work();
    } catch (error) {
      this.failure.set(Failure.of(error));
    }
  }
}
