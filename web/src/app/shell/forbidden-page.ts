import { Component, computed, inject } from '@angular/core';
import { Router, RouterLink } from '@angular/router';

import { Session } from '../session/session';
import { Void } from '../ui/void';
import { entryAt } from './entries';

@Component({
  selector: 'm-forbidden-page',
  imports: [RouterLink, Void],
  template: `<div class="sheet"><m-void title="This page is for administrators">
    It takes the permission <span class="mono">{{ need() }}</span>, which {{ session.name() ? 'your account does not have' : 'people who are not signed in do not have' }}. An administrator of this hub can grant it.
    <ng-container step>@if (!session.name()) {<a class="btn pri" routerLink="/sign-in" [queryParams]="{ to: router.url }">Sign in</a>}<a class="btn" routerLink="/">Models</a></ng-container>
  </m-void></div>`,
})
export class ForbiddenPage {
  protected readonly session = inject(Session);
  protected readonly router = inject(Router);
  protected readonly need = computed(() => (entryAt(this.router.url)?.need ?? ['ADMIN']).join(' or '));
}
