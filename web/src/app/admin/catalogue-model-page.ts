import { Component, computed, inject, input, signal } from '@angular/core';
import { Router, RouterLink } from '@angular/router';

import { Api, type Schemas } from '../api/api';
import { Failure } from '../api/failure';
import { read } from '../api/read';
import { Dialog } from '../ui/dialog';
import { counted } from '../ui/format';
import { Icon } from '../ui/icon';
import { Phase } from '../ui/phase';
import { Toasts } from '../ui/toasts';
import { Failed, Void } from '../ui/void';
import { stateOf } from './catalogue-page';
import { ModelForm } from './model-form';
import { Typed } from './typed';
import { Versions } from './versions';

type Asked = 'disable' | 'clear' | 'delete';

/** A model: its fields, and whether it takes requests. */
@Component({
  selector: 'm-catalogue-model-page',
  imports: [Dialog, Failed, Icon, ModelForm, Phase, RouterLink, Typed, Versions, Void],
  template: `@if (read.value(); as model) {
      <header class="head"><div class="ht"><div class="crumbs"><a routerLink="/admin/catalogue">Catalogue</a></div>
        <h1>{{ model.card.title || model.id }}<m-phase [is]="mark()" [said]="state()" /></h1>
        <p class="sub"><span class="mono">{{ model.id }}</span> {{ model.version }}, described by {{ model.owner === 'folder' ? 'a folder' : model.owner === 'push' ? 'a folder that was pushed' : 'the API' }}.&ngsp;@if (state() === 'offered') {<a [routerLink]="['/models', model.id]">As people see it</a>}</p></div>
        <div class="acts">
          <button type="button" class="btn" (click)="asked.set('clear')">Forget predictions…</button>
          @if (model.disabled == null) {<button type="button" class="btn" (click)="asked.set('disable')">Disable…</button>} @else {<button type="button" class="btn" [disabled]="busy()" (click)="enable()">Enable</button>}
          @if (model.owner === 'push') {<a class="btn" routerLink="/admin/catalogue" [queryParams]="{ push: model.id }">Push a version</a>}
          @if (model.owner !== 'folder') {<button type="button" class="btn danger" (click)="asked.set('delete')">Delete…</button>}
        </div></header>
      @if (read.failure(); as failure) {<m-failed [failure]="failure" (again)="read.again()" />}
      @if (failure() && !asked()) {<m-failed [failure]="failure()!" (again)="enable()" />}
      @if (model.disabled != null) {<div class="note w mb5"><m-icon name="off" /><span><b class="strong">It takes no new requests.</b> {{ model.disabled || 'No reason was given.' }}</span></div>}
      @if (!model.offered) {<div class="note w mb5"><m-icon name="warn" /><span><b class="strong">Its folder is gone.</b> Put it back, and it is offered again with what was edited here.</span></div>}
      @if (model.owner === 'push') {<m-versions [id]="model.id" (changed)="$event ? read.set($event) : read.again()" />}
      <m-model-form [model]="model" (saved)="saved($event)" (found)="read.set($event)" />
    } @else if (read.failure(); as failure) {
      @if (failure.kind === 'unknown-model') {<div class="sheet"><m-void title="There is no such model">It may have been deleted.<a step class="btn pri" routerLink="/admin/catalogue">Catalogue</a></m-void></div>} @else {<m-failed [failure]="failure" (again)="read.again()" />}
    } @else {
      <header class="head"><div class="ht"><h1><i class="sk a"></i></h1><p class="sub"><i class="sk c"></i></p></div></header>
    }
    @switch (asked()) {
      @case ('disable') {
        <m-dialog label="Disable a model" (closed)="close()"><h2>Disable {{ title() }}?</h2><p class="lead">It takes no new requests. Those it has are finished.</p>
          <form (submit)="$event.preventDefault(); disable(reason.value)"><div class="field"><label for="why-disabled">Reason</label><input #reason class="in" id="why-disabled" maxlength="500" placeholder="People who would use it read this" /></div>
            @if (failure(); as failure) {<p class="bad" role="alert">{{ failure.detail }}</p>}
            <div class="end"><button type="button" class="btn" autofocus (click)="close()">Cancel</button><button class="btn danger fill" [disabled]="busy()">Disable</button></div></form></m-dialog>
      }
      @case ('clear') {
        <m-dialog label="Forget predictions" (closed)="close()"><h2>Forget what {{ title() }} predicted?</h2><p class="lead">Inputs that it has seen are computed again. Results of requests stay.</p>
          @if (failure(); as failure) {<p class="bad" role="alert">{{ failure.detail }}</p>}
          <div class="end"><button type="button" class="btn" autofocus (click)="close()">Cancel</button><button type="button" class="btn danger fill" [disabled]="busy()" (click)="clear()">Forget them</button></div></m-dialog>
      }
      @case ('delete') {
        <m-typed label="Delete a model" [head]="'Delete ' + title() + '?'" [word]="id()" what="the model’s id" action="Delete model" [busy]="busy()" [failure]="failure()" (closed)="close()" (confirmed)="remove()">Requests that it answered stay. It has to be disabled first, and to have no open requests.</m-typed>
      }
    }`,
})
export class CatalogueModelPage {
  readonly id = input.required<string>();
  readonly #api = inject(Api);
  readonly #router = inject(Router);
  readonly #toasts = inject(Toasts);
  protected readonly read = read('/api/v1/catalogue/{id}', () => ({ path: { id: this.id() } }));
  protected readonly asked = signal<Asked | null>(null);
  protected readonly busy = signal(false);
  protected readonly failure = signal<Failure | null>(null);
  protected readonly title = computed(() => this.read.value()?.card.title || this.id());
  protected readonly state = computed(() => {
    const model = this.read.value();
    return model ? stateOf(model) : 'offered';
  });
  protected readonly mark = computed(() => ({ offered: 'ready', disabled: 'disabled', gone: 'ended' })[this.state()]);

  protected saved(model: Schemas['CatalogueModel']): void {
    this.read.set(model);
    this.#toasts.say('Saved.');
  }

  protected close(): void {
    this.asked.set(null);
    this.failure.set(null);
  }

  protected disable(reason: string): Promise<void> {
    return this.#try(async () => this.read.set(await this.#api.post('/api/v1/catalogue/{id}/disable', { path: { id: this.id() }, body: { reason } })), 'It takes no new requests.');
  }

  protected enable(): Promise<void> {
    return this.#try(async () => this.read.set(await this.#api.post('/api/v1/catalogue/{id}/enable', { path: { id: this.id() } })), 'It takes requests.');
  }

  protected clear(): Promise<void> {
    return this.#try(async () => {
      const { predictions } = await this.#api.post('/api/v1/catalogue/{id}/clear-cache', { path: { id: this.id() } });
      return `${counted(predictions, 'prediction')} ${predictions === 1 ? 'is' : 'are'} forgotten.`;
    });
  }

  protected remove(): Promise<void> {
    return this.#try(async () => {
      await this.#api.call('delete', '/api/v1/catalogue/{id}', { path: { id: this.id() }, headers: { 'if-match': this.read.value()?.etag ?? '' } });
      void this.#router.navigateByUrl('/admin/catalogue');
    }, 'The model is deleted.');
  }

  async #try(work: () => Promise<string | void>, said = ''): Promise<void> {
    this.busy.set(true);
    this.failure.set(null);
    try {
      const answer = await work();
      this.close();
      this.#toasts.say(answer ?? said);
    } catch (error) {
      this.failure.set(Failure.of(error));
    } finally {
      this.busy.set(false);
    }
  }
}
