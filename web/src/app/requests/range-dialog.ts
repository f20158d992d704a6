import { Component, input, output } from '@angular/core';

import { Dialog } from '../ui/dialog';
import { short, type Shown } from './columns';

/** The two ends of a column's range as numbers. */
@Component({
  selector: 'm-range-dialog',
  imports: [Dialog],
  template: `<m-dialog [label]="'Range of ' + column().name" (closed)="closed.emit()"><h2>Range of {{ column().name }}</h2><p class="lead">{{ column().meaning }} From {{ short(column().least) }} to {{ short(column().most) }}.</p>
    <form (submit)="$event.preventDefault(); chosen.emit([low.valueAsNumber, high.valueAsNumber]); closed.emit()">
      <div class="field"><label for="low">At least</label><input #low id="low" class="in" type="number" step="any" required [value]="range()?.[0] ?? column().least" /></div>
      <div class="field"><label for="high">At most</label><input #high id="high" class="in" type="number" step="any" required [value]="range()?.[1] ?? column().most" /></div>
      <div class="end"><button type="button" class="btn left" (click)="chosen.emit(null); closed.emit()">No range</button><button class="btn pri">Show these</button></div>
    </form></m-dialog>`,
})
export class RangeDialog {
  readonly column = input.required<Shown>();
  readonly range = input<readonly [number, number] | null>(null);
  readonly chosen = output<readonly [number, number] | null>();
  readonly closed = output();
  protected readonly short = short;
}
