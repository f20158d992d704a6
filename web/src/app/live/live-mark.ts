import { Component, inject } from '@angular/core';

import { Feed } from './feed';

/** Does the page hear of what changes? */
@Component({
  selector: 'm-live',
  template: `<span class="live"><i [class.off]="!feed.live()"></i>{{ feed.live() ? 'Live' : 'Not live' }}</span>`,
})
export class LiveMark {
  protected readonly feed = inject(Feed);
}
