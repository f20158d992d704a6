import { Component, computed, inject, input, signal } from '@angular/core';

import { Chemist } from '../chem/chemist';
import { counted } from '../ui/format';
import { Icon } from '../ui/icon';
import { Mol } from '../ui/mol';
import { Draft } from './draft';
import { inputsOf } from './sheet';

/** Names of columns that are taken for molecules where no model was chosen yet. */
export const MOLECULES = ['smiles', 'structure', 'canonical_smiles', 'molecule', 'input'];
const LINES = 400;

/** Where people paste or drop what they want predicted. What is pasted is drawn at once. */
@Component({
  selector: 'm-paste-box',
  imports: [Icon, Mol],
  template: `<form class="sheet paste" (submit)="$event.preventDefault()" (dragover)="over($event)" (dragleave)="dragging.set(false)" (drop)="drop($event)" [class.dragging]="dragging()">
    @if (draft.file(); as file) {
      <div class="src file"><div class="void">
        <h3>{{ file.name }}</h3><p>{{ about() }}</p>
        <div class="bts"><button type="button" class="btn" (click)="draft.clear()">Remove</button></div>
      </div></div>
    } @else {
      <div class="src">
        <div class="gut" aria-hidden="true">@for (line of lines(); track line) {{{ line }}<br />}</div>
        <textarea #box [rows]="rows()" spellcheck="false" autocomplete="off" autocapitalize="none" [attr.aria-label]="label()" [placeholder]="placeholder()" [value]="draft.text()" (input)="draft.paste(box.value)"></textarea>
      </div>
    }
    <div class="seen" aria-live="polite">
      @if (draft.empty()) {
        <div class="hint"><b class="strong tx">What you paste is drawn here</b><span>Each line is checked before it is sent. No account is needed; results are kept for some days.</span></div>
      } @else {
        <div class="st" [class]="bad() ? 'st-f' : 'st-c'"><m-icon [name]="bad() ? 's-failed' : 's-completed'" /><span><b class="strong">{{ counted(inputs().length, molecules() ? 'molecule' : 'input') }}</b>{{ how() }}</span></div>
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
      <ng-content select="[example]" />
      <span class="no-phone">CSV, TSV or one input a line, up to 100,000 rows and 64 MiB</span>
      <div class="end"><ng-content /></div>
    </div>
  </form>`,
})
export class PasteBox {
  protected readonly draft = inject(Draft);
  readonly label = input('Paste molecules or drop a file');
  readonly placeholder = input('Paste SMILES, one a line, or a table with a header');
  readonly names = input<readonly string[]>(MOLECULES);
  readonly molecules = input(true);
  protected readonly counted = counted;
  protected readonly dragging = signal(false);
  readonly #sheet = computed(() => this.draft.sheet(this.names()));
  protected readonly inputs = computed(() => inputsOf(this.#sheet()));
  protected readonly first = computed(() => (this.molecules() ? this.inputs().slice(0, 4) : []));
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
    const rows = this.inputs().length;
    return this.draft.cut() ? `The first ${counted(rows, 'row')} were looked at; the hub reads all of it.` : counted(rows, 'row');
  });

  constructor() {
    inject(Chemist).warm();
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
