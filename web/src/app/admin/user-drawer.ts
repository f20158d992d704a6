import { Component, computed, effect, inject, input, output, signal, untracked } from '@angular/core';
import { RouterLink } from '@angular/router';

import { Api, type Schemas } from '../api/api';
import { Failure } from '../api/failure';
import { read } from '../api/read';
import { Session } from '../session/session';
import { Code } from '../ui/code';
import { Dialog } from '../ui/dialog';
import { Drawer } from '../ui/drawer';
import { counted, duration } from '../ui/format';
import { Phase } from '../ui/phase';
import { Toasts } from '../ui/toasts';
import { Failed } from '../ui/void';
import { When } from '../ui/when';
import { Typed } from './typed';

type Act = 'grant' | 'revoke' | 'disable' | 'enable' | 'end' | 'link' | 'delete';

type Permission = Schemas['PermissionChange']['permission'];

const PERMISSIONS: readonly { name: Permission; what: string }[] = [
  { name: 'ADMIN', what: 'sees everybody’s requests, instances and users, and changes them' },
  { name: 'MODEL_EDITOR', what: 'adds, edits and disables models' },
];
const KINDS: { [kind: string]: string } = { cookie: 'browser', bearer: 'script or command line', token: 'API token' };

/** An account beside the table: what it may do, its sessions, and what can be done to it. */
@Component({
  selector: 'm-user-drawer',
  imports: [Code, Dialog, Drawer, Failed, Phase, RouterLink, Typed, When],
  template: `<m-drawer [title]="read.value()?.name ?? ''" [id]="id()" (closed)="closed.emit()">
    @if (read.failure(); as failure) {@if (failure.status === 404) {<p class="mt3 mut">There is no such account. It may have been deleted.</p>} @else {<m-failed [failure]="failure" (again)="read.again()" />}}
    @if (read.value(); as user) {
      <div class="bar mt3"><m-phase [is]="user.disabled ? 'disabled' : 'ready'" [said]="user.disabled ? 'disabled' : 'active'" />
        <div class="end">@if (user.disabled) {<button type="button" class="btn" [disabled]="busy()" (click)="act('enable')">Enable</button>} @else {<button type="button" class="btn danger" (click)="asked.set('disable')">Disable…</button>}</div></div>
      @if (failure() && !asked()) {<p class="bad" role="alert">{{ failure()?.detail }}</p>}
      <div class="sec"><h3>Facts</h3><dl class="kv">
        <dt>Name</dt><dd>{{ user.first_name }} {{ user.last_name }}</dd>
        <dt>Address</dt><dd>{{ user.email }}{{ user.email_verified ? '' : ', not confirmed' }}</dd>
        <dt>Since</dt><dd><m-when [at]="user.created_at" [relative]="false" /></dd>
        <dt>Last use</dt><dd>@if (user.last_used_at; as at) {<m-when [at]="at" />} @else {<span class="mut">never, or forgotten by now</span>}</dd>
        <dt>See</dt><dd><a routerLink="/admin/requests" [queryParams]="{ person: 'u:' + user.id }">{{ counted(user.requests, 'request') }}</a>, <a routerLink="/admin/statistics" [queryParams]="{ person: 'u:' + user.id }">statistics</a>, <a routerLink="/admin/audit" [queryParams]="{ subject: user.id }">audit</a></dd>
      </dl></div>
      <div class="sec"><h3>Permissions</h3><div class="perms">
        @for (one of permissions; track one.name) {
          <div><b class="mono">{{ one.name }}</b><p class="mut">{{ one.what }}</p>@if (user.permissions.includes(one.name)) {<button type="button" class="btn" [attr.aria-label]="'Revoke ' + one.name" (click)="ask('revoke', one.name)">Revoke…</button>} @else {<button type="button" class="btn" [attr.aria-label]="'Grant ' + one.name" (click)="ask('grant', one.name)">Grant…</button>}</div>
        }
      </div></div>
      <div class="sec"><h3>Sessions and tokens<span>{{ sessions.value()?.items?.length ?? '' }}</span>@if (sessions.value()?.items?.length) {<button type="button" class="link end" (click)="asked.set('end')">End all…</button>}</h3>
        @if (sessions.failure(); as failure) {<m-failed [failure]="failure" (again)="sessions.again()" />}
        <div class="ev">@for (one of sessions.value()?.items ?? []; track one.id) {<div><div class="eh"><b>{{ kinds[one.kind] ?? one.kind }}</b><span class="mut">{{ one.name }}</span><span class="end">used <m-when [at]="one.seen_at" /></span></div><p class="mut">made <m-when [at]="one.created_at" />, ends <m-when [at]="one.expires_at" /></p></div>} @empty {<div class="mut">{{ sessions.value() ? 'None.' : '' }}</div>}</div></div>
      <div class="sec"><h3>Lost password</h3>
        @if (link(); as made) {<p class="mut">For {{ user.first_name }} and nobody else. It works once, within {{ duration(made.valid_seconds) }}, and is shown only now.</p><m-code [text]="made.link" />}
        @else {<button type="button" class="btn" [disabled]="busy()" (click)="act('link')">Make a reset link</button>}</div>
      @if (user.name !== session.name()) {<div class="sec"><button type="button" class="btn danger" (click)="asked.set('delete')">Delete the account…</button></div>}
    } @else if (!read.failure()) {<p class="mt3"><i class="sk a"></i></p>}
  </m-drawer>
  @if (read.value(); as user) {
    @switch (asked()) {
      @case ('delete') {<m-typed label="Delete an account" [head]="'Delete ' + user.name + '?'" [word]="user.name" what="the user name" action="Delete account" [busy]="busy()" [failure]="failure()" (closed)="close()" (confirmed)="act('delete')">The account, its sessions, its requests and their results go. Figures of the statistics stay.</m-typed>}
      @case (null) {}
      @default {
        <m-dialog [label]="words().head" (closed)="close()"><h2>{{ words().head }}</h2><p class="lead">{{ words().what }}</p>
          @if (failure(); as failure) {<p class="bad" role="alert">{{ failure.detail }}</p>}
          <div class="end"><button type="button" class="btn" autofocus (click)="close()">Cancel</button><button type="button" class="btn danger fill" [disabled]="busy()" (click)="act(asked()!)">{{ words().action }}</button></div></m-dialog>
      }
    }
  }`,
})
export class UserDrawer {
  readonly id = input.required<string>();
  readonly closed = output();
  readonly changed = output();
  readonly #api = inject(Api);
  readonly #toasts = inject(Toasts);
  protected readonly session = inject(Session);
  protected readonly permissions = PERMISSIONS;
  protected readonly kinds = KINDS;
  protected readonly counted = counted;
  protected readonly duration = duration;
  protected readonly read = read('/api/v1/users/{id}', () => ({ path: { id: this.id() } }));
  protected readonly sessions = read('/api/v1/users/{id}/sessions', () => ({ path: { id: this.id() }, quiet: true }));
  protected readonly asked = signal<Act | null>(null);
  protected readonly permission = signal<Permission>('ADMIN');
  protected readonly busy = signal(false);
  protected readonly failure = signal<Failure | null>(null);
  protected readonly link = signal<Schemas['ResetLink'] | null>(null);
  protected readonly words = computed(() => {
    const name = this.read.value()?.name ?? '';
    const permission = this.permission();
    const what = PERMISSIONS.find((one) => one.name === permission)?.what ?? '';
    switch (this.asked()) {
      case 'grant': return { head: `Grant ${permission} to ${name}?`, what: `Who has it ${what}.`, action: 'Grant' };
      case 'revoke': return { head: `Revoke ${permission} of ${name}?`, what: 'It holds at once, in all sessions.', action: 'Revoke' };
      case 'disable': return { head: `Disable ${name}?`, what: 'Their sessions and API tokens end, and they cannot sign in. Their requests go on.', action: 'Disable' };
      default: return { head: `End all sessions of ${name}?`, what: 'Browsers, scripts and API tokens are signed out. They can sign in again.', action: 'End all' };
    }
  });

  constructor() {
    effect(() => {
      this.id();
      untracked(() => {
        this.link.set(null);
        this.close();
      });
    });
  }

  protected ask(act: 'grant' | 'revoke', permission: Permission): void {
    this.permission.set(permission);
    this.asked.set(act);
  }

  protected close(): void {
    this.asked.set(null);
    this.failure.set(null);
  }

  protected async act(act: Act): Promise<void> {
    this.busy.set(true);
    this.failure.set(null);
    try {
      const said = await this.#do(act);
      this.close();
      if (said) this.#toasts.say(said);
      if (act === 'delete') this.closed.emit();
      else [this.read, this.sessions].forEach((one) => one.again());
      this.changed.emit();
    } catch (error) {
      this.failure.set(Failure.of(error));
    } finally {
      this.busy.set(false);
    }
  }

  async #do(act: Act): Promise<string> {
    const path = { id: this.id() };
    const body = { permission: this.permission() };
    switch (act) {
      case 'grant': await this.#api.post('/api/v1/users/{id}/grant', { path, body }); return `${body.permission} is granted.`;
      case 'revoke': await this.#api.post('/api/v1/users/{id}/revoke', { path, body }); return `${body.permission} is revoked.`;
      case 'disable': await this.#api.post('/api/v1/users/{id}/disable', { path }); return 'The account is disabled.';
      case 'enable': await this.#api.post('/api/v1/users/{id}/enable', { path }); return 'The account is enabled.';
      case 'end': await this.#api.post('/api/v1/users/{id}/end-sessions', { path }); return 'All sessions are over.';
      case 'delete': await this.#api.post('/api/v1/users/{id}/delete', { path }); return 'The account is deleted.';
      case 'link': this.link.set(await this.#api.post('/api/v1/users/{id}/reset-link', { path })); return '';
    }
  }
}
