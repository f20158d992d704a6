import { Component, computed, inject, input, linkedSignal } from '@angular/core';
import { Router } from '@angular/router';

import { Catalogue, type ModelSummary } from '../model/catalogue';
import { KINDS, stateOf, takesMolecules } from '../model/words';
import { Api } from '../api/api';
import { Choice, type Option } from '../ui/choice';
import { count } from '../ui/format';
import { Icon } from '../ui/icon';
import { Sending } from '../ui/sending';
import { Failed, Void } from '../ui/void';
import { Draft } from './draft';
import { ModelCell } from './model-cell';
import { MOLECULES, PasteBox } from './paste-box';
import { namesOf, numberOf } from './sheet';

const STATES: Option[] = [
  { value: '', label: 'any' },
  { value: 'ready', label: 'ready' },
  { value: 'starting', label: 'starting' },
  { value: 'preparing', label: 'preparing' },
  { value: 'cold', label: 'cold' },
  { value: 'held', label: 'held' },
];
const SORTS: Option[] = [
  { value: '', label: 'name' },
  { value: 'fast', label: 'fastest' },
  { value: 'ready', label: 'ready first' },
];
const RANK: { [state: string]: number } = { ready: 0, starting: 1, preparing: 2, cold: 3 };

@Component({
  selector: 'm-home-page',
  imports: [Choice, Failed, Icon, ModelCell, PasteBox, Sending, Void],
  template: `<header class="head big"><div class="ht"><h1>Paste molecules or drop a file</h1></div></header>
    <m-paste-box [names]="names()" [molecules]="molecules()">
      <button example type="button" class="btn txt" (click)="example()" [disabled]="!chosen()">Try an example</button>
      @if (options().length > 0) {<m-choice label="Model" [options]="options()" [value]="model()" [none]="model()" (valueChange)="model.set($event)" />}
      <button type="button" class="btn pri" [disabled]="draft.empty() || !chosen() || inputs() === 0 || !!draft.sending()" (click)="run()">{{ inputs() === 0 ? 'Run' : 'Run ' + said() }}</button>
    </m-paste-box>
    <m-sending />
    <div class="h2r"><h2>Models</h2>@if (catalogue.read.value()) {<span class="mut">{{ shown().length === catalogue.models().length ? count(shown().length) : shown().length + ' of ' + catalogue.models().length }}</span>}</div>
    @if (catalogue.models().length > 1 || filtered()) {
      <div class="bar">
        <label class="ctl inp"><m-icon name="search" /><input #search type="search" placeholder="Search title, task, tag" aria-label="Search models" [value]="q()" (input)="go({ q: search.value }, true)" /></label>
        @if (tasks().length > 1) {<m-choice label="Task" [options]="tasks()" [value]="task()" (valueChange)="go({ task: $event })" />}
        @if (takes().length > 2) {<m-choice label="Input" [options]="takes()" [value]="wanted()" (valueChange)="go({ input: $event })" />}
        <m-choice label="State" [options]="states" [value]="state()" (valueChange)="go({ state: $event })" />
        @if (filtered()) {<button type="button" class="btn txt" (click)="go({ q: '', task: '', input: '', state: '' })">Show all {{ catalogue.models().length }}</button>}
        <div class="end"><m-choice label="Sort" [options]="sorts" [value]="sort()" (valueChange)="go({ sort: $event })" /></div>
      </div>
    }
    @if (catalogue.read.failure(); as failure) {<m-failed [failure]="failure" (again)="catalogue.read.again()" />}
    @if (catalogue.read.value() && catalogue.models().length === 0) {
      <div class="sheet"><m-void title="No models yet">Whoever runs this hub adds them: a folder with a model.toml, or a server elsewhere.<a step class="btn" href="api/docs/">API and help</a></m-void></div>
    } @else if (catalogue.read.value() && shown().length === 0) {
      <div class="sheet"><m-void title="No model is like that">The filter leaves none of {{ catalogue.models().length }}.<button step type="button" class="btn" (click)="go({ q: '', task: '', input: '', state: '' })">Show all</button></m-void></div>
    } @else {
      <div class="sheet mgrid">
        @for (one of shown(); track one.id) {<m-model-cell [model]="one" />} @empty {
          @if (catalogue.read.loading()) {
            @for (n of [1, 2, 3]; track n) {<div class="mcell" aria-hidden="true"><div class="mh"><i class="sk a"></i><i class="sk b"></i></div><p><i class="sk a"></i></p></div>}
          }
        }
      </div>
    }`,
})
export class HomePage {
  protected readonly catalogue = inject(Catalogue);
  protected readonly draft = inject(Draft);
  readonly #router = inject(Router);
  readonly #api = inject(Api);
  readonly q = input('', { transform: text });
  readonly task = input('', { transform: text });
  readonly wanted = input('', { transform: text, alias: 'input' });
  readonly state = input('', { transform: text });
  readonly sort = input('', { transform: text });
  protected readonly states = STATES;
  protected readonly sorts = SORTS;
  protected readonly count = count;
  protected readonly options = computed(() => this.catalogue.models().map((one) => ({ value: one.id, label: one.title || one.id, more: one.state })));
  /** The first that takes molecules, until somebody chooses. */
  protected readonly model = linkedSignal<readonly ModelSummary[], string>({
    source: this.catalogue.models,
    computation: (models, before) => {
      if (before && models.some((one) => one.id === before.value)) return before.value;
      const useful = models.filter(takesMolecules).sort((a, b) => Number(/weight/i.test(a.id)) - Number(/weight/i.test(b.id)));
      return (useful[0] ?? models[0])?.id ?? '';
    },
  });
  protected readonly chosen = computed(() => this.catalogue.models().find((one) => one.id === this.model()));
  protected readonly molecules = computed(() => !this.chosen() || takesMolecules(this.chosen() as ModelSummary));
  protected readonly names = computed(() => {
    const input = this.chosen()?.input;
    return input ? namesOf(input) : MOLECULES;
  });
  readonly #sheet = computed(() => this.draft.sheet(this.names()));
  protected readonly inputs = computed(() => (this.#sheet().refusal ? 0 : numberOf(this.#sheet())));
  protected readonly said = computed(() => (this.#sheet().cut ? 'all of it' : `${count(this.inputs())} ${this.inputs() === 1 ? 'input' : 'inputs'}`));
  protected readonly tasks = computed<Option[]>(() => {
    const all = new Set(this.catalogue.models().flatMap((one) => one.task || []));
    return [{ value: '', label: 'any' }, ...[...all].sort().map((task) => ({ value: task, label: task }))];
  });
  protected readonly takes = computed<Option[]>(() => {
    const all = new Set(this.catalogue.models().map((one) => one.input.kind));
    return [{ value: '', label: 'any' }, ...[...all].sort().map((kind) => ({ value: kind, label: KINDS[kind] }))];
  });
  protected readonly filtered = computed(() => !!(this.q() || this.task() || this.wanted() || this.state()));
  protected readonly shown = computed(() => {
    const q = this.q().toLowerCase();
    const found = this.catalogue.models().filter((one) => {
      const text = [one.title, one.sentence, one.id, one.task, ...one.tags].join(' ').toLowerCase();
      return text.includes(q) && (!this.task() || one.task === this.task()) && (!this.wanted() || one.input.kind === this.wanted()) && (!this.state() || stateOf(one).is === this.state());
    });
    const by: { [sort: string]: (a: ModelSummary, b: ModelSummary) => number } = {
      '': (a, b) => (a.title || a.id).localeCompare(b.title || b.id),
      fast: (a, b) => (a.p50_seconds ?? Infinity) - (b.p50_seconds ?? Infinity),
      ready: (a, b) => (RANK[a.state] ?? 3) - (RANK[b.state] ?? 3),
    };
    return found.sort(by[this.sort()] ?? by['']);
  });

  /** What is filtered stands in the address. */
  protected go(change: { [name: string]: string }, typing = false): void {
    const queryParams = Object.fromEntries(Object.entries(change).map(([name, value]) => [name, value || null]));
    void this.#router.navigate([], { queryParams, queryParamsHandling: 'merge', replaceUrl: typing });
  }

  protected async example(): Promise<void> {
    const model = await this.#api.get('/api/v1/models/{id}', { path: { id: this.model() } });
    this.draft.paste(model.example.join('\n'));
  }

  protected run(): void {
    void this.draft.run(this.model(), this.#sheet());
  }
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
