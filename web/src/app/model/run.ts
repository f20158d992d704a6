import { Component, ElementRef, Injector, afterNextRender, computed, effect, inject, input, linkedSignal, signal } from '@angular/core';

import type { Schemas } from '../api/api';
import { read } from '../api/read';
import { Chemist } from '../chem/chemist';
import { DrawDialog } from '../chem/draw-dialog';
import { Draft } from '../home/draft';
import { withInput, withInputAt } from '../home/lines';
import { PasteBox } from '../home/paste-box';
import { columnOf, inputsOf, namesOf, numberOf, type Record, SEPARATORS, separatorName } from '../home/sheet';
import { Session } from '../session/session';
import { Choice, type Option } from '../ui/choice';
import { Code } from '../ui/code';
import { Dialog } from '../ui/dialog';
import { binary, bytes, count, counted, duration, range } from '../ui/format';
import { Icon } from '../ui/icon';
import { Mol } from '../ui/mol';
import { Sending } from '../ui/sending';
import type { Unreadable } from '../../workers/chem-messages';
import { wanted } from './api-tab';
import { LANGUAGES, type Language, snippet } from './snippets';
import { takesMolecules } from './words';

/** So many are checked before they are sent; the model has the last word anyway. */
const CHECKED = 5_000;
const FIRST_ROWS = 6;

interface Line {
  readonly line: number;
  readonly cells: readonly string[];
  readonly problem?: string;
  /** So that the sign stands under the character. */
  readonly caret?: string;
  /** Rows that are not shown before this one. */
  readonly gap: number;
  readonly row: Record;
}

/** What is about to be sent to a model: the first rows, what is wrong with some, how long it takes. */
@Component({
  selector: 'm-run',
  imports: [Choice, Code, Dialog, DrawDialog, Icon, Mol, PasteBox, Sending],
  template: `<div class="two"><div>
    @if (draft.empty() || writing()) {
      <m-paste-box [names]="names()" [molecules]="molecules()" (writes)="writing.set(true)" [label]="'Paste inputs for ' + model().title" [placeholder]="molecules() ? 'Paste SMILES, one a line, or a table with a header' : 'Paste one input a line, or a table with a header'">
        @if (draft.empty()) {<button example type="button" class="btn txt" (click)="writing.set(false); draft.paste(model().example.join('\\n'))">Try an example</button>} @else {<button example type="button" class="btn" (click)="writing.set(false)">Show the rows</button>}
      </m-paste-box>
    } @else {
      <div class="sheet">
        <div class="filebar"><m-icon name="file" /><span class="nm">{{ draft.file()?.name ?? 'Pasted' }}</span><span class="mut">{{ about() }}</span>
          <div class="end">
          @if (editable()) {@if (molecules() && sheet().at >= 0) {<button type="button" class="btn txt" (click)="drawing.set('new')"><m-icon name="draw" />Draw one</button>}<button type="button" class="btn" (click)="write()">Edit</button>}
          <button type="button" class="btn" (click)="draft.clear()">{{ draft.file() ? 'Other file' : 'Clear' }}</button></div></div>
        <div class="why">
          <p>@if (sheet().at < 0) {<b>Which column has the inputs?</b> {{ sheet().refusal?.said }}} @else if (sheet().column; as name) {<b>{{ name }}</b> is the input: {{ sheet().why }}{{ checked() }}.} @else {<b>Each line</b> is an input{{ checked() }}.}</p>
          @if (columns().length > 1) {<m-choice label="Input column" [options]="columns()" [value]="sheet().at < 0 ? '' : place(sheet().at)" [none]="draft.choice().column === null && sheet().at >= 0 ? place(sheet().at) : ''" (valueChange)="change({ column: $event })" />}
          @if (cuts().length > 0) {<m-choice label="Separator" [options]="cuts()" [value]="cut()" [none]="recognised()" (valueChange)="change({ separator: $event })" />}
          @if (sheet().rows.length > 0) {<m-choice label="First line" [options]="headers" [value]="sheet().header ? 'used' : 'absent'" [none]="columns().length > 1 ? 'used' : 'absent'" (valueChange)="change({ header: $event })" />}
        </div>
        <div class="tw-x"><table class="t prev">
          @if (sheet().columns.length > 0) {<thead><tr><th class="ln"><span class="vh">Line</span></th>
            @for (name of sheet().columns; track $index) {
              <th [class.key]="$index === sheet().at" [attr.colspan]="$index === sheet().at && molecules() ? 2 : null">{{ name }}@if ($index === sheet().at) {<span class="tag">input</span>}</th>
            }</tr></thead>}
          <tbody>
            @for (row of rows(); track row.line) {
              @if (row.gap > 0) {<tr class="gap"><td class="ln">⋮</td><td [attr.colspan]="width()">{{ counted(row.gap, 'row') }}</td></tr>}
              <tr [class.prob]="row.problem"><td class="ln">{{ row.line }}</td>
                @for (cell of row.cells; track $index) {
                  <td [class.key]="$index === sheet().at && !row.problem" [class.mono]="$index === sheet().at" [class.mut]="$index !== sheet().at"><span class="cell">{{ cell }}</span>@if ($index === sheet().at && molecules() && editable()) {<button type="button" class="btn icon bare" [attr.aria-label]="'Change the molecule in line ' + row.line" (click)="drawing.set(row.row)"><m-icon name="draw" /></button>}</td>
                  @if ($index === sheet().at && molecules()) {<td class="pm" [class.key]="!row.problem">@if (!row.problem) {<m-mol [smiles]="cell" [width]="68" [height]="34" />}</td>}
                }
              </tr>
              @if (row.problem) {<tr class="caret"><td class="ln"></td>@if (sheet().at > 0) {<td [attr.colspan]="sheet().at"></td>}<td class="mono" [attr.colspan]="width() - sheet().at"><span class="cell">{{ row.caret }}</span>{{ row.problem }}</td></tr>}
            }
          </tbody></table></div>
      </div>
      @if (sheet().at >= 0 && sheet().refusal; as refusal) {
        <div class="note f mt" role="alert"><m-icon name="warn" /><span><b class="strong">The hub would not take it.</b> {{ refusal.said }}</span></div>
      } @else if (unreadable().length > 0) {
        <div class="note f mt"><m-icon name="warn" /><span><b class="strong">{{ counted(unreadable().length, 'line') }} of {{ count(number()) }} cannot be read as SMILES</b> and may get no prediction: {{ lines() }}. The others are not affected.</span></div>
      }
    }
    <m-sending />
  </div>
  <aside class="rail"><div class="sheet pad">
    <div class="mini">{{ expected().before }}</div><p class="exp">{{ expected().time }}</p><div class="mini">{{ expected().after }}</div><hr />
    <div class="lines">
      @for (bar of bars(); track bar.what) {
        <div><div class="row"><span>{{ bar.what }}</span><span [class.bad]="bar.share > 1">{{ bar.said }}</span></div>
        <svg class="gauge" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true"><rect class="g0" width="100" height="4" /><rect [attr.class]="bar.share > 1 ? 'g2' : 'g1'" [attr.width]="bar.width" height="4" /></svg></div>
      }
    </div>
    <hr /><div class="field"><label for="label">Label</label><input #label id="label" class="in sm" maxlength="100" autocomplete="off" placeholder="for your lists" [value]="draft.choice().label" (input)="change({ label: label.value })" /></div>
    @if (model().cache) {<label class="check mt3"><input type="checkbox" class="cb" [checked]="draft.choice().cache" (change)="change({ cache: !draft.choice().cache })" /><span>Use known predictions<span>Inputs seen before are answered at once.</span></span></label>}
    <div class="dockact"><button type="button" class="btn pri big wide" [disabled]="!ready()" (click)="draft.run(model().id, sheet())">{{ button() }}</button></div>
    <p class="mini mt2">As @for (one of languages; track one.id) {<button type="button" class="link" (click)="language.set(one.id)">{{ one.label }}</button>@if ($index < 2) {{{ $index === 1 ? ' or ' : ', ' }}}}</p>
  </div></aside></div>
  @if (language(); as one) {
    <m-dialog [label]="'This request with ' + one" [wide]="true" (closed)="language.set(null)"><h2>This request with {{ labelOf(one) }}</h2><p class="lead">The same inputs, column and choices as on the screen.</p><m-code [text]="code()" /></m-dialog>
  }
  @if (drawing(); as row) {<m-draw-dialog [smiles]="row === 'new' ? '' : (row.cells[sheet().at] ?? '').trim()" (drawn)="drew(row, $event)" (closed)="drawing.set(null)" />}`,
})
export class Run {
  readonly model = input.required<Schemas['Model']>();
  protected readonly draft = inject(Draft);
  readonly #chemist = inject(Chemist);
  readonly #session = inject(Session);
  readonly #injector = inject(Injector);
  readonly #host = inject<ElementRef<HTMLElement>>(ElementRef);
  protected readonly count = count;
  protected readonly counted = counted;
  protected readonly languages = LANGUAGES;
  /** Somebody types: the box stays until the rows are asked for. */
  protected readonly writing = linkedSignal({ source: this.draft.whole, computation: () => false });
  protected readonly editable = computed(() => !this.draft.whole());
  /** The row whose molecule is being changed, or one more. */
  protected readonly drawing = signal<Record | 'new' | null>(null);
  protected readonly language = signal<Language | null>(null);
  protected readonly headers: Option[] = [
    { value: 'used', label: 'header' },
    { value: 'absent', label: 'an input' },
  ];
  protected readonly names = computed(() => namesOf(this.model().input));
  protected readonly molecules = computed(() => takesMolecules(this.model()));
  protected readonly sheet = computed(() => this.draft.sheet(this.names()));
  protected readonly number = computed(() => numberOf(this.sheet()));
  protected readonly columns = computed<Option[]>(() => this.sheet().columns.map((name, at) => ({ value: this.place(at), label: name || `the ${at + 1}. column` })));
  /** What cuts the lines if nobody says it; nothing if nothing does. */
  protected readonly recognised = computed(() => this.draft.sheet(this.names(), { ...this.draft.choice(), column: null, separator: null }).separator ?? '');
  protected readonly cut = computed(() => this.draft.choice().separator ?? this.recognised());
  /** Nothing to choose where no line has anything that could cut it. */
  protected readonly cuts = computed<Option[]>(() => {
    const recognised = this.recognised();
    const first = this.draft.text().trimStart().split(/[\r\n]/, 1)[0] ?? '';
    if (this.cut() === '' && !SEPARATORS.some(({ char }) => first.includes(char))) return [];
    const named = SEPARATORS.filter(({ char }) => char !== recognised).map(({ char, name }) => ({ value: char, label: name }));
    return [{ value: recognised, label: recognised ? separatorName(recognised) : 'none', more: 'recognised' }, ...named];
  });
  protected readonly width = computed(() => Math.max(1, this.sheet().columns.length) + (this.molecules() ? 1 : 0));
  protected readonly unreadable = signal<readonly Unreadable[]>([]);
  readonly #done = signal(0);
  readonly #limits = read('/api/v1/me/limits', () => (this.#session.known() ? { quiet: true } : undefined));

  protected readonly about = computed(() => {
    const rows = this.draft.counting() ? 'the rows are being counted' : this.sheet().cut ? 'the first rows were looked at' : counted(this.number(), 'row');
    const columns = this.sheet().columns.length > 1 ? `, ${this.sheet().columns.length} columns` : '';
    return `${bytes(this.draft.bytes())}, ${rows}${columns}`;
  });
  protected readonly checked = computed(() => {
    const done = this.#done();
    return done > 0 ? `, and ${count(done - this.unreadable().length)} of ${count(done)} read as molecules` : '';
  });
  protected readonly lines = computed(() => {
    const all = this.unreadable().map(({ at }) => this.sheet().rows[at]?.line ?? 0);
    return all.slice(0, 8).join(', ') + (all.length > 8 ? ` and ${all.length - 8} more` : '');
  });
  protected readonly rows = computed<Line[]>(() => {
    const rows = this.sheet().rows;
    const wrong = new Map(this.unreadable().slice(0, 3).map((one) => [one.at, one]));
    const shown = [...new Set([...rows.keys()].slice(0, FIRST_ROWS).concat([...wrong.keys()]))].sort((a, b) => a - b);
    return shown.flatMap((at, place) => {
      const row = rows[at];
      if (!row) return [];
      const gap = at - (shown[place - 1] ?? -1) - 1;
      const found = wrong.get(at);
      const caret = found && (found.caret === null ? '' : `${' '.repeat(found.caret)}^ `);
      return [{ line: row.line, cells: row.cells, gap, row, ...(found && { problem: found.problem, caret: caret ?? '' }) }];
    });
  });
  protected readonly expected = computed(() => {
    const { state, waiting, p50_seconds, usual_start_seconds, held } = this.model();
    const start = state === 'cold' || state === 'preparing' ? (usual_start_seconds ?? null) : 0;
    const before = held && waiting > 0 ? 'Waits for now' : state === 'ready' ? 'Starts now' : state === 'starting' ? 'Starts soon' : state === 'preparing' ? 'Starts when its environment is made' : 'Starts when you run it';
    const after = held && waiting > 0 ? held : waiting > 0 ? `${counted(waiting, 'request')} ${waiting === 1 ? 'is' : 'are'} ahead; you take turns.` : state === 'ready' ? 'An instance is ready, nobody is ahead.' : start ? `An instance takes about ${duration(start)} to start.` : 'Nobody is ahead.';
    const usual = p50_seconds === null || p50_seconds === undefined ? 'not known yet' : `usually ${duration(p50_seconds + (start ?? 0))}`;
    const said = this.#number() === 1 ? this.model().expected_seconds : this.#number() > 1 ? this.#asked.value()?.expected_seconds : null;
    return { before, time: said ? range(said) : usual, after };
  });
  /** So many inputs, once nobody types for a moment; 0 if that is not known. */
  readonly #number = signal(1);
  /** What the model's page reads is of one input, and is read again when something happens to the model. */
  readonly #asked = read('/api/v1/models/{id}', () => {
    const model = this.model();
    return this.#number() > 1 ? { path: { id: model.id }, query: { inputs: this.#number() }, quiet: true } : undefined;
  });
  protected readonly bars = computed(() => {
    const { inputs, body_bytes } = this.model().limits;
    const number = this.number();
    const more = this.sheet().cut ? ' or more' : '';
    const size = this.draft.bytes();
    const bars = [
      { what: 'Inputs', share: number / inputs, said: `${count(number)}${more} of ${count(inputs)}` },
      { what: this.draft.file() ? 'File' : 'Size', share: size / body_bytes, said: `${bytes(size)} of ${binary(body_bytes)}` },
    ];
    const mine = this.#limits.value();
    if (mine) {
      const today = mine.used.day_inputs + number;
      bars.push({ what: 'Today, with this', share: today / mine.limits.day_inputs, said: `${count(today)}${more} of ${count(mine.limits.day_inputs)}` });
    }
    return bars.map((bar) => ({ ...bar, width: bar.share === 0 ? 0 : Math.max(0.6, Math.min(100, bar.share * 100)) }));
  });
  protected readonly ready = computed(() => !this.draft.empty() && !this.sheet().refusal && this.number() > 0 && !this.draft.sending() && !this.model().disabled);
  protected readonly button = computed(() => (this.number() === 0 ? 'Run' : this.sheet().cut ? 'Run all of it' : `Run ${counted(this.number(), 'input')}`));
  protected readonly code = computed(() => snippet(this.language() ?? 'curl', wanted(this.draft, this.model())));

  constructor() {
    effect(() => this.draft.look(this.names()));
    effect((onCleanup) => {
      const number = this.sheet().cut ? 0 : Math.max(1, this.number());
      const timer = setTimeout(() => this.#number.set(number), 300);
      onCleanup(() => clearTimeout(timer));
    });
    effect((onCleanup) => {
      const some = this.molecules() ? inputsOf(this.sheet()).slice(0, CHECKED) : [];
      let old = false;
      onCleanup(() => (old = true));
      const timer = setTimeout(() => {
        void this.#chemist.check(some).then((found) => {
          if (old) return;
          this.unreadable.set(found);
          this.#done.set(this.#chemist.refused() ? 0 : some.length);
        });
      }, 150);
      onCleanup(() => clearTimeout(timer));
    });
  }

  protected write(): void {
    this.writing.set(true);
    afterNextRender(() => this.#host.nativeElement.querySelector('textarea')?.focus(), { injector: this.#injector });
  }

  protected drew(row: Record | 'new', smiles: string): void {
    const [text, sheet] = [this.draft.text(), this.sheet()];
    this.draft.change(row === 'new' ? withInput(text, sheet, smiles) : withInputAt(text, sheet, row, smiles), true);
  }

  protected labelOf(language: Language): string {
    return LANGUAGES.find((one) => one.id === language)?.label ?? language;
  }

  /** A column as the hub is told of it. */
  protected place(at: number): string {
    return columnOf(this.sheet(), at);
  }

  protected change(change: { column?: string; header?: string; separator?: string; cache?: boolean; label?: string }): void {
    this.draft.choice.update((choice) => {
      const header = change.header === 'used' || change.header === 'absent' ? change.header : choice.header;
      // A number is no name, and the other way round.
      const separator = change.separator === undefined ? choice.separator : change.separator === this.recognised() ? null : change.separator;
      const column = header === choice.header && separator === choice.separator ? (change.column ?? choice.column) : null;
      return { column, header, separator, cache: change.cache ?? choice.cache, label: change.label ?? choice.label };
    });
  }
}
