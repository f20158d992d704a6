import { Component, computed, effect, inject, input, signal, untracked } from '@angular/core';
import { RouterLink } from '@angular/router';

import type { Schemas } from '../api/api';
import { Failure } from '../api/failure';
import { type Read, read } from '../api/read';
import { Catalogue } from '../model/catalogue';
import { takesMolecules } from '../model/words';
import { Choice, type Option } from '../ui/choice';
import { count, counted, decimals, fixed, tail } from '../ui/format';
import { Icon } from '../ui/icon';
import { Mol } from '../ui/mol';
import { asText, queryChanger } from '../ui/query';
import { save } from '../ui/save';
import { Failed, Void } from '../ui/void';
import { When } from '../ui/when';
import { csvLine } from '../../workers/csv';
import { join, type Joined, type Key, ordered, type Pair, summary } from './pairs';
import { Result } from './result';
import { Scatter } from './scatter';

const PAGE = 50;

/** Two requests, joined by input: both values of a column, and by how much they differ. */
@Component({
  selector: 'm-compare-page',
  imports: [Choice, Failed, Icon, Mol, RouterLink, Scatter, Void, When],
  template: `<header class="head big"><div class="ht">
        <div class="crumbs"><a routerLink="/requests">My requests</a> <span class="sl">/</span>&ngsp;<a class="mono id" [routerLink]="['/requests', id()]">{{ tail(id()) }}</a></div>
        <h1>Compare</h1>
        <p class="sub">@if (first.value(); as one) {{{ nameOf(one) }}}@if (second.value(); as other) { with {{ nameOf(other) }}, joined by input}</p></div>
      @if (joined()) {<div class="acts"><a class="btn" [routerLink]="[]" [queryParams]="{}">Another one</a><button type="button" class="btn pri" (click)="download()"><m-icon name="download" />Download CSV</button></div>}
    </header>
    @if (first.failure() ?? second.failure() ?? list.failure(); as failure) {<m-failed [failure]="failure" (again)="first.again(); second.again(); list.again()" />}
    @if (a.problem() ?? b.problem(); as problem) {<m-failed [failure]="problem" (again)="a.again(); b.again()" />}
    @if (!with()) {
      <p class="lead mb5">With which of your completed requests?</p>
      @if (others().length > 0) {
        <div class="tw cards"><table class="t"><thead><tr><th>Request</th><th class="num">Inputs</th><th class="num">Submitted</th></tr></thead><tbody>
          @for (one of others(); track one.id) {<tr><td class="ttl"><a class="tx strong" [routerLink]="[]" [queryParams]="{ with: one.id }">{{ one.label || catalogue.title(one.model) }}</a>&ngsp;<span class="mono id">{{ tail(one.id) }}</span></td><td class="num" data-l="Inputs"><span class="v">{{ count(one.inputs) }}</span></td><td class="num" data-l="Submitted"><span class="v"><m-when [at]="one.submitted_at" /></span></td></tr>}
        </tbody></table></div>
      } @else if (list.value()) {
        <div class="sheet"><m-void title="There is no other completed request">Run the same inputs with another model, or with another version of it; then compare.<a step class="btn pri" routerLink="/">Models</a></m-void></div>
      } @else if (list.loading()) {<div class="sheet pad" aria-busy="true"><i class="sk a"></i></div>}
    } @else if (joined(); as it) {
      <div class="bar">
        <m-choice label="First" [options]="columnsA()" [value]="x()" [none]="x()" (valueChange)="go({ x: $event, page: null })" />
        <m-choice label="Second" [options]="columnsB()" [value]="y()" [none]="y()" (valueChange)="go({ y: $event, page: null })" />
        <span class="lbl end" role="status"><b class="strong tx">{{ count(it.pairs.length) }}</b> {{ it.pairs.length === 1 ? 'input' : 'inputs' }} in both@if (it.onlyA + it.onlyB > 0) {, {{ count(it.onlyA) }} only in the first, {{ count(it.onlyB) }} only in the second}</span>
      </div>
      @if (it.pairs.length === 0) {
        <div class="sheet"><m-void title="They have no input in common">Inputs are compared as they were sent, letter by letter.<a step class="btn" [routerLink]="[]" [queryParams]="{}">Another request</a></m-void></div>
      } @else {
        <div class="sheet comp"><m-scatter [pairs]="it.pairs" [across]="x()" [up]="y()" />
          <dl class="big4">
            <div><dt>With both values</dt><dd>{{ count(facts().both) }}</dd><dd class="small">of {{ count(it.pairs.length) }}</dd></div>
            <div><dt>Mean difference</dt><dd>{{ number(facts().mean) }}</dd><dd class="small">second less first</dd></div>
            <div><dt>Mean without sign</dt><dd>{{ number(facts().absolute) }}</dd><dd class="small">how far apart</dd></div>
            <div><dt>Correlation</dt><dd>{{ facts().correlation === null ? '–' : facts().correlation?.toFixed(3) }}</dd><dd class="small">Pearson’s r</dd></div>
          </dl></div>
        <div class="tw cards mt3"><table class="t res"><thead><tr>
          <th><span class="vh">Place</span></th><th [attr.colspan]="molecules() ? 2 : 1" [attr.aria-sort]="sorted('input')"><button type="button" class="nm" (click)="order('input')">input</button></th>
          @for (head of heads(); track head.key) {<th class="num" [attr.aria-sort]="sorted(head.key)"><button type="button" class="nm" (click)="order(head.key)">@if (key() === head.key) {<svg class="i sort" [class.flip]="!down()" viewBox="0 0 16 16" aria-hidden="true"><use href="#i-sort" /></svg>}{{ head.label }}</button><span class="u">{{ head.of }}</span></th>}
        </tr></thead><tbody>
          @for (pair of rows(); track $index) {
            <tr><td class="cbx mut">{{ count((at() - 1) * pageSize + $index + 1) }}</td>@if (molecules()) {<td class="mc"><m-mol [smiles]="pair.input" [width]="124" [height]="62" /></td>}
              <td class="nmz"><span class="mono" [title]="pair.input">{{ pair.input }}</span></td>
              <td class="num" [attr.data-l]="x()" [title]="pair.a">{{ number(pair.a) }}</td><td class="num" [attr.data-l]="y()" [title]="pair.b">{{ number(pair.b) }}</td><td class="num" data-l="Difference" [title]="pair.difference">{{ number(pair.difference) }}</td></tr>
          }
        </tbody></table></div>
        <div class="under"><span>{{ place() }}</span><span class="end">
          @if (at() > 1) {<button type="button" class="btn" (click)="go({ page: at() - 1 })">Back</button>}
          @if (at() * pageSize < it.pairs.length) {<button type="button" class="btn" (click)="go({ page: at() + 1 })">Next</button>}</span></div>
      }
    } @else if (!(first.failure() ?? second.failure() ?? a.problem() ?? b.problem())) {<div class="tw" aria-busy="true"><table class="t"><tbody>@for (n of [1, 2, 3]; track n) {<tr><td><i class="sk a"></i></td><td class="num"><i class="sk d"></i></td></tr>}</tbody></table></div>}`,
})
export class ComparePage {
  readonly id = input.required<string>();
  readonly with = input('', { transform: asText });
  readonly first_ = input('', { transform: asText, alias: 'x' });
  readonly second_ = input('', { transform: asText, alias: 'y' });
  readonly sort = input('', { transform: asText });
  readonly page = input('', { transform: asText });
  protected readonly catalogue = inject(Catalogue);
  protected readonly go = queryChanger();
  protected readonly count = count;
  protected readonly tail = tail;
  protected readonly pageSize = PAGE;
  protected readonly a = new Result();
  protected readonly b = new Result();
  protected readonly first = read('/api/v1/requests/{id}', () => ({ path: { id: this.id() } }));
  protected readonly second = read('/api/v1/requests/{id}', () => (this.with() ? { path: { id: this.with() } } : undefined));
  readonly #modelA = modelOf(this.first.value);
  readonly #modelB = modelOf(this.second.value);
  protected readonly list = read('/api/v1/requests', () => (this.with() ? undefined : { query: { phase: ['completed'], limit: 100 } }));
  protected readonly others = computed(() => (this.list.value()?.items ?? []).filter((one) => one.id !== this.id()));
  protected readonly molecules = computed(() => {
    const model = this.catalogue.models().find((one) => one.id === this.first.value()?.model);
    return model ? takesMolecules(model) : false;
  });
  protected readonly columnsA = computed(() => numbersOf(this.a, this.first.value()));
  protected readonly columnsB = computed(() => numbersOf(this.b, this.second.value()));
  /** A column that both have, until somebody chooses. */
  protected readonly x = computed(() => chosen(this.first_(), this.columnsA(), this.columnsB()));
  protected readonly y = computed(() => chosen(this.second_() || this.x(), this.columnsB(), this.columnsA()));
  protected readonly joined = signal<Joined | null>(null);
  protected readonly facts = computed(() => summary(this.joined()?.pairs ?? []));
  protected readonly key = computed<Key | null>(() => (['input', 'a', 'b', 'difference'] as const).find((key) => key === this.sort().replace(/^-/, '')) ?? null);
  protected readonly down = computed(() => this.sort().startsWith('-'));
  readonly #ordered = computed(() => ordered(this.joined()?.pairs ?? [], this.key(), this.down()));
  protected readonly at = computed(() => Math.max(1, Number.parseInt(this.page(), 10) || 1));
  protected readonly rows = computed(() => this.#ordered().slice((this.at() - 1) * PAGE, this.at() * PAGE));
  protected readonly heads = computed<{ key: Key; label: string; of: string }[]>(() => [
    { key: 'a', label: this.x(), of: withUnit('first', this.#modelA.value(), this.x()) },
    { key: 'b', label: this.y(), of: withUnit('second', this.#modelB.value(), this.y()) },
    { key: 'difference', label: 'difference', of: 'second less first' },
  ]);
  readonly #digits = computed(() => {
    const values = (this.joined()?.pairs ?? []).flatMap(({ a, b }) => [a ?? 0, b ?? 0]);
    const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    return decimals(largest, values.every(Number.isInteger));
  });
  protected readonly place = computed(() => {
    const total = this.joined()?.pairs.length ?? 0;
    return total > PAGE ? `${count((this.at() - 1) * PAGE + 1)} to ${count(Math.min(total, this.at() * PAGE))} of ${count(total)}` : '';
  });

  constructor() {
    const opens = (result: Result, request: () => Schemas['Request'] | undefined) => {
      let opened = '';
      effect(() => {
        const one = request();
        if (!one || opened === one.id) return;
        opened = one.id;
        untracked(() => {
          this.joined.set(null);
          if (one.phase === 'completed') result.open(`api/v1/requests/${one.id}/result?format=ndjson`);
          else result.problem.set(new Failure(-1, `A request that is ${one.phase} has no result to compare.`));
        });
      });
    };
    opens(this.a, this.first.value);
    opens(this.b, this.second.value);
    effect((onCleanup) => {
      const [x, y, one, other] = [this.x(), this.y(), this.first.value(), this.second.value()];
      if (!x || !y || !one || !other) return;
      let old = false;
      onCleanup(() => (old = true));
      const [inA, inB] = [inputAt(this.a, one), inputAt(this.b, other)];
      const all = [this.a.values(inA), this.a.values(placeOf(this.a, x)), this.b.values(inB), this.b.values(placeOf(this.b, y))];
      void Promise.all(all).then(([inputsA = [], a = [], inputsB = [], b = []]) => {
        if (!old) this.joined.set(join(inputsA, a, inputsB, b));
      });
    });
  }

  protected nameOf(request: Schemas['Request']): string {
    return `${request.label ? `${request.label}, ` : ''}${this.catalogue.title(request.model)} ${request.model_version.split('+')[0]}, ${counted(request.inputs, 'input')}`;
  }

  protected number(value: number | null): string {
    return value === null ? '–' : fixed(value, this.#digits());
  }

  protected sorted(key: Key): 'ascending' | 'descending' | 'none' {
    return this.key() !== key ? 'none' : this.down() ? 'descending' : 'ascending';
  }

  protected order(key: Key): void {
    const now = this.sort();
    this.go({ sort: now === `-${key}` ? key : now === key ? null : `-${key}`, page: null });
  }

  protected download(): void {
    const line = ({ input, a, b, difference }: Pair) => csvLine([input, a, b, difference]);
    const text = csvLine(['input', `${this.x()} (first)`, `${this.y()} (second)`, 'difference']) + this.#ordered().map(line).join('');
    save(text, `compare-${this.id().slice(-6)}-${this.with().slice(-6)}.csv`, 'text/csv');
  }
}

function modelOf(request: () => Schemas['Request'] | undefined): Read<Schemas['Model']> {
  const id = computed(() => request()?.model);
  return read('/api/v1/models/{id}', () => {
    const model = id();
    return model ? { path: { id: model } } : undefined;
  });
}

function withUnit(which: string, model: Schemas['Model'] | undefined, column: string): string {
  const unit = model?.outputs.find((one) => one.name === column)?.unit;
  return unit ? `${which}, ${unit}` : which;
}

function inputAt(result: Result, request: Schemas['Request']): number {
  const named = request.reading.column ? placeOf(result, request.reading.column) : -1;
  return named >= 0 ? named : Math.max(0, placeOf(result, 'input'));
}

function placeOf(result: Result, name: string): number {
  return result.columns()?.columns.findIndex((one) => one.name === name) ?? -1;
}

/** The columns with numbers; those of the model before those of the file. */
function numbersOf(result: Result, request: Schemas['Request'] | undefined): Option[] {
  const own = request?.reading.columns ?? [];
  const numbers = (result.columns()?.columns ?? []).filter((one) => one.kind === 'number').map((one) => one.name);
  return [...numbers.filter((name) => !own.includes(name)), ...numbers.filter((name) => own.includes(name))].map((name) => ({ value: name, label: name }));
}

function chosen(wanted: string, all: readonly Option[], others: readonly Option[]): string {
  const has = (options: readonly Option[], value: string) => options.some((one) => one.value === value);
  if (has(all, wanted)) return wanted;
  return (all.find((one) => has(others, one.value)) ?? all[0])?.value ?? '';
}
