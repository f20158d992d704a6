import { Component, computed, effect, inject, input, signal, untracked } from '@angular/core';

import type { Schemas } from '../api/api';
import { takesMolecules } from '../model/words';
import { Choice, type Option } from '../ui/choice';
import { copied } from '../ui/code';
import { Dialog } from '../ui/dialog';
import { count, counted, decimals, fixed } from '../ui/format';
import { Histogram } from '../ui/histogram';
import { Icon } from '../ui/icon';
import { Mol } from '../ui/mol';
import { asText, queryChanger } from '../ui/query';
import { save } from '../ui/save';
import { Toasts } from '../ui/toasts';
import { Void } from '../ui/void';
import type { ResultColumn, ResultRow, Value } from '../../workers/result-messages';
import { parseRanges, type Range, writeRanges } from './ranges';
import type { Result } from './result';

const PAGE = 50;

interface Shown extends ResultColumn {
  readonly digits: number;
  readonly unit: string;
  readonly index: number;
}

/** The rows of a result: what a person sent, beside what the model says. What is chosen stands in the address. */
@Component({
  selector: 'm-result-table',
  imports: [Choice, Dialog, Histogram, Icon, Mol, Void],
  template: `@if (result().columns(); as all) {
      <div class="bar">
        <label class="ctl inp"><m-icon name="search" /><input #search type="search" placeholder="Name or {{ inputName() }}" aria-label="Search the rows" [value]="q()" (input)="go({ q: search.value, page: null }, true)" /></label>
        @if (numbers().length > 0) {<m-choice label="Colour" [options]="colours()" [value]="colour()" (valueChange)="go({ colour: $event })" />}
        @for (range of ranges(); track range.column) {<span class="chip">{{ range.column }} {{ short(range.low) }} to {{ short(range.high) }}<button type="button" [attr.aria-label]="'Remove the range of ' + range.column" (click)="limit(range.column, null)"><m-icon name="x" /></button></span>}
        @if (filtered()) {<button type="button" class="btn txt" (click)="go({ q: null, range: null, only: null, page: null })">Clear</button>}
        <span class="lbl end" role="status"><b class="strong tx">{{ count(number()) }}</b> of {{ count(all.total) }}</span>
      </div>
      @if (all.cut) {<div class="note w mb5"><m-icon name="info" /><span>Only the first {{ count(all.total) }} rows are shown here. The downloads have all of them.</span></div>}
      <div class="tw cards"><table class="t res">
        <thead><tr>
          <th><input type="checkbox" class="cb" aria-label="Select the rows of this page" [checked]="allSelected()" (change)="selectAll()" /></th>
          <th [attr.colspan]="molecules() ? 2 : 1" [attr.aria-sort]="sorted(inputName())"><button type="button" class="nm" (click)="order(inputName())">{{ lead() }}</button><span class="u">{{ own().length > 1 ? 'your columns' : 'your input' }}</span></th>
          @for (column of outputs(); track column.name) {
            <th class="num" [attr.aria-sort]="sorted(column.name)">
              <button type="button" class="nm" [title]="meaning(column.name)" (click)="order(column.name)">@if (sort() === column.name) {<svg class="i sort" [class.flip]="!down()" viewBox="0 0 16 16" aria-hidden="true"><use href="#i-sort" /></svg>}{{ column.name }}</button><span class="u">{{ column.unit }}&nbsp;</span>
              @if (column.kind === 'number') {
                <m-histogram [bins]="column.bins" [of]="result().shown()?.bins?.[column.name]" [least]="column.least" [most]="column.most" [range]="rangeOf(column.name)" (chosen)="limit(column.name, $event)" />
                <button type="button" class="rg" [class.set]="rangeOf(column.name)" [attr.aria-label]="'Range of ' + column.name" (click)="asked.set(column)"><span>{{ short(rangeOf(column.name)?.[0] ?? column.least) }}</span><span>{{ short(rangeOf(column.name)?.[1] ?? column.most) }}</span></button>
              }
            </th>
          }
        </tr></thead>
        <tbody>
          @if (all.failed > 0) {
            <tr class="miss"><td [attr.colspan]="width()"><div class="in1"><span class="st st-f"><m-icon name="s-failed" /><span class="strong">{{ count(all.failed) }} without prediction</span></span><span>{{ reasons() }}</span>
              <button type="button" class="link" (click)="go({ only: only() ? null : 'failed', page: null })">{{ only() ? 'Show all' : 'Show' }}</button></div></td></tr>
          }
          @for (row of result().rows(); track row.at) {
            <tr [class.on]="selected().has(row.at)">
              <td class="cbx"><input type="checkbox" class="cb" [attr.aria-label]="'Select row ' + (row.at + 1)" [checked]="selected().has(row.at)" (change)="select(row.at)" /></td>
              @if (molecules()) {<td class="mc"><m-mol [smiles]="text(row, inputAt())" [name]="nameOf(row)" [width]="124" [height]="62" /></td>}
              <td class="nmz">@if (nameOf(row); as name) {<b>{{ name }}</b>}<span class="mono" [title]="text(row, inputAt())">{{ text(row, inputAt()) }}</span></td>
              @if (row.error !== null) {
                <td class="bad full" [attr.colspan]="outputs().length || 1">{{ row.error }}</td>
              } @else {
                @for (column of outputs(); track column.name) {
                  <td [class]="shade(column, row)" [attr.data-l]="column.name" [title]="row.values[column.index]">{{ said(column, row.values[column.index] ?? null) }}</td>
                }
              }
            </tr>
          } @empty {
            @if (result().shown() && number() === 0) {<tr><td [attr.colspan]="width()"><m-void title="No row is like that">{{ filterInWords() }}<button step type="button" class="btn" (click)="go({ q: null, range: null, only: null, page: null })">Show all {{ count(all.total) }}</button></m-void></td></tr>}
          }
        </tbody>
      </table></div>
      <div class="under"><span>{{ place() }}</span><span class="end">
        @if (page() > 1) {<button type="button" class="btn" (click)="go({ page: page() - 1 === 1 ? null : page() - 1 })">Back</button>}
        @if (page() * pageSize < number()) {<button type="button" class="btn" (click)="go({ page: page() + 1 })">Next {{ next() }}</button>}
      </span></div>
      @if (selected().size > 0) {
        <div class="selbar" role="region" aria-label="Selected rows"><b>{{ selected().size }} selected</b>
          <button type="button" (click)="copyInputs()">Copy {{ molecules() ? 'SMILES' : 'inputs' }}</button><button type="button" (click)="copyTable()">Copy table</button><button type="button" (click)="saveRows(picked(), 'selected')">Download</button><i class="sepv"></i><button type="button" (click)="selected.set(none)">Clear</button></div>
      }
      @if (asked(); as column) {
        <m-dialog [label]="'Range of ' + column.name" (closed)="asked.set(null)"><h2>Range of {{ column.name }}</h2><p class="lead">{{ meaning(column.name) }} From {{ short(column.least) }} to {{ short(column.most) }}.</p>
          <form (submit)="$event.preventDefault(); limit(column.name, [low.valueAsNumber, high.valueAsNumber]); asked.set(null)">
            <div class="field"><label for="low">At least</label><input #low id="low" class="in" type="number" step="any" required [value]="rangeOf(column.name)?.[0] ?? column.least" /></div>
            <div class="field"><label for="high">At most</label><input #high id="high" class="in" type="number" step="any" required [value]="rangeOf(column.name)?.[1] ?? column.most" /></div>
            <div class="end"><button type="button" class="btn left" (click)="limit(column.name, null); asked.set(null)">No range</button><button class="btn pri">Show these</button></div>
          </form></m-dialog>
      }
    } @else if (result().problem(); as problem) {
      <div class="note f" role="alert"><m-icon name="warn" /><span>{{ problem }}</span></div>
    } @else {
      <div class="tw" aria-busy="true"><table class="t res"><tbody>@for (n of [1, 2, 3, 4]; track n) {<tr><td class="mc"><i class="sk c"></i></td><td><i class="sk a"></i></td><td class="num"><i class="sk d"></i></td><td class="num"><i class="sk d"></i></td></tr>}</tbody></table></div>
      @if (result().read() > 0) {<p class="under" role="status">{{ count(result().read()) }} rows are read.</p>}
    }`,
})
export class ResultTable {
  readonly result = input.required<Result>();
  readonly request = input.required<Schemas['Request']>();
  readonly model = input<Schemas['Model']>();
  readonly q = input('', { transform: asText });
  readonly sortedBy = input('', { transform: asText });
  readonly ranged = input('', { transform: asText });
  readonly only = input('', { transform: asText });
  readonly colour = input('', { transform: asText });
  readonly paged = input('', { transform: asText });
  readonly #toasts = inject(Toasts);
  protected readonly go = queryChanger();
  protected readonly pageSize = PAGE;
  protected readonly count = count;
  protected readonly none: ReadonlySet<number> = new Set();
  protected readonly selected = signal(this.none);
  protected readonly asked = signal<Shown | null>(null);

  protected readonly sort = computed(() => this.sortedBy().replace(/^-/, ''));
  protected readonly down = computed(() => this.sortedBy().startsWith('-'));
  protected readonly page = computed(() => Math.max(1, Number.parseInt(this.paged(), 10) || 1));
  protected readonly ranges = computed<Range[]>(() => parseRanges(this.ranged()));
  protected readonly filtered = computed(() => !!(this.q() || this.ranged() || this.only()));
  protected readonly number = computed(() => this.result().shown()?.number ?? this.result().columns()?.total ?? 0);

  readonly #columns = computed<Shown[]>(() => {
    const outputs = new Map((this.model()?.outputs ?? []).map((one) => [one.name, one.description]));
    return (this.result().columns()?.columns ?? []).map((column, index) => ({
      ...column,
      index,
      digits: decimals(Math.max(Math.abs(column.least), Math.abs(column.most)), column.whole),
      unit: unitOf(outputs.get(column.name) ?? ''),
    }));
  });
  /** The file's own columns; without any the input. */
  protected readonly own = computed(() => this.request().reading.columns ?? []);
  protected readonly inputName = computed(() => {
    const name = this.request().reading.column;
    return name && this.#columns().some((one) => one.name === name) ? name : 'input';
  });
  protected readonly inputAt = computed(() => this.#columns().find((one) => one.name === this.inputName())?.index ?? 0);
  readonly #nameAt = computed(() => {
    const texts = this.#columns().filter((one) => this.own().includes(one.name) && one.index !== this.inputAt() && one.kind === 'text');
    return (texts.find((one) => /name|id/i.test(one.name)) ?? texts[0])?.index ?? -1;
  });
  protected readonly lead = computed(() => [this.#columns()[this.#nameAt()]?.name, this.inputName()].filter(Boolean).join(', '));
  /** Everything but the name and the input: other columns of the file come after the predictions. */
  protected readonly outputs = computed(() => {
    const rest = this.#columns().filter((one) => one.index !== this.inputAt() && one.index !== this.#nameAt());
    const isOwn = (one: Shown) => this.own().includes(one.name);
    return [...rest.filter((one) => !isOwn(one)), ...rest.filter(isOwn)];
  });
  protected readonly numbers = computed(() => this.outputs().filter((one) => one.kind === 'number'));
  protected readonly colours = computed<Option[]>(() => [{ value: '', label: 'none' }, ...this.numbers().map((one) => ({ value: one.name, label: one.name }))]);
  protected readonly molecules = computed(() => {
    const model = this.model();
    return model ? takesMolecules(model) : false;
  });
  protected readonly width = computed(() => this.outputs().length + (this.molecules() ? 3 : 2));
  protected readonly reasons = computed(() => (this.result().columns()?.errors ?? []).map(([why, n]) => `${why} ${n}`).slice(0, 3).join(', '));
  protected readonly allSelected = computed(() => this.result().rows().length > 0 && this.result().rows().every((row) => this.selected().has(row.at)));
  protected readonly picked = computed(() => [...this.selected()].sort((a, b) => a - b));
  protected readonly next = computed(() => Math.min(PAGE, this.number() - this.page() * PAGE));
  protected readonly place = computed(() => {
    const number = this.number();
    if (number <= PAGE) return '';
    return `${count((this.page() - 1) * PAGE + 1)} to ${count(Math.min(number, this.page() * PAGE))} of ${count(number)}`;
  });

  constructor() {
    effect(() => {
      const result = this.result();
      if (!result.columns()) return;
      const from = (this.page() - 1) * PAGE;
      const view = { sort: this.sort() || null, down: this.down(), ranges: this.ranges(), text: this.q(), failed: this.only() === 'failed' };
      untracked(() => result.view(view, from, from + PAGE));
    });
  }

  protected text(row: ResultRow, at: number): string {
    return String(row.values[at] ?? '');
  }

  protected nameOf(row: ResultRow): string {
    return this.#nameAt() < 0 ? '' : this.text(row, this.#nameAt());
  }

  protected said(column: Shown, value: Value): string {
    if (value === null) return '–';
    return typeof value === 'number' ? fixed(value, column.digits) : value;
  }

  protected short(value: number): string {
    return Number(value.toPrecision(3)).toLocaleString('en', { maximumFractionDigits: 4 });
  }

  protected meaning(name: string): string {
    return this.model()?.outputs.find((one) => one.name === name)?.description ?? '';
  }

  protected shade(column: Shown, row: ResultRow): string {
    const value = row.values[column.index];
    const kind = column.kind === 'number' ? 'num' : 'cut';
    if (column.name !== this.colour() || typeof value !== 'number') return value === 0 ? `${kind} z` : kind;
    const span = column.most - column.least;
    return `${kind} v${span > 0 ? Math.min(8, 1 + Math.floor(((value - column.least) / span) * 8)) : 4}`;
  }

  protected sorted(name: string): 'ascending' | 'descending' | 'none' {
    return this.sort() !== name ? 'none' : this.down() ? 'descending' : 'ascending';
  }

  /** Most first, least first, as it was sent. */
  protected order(name: string): void {
    const now = this.sortedBy();
    this.go({ sort: now === `-${name}` ? name : now === name ? null : `-${name}`, page: null });
  }

  protected rangeOf(name: string): readonly [number, number] | null {
    const range = this.ranges().find((one) => one.column === name);
    return range ? [range.low, range.high] : null;
  }

  protected limit(name: string, range: readonly [number, number] | null): void {
    const others = this.ranges().filter((one) => one.column !== name);
    const now = range && Number.isFinite(range[0]) && Number.isFinite(range[1]) ? [...others, { column: name, low: range[0], high: range[1] }] : others;
    this.go({ range: writeRanges(now), page: null }, true);
  }

  protected filterInWords(): string {
    const parts = [this.q() && `“${this.q()}” in a text`, ...this.ranges().map((one) => `${one.column} from ${this.short(one.low)} to ${this.short(one.high)}`), this.only() && 'without prediction'];
    return `You asked for ${parts.filter(Boolean).join(', ')}.`;
  }

  protected select(at: number): void {
    this.selected.update((all) => {
      const now = new Set(all);
      if (!now.delete(at)) now.add(at);
      return now;
    });
  }

  protected selectAll(): void {
    const remove = this.allSelected();
    this.selected.update((all) => {
      const now = new Set(all);
      for (const { at } of this.result().rows()) if (remove) now.delete(at);
      else now.add(at);
      return now;
    });
  }

  protected async copyInputs(): Promise<void> {
    const table = await this.result().text('tsv', this.picked());
    const lines = table.trimEnd().split('\n').slice(1);
    await copied(lines.map((line) => line.split('\t')[this.inputAt()] ?? '').join('\n'), this.#toasts);
  }

  protected async copyTable(): Promise<void> {
    await copied(await this.result().text('tsv', this.picked()), this.#toasts);
  }

  async saveRows(rows: readonly number[] | null, what: string): Promise<void> {
    save(await this.result().text('csv', rows), `${this.request().model}-${this.request().id.slice(-6)}-${what}.csv`, 'text/csv');
    this.#toasts.say(`Saved ${counted(rows?.length ?? this.number(), 'row')}.`);
  }
}

/** A unit that stands at a description's end: "Average molecular weight, g/mol". */
function unitOf(description: string): string {
  const last = /,\s*([^,]{1,16})$/.exec(description)?.[1] ?? '';
  return /^(g\/mol|percent|%|0 to 1|square angstrom|degrees? Celsius|°C|Å²|[nuµm]?M|log .{1,8})$/.test(last) ? last.replace('square angstrom', 'Å²').replace(/degrees? Celsius/, '°C').replace('percent', '%') : '';
}
