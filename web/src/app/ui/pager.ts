import { Component, input } from '@angular/core';

import { queryChanger } from './query';

/** The way through pages: back to the first, on to the next. Where one is stands in the address. */
@Component({
  selector: 'm-pager',
  template: `@if (after()) {<button type="button" class="btn" (click)="go({ after: null })">{{ first() }}</button>}
    @if (next(); as next) {<button type="button" class="btn" (click)="go({ after: next })">{{ more() }}</button>}`,
  host: { class: 'end pager' },
})
export class Pager {
  readonly after = input.required<string>();
  readonly next = input<string | null>();
  readonly first = input('Newest');
  readonly more = input('Older');
  protected readonly go = queryChanger();
}
