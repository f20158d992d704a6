import { Component, input, model } from '@angular/core';

import type { Option } from './choice';

/** One of few, all of them seen. */
@Component({
  selector: 'm-seg',
  template: `<div class="seg" role="group" [attr.aria-label]="label()">@for (option of options(); track option.value) {<button type="button" [class.on]="option.value === value()" [attr.aria-pressed]="option.value === value()" (click)="value.set(option.value)">{{ option.label }}</button>}</div>`,
})
export class Seg {
  readonly label = input.required<string>();
  readonly options = input.required<readonly Option[]>();
  readonly value = model.required<string>();
}
