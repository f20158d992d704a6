import { Component, computed, effect, inject, input, signal, untracked } from '@angular/core';

import type { Schemas } from '../api/api';
import { takesMolecules } from '../model/words';
import { Choice, type Option } from '../ui/choice';
import { copied } from '../ui/code';
import { count } from '../ui/format';
import { Histogram } from '../ui/histogram';
import { Icon } from '../ui/icon';
import { Mol } from '../ui/mol';
import { asList } from '../ui/query';
import { Toasts } from '../ui/toasts';
import { Failed, Void } from '../ui/void';
import type { ResultRow } from '../../workers/result-messages';
import { arranged, said, shadeOf, short, type Shown, shownColumns, under } from './columns';
import { ColumnsChoice } from './columns-choice';
import { RangeDialog } from './range-dialog';
import type { Result } from './result';
import { resultQuery } from './result-query';
import { RowDrawer } from './row-drawer';
import { Substructure } from './substructure';

const PAGE = 50;

/** The rows of a result: what a person sent, beside what the model says. What is chosen stands in the address. */
@Component({
  selector: 'm-result-table',
  imports: [Choice, ColumnsChoice, Failed, Histogram, Icon, Mol, RangeDialog, RowDrawer, Substructure, Void],
  template: `@if (result().columns(); as all) {
      <div class="bar">
        <div class="seg ic" role="group" aria-label="Shown as">
          <button type="button" title="Table" [class.on]="!query.cards()" [attr.aria-pressed]="!query.cards()" (click)="query.go({ view: null })"><m-icon name="table" /><span class="vh">Table</span></button>
          <button type="button" title="Cards" [class.on]="query.cards()" [attr.aria-pressed]="query.cards()" (click)="query.go({ view: 'cards' })"><m-icon name="cards" /><span class="vh">Cards</span></button></div>
        <label class="ctl inp"><m-icon name="search" /><input #search type="search" placeholder="Name or {{ molecules() ? 'SMILES' : inputName() }}" aria-label="Search the rows" [value]="query.text()" (input)="query.go({ q: search.value, page: null }, true)" /></label>
        @if (molecules()) {<m-substructure [result]="result()" [column]="inputAt()" [value]="query.substructure()" (valueChange)="query.go({ sub: $event, page: null })" (found)="matches.set($event)" />}
        @if (numbers().length > 0) {<m-choice label="Colour" [options]="colours()" [value]="query.colour()" (valueChange)="query.go({ colour: $event })" />}
        @if (outputs().length > 1) {<m-columns-choice [columns]="outputs()" [hidden]="query.hidden()" (hiddenChange)="query.go({ hide: $event })" [pinned]="query.pinned()" (pinnedChange)="query.go({ pin: $event })" />}
        @for (range of query.ranges(); track range.column) {<span class="chip">{{ range.column }} {{ short(range.low) }} to {{ short(range.high) }}<button type="button" [attr.aria-label]="'Remove the range of ' + range.column" (click)="query.limit(range.column, null)"><m-icon name="x" /></button></span>}
        @if (query.filtered()) {<button type="button" class="btn txt" (click)="query.clear()">Clear</button>}
        <span class="lbl end" role="status"><b class="strong tx">{{ count(number()) }}</b> of {{ count(all.total) }}</span>
      </div>
      @if (all.cut) {<div class="note w mb5"><m-icon name="info" /><span>Only the first {{ count(all.total) }} rows are shown here. The downloads have all of them.</span></div>}
      @if (query.cards() && all.failed > 0) {<div class="note f mb5"><m-icon name="warn" /><span><b class="strong">{{ count(all.failed) }} without prediction</b> {{ reasons() }}</span><span class="end"><button type="button" class="btn txt" (click)="showFailed()">{{ query.failed() ? 'Show all' : 'Show' }}</button></span></div>}
      @if (query.cards()) {
        <div class="sheet cgrid">
          @for (row of result().rows(); track $index) {
            <article class="ccell" [class.on]="result().selected().has(row.at)">
              <div class="ch"><input type="checkbox" class="cb" [attr.aria-label]="'Select row ' + (row.at + 1)" [checked]="result().selected().has(row.at)" (change)="select(row.at)" /><button type="button" class="nm" (click)="query.go({ row: row.at + 1 })">{{ nameOf(row) || text(row, inputAt()) }}</button></div>
              @if (row.error !== null) {<p class="bad mt2">{{ row.error }}</p><span class="mono">{{ text(row, inputAt()) }}</span>} @else {
                @if (molecules()) {<m-mol [smiles]="text(row, inputAt())" [name]="nameOf(row)" [width]="232" [height]="116" />}
                <dl>@for (column of visible(); track column.name) {<div [class]="shade(column, row)"><dt>{{ column.name }}</dt><dd [title]="row.values[column.index]">{{ said(column, row.values[column.index] ?? null) }}@if (column.unit) {<span class="u"> {{ column.unit }}</span>}</dd></div>}</dl>
              }
            </article>
          }
        </div>
        @if (result().shown() && number() === 0) {<div class="sheet"><m-void title="No row is like that">{{ filterInWords() }}<button step type="button" class="btn" (click)="query.clear()">Show all {{ count(all.total) }}</button></m-void></div>}
      } @else {
      <div class="tw cards"><table class="t res">
        <thead><tr>
          <th><input type="checkbox" class="cb" aria-label="Select the rows of this page" [checked]="allSelected()" (change)="selectAll()" /></th>
          <th [attr.colspan]="molecules() ? 2 : 1" [attr.aria-sort]="sorted(inputName())"><button type="button" class="nm" (click)="query.order(inputName())">{{ lead() }}</button><span class="u">{{ own().length > 1 ? 'your columns' : 'your input' }}</span></th>
          @for (column of visible(); track column.name) {
            <th class="num {{ pin(column) }}" [attr.aria-sort]="sorted(column.name)">
              <button type="button" class="nm" [title]="column.meaning" (click)="query.order(column.name)">@if (query.sort() === column.name) {<svg class="i sort" [class.flip]="!query.down()" viewBox="0 0 16 16" aria-hidden="true"><use href="#i-sort" /></svg>}{{ column.name }}</button><span class="u">{{ under(column) || '\u00a0' }}</span>
              @if (column.kind === 'number') {
                <m-histogram [bins]="column.bins" [of]="result().shown()?.bins?.[column.name]" [least]="column.least" [most]="column.most" [range]="rangeOf(column.name)" (chosen)="query.limit(column.name, $event)" />
                <button type="button" class="rg" [class.set]="rangeOf(column.name)" (click)="asked.set(column)"><span class="vh">Range of {{ column.name }}:&ngsp;</span><span>{{ short(rangeOf(column.name)?.[0] ?? column.least) }}</span>&ngsp;<span>{{ short(rangeOf(column.name)?.[1] ?? column.most) }}</span></button>
              }
            </th>
          }
        </tr></thead>
        <tbody>
          @if (all.failed > 0) {
            <tr class="miss"><td [attr.colspan]="width()"><div class="in1"><span class="st st-f"><m-icon name="s-failed" /><span class="strong">{{ count(all.failed) }} without prediction</span></span><span>{{ reasons() }}</span>
              <button type="button" class="link" (click)="showFailed()">{{ query.failed() ? 'Show all' : 'Show' }}</button></div></td></tr>
          }
          @for (row of result().rows(); track $index) {
            <tr [class.on]="result().selected().has(row.at)">
              <td class="cbx"><input type="checkbox" class="cb" [attr.aria-label]="'Select row ' + (row.at + 1)" [checked]="result().selected().has(row.at)" (change)="select(row.at)" /></td>
              @if (molecules()) {<td class="mc"><m-mol [smiles]="text(row, inputAt())" [name]="nameOf(row)" [width]="124" [height]="62" /></td>}
              <td class="nmz"><button type="button" class="opens" (click)="query.go({ row: row.at + 1 })">@if (nameOf(row); as name) {<b>{{ name }}</b>}<span class="mono" [title]="text(row, inputAt())">{{ text(row, inputAt()) }}</span></button></td>
              @if (row.error !== null) {
                <td class="bad full" [attr.colspan]="visible().length || 1">{{ row.error }}</td>
              } @else {
                @for (column of visible(); track column.name) {
                  <td [class]="shade(column, row) + pin(column)" [attr.data-l]="column.name" [title]="row.values[column.index]">{{ said(column, row.values[column.index] ?? null) }}</td>
                }
              }
            </tr>
          } @empty {
            @if (result().shown() && number() === 0) {<tr><td [attr.colspan]="width()"><m-void title="No row is like that">{{ filterInWords() }}<button step type="button" class="btn" (click)="query.clear()">Show all {{ count(all.total) }}</button></m-void></td></tr>}
          }
        </tbody>
      </table></div>
      }
      <div class="under"><span>{{ place() }}</span><span class="end">
        @if (query.page() > 1) {<button type="button" class="btn" (click)="turn(-1)">Back</button>}
        @if (query.page() * pageSize < number()) {<button type="button" class="btn" (click)="turn(1)">Next {{ next() }}</button>}
      </span></div>
      @if (result().selected().size > 0) {
        <div class="selbar" role="region" aria-label="Selected rows"><b>{{ count(result().selected().size) }} selected</b>
          <button type="button" (click)="copyInputs()">Copy {{ molecules() ? 'SMILES' : 'inputs' }}</button><button type="button" (click)="copyTable()">Copy table</button><i class="sepv"></i><button type="button" (click)="result().selected.set(none)">Clear</button></div>
      }
      @if (asked(); as column) {<m-range-dialog [column]="column" [range]="rangeOf(column.name)" (chosen)="query.limit(column.name, $event)" (closed)="asked.set(null)" />}
      @if (query.row() >= 0) {<m-row-drawer class="float" [result]="result()" [columns]="columns()" [at]="query.row()" [inputAt]="inputAt()" [nameAt]="nameAt()" [molecule]="molecules()" (closed)="query.go({ row: null })" />}
    } @else if (result().problem(); as problem) {
      <m-failed [failure]="problem" (again)="result().again()" />
    } @else {
      <div class="tw" aria-busy="true"><table class="t res"><tbody>@for (n of [1, 2, 3, 4]; track n) {<tr><td class="mc"><i class="sk c"></i></td><td><i class="sk a"></i></td><td class="num"><i class="sk d"></i></td><td class="num"><i class="sk d"></i></td></tr>}</tbody></table></div>
      @if (result().read() > 0) {<p class="under" role="status">{{ count(result().read()) }} rows are read.</p>}
    }`,
})
export class ResultTable {
  readonly result = input.required<Result>();
  readonly request = input.required<Schemas['Request']>();
  readonly model = input<Schemas['Model']>();
  readonly #toasts = inject(Toasts);
  protected readonly query = resultQuery();
  protected readonly pageSize = PAGE;
  protected readonly count = count;
  protected readonly short = short;
  protected readonly said = said;
  protected readonly under = under;
  protected readonly none: ReadonlySet<number> = new Set();
  protected readonly asked = signal<Shown | null>(null);
  /** Rows that contain the substructure; null if none is looked for. */
  protected readonly matches = signal<readonly number[] | null>(null);

  protected readonly number = computed(() => this.result().shown()?.number ?? this.result().columns()?.total ?? 0);
  protected readonly columns = computed(() => shownColumns(this.result().columns()?.columns ?? [], this.model()?.outputs ?? []));
  /** The file's own columns; without any the input. */
  protected readonly own = computed(() => asList(this.request().reading.columns ?? []));
  protected readonly inputName = computed(() => {
    const name = this.request().reading.column;
    return name && this.columns().some((one) => one.name === name) ? name : 'input';
  });
  protected readonly inputAt = computed(() => this.columns().find((one) => one.name === this.inputName())?.index ?? 0);
  protected readonly nameAt = computed(() => {
    const texts = this.columns().filter((one) => this.own().includes(one.name) && one.index !== this.inputAt() && one.kind === 'text');
    return (texts.find((one) => /name|id/i.test(one.name)) ?? texts[0])?.index ?? -1;
  });
  protected readonly lead = computed(() => [this.columns()[this.nameAt()]?.name, this.inputName()].filter(Boolean).join(', '));
  /** Everything but the name and the input: other columns of the file come after the predictions. */
  protected readonly outputs = computed(() => {
    const rest = this.columns().filter((one) => one.index !== this.inputAt() && one.index !== this.nameAt());
    const isOwn = (one: Shown) => this.own().includes(one.name);
    return [...rest.filter((one) => !isOwn(one)), ...rest.filter(isOwn)];
  });
  protected readonly visible = computed(() => arranged(this.outputs(), this.query.pinned(), this.query.hidden()));
  protected readonly numbers = computed(() => this.outputs().filter((one) => one.kind === 'number'));
  protected readonly colours = computed<Option[]>(() => [{ value: '', label: 'none' }, ...this.numbers().map((one) => ({ value: one.name, label: one.name }))]);
  protected readonly molecules = computed(() => {
    const model = this.model();
    return model ? takesMolecules(model) : false;
  });
  protected readonly width = computed(() => this.visible().length + (this.molecules() ? 3 : 2));
  protected readonly reasons = computed(() => (this.result().columns()?.errors ?? []).map(([why, n]) => `${why} ${n}`).slice(0, 3).join(', '));
  protected readonly allSelected = computed(() => this.result().rows().length > 0 && this.result().rows().every((row) => this.result().selected().has(row.at)));
  protected readonly next = computed(() => Math.min(PAGE, this.number() - this.query.page() * PAGE));
  protected readonly place = computed(() => {
    const number = this.number();
    if (number <= PAGE) return '';
    return `${count((this.query.page() - 1) * PAGE + 1)} to ${count(Math.min(number, this.query.page() * PAGE))} of ${count(number)}`;
  });

  constructor() {
    effect(() => {
      const result = this.result();
      if (!result.columns()) return;
      const from = (this.query.page() - 1) * PAGE;
      const rows = this.query.substructure() ? this.matches() : null;
      const view = { sort: this.query.sort() || null, down: this.query.down(), ranges: this.query.ranges(), text: this.query.text(), failed: this.query.failed(), rows };
      untracked(() => result.view(view, from, from + PAGE));
    });
  }

  protected text(row: ResultRow, at: number): string {
    return String(row.values[at] ?? '');
  }

  protected nameOf(row: ResultRow): string {
    return this.nameAt() < 0 ? '' : this.text(row, this.nameAt());
  }

  protected shade(column: Shown, row: ResultRow): string {
    const kind = column.kind === 'number' ? 'num' : 'cut';
    const step = column.name === this.query.colour() ? shadeOf(column, row) : 0;
    if (step > 0) return `${kind} v${step}`;
    return row.values[column.index] === 0 ? `${kind} z` : kind;
  }

  /** Columns that stay in sight stand one after the other. */
  protected pin(column: Shown): string {
    const at = this.query.pinned().indexOf(column.name);
    return at < 0 ? '' : ` pin pin${at}`;
  }

  protected sorted(name: string): 'ascending' | 'descending' | 'none' {
    return this.query.sort() !== name ? 'none' : this.query.down() ? 'descending' : 'ascending';
  }

  protected rangeOf(name: string): readonly [number, number] | null {
    const range = this.query.ranges().find((one) => one.column === name);
    return range ? [range.low, range.high] : null;
  }

  protected filterInWords(): string {
    const { query } = this;
    const parts = [
      query.text() && `“${query.text()}” in a text`,
      query.substructure() && `${query.substructure()} in the structure`,
      ...query.ranges().map((one) => `${one.column} from ${short(one.low)} to ${short(one.high)}`),
      query.failed() && 'without prediction',
    ];
    return `You asked for ${parts.filter(Boolean).join(', ')}.`;
  }

  protected showFailed(): void {
    this.query.go({ only: this.query.failed() ? null : 'failed', page: null });
  }

  protected turn(by: 1 | -1): void {
    const page = this.query.page() + by;
    this.query.go({ page: page === 1 ? null : page });
  }

  protected select(at: number): void {
    this.result().selected.update((all) => {
      const now = new Set(all);
      if (!now.delete(at)) now.add(at);
      return now;
    });
  }

  protected selectAll(): void {
    const remove = this.allSelected();
    this.result().selected.update((all) => {
      const now = new Set(all);
      for (const { at } of this.result().rows()) if (remove) now.delete(at);
      else now.add(at);
      return now;
    });
  }

  protected async copyInputs(): Promise<void> {
    const rows = await this.result().pick(this.result().picked());
    await copied(rows.map((row) => this.text(row, this.inputAt())).join('\n'), this.#toasts);
  }

  protected async copyTable(): Promise<void> {
    await copied(await this.result().text('tsv', this.result().picked()), this.#toasts);
  }
}
