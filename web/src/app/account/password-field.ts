import { Component, computed, input, model, signal } from '@angular/core';

import { LEAST_PASSWORD } from './rules';

/** A new password, with how much of it is there. */
@Component({
  selector: 'm-password-field',
  template: `<div class="field full"><label for="new-password">{{ label() }}</label>
    <div class="pw"><input class="in" id="new-password" name="new-password" autocomplete="new-password" required [type]="seen() ? 'text' : 'password'" [value]="value()" (input)="put($event)" [attr.aria-invalid]="error() ? true : null" aria-describedby="pw-hint" />
      <button type="button" class="btn txt" (click)="seen.set(!seen())" [attr.aria-pressed]="seen()">{{ seen() ? 'Hide' : 'Show' }}</button></div>
    <svg class="gauge" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true"><rect class="g0" width="100" height="4" /><rect [attr.class]="share() < 100 ? 'g2' : 'g1'" [attr.width]="share()" height="4" /></svg>
    @if (error(); as text) {<p class="err" role="alert"><svg class="i" viewBox="0 0 16 16" aria-hidden="true"><use href="#i-warn" /></svg><span>{{ text }}</span></p>}
    <p class="hint" id="pw-hint">At least {{ least }} characters, any of them, spaces too. A few words are easier to remember than signs.</p>
  </div>`,
})
export class PasswordField {
  readonly label = input('Password');
  readonly value = model.required<string>();
  readonly error = input<string | undefined>();
  protected readonly least = LEAST_PASSWORD;
  protected readonly seen = signal(false);
  protected readonly share = computed(() => Math.min(100, ([...this.value()].length / LEAST_PASSWORD) * 100));

  protected put(event: Event): void {
    this.value.set((event.target as HTMLInputElement).value);
  }
}
