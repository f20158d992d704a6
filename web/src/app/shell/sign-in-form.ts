import { Component, computed, inject, output, signal } from '@angular/core';
import { RouterLink } from '@angular/router';

import { Failure } from '../api/failure';
import { Session } from '../session/session';
import { Clock } from '../ui/clock';
import { duration } from '../ui/format';
import { Icon } from '../ui/icon';

/** Plain HTTP away from this machine: browsers do not keep the session's cookie. */
export const CANNOT_KEEP = !globalThis.isSecureContext;

/** User name and password, on a page of their own and over a page whose session ended. */
@Component({
  selector: 'm-sign-in-form',
  imports: [Icon, RouterLink],
  template: `@if (cannotKeep) {
      <div class="note w" role="alert"><m-icon name="warn" /><span><b class="strong">Signing in cannot work here.</b>
        The hub was opened over plain HTTP, and browsers keep its session only over HTTPS. Open it with https://, on its own
        machine as http://localhost, or use an API token with the command line.</span></div>
    }
    <form (submit)="send($event)">
      <div class="field full"><label for="si-name">User name</label>
        <input id="si-name" class="in" name="username" autocomplete="username" autocapitalize="none" spellcheck="false" required [value]="name()" (input)="name.set(value($event))" />
      </div>
      <div class="field full"><label for="si-password">Password</label>
        <input id="si-password" class="in" type="password" name="password" autocomplete="current-password" required (input)="password.set(value($event))" [attr.aria-invalid]="failure() ? true : null" aria-describedby="si-error" />
        @if (failure(); as failure) {
          <p class="err" id="si-error" role="alert"><m-icon name="warn" /><span>{{ said(failure) }}
            @if (failure.kind === 'email-not-verified') {<a routerLink="/account/email" [queryParams]="{ name: name() }">Send it again</a>}</span></p>
        }
      </div>
      <div class="end full">
        <a class="left" routerLink="/account/forgotten" (click)="left.emit()">Forgotten?</a>
        <ng-content />
        <button class="btn pri" [disabled]="busy() || wait() > 0">{{ wait() > 0 ? 'Wait ' + wait() + ' s' : 'Sign in' }}</button>
      </div>
    </form>`,
})
export class SignInForm {
  readonly #session = inject(Session);
  readonly #clock = inject(Clock);
  /** Signed in. */
  readonly done = output();
  /** Went to another page. */
  readonly left = output();
  protected readonly cannotKeep = CANNOT_KEEP;
  protected readonly name = signal(this.#session.name() ?? '');
  protected readonly password = signal('');
  protected readonly busy = signal(false);
  protected readonly failure = signal<Failure | null>(null);
  readonly #until = signal(0);
  protected readonly wait = computed(() => Math.max(0, Math.ceil((this.#until() - this.#clock.now()) / 1000)));

  protected value(event: Event): string {
    return (event.target as HTMLInputElement).value;
  }

  protected said(failure: Failure): string {
    if (failure.kind === 'wrong-login') return 'User name or password is wrong.';
    if (failure.kind === 'too-many-tries') return `There were too many failed tries. Try again in ${duration(this.wait())}.`;
    if (failure.kind === 'email-not-verified') return 'The address is not confirmed yet: open the link in the mail that was sent to you.';
    return failure.detail;
  }

  protected async send(event: Event): Promise<void> {
    event.preventDefault();
    this.busy.set(true);
    this.failure.set(null);
    try {
      await this.#session.signIn(this.name(), this.password());
      this.done.emit();
    } catch (error) {
      const failure = Failure.of(error);
      this.failure.set(failure);
      if (failure.retryAfter) this.#until.set(this.#clock.now() + failure.retryAfter * 1000);
    } finally {
      this.busy.set(false);
    }
  }
}
