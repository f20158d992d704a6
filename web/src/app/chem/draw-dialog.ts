import { Component, type ElementRef, DestroyRef, afterNextRender, computed, inject, input, output, signal, viewChild } from '@angular/core';

import { Dialog } from '../ui/dialog';
import type { Board } from './board';
import { Chemist } from './chemist';

/** A text that is typed rests for so long before it is drawn. */
const REST = 250;

/** Draws a molecule, or changes one. What is drawn stands below as SMILES; what is typed there is drawn. */
@Component({
  selector: 'm-draw-dialog',
  imports: [Dialog],
  template: `<m-dialog label="Draw a molecule" [wide]="true" [stays]="text() !== smiles()" (closed)="closed.emit()"><h2>{{ smiles() ? 'Change the molecule' : 'Draw a molecule' }}</h2>
    <form (submit)="$event.preventDefault(); add()">
      <div class="board" #host tabindex="-1" autofocus [attr.aria-busy]="!board()">
        @if (failed()) {<div class="void"><p role="alert">The editor could not be loaded. SMILES can be typed below.</p><div class="bts"><button type="button" class="btn" (click)="load()">Try again</button></div></div>} @else if (!board()) {<div class="void"><p>Loading the editor</p></div>}
      </div>
      <div class="field full"><label for="drawn">SMILES</label><input #box id="drawn" class="in mono" spellcheck="false" autocapitalize="none" autocomplete="off" placeholder="draw above, or type here" [value]="text()" [attr.aria-describedby]="problem() ? 'undrawn' : null" (input)="type(box.value)" />
        @if (problem(); as why) {<p class="err bad" id="undrawn" role="alert">It cannot be read: {{ why }}.</p>}</div>
      <div class="end"><button type="button" class="btn left" (click)="closed.emit()">Cancel</button><button class="btn pri" [disabled]="!text().trim() || !!problem()">{{ smiles() ? 'Change it' : 'Add to the list' }}</button></div>
    </form></m-dialog>`,
})
export class DrawDialog {
  /** What is to be changed; nothing for a new one. */
  readonly smiles = input('');
  readonly drawn = output<string>();
  readonly closed = output();
  readonly #chemist = inject(Chemist);
  protected readonly host = viewChild.required<ElementRef<HTMLElement>>('host');
  protected readonly board = signal<Board | null>(null);
  protected readonly failed = signal(false);
  protected readonly text = signal('');
  readonly #found = signal<string | null>(null);
  protected readonly problem = computed(() => (/[\s,;|"]/.test(this.text().trim()) ? 'spaces, commas, semicolons, bars and quotes are no part of it' : this.#found()));
  #typed: ReturnType<typeof setTimeout> | undefined;
  #gone = false;

  constructor() {
    inject(DestroyRef).onDestroy(() => {
      this.#gone = true;
      clearTimeout(this.#typed);
      this.board()?.close();
    });
    afterNextRender(() => {
      this.text.set(this.smiles());
      void this.load();
    });
  }

  protected async load(): Promise<void> {
    this.failed.set(false);
    try {
      const { Board } = await import('./board');
      if (this.#gone) return;
      this.board.set(new Board(this.host().nativeElement, (smiles) => this.#drew(smiles)));
      await this.#show();
    } catch {
      this.failed.set(true);
    }
  }

  protected type(text: string): void {
    this.text.set(text);
    clearTimeout(this.#typed);
    this.#typed = setTimeout(() => void this.#show(), REST);
  }

  protected add(): void {
    const text = this.text().trim();
    if (!text || this.problem()) return;
    this.drawn.emit(text);
    this.closed.emit();
  }

  #drew(smiles: string): void {
    clearTimeout(this.#typed);
    this.#found.set(null);
    this.text.set(smiles);
  }

  /** Draws what is typed, unless it cannot be read: the drawing stays then. */
  async #show(): Promise<void> {
    const text = this.text();
    const smiles = text.trim();
    const [wrong] = smiles ? await this.#chemist.check([smiles]) : [];
    const molfile = smiles && !wrong ? await this.#chemist.sdf([{ smiles, name: '', fields: [] }], () => !this.#gone) : null;
    if (this.#gone || this.text() !== text) return;
    this.#found.set(wrong?.problem ?? null);
    if (!wrong) this.board()?.show(molfile);
  }
}
