import { Component, computed, effect, inject, signal } from '@angular/core';
import { NavigationEnd, Router, RouterLink, RouterLinkActive, RouterOutlet } from '@angular/router';

import { Feed } from './live/feed';
import { Session } from './session/session';
import { ENTRIES } from './shell/entries';
import { Menu } from './shell/menu';
import { Palette } from './shell/palette';
import { Progress } from './shell/progress';
import { SessionEnded } from './shell/session-ended';
import { Shortcuts } from './shell/shortcuts';
import { Title } from './shell/title';
import { Version } from './shell/version';
import { Dialog } from './ui/dialog';
import { Icon } from './ui/icon';
import { Logo } from './ui/logo';
import { ToastList } from './ui/toasts';

/** The frame around every page. */
@Component({
  selector: 'm-app',
  imports: [Dialog, Icon, Logo, Menu, Palette, RouterLink, RouterLinkActive, RouterOutlet, SessionEnded, Shortcuts, ToastList],
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
        <m-menu />
      </nav>
      <header class="top">
        <button type="button" class="btn icon" aria-label="Menu" aria-haspopup="dialog" (click)="menu.set(true)"><m-icon name="menu" /></button><b>{{ title() }}</b>
        <button type="button" class="btn icon" aria-label="Find" (click)="finding.set(true)"><m-icon name="search" /></button>
      </header>
      <main class="page" id="main" tabindex="-1"><router-outlet /></main>
      <nav class="tabbar" aria-label="Sections">
        @for (entry of tabs(); track entry.path) {
          <a [routerLink]="'/' + entry.path" routerLinkActive="on" ariaCurrentWhenActive="page" [routerLinkActiveOptions]="{ exact: entry.path === '' }"><m-icon [name]="entry.icon" /><span>{{ entry.tab }}</span></a>
        }
        <a [routerLink]="session.name() ? '/account' : '/sign-in'" routerLinkActive="on"><m-icon name="user" /><span>{{ session.name() ? 'Account' : 'Sign in' }}</span></a>
      </nav>
    </div>
    @if (menu()) {<m-dialog label="Menu" class="menud" (closed)="menu.set(false)"><nav aria-label="All pages"><m-menu (went)="menu.set(false)" /></nav></m-dialog>}
    @if (keys()) {<m-shortcuts (closed)="keys.set(false)" />}
    @if (finding()) {<m-palette (closed)="finding.set(false)" />}
    @if (session.ended(); as reason) {<m-session-ended [reason]="reason" />}
    <m-toasts />`,
  host: { '(document:keydown)': 'key($event)' },
})
export class App {
  protected readonly session = inject(Session);
  protected readonly progress = inject(Progress);
  protected readonly version = inject(Version);
  readonly #router = inject(Router);
  protected readonly finding = signal(false);
  protected readonly menu = signal(false);
  protected readonly keys = signal(false);
  protected readonly folded = signal(localStorage.getItem('muster.folded') === 'yes');
  protected readonly title = inject(Title).said;
  readonly #allowed = computed(() => ENTRIES.filter((one) => !one.need || this.session.may(...one.need)));
  protected readonly tabs = computed(() => this.#allowed().filter((one) => one.tab));
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
