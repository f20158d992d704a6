import { Component, computed, effect, inject, signal } from '@angular/core';
import { NavigationEnd, Router, RouterLink, RouterLinkActive, RouterOutlet } from '@angular/router';

import { Feed } from './live/feed';
import { Session } from './session/session';
import { ENTRIES, type Entry } from './shell/entries';
import { Palette } from './shell/palette';
import { Progress } from './shell/progress';
import { SessionEnded } from './shell/session-ended';
import { Shortcuts } from './shell/shortcuts';
import { Theme } from './shell/theme';
import { Title } from './shell/title';
import { Version } from './shell/version';
import { Icon } from './ui/icon';
import { Logo } from './ui/logo';
import { ToastList } from './ui/toasts';

/** The frame around every page. */
@Component({
  selector: 'm-app',
  imports: [Icon, Logo, Palette, RouterLink, RouterLinkActive, RouterOutlet, SessionEnded, Shortcuts, ToastList],
  template: `<a class="skip" href="#main" (click)="skip($event)">Skip to content</a>
    @if (progress.busy()) {<div class="progress" role="progressbar" aria-label="Loading"></div>}
    @if (!session.reachable()) {
      <div class="banner w" role="status"><m-icon name="off" /><span><b class="strong">{{ session.offline() ? 'You are offline.' : 'The hub cannot be reached.' }}</b> Trying again; what is on this page stays.</span></div>
    }
    @if (version.newer()) {
      <div class="banner" role="status"><m-icon name="info" /><span><b class="strong">There is a new version of this app.</b> Reload when it suits you; what is typed and not sent is lost by it.</span><button type="button" class="btn txt" (click)="reload()">Reload</button></div>
    }
    <div class="app" [class.folded]="folded()">
      <nav class="side" aria-label="Main">
        <div class="brow"><a class="brand" routerLink="/"><m-logo /><span>Muster</span></a>
          <button type="button" class="btn icon bare fold" [attr.aria-label]="folded() ? 'Unfold the menu' : 'Fold the menu'" [attr.aria-expanded]="!folded()" (click)="fold()"><m-icon name="menu" /></button></div>
        <button type="button" class="find" (click)="finding.set(true)" title="Find"><m-icon name="search" /><span>Find</span><kbd>Ctrl K</kbd></button>
        <div class="ents">
          @for (entry of everybodys(); track entry.path) {
            <a class="ent" [routerLink]="'/' + entry.path" routerLinkActive="on" ariaCurrentWhenActive="page" [routerLinkActiveOptions]="{ exact: entry.path === '' }" [title]="entry.label"><m-icon [name]="entry.icon" /><span>{{ entry.label }}</span></a>
          }
        </div>
        @if (admins().length > 0) {
          <div class="grp">Administration</div>
          <div class="ents">
            @for (entry of admins(); track entry.path) {
              <a class="ent" [routerLink]="'/' + entry.path" routerLinkActive="on" ariaCurrentWhenActive="page" [title]="entry.label"><m-icon [name]="entry.icon" /><span>{{ entry.label }}</span></a>
            }
          </div>
        }
        <div class="foot">
          <button type="button" class="ent" (click)="theme.next()" title="Theme"><m-icon name="eye" /><span>Theme</span><span class="cnt">{{ theme.name() }}</span></button>
          <a class="ent" href="api/docs/" title="API and help"><m-icon name="info" /><span>API and help</span></a>
          @if (session.name(); as name) {
            <a class="ent who" routerLink="/account" routerLinkActive="on" title="Your account"><m-icon name="user" /><span>{{ name }}</span></a>
          } @else {
            <a class="ent who" routerLink="/sign-in" routerLinkActive="on" title="Sign in"><m-icon name="user" /><span>Sign in</span></a>
          }
        </div>
      </nav>
      <header class="top">
        <a class="btn icon" routerLink="/" aria-label="Models"><m-logo /></a><b>{{ title() }}</b>
        <button type="button" class="btn icon" aria-label="Find" (click)="finding.set(true)"><m-icon name="search" /></button>
      </header>
      <main class="page" id="main" tabindex="-1"><router-outlet /></main>
      <nav class="tabbar" aria-label="Sections">
        @for (entry of tabs(); track entry.path) {
          <a [routerLink]="'/' + entry.path" routerLinkActive="on" ariaCurrentWhenActive="page" [routerLinkActiveOptions]="{ exact: entry.path === '' }"><m-icon [name]="entry.icon" /><span>{{ entry.tab ?? entry.label }}</span></a>
        }
        <a [routerLink]="session.name() ? '/account' : '/sign-in'" routerLinkActive="on"><m-icon name="user" /><span>{{ session.name() ? 'Account' : 'Sign in' }}</span></a>
      </nav>
    </div>
    @if (keys()) {<m-shortcuts (closed)="keys.set(false)" />}
    @if (finding()) {<m-palette (closed)="finding.set(false)" />}
    @if (session.ended(); as reason) {<m-session-ended [reason]="reason" />}
    <m-toasts />`,
  host: { '(document:keydown)': 'key($event)' },
})
export class App {
  protected readonly session = inject(Session);
  protected readonly progress = inject(Progress);
  protected readonly theme = inject(Theme);
  protected readonly version = inject(Version);
  readonly #router = inject(Router);
  protected readonly finding = signal(false);
  protected readonly keys = signal(false);
  protected readonly folded = signal(localStorage.getItem('muster.folded') === 'yes');
  protected readonly title = inject(Title).said;
  readonly #allowed = computed(() => ENTRIES.filter((one) => !one.need || this.session.may(...one.need)));
  protected readonly everybodys = computed(() => this.#allowed().filter((one) => !one.need));
  protected readonly admins = computed(() => this.#allowed().filter((one) => one.need));
  protected readonly tabs = computed(() => {
    const first: Entry[] = this.everybodys().filter((one) => one.tab);
    return [...first, ...this.admins().filter((one) => /statistics|instances/.test(one.path))];
  });
  #went = 0;

  constructor() {
    inject(Feed);
    this.#router.events.subscribe((event) => {
      if (!(event instanceof NavigationEnd)) return;
      // Whoever listens to the page hears the new one's beginning.
      if (this.#went++ > 0 && !event.urlAfterRedirects.includes('?')) document.getElementById('main')?.focus({ preventScroll: true });
    });
    // A right that came or went changes what is at the address.
    const held = () => this.session.live()?.permissions.join() ?? '';
    let rights = held();
    effect(() => {
      const now = held();
      if (now !== rights && this.#router.url.startsWith('/admin')) void this.#router.navigateByUrl(this.#router.url, { onSameUrlNavigation: 'reload' });
      rights = now;
    });
  }

  protected skip(event: Event): void {
    event.preventDefault();
    document.getElementById('main')?.focus();
  }

  protected reload(): void {
    location.reload();
  }

  protected fold(): void {
    this.folded.update((folded) => !folded);
    localStorage.setItem('muster.folded', this.folded() ? 'yes' : 'no');
  }

  #going = false;

  protected key(event: KeyboardEvent): void {
    if ((event.ctrlKey || event.metaKey) && event.key === 'k') {
      event.preventDefault();
      this.finding.set(true);
      return;
    }
    const target = event.target as HTMLElement;
    if (event.ctrlKey || event.metaKey || event.altKey || target.closest('input, textarea, select, dialog, [contenteditable]')) return;
    if (this.#going) {
      this.#going = false;
      const to = this.#allowed().find((one) => one.key === event.key);
      if (to) void this.#router.navigateByUrl(`/${to.path}`);
    } else if (event.key === 'g') {
      this.#going = true;
      setTimeout(() => (this.#going = false), 1_500);
    } else if (event.key === '/' || event.key === '?') {
      event.preventDefault();
      (event.key === '/' ? this.finding : this.keys).set(true);
    }
  }
}
