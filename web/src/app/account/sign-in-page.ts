import { Component, inject, input } from '@angular/core';
import { Router, RouterLink } from '@angular/router';

import { absolute } from '../api/place';
import { SignInForm } from '../shell/sign-in-form';
import { Session } from '../session/session';
import { asText } from '../ui/query';

@Component({
  selector: 'm-sign-in-page',
  imports: [RouterLink, SignInForm],
  template: `<div class="solo"><div class="in-solo">
    <h1>Sign in</h1>
    <p class="lead">{{ session.live() && !session.name() ? 'What you ran without an account in this browser comes along.' : 'No account is needed to run models; one keeps your requests together.' }}</p>
    <m-sign-in-form (done)="done()"><a class="btn" routerLink="/sign-up">Make an account</a></m-sign-in-form>
  </div></div>`,
})
export class SignInPage {
  readonly to = input('', { transform: asText });
  protected readonly session = inject(Session);
  readonly #router = inject(Router);

  /** Back to where somebody was sent here from, within this app. */
  protected done(): void {
    const to = this.to();
    const place = /^\/(?!\/)/.test(to) ? to : '/requests';
    if (this.session.startsOver) location.assign(absolute(place.slice(1)));
    else void this.#router.navigateByUrl(place);
  }
}
