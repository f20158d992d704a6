import { Component, computed, inject, input } from '@angular/core';

import { Clock } from './clock';
import { ago, exact, moment } from './format';

/** A time: how long ago, or at what time of day; exact and in UTC on focus. */
@Component({
  selector: 'm-when',
  template: `<time [attr.datetime]="at()" [title]="exact()" tabindex="-1">{{ said() }}</time>`,
})
export class When {
  readonly #clock = inject(Clock);
  readonly at = input.required<string>();
  readonly relative = input(true);
  protected readonly exact = computed(() => exact(this.at()));
  protected readonly said = computed(() => {
    const now = this.#clock.now();
    return this.relative() ? ago(Date.parse(this.at()), now) : moment(this.at(), now);
  });
}
