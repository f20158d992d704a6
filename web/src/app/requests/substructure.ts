import { Component, effect, inject, input, output, signal, untracked } from '@angular/core';

import { Chemist } from '../chem/chemist';
import { Dialog } from '../ui/dialog';
import { count } from '../ui/format';
import { Icon } from '../ui/icon';
import { Mol } from '../ui/mol';
import type { Result } from './result';

/** Which rows contain a piece of a molecule: asked for here, looked for in the worker. */
@Component({
  selector: 'm-substructure',
  imports: [Dialog, Icon, Mol],
  template: `<button type="button" class="btn" (click)="draft.set(value()); asking.set(true)"><m-icon name="sub" />Substructure</button>
    @if (value()) {<span class="chip" [class.bad]="problem()"><span class="mono">{{ value() }}</span>@if (problem(); as why) { cannot be read: {{ why }}} @else if (done() !== null) { {{ count(done() ?? 0) }} looked at}<button type="button" aria-label="Remove the substructure" (click)="valueChange.emit('')"><m-icon name="x" /></button></span>}
    @if (asking()) {
      <m-dialog label="Substructure" (closed)="asking.set(false)"><h2>Substructure</h2><p class="lead">Rows whose molecule contains this piece, as SMILES or SMARTS.</p>
        <form (submit)="$event.preventDefault(); valueChange.emit(draft().trim()); asking.set(false)">
          <div class="field full"><label for="piece">Piece</label><input #box id="piece" class="in mono" required spellcheck="false" autocapitalize="none" autocomplete="off" placeholder="c1ccccc1O" [value]="draft()" (input)="draft.set(box.value)" /></div>
          <div class="piece full">@if (draft().trim(); as piece) {<m-mol [smiles]="piece" [width]="240" [height]="120" />}</div>
          <div class="end"><button type="button" class="btn left" (click)="valueChange.emit(''); asking.set(false)">Any structure</button><button class="btn pri">Show these</button></div>
        </form></m-dialog>
    }`,
})
export class Substructure {
  readonly result = input.required<Result>();
  /** Where the molecules stand. */
  readonly column = input.required<number>();
  readonly value = input.required<string>();
  readonly valueChange = output<string>();
  readonly found = output<readonly number[] | null>();
  readonly #chemist = inject(Chemist);
  protected readonly count = count;
  protected readonly asking = signal(false);
  protected readonly draft = signal('');
  protected readonly problem = signal<string | null>(null);
  /** How many were looked at, while it looks. */
  protected readonly done = signal<number | null>(null);

  constructor() {
    effect((onCleanup) => {
      const [result, column, piece] = [this.result(), this.column(), this.value()];
      if (!result.columns()) return;
      let old = false;
      onCleanup(() => (old = true));
      untracked(() => this.problem.set(null));
      if (!piece) return this.found.emit(null);
      void (async () => {
        const values = await result.values(column);
        const told = await this.#chemist.find(piece, values.map((value) => String(value ?? '')), (done) => {
          if (!old) this.done.set(done);
          return !old;
        });
        if (old) return;
        this.done.set(null);
        if ('problem' in told) this.problem.set(told.problem);
        this.found.emit('found' in told ? told.found : null);
      })();
    });
  }
}
