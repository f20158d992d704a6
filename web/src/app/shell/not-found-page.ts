import { Component } from '@angular/core';
import { RouterLink } from '@angular/router';

import { Void } from '../ui/void';

@Component({
  selector: 'm-not-found-page',
  imports: [RouterLink, Void],
  template: `<div class="sheet"><m-void title="There is no page at this address">
    It may have been mistyped, or belong to something that was deleted.
    <a step class="btn pri" routerLink="/">Models</a><a step class="btn" routerLink="/requests">My requests</a>
  </m-void></div>`,
})
export class NotFoundPage {}
