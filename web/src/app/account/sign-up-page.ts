import { Component, computed, inject, signal } from '@angular/core';
import { Router, RouterLink } from '@angular/router';

import { Api } from '../api/api';
import { Failure } from '../api/failure';
import { Session } from '../session/session';
import { Icon } from '../ui/icon';
import { Void } from '../ui/void';
import { PasswordField } from './password-field';
import { check, type Errors, errorsOf, type Person } from './rules';

const FIELDS = [
  { id: 'name', label: 'User name', complete: 'username', wide: true, type: 'text' },
  { id: 'first_name', label: 'First name', complete: 'given-name', wide: false, type: 'text' },
  { id: 'last_name', label: 'Last name', complete: 'family-name', wide: false, type: 'text' },
  { id: 'email', label: 'Email', complete: 'email', wide: true, type: 'email' },
] as const;

@Component({
  selector: 'm-sign-up-page',
  imports: [Icon, PasswordField, RouterLink, Void],
  template: `<div class="solo"><div class="in-solo">
    @if (sent()) {
      <m-void title="Open the link in your mail">It was sent to {{ person().email }} and works once. Nothing there after a few minutes? Look among the spam, or ask for another one.
        <button step type="button" class="btn" (click)="sendAgain()" [disabled]="busy()">Send it again</button><a step class="btn" routerLink="/sign-in">Sign in</a></m-void>
    } @else {
      <h1>Make an account</h1>
      <p class="lead">An account keeps your requests together and may have more of them. {{ session.live() ? 'What you ran without one comes along when you sign in.' : '' }} <a routerLink="/sign-in">Have one? Sign in</a></p>
      @if (number() > 0) {<div class="note f mb5" role="alert"><m-icon name="warn" /><span><b class="strong">{{ number() === 1 ? 'One field needs' : number() + ' fields need' }} a change.</b> Nothing was lost.</span></div>}
      @if (failure(); as failure) {<div class="note f mb5" role="alert"><m-icon name="warn" /><span>{{ failure.detail }}</span></div>}
      <form novalidate (submit)="send($event)">
        @for (field of fields; track field.id) {
          <div class="field" [class.full]="field.wide"><label [for]="field.id">{{ field.label }}</label>
            <input class="in" [id]="field.id" [name]="field.id" [type]="field.type" [autocomplete]="field.complete" [value]="person()[field.id]" (input)="put(field.id, $event)" [attr.aria-invalid]="errors()[field.id] ? true : null" [attr.aria-describedby]="errors()[field.id] ? field.id + '-error' : null" />
            @if (errors()[field.id]; as text) {<p class="err" [id]="field.id + '-error'"><m-icon name="warn" /><span>{{ text }}</span></p>}
          </div>
        }
        <m-password-field class="full" [value]="person().password" (valueChange)="person.set({ ...person(), password: $event })" [error]="errors().password" />
        <div class="full"><button class="btn pri big wide" [disabled]="busy()">Make account</button></div>
      </form>
    }
  </div></div>`,
})
export class SignUpPage {
  protected readonly session = inject(Session);
  readonly #api = inject(Api);
  readonly #router = inject(Router);
  protected readonly fields = FIELDS;
  protected readonly person = signal<Person>({ name: '', first_name: '', last_name: '', email: '', password: '' });
  protected readonly errors = signal<Errors>({});
  protected readonly failure = signal<Failure | null>(null);
  protected readonly number = computed(() => Object.keys(this.errors()).length);
  protected readonly busy = signal(false);
  protected readonly sent = signal(false);

  protected put(field: keyof Person, event: Event): void {
    this.person.update((person) => ({ ...person, [field]: (event.target as HTMLInputElement).value }));
  }

  protected async send(event: Event): Promise<void> {
    event.preventDefault();
    this.failure.set(null);
    this.errors.set(check(this.person()));
    if (this.number() > 0) return this.#focusFirst();
    this.busy.set(true);
    try {
      await this.#api.post('/api/v1/accounts', { body: this.person() });
      try {
        await this.session.signIn(this.person().name, this.person().password);
        await this.#router.navigateByUrl('/requests');
      } catch (error) {
        // The hub sends mail: the address has to be confirmed first.
        if (Failure.of(error).kind !== 'email-not-verified') throw error;
        this.sent.set(true);
      }
    } catch (error) {
      const failure = Failure.of(error);
      this.errors.set(errorsOf(failure));
      if (this.number() === 0) this.failure.set(failure);
      else this.#focusFirst();
    } finally {
      this.busy.set(false);
    }
  }

  protected async sendAgain(): Promise<void> {
    this.busy.set(true);
    await this.#api.post('/api/v1/email-verifications', { body: { email: this.person().email } }).catch(() => {});
    this.busy.set(false);
  }

  #focusFirst(): void {
    setTimeout(() => document.querySelector<HTMLElement>('[aria-invalid]')?.focus());
  }
}
