import { Component, input } from '@angular/core';

/** A mark of the sprite in index.html. It says nothing by itself: a word stands beside it. */
@Component({
  selector: 'm-icon',
  template: `<svg class="i" [class]="kind()" viewBox="0 0 16 16" aria-hidden="true">
    <use [attr.href]="'#i-' + name()" />
  </svg>`,
})
export class Icon {
  readonly name = input.required<string>();
  readonly kind = input('');
}
