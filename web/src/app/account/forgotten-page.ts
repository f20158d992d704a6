import { Component, inject, signal } from '@angular/core';
import { RouterLink } from '@angular/router';

import { Api } from '../api/api';
import { Failure } from '../api/failure';
import { Icon } from '../ui/icon';
import { Void } from '../ui/void';

@Component({
  selector: 'm-forgotten-page',
  imports: [Icon, RouterLink, Void],
  template: `<div class="solo"><div class="in-solo">
    @if (sent()) {
      <m-void title="Look at your mail">If there is an account with this address, a link to set a new password is on its way.<a step class="btn" routerLink="/sign-in">Sign in</a></m-void>
    } @else {
      <h1>Forgotten password</h1><p class="lead">You get a link to set a new one. Sessions that are open go on until then.</p>
      <form (submit)="send($event, box.value)">
        <div class="field full"><label for="email">Email of your account</label><input #box class="in" id="email" type="email" autocomplete="email" required />
          @if (failure(); as failure) {<p class="err" role="alert"><m-icon name="warn" /><span>{{ failure.kind === 'no-mail' ? 'This hub sends no mail. Ask an administrator for a link.' : failure.detail }}</span></p>}</div>
        <div class="full"><button class="btn pri big wide" [disabled]="busy()">Send the link</button></div>
      </form>
    }
  </div></div>`,
})
export class ForgottenPage {
  readonly #api = inject(Api);
  protected readonly busy = signal(false);
  protected readonly sent = signal(false);
  protected readonly failure = signal<Failure | null>(null);

  protected async send(event: Event, email: string): Promise<void> {
    event.preventDefault();
    this.busy.set(true);
    this.failure.set(null);
    try {
      await this.#api.post('/api/v1/password-resets', { body: { email } });
      this.sent.set(true);
    } catch (error) {
      this.failure.set(Failure.of(error));
    } finally {
      this.busy.set(false);
    }
  }
}
