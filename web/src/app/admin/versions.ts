import { Component, DestroyRef, computed, effect, inject, input, output, signal } from '@angular/core';
import { RouterLink } from '@angular/router';

import { Api, type Schemas } from '../api/api';
import { Failure } from '../api/failure';
import { follow, read } from '../api/read';
import { Feed } from '../live/feed';
import { Session } from '../session/session';
import { Dialog } from '../ui/dialog';
import { binary, count } from '../ui/format';
import { Icon } from '../ui/icon';
import { Phase } from '../ui/phase';
import { Toasts } from '../ui/toasts';
import { Failed } from '../ui/void';
import { When } from '../ui/when';
import type { Version } from './push-form';

/** How often it is asked why an example waits. */
const LOOK = 2_000;

/** The versions of a model that was pushed: which is served, which is tried, and a way back. */
@Component({
  selector: 'm-versions',
  imports: [Dialog, Failed, Icon, Phase, RouterLink, When],
  template: `@if (read.failure(); as failure) {@if (failure.kind !== 'unknown-model') {<m-failed [failure]="failure" (again)="read.again()" />}}
    @if (tried(); as version) {
      <div class="note r mb5" role="status"><m-icon name="s-running" /><span><b class="strong">{{ version.version }} is being tried.</b> {{ version.waiting_reason ?? 'Its example runs.' }}@if (mine(version) && version.request) {&ngsp;<a [routerLink]="['/requests', version.request]">Its request</a>}</span></div>
    }
    @if (last(); as version) {
      @if (version.state === 'failed') {<div class="note f mb5" role="alert"><m-icon name="warn" /><span><b class="strong">{{ version.version }} is not served.</b> {{ version.reason }}</span></div>}
      @if (version.served && mine(version) && version.request) {<div class="note c mb5" role="status"><m-icon name="s-completed" /><span><b class="strong">{{ version.version }} is served.</b>&ngsp;<a [routerLink]="['/requests', version.request]">Its first predictions</a></span></div>}
    }
    @if (all().length > 0) {
      <div class="tw cards mb5"><table class="t compact"><thead><tr><th>Version</th><th>State</th><th>Why</th><th class="num">Pushed</th><th>By</th><th class="num p3">Files</th><th class="num p3">Size</th><th><span class="vh">Act</span></th></tr></thead><tbody>
        @for (one of all(); track one.version) {
          <tr><td class="ttl mono">{{ one.version }}</td>
            <td class="sta"><m-phase [is]="mark(one)" [said]="one.served ? 'served' : one.state" /></td>
            <td class="full wrap mut">{{ one.reason }}</td>
            <td class="num" data-l="Pushed"><span class="v"><m-when [at]="one.pushed_at" /></span></td>
            <td data-l="By"><span class="v">{{ one.pushed_by_name ?? one.pushed_by }}</span></td>
            <td class="num p3" data-l="Files"><span class="v">{{ count(one.files) }}</span></td>
            <td class="num p3" data-l="Size"><span class="v">{{ binary(one.bytes) }}</span></td>
            <td class="act">@if (one.state === 'good' && !one.served && read.value()) {<button type="button" class="btn txt" (click)="asked.set(one)">Roll back…</button>}</td></tr>
          @if (one === all()[0] && one.notes.length > 0) {<tr><td colspan="8" class="wrap mut">@for (note of one.notes; track $index) {{{ note }}<br />}</td></tr>}
        }
      </tbody></table></div>
    }
    @if (asked(); as version) {
      <m-dialog label="Roll back" (closed)="close()"><h2>Serve {{ version.version }} again?</h2><p class="lead">Requests that have not ended start over with it, and what it predicted counts again.</p>
        @if (failure(); as failure) {<p class="bad" role="alert">{{ failure.detail }}</p>}
        <div class="end"><button type="button" class="btn" autofocus (click)="close()">Cancel</button><button type="button" class="btn pri" [disabled]="busy()" (click)="rollBack(version.version)">Roll back</button></div></m-dialog>
    }`,
})
export class Versions {
  readonly id = input.required<string>();
  /** Another version is served. */
  readonly changed = output<Schemas['CatalogueModel'] | null>();
  readonly #api = inject(Api);
  readonly #toasts = inject(Toasts);
  readonly #session = inject(Session);
  protected readonly read = read('/api/v1/catalogue/{id}/versions', () => ({ path: { id: this.id() } }));
  protected readonly all = computed<readonly Version[]>(() => this.read.value()?.items ?? []);
  protected readonly tried = computed(() => this.all().find(({ state }) => state === 'trying'));
  protected readonly last = computed(() => this.all()[0]);
  protected readonly asked = signal<Version | null>(null);
  protected readonly busy = signal(false);
  protected readonly failure = signal<Failure | null>(null);
  protected readonly count = count;
  protected readonly binary = binary;

  constructor() {
    follow(inject(Feed).models, [this.read]);
    let before: string | null | undefined;
    effect(() => {
      const all = this.read.value()?.items;
      if (!all) return;
      const served = all.find((one) => one.served)?.version ?? null;
      if (before !== undefined && served !== before) this.changed.emit(null);
      before = served;
    });
    const timer = setInterval(() => this.tried() && this.read.again(), LOOK);
    inject(DestroyRef).onDestroy(() => clearInterval(timer));
  }

  again(): void {
    this.read.again();
  }

  protected mine(version: Version): boolean {
    return version.pushed_by === this.#session.live()?.principal.id;
  }

  protected mark(version: Version): string {
    return version.served ? 'ready' : { trying: 'running', good: 'ended', failed: 'failed' }[version.state];
  }

  protected close(): void {
    this.asked.set(null);
    this.failure.set(null);
  }

  protected async rollBack(version: string): Promise<void> {
    this.busy.set(true);
    try {
      const model = await this.#api.post('/api/v1/catalogue/{id}/rollback', { path: { id: this.id() }, body: { version } });
      this.close();
      this.#toasts.say(`${version} is served.`);
      this.read.again();
      this.changed.emit(model);
    } catch (error) {
      this.failure.set(Failure.of(error));
    } finally {
      this.busy.set(false);
    }
  }
}
