import { Component, inject, signal } from '@angular/core';
import { Router, RouterLink } from '@angular/router';

import { Api } from '../api/api';
import { Failure } from '../api/failure';
import { Icon } from '../ui/icon';
import { Toasts } from '../ui/toasts';
import { Void } from '../ui/void';
import { PasswordField } from './password-field';
import { errorsOf } from './rules';
import { takeSecret } from './secret';

/** Where the link in the mail leads to. */
@Component({
  selector: 'm-password-page',
  imports: [Icon, PasswordField, RouterLink, Void],
  template: `<div class="solo"><div class="in-solo">
    @if (!token) {
      <m-void title="This link has nothing in it">Open the whole link from the mail, or ask for another one.<a step class="btn pri" routerLink="/account/forgotten">Ask for a link</a></m-void>
    } @else {
      <h1>New password</h1><p class="lead">All sessions of the account end; sign in with the new one.</p>
      @if (failure(); as failure) {<div class="note f mb5" role="alert"><m-icon name="warn" /><span>{{ failure.detail }} @if (failure.kind === 'bad-link') {<a routerLink="/account/forgotten">Ask for another link</a>}</span></div>}
      <form (submit)="send($event)"><m-password-field class="full" label="New password" [value]="password()" (valueChange)="password.set($event)" [error]="error()" />
        <div class="full"><button class="btn pri big wide" [disabled]="busy()">Set the password</button></div></form>
    }
  </div></div>`,
})
export class PasswordPage {
  readonly #api = inject(Api);
  readonly #router = inject(Router);
  readonly #toasts = inject(Toasts);
  protected readonly token = takeSecret();
  protected readonly password = signal('');
  protected readonly busy = signal(false);
  protected readonly error = signal<string | undefined>(undefined);
  protected readonly failure = signal<Failure | null>(null);

  protected async send(event: Event): Promise<void> {
    event.preventDefault();
    this.busy.set(true);
    this.failure.set(null);
    this.error.set(undefined);
    try {
      await this.#api.post('/api/v1/password-resets/complete', { body: { token: this.token, password: this.password() } });
      this.#toasts.say('The password is set.');
      await this.#router.navigateByUrl('/sign-in');
    } catch (error) {
      const failure = Failure.of(error);
      this.error.set(errorsOf(failure).password);
      if (!this.error()) this.failure.set(failure);
    } finally {
      this.busy.set(false);
    }
  }
}
