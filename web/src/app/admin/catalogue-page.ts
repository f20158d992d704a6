import { Component, computed, inject, input, viewChild } from '@angular/core';
import { Router, RouterLink } from '@angular/router';

import { Api, type Schemas } from '../api/api';
import { follow, readBy } from '../api/read';
import { Feed } from '../live/feed';
import { Choice, type Option } from '../ui/choice';
import { count, counted } from '../ui/format';
import { Icon } from '../ui/icon';
import { Phase } from '../ui/phase';
import { asText, queryChanger } from '../ui/query';
import { Toasts } from '../ui/toasts';
import { Failed, Void } from '../ui/void';
import { ModelForm } from './model-form';
import { PushForm } from './push-form';
import { Versions } from './versions';

type Model = Schemas['CatalogueModel'];

const STATES: Option[] = [{ value: '', label: 'any' }, ...['offered', 'disabled', 'gone'].map((value) => ({ value, label: value }))];
const OWNERS: Option[] = [
  { value: '', label: 'any' },
  { value: 'folder', label: 'a folder' },
  { value: 'push', label: 'a pushed folder' },
  { value: 'api', label: 'the API' },
];

export function stateOf(model: Model): 'offered' | 'disabled' | 'gone' {
  return !model.offered ? 'gone' : model.disabled != null ? 'disabled' : 'offered';
}

/** All models with how they are run: what editors of models see of them. */
@Component({
  selector: 'm-catalogue-page',
  imports: [Choice, Failed, Icon, ModelForm, Phase, PushForm, RouterLink, Versions, Void],
  template: `@if (push()) {
      <header class="head"><div class="ht"><div class="crumbs"><a routerLink="/admin/catalogue">Catalogue</a></div><h1>{{ pushed() || 'Push a folder' }}</h1><p class="sub">{{ pushed() ? 'It is a model of the catalogue as soon as its example has predictions.' : 'A folder with a model becomes a model of this hub. What is wrong with it is said before anything runs.' }}</p></div>
        @if (pushed()) {<div class="acts"><a class="btn" [routerLink]="['/admin/catalogue', pushed()]">To the model</a></div>}</header>
      @if (pushed()) {<m-versions [id]="pushed()" />}
      <m-push-form [id]="pushed()" (pushed)="pushedIt($event.id)" />
    } @else if (add()) {
      <header class="head"><div class="ht"><div class="crumbs"><a routerLink="/admin/catalogue">Catalogue</a></div><h1>Add a model</h1><p class="sub">A server elsewhere or an image; either speaks the API of model servers. Models of this machine are folders: they appear by themselves.</p></div></header>
      <m-model-form (saved)="added($event)" />
    } @else {
      <header class="head dup"><div class="ht"><h1>Catalogue</h1><p class="sub">Every model, also disabled ones, and how it is run.</p></div><div class="acts"><a class="btn" [routerLink]="[]" [queryParams]="{ add: 'yes' }">Add a model</a><a class="btn pri" [routerLink]="[]" [queryParams]="{ push: 'yes' }">Push a folder</a></div></header>
      <div class="bar">
        <label class="ctl inp"><m-icon name="search" /><input #search type="search" placeholder="Title, id or tag" aria-label="Search the models" [value]="q()" (input)="go({ q: search.value }, true)" /></label>
        <m-choice label="State" [options]="states" [value]="state()" (valueChange)="go({ state: $event })" />
        <m-choice label="Described by" [options]="owners" [value]="owner()" (valueChange)="go({ owner: $event })" />
        @if (filtered()) {<button type="button" class="btn txt" (click)="clear()">Clear</button>}
      </div>
      @if (read.failure(); as failure) {<m-failed [failure]="failure" (again)="read.again()" />}
      @if (rows().length > 0) {
        <div class="tw cards"><table class="t compact"><thead><tr><th>Model</th><th>State</th><th>Version</th><th class="p2">Described by</th><th class="num">Instances</th><th class="num p3">In one call</th><th class="num p3">MiB</th><th class="p2">Known used again</th><th class="num p3">Edits</th></tr></thead><tbody>
          @for (one of rows(); track one.id) {
            <tr><td class="ttl"><a class="tx" [routerLink]="['/admin/catalogue', one.id]">{{ one.card.title || one.id }}</a>&ngsp;@if (one.card.title) {<span class="mono id">{{ one.id }}</span>}</td>
              <td class="sta"><m-phase [is]="mark(one)" [said]="stateOf(one)" /></td>
              <td class="mono full" data-l="Version"><span class="v">{{ one.version }}</span></td>
              <td class="p2" data-l="Described by"><span class="v">{{ one.owner === 'folder' ? 'a folder' : one.owner === 'push' ? 'a pushed folder' : one.runs === 'pod' ? 'the API, an image' : 'the API' }}</span></td>
              <td class="num" data-l="Instances"><span class="v">{{ one.limits.min_instances }} to {{ one.limits.max_instances }}</span></td>
              <td class="num p3" data-l="In one call"><span class="v">{{ count(one.limits.batch_size) }}</span></td>
              <td class="num p3" data-l="MiB"><span class="v">{{ count(one.limits.memory_mib) }}</span></td>
              <td class="p2" data-l="Known used again"><span class="v" [class.z]="!one.cache">{{ one.cache ? 'yes' : 'no' }}</span></td>
              <td class="num p3" data-l="Edits"><span class="v" [class.z]="edits(one) === 0">{{ edits(one) }}</span></td></tr>
          }
        </tbody></table></div>
        <div class="under"><span>{{ counted(rows().length, 'model') }}{{ filtered() ? ' of ' + count(read.value()?.length ?? 0) : '' }}</span></div>
      } @else if (read.value()) {
        <div class="sheet">@if (filtered()) {<m-void title="No model is like that">The search and the filters leave none of {{ count(read.value()?.length ?? 0) }}.<button step type="button" class="btn" (click)="clear()">Clear the filters</button></m-void>} @else {<m-void title="There is no model yet">A folder with a <span class="mono">model.toml</span> below the hub’s folder of models appears here by itself, and one of yours when you push it; one that runs elsewhere is added by its address, one that is an image by its name.<a step class="btn pri" [routerLink]="[]" [queryParams]="{ push: 'yes' }">Push a folder</a><a step class="btn" [routerLink]="[]" [queryParams]="{ add: 'yes' }">Add a model</a></m-void>}</div>
      } @else if (read.loading()) {
        <div class="tw" aria-busy="true"><table class="t compact"><tbody>@for (n of [1, 2, 3]; track n) {<tr><td><i class="sk a"></i></td><td><i class="sk b"></i></td><td class="num"><i class="sk d"></i></td></tr>}</tbody></table></div>
      }
    }`,
})
export class CataloguePage {
  readonly q = input('', { transform: asText });
  readonly state = input('', { transform: asText });
  readonly owner = input('', { transform: asText });
  readonly add = input('', { transform: asText });
  /** `yes`, or the id of the model that was pushed. */
  readonly push = input('', { transform: asText });
  protected readonly pushed = computed(() => (this.push() === 'yes' ? '' : this.push()));
  protected readonly versions = viewChild(Versions);
  readonly #api = inject(Api);
  readonly #router = inject(Router);
  readonly #toasts = inject(Toasts);
  protected readonly go = queryChanger();
  protected readonly states = STATES;
  protected readonly owners = OWNERS;
  protected readonly stateOf = stateOf;
  protected readonly count = count;
  protected readonly counted = counted;
  protected readonly read = readBy((signal, quiet) => async () => {
    const all: Model[] = [];
    for (let after: string | undefined; ; ) {
      const page = await this.#api.get('/api/v1/catalogue', { query: { limit: 200, ...(after ? { after } : {}) }, signal, quiet });
      all.push(...page.items);
      if (!page.next) return all;
      after = page.next;
    }
  });
  protected readonly filtered = computed(() => !!(this.q() || this.state() || this.owner()));
  protected readonly rows = computed(() => {
    const text = this.q().trim().toLowerCase();
    const has = (one: Model) => [one.id, one.card.title, ...one.card.tags].some((words) => words.toLowerCase().includes(text));
    return (this.read.value() ?? []).filter((one) => (!this.state() || stateOf(one) === this.state()) && (!this.owner() || one.owner === this.owner()) && has(one));
  });

  constructor() {
    follow(inject(Feed).models, [this.read]);
  }

  protected mark(model: Model): string {
    return { offered: 'ready', disabled: 'disabled', gone: 'ended' }[stateOf(model)];
  }

  protected edits(model: Model): number {
    return Object.values(model.edits).reduce<number>((sum, part) => sum + (part && typeof part === 'object' ? Object.keys(part).length : 1), 0);
  }

  protected clear(): void {
    this.go({ q: null, state: null, owner: null });
  }

  protected pushedIt(id: string): void {
    this.versions()?.again();
    this.go({ push: id });
  }

  protected added(model: Model): void {
    this.#toasts.say('The model is added.');
    void this.#router.navigate(['/admin/catalogue', model.id]);
  }
}
