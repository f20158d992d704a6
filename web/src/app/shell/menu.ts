import { Component, computed, inject, output } from '@angular/core';
import { RouterLink, RouterLinkActive } from '@angular/router';

import { Session } from '../session/session';
import { Icon } from '../ui/icon';
import { ENTRIES } from './entries';
import { Theme } from './theme';

/** Every place that one may go to: beside the page, and on a phone in a dialog. */
@Component({
  selector: 'm-menu',
  imports: [Icon, RouterLink, RouterLinkActive],
  template: `<div class="ents">
      @for (entry of everybodys(); track entry.path) {
        <a class="ent" [routerLink]="'/' + entry.path" routerLinkActive="on" ariaCurrentWhenActive="page" [routerLinkActiveOptions]="{ exact: entry.path === '' }" [title]="entry.label" (click)="went.emit()"><m-icon [name]="entry.icon" /><span>{{ entry.label }}</span></a>
      }
    </div>
    @if (admins().length > 0) {
      <div class="grp">Administration</div>
      <div class="ents">
        @for (entry of admins(); track entry.path) {
          <a class="ent" [routerLink]="'/' + entry.path" routerLinkActive="on" ariaCurrentWhenActive="page" [title]="entry.label" (click)="went.emit()"><m-icon [name]="entry.icon" /><span>{{ entry.label }}</span></a>
        }
      </div>
    }
    <div class="foot">
      <button type="button" class="ent" (click)="theme.next()" title="Theme"><m-icon name="eye" /><span>Theme</span><span class="cnt">{{ theme.name() }}</span></button>
      <a class="ent" href="api/docs/" title="API and help"><m-icon name="info" /><span>API and help</span></a>
      @if (session.name(); as name) {
        <a class="ent who" routerLink="/account" routerLinkActive="on" title="Your account" (click)="went.emit()"><m-icon name="user" /><span>{{ name }}</span></a>
      } @else {
        <a class="ent who" routerLink="/sign-in" routerLinkActive="on" title="Sign in" (click)="went.emit()"><m-icon name="user" /><span>Sign in</span></a>
      }
    </div>`,
})
export class Menu {
  protected readonly session = inject(Session);
  protected readonly theme = inject(Theme);
  readonly went = output();
  readonly #allowed = computed(() => ENTRIES.filter((one) => !one.need || this.session.may(...one.need)));
  protected readonly everybodys = computed(() => this.#allowed().filter((one) => !one.need));
  protected readonly admins = computed(() => this.#allowed().filter((one) => one.need));
}
