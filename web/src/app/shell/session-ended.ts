import { Component, computed, inject, input } from '@angular/core';

import { absolute } from '../api/place';
import { Session } from '../session/session';
import type { Reason } from '../session/keeper';
import { Dialog } from '../ui/dialog';
import { SignInForm } from './sign-in-form';

const WHY: Record<Reason, string> = {
  idle: 'It was not used for a long time.',
  lifetime: 'Sessions end after some time, also when they are used.',
  revoked: 'It was ended: by you elsewhere, by a new password, or by an administrator.',
  'signed-out': 'You signed out in another window.',
  none: 'The browser has forgotten it, or somebody signed out in another window.',
};

/** Lies over the page, which stays as it is: what was not sent yet is sent after signing in. */
@Component({
  selector: 'm-session-ended',
  imports: [Dialog, SignInForm],
  template: `<m-dialog label="Your session ended" [stays]="true">
    <h2>Your session ended</h2>
    <p class="lead">{{ why() }} Sign in to go on where you are; the page behind this stays.</p>
    <m-sign-in-form><button type="button" class="btn" (click)="leave()">Go on without an account</button></m-sign-in-form>
  </m-dialog>`,
})
export class SessionEnded {
  readonly #session = inject(Session);
  readonly reason = input.required<Reason>();
  protected readonly why = computed(() => WHY[this.reason()]);

  protected async leave(): Promise<void> {
    await this.#session.signOut();
    location.assign(absolute(''));
  }
}
