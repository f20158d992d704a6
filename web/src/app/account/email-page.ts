import { Component, inject, input, signal } from '@angular/core';
import { RouterLink } from '@angular/router';

import { Api } from '../api/api';
import { Failure } from '../api/failure';
import { asText } from '../ui/query';
import { Void } from '../ui/void';
import { takeSecret } from './secret';

/** Confirms an address, or sends the link for it again. */
@Component({
  selector: 'm-email-page',
  imports: [RouterLink, Void],
  template: `<div class="solo"><div class="in-solo">
    @if (state() === 'confirmed') {<m-void title="The address is confirmed">You can sign in now.<a step class="btn pri" routerLink="/sign-in">Sign in</a></m-void>}
    @else if (state() === 'sent') {<m-void title="Look at your mail">If there is an account that waits for it, a link is on its way.</m-void>}
    @else if (state() === 'asked') {<m-void title="One moment">The address is being confirmed.</m-void>}
    @else {
      <h1>Confirm your address</h1><p class="lead">{{ failure()?.detail ?? 'Another link is sent to the address of your account.' }}</p>
      <form (submit)="again($event, box.value)"><div class="field full"><label for="who">User name</label><input #box class="in" id="who" autocomplete="username" required [value]="name()" /></div>
        <div class="full"><button class="btn pri big wide">Send the link</button></div></form>
    }
  </div></div>`,
})
export class EmailPage {
  readonly name = input('', { transform: asText });
  readonly #api = inject(Api);
  protected readonly state = signal<'' | 'asked' | 'confirmed' | 'sent'>('');
  protected readonly failure = signal<Failure | null>(null);

  constructor() {
    const token = takeSecret();
    if (!token) return;
    this.state.set('asked');
    this.#api.post('/api/v1/email-verifications/complete', { body: { token } }).then(
      () => this.state.set('confirmed'),
      (error: unknown) => {
        this.failure.set(Failure.of(error));
        this.state.set('');
      },
    );
  }

  protected async again(event: Event, name: string): Promise<void> {
    event.preventDefault();
    try {
      await this.#api.post('/api/v1/email-verifications', { body: { name } });
      this.state.set('sent');
    } catch (error) {
      this.failure.set(Failure.of(error));
    }
  }
}
