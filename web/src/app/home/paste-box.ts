import { Component, computed, effect, inject, input, output, signal } from '@angular/core';

import { Chemist } from '../chem/chemist';
import { DrawDialog } from '../chem/draw-dialog';
import { bytes, counted } from '../ui/format';
import { Icon } from '../ui/icon';
import { Mol } from '../ui/mol';
import { Draft, headOf } from './draft';
import { withInput } from './lines';
import { inputsOf, numberOf } from './sheet';

/** Names of columns that are taken for molecules where no model was chosen yet. */
export const MOLECULES = ['smiles', 'structure', 'canonical_smiles', 'molecule', 'input'];
const LINES = 400;

/** Where people paste or drop what they want predicted. What is pasted is drawn at once. */
@Component({
  selector: 'm-paste-box',
  imports: [DrawDialog, Icon, Mol],
  template: `<form class="sheet paste" (submit)="$event.preventDefault()" (dragover)="over($event)" (dragleave)="dragging.set(false)" (drop)="drop($event)" [class.dragging]="dragging()">
    @if (draft.whole()) {
      <div class="src file"><div class="void">
        <h3>{{ draft.file()?.name ?? 'Pasted text' }}</h3><p>{{ about() }}</p>
        <div class="bts"><button type="button" class="btn" (click)="draft.clear()">Remove</button></div>
      </div></div>
    } @else {
      <div class="src">
        <div class="gut" aria-hidden="true">@for (line of lines(); track line) {{{ line }}<br />}</div>
        <textarea #box [rows]="rows()" spellcheck="false" autocomplete="off" autocapitalize="none" [attr.aria-label]="label()" [placeholder]="placeholder()" [value]="draft.text()" (input)="type($event, box.value)" (paste)="paste($event)"></textarea>
      </div>
    }
    <div class="seen" aria-live="polite">
      @if (draft.empty()) {
        <div class="hint"><b class="strong tx">What you paste is drawn here</b><span>Each line is checked before it is sent. No account is needed; results are kept for some days.</span></div>
      } @else {
        <div class="st" [class]="bad() ? 'st-f' : 'st-c'"><m-icon [name]="bad() ? 's-failed' : 's-completed'" /><span><b class="strong">{{ number() }}</b>{{ how() }}</span></div>
        <div class="mols">
          @for (smiles of first(); track $index) {
            <figure><figcaption>{{ $index + 1 }}</figcaption><m-mol [smiles]="smiles" [width]="152" [height]="76" /></figure>
          }
        </div>
      }
    </div>
    @if (draft.refused(); as why) {<div class="note f" role="alert"><m-icon name="warn" /><span>{{ why }}</span></div>}
    <div class="foot">
      <label class="btn file"><m-icon name="file" />Choose a file<input type="file" class="vh" accept=".csv,.tsv,.tab,.smi,.smiles,.txt,text/*" (change)="choose($event)" /></label>
      @if (drawable()) {<button type="button" class="btn txt" (click)="drawing.set(true)"><m-icon name="draw" />Draw</button>}
      <ng-content select="[example]" />
      <span class="no-phone">CSV, TSV or one input a line, up to 100,000 rows and 64 MiB</span>
      <div class="end"><ng-content /></div>
    </div>
  </form>
  @if (drawing()) {<m-draw-dialog (drawn)="add($event)" (closed)="drawing.set(false)" />}`,
})
export class PasteBox {
  protected readonly draft = inject(Draft);
  readonly label = input('Paste molecules or drop a file');
  readonly placeholder = input('Paste SMILES, one a line, or a table with a header');
  readonly names = input<readonly string[]>(MOLECULES);
  readonly molecules = input(true);
  /** Somebody writes here, character by character, or draws. */
  readonly writes = output();
  protected readonly dragging = signal(false);
  protected readonly drawing = signal(false);
  readonly #sheet = computed(() => this.draft.sheet(this.names()));
  protected readonly number = computed(() => {
    const sheet = this.#sheet();
    const one = this.molecules() ? 'molecule' : 'input';
    return sheet.cut ? `The first ${one}s` : counted(numberOf(sheet), one);
  });
  protected readonly drawable = computed(() => this.molecules() && !this.draft.whole() && this.#sheet().at >= 0);
  protected readonly first = computed(() => (this.molecules() ? inputsOf(this.#sheet()).slice(0, 4) : []));
  readonly #lines = computed(() => this.draft.text().split('\n').length);
  protected readonly lines = computed(() => Array.from({ length: Math.min(LINES, Math.max(1, this.#lines())) }, (_, at) => at + 1));
  protected readonly rows = computed(() => Math.min(12, Math.max(6, this.#lines())));
  protected readonly bad = computed(() => this.#sheet().refusal !== null);
  protected readonly how = computed(() => {
    const sheet = this.#sheet();
    if (sheet.refusal) return `: ${sheet.refusal.said}`;
    return sheet.columns.length > 1 ? ` in column ${sheet.columns[sheet.at]} of ${sheet.columns.length}` : ', one a line';
  });
  protected readonly about = computed(() => {
    const sheet = this.#sheet();
    const rows = this.draft.counting() ? 'the rows are being counted' : sheet.cut ? 'only the first rows were looked at; the hub reads all of it' : counted(numberOf(sheet), 'row');
    return `${bytes(this.draft.bytes())}, ${rows}`;
  });

  constructor() {
    inject(Chemist).warm();
    effect(() => this.draft.look(this.names()));
  }

  protected type(event: Event, text: string): void {
    const { inputType = '' } = event as InputEvent;
    if (text === this.draft.text()) return;
    // Keyboards of phones write words.
    const atOnce = text.length > this.draft.text().length + 1 && !/Composition|Replacement/.test(inputType);
    if (atOnce || inputType.startsWith('insertFrom')) return this.draft.paste(text);
    this.writes.emit();
    this.draft.change(text);
  }

  protected add(smiles: string): void {
    this.writes.emit();
    this.draft.change(withInput(this.draft.text(), this.#sheet(), smiles), true);
  }

  /** What is too large for the box never gets into it. */
  protected paste(event: ClipboardEvent): void {
    const box = event.target as HTMLTextAreaElement;
    const pasted = event.clipboardData?.getData('text') ?? '';
    const text = box.value.slice(0, box.selectionStart) + pasted + box.value.slice(box.selectionEnd);
    if (headOf(text) === text) return;
    event.preventDefault();
    this.draft.paste(text);
  }

  protected over(event: DragEvent): void {
    event.preventDefault();
    this.dragging.set(true);
  }

  protected drop(event: DragEvent): void {
    event.preventDefault();
    this.dragging.set(false);
    const file = event.dataTransfer?.files[0];
    const text = event.dataTransfer?.getData('text');
    if (file) void this.draft.drop(file);
    else if (text) this.draft.paste(text);
  }

  protected choose(event: Event): void {
    const box = event.target as HTMLInputElement;
    const file = box.files?.[0];
    if (file) void this.draft.drop(file);
    box.value = '';
  }
}
