import { Component, input, model } from '@angular/core';

import { Icon } from '../ui/icon';
import { Pop } from '../ui/pop';
import type { Shown } from './columns';

/** Most columns that stay in sight. */
const MOST_PINNED = 3;

/** Which columns are shown, and which stay in sight beside the names. */
@Component({
  selector: 'm-columns-choice',
  imports: [Icon, Pop],
  template: `<button type="button" #button class="btn" [class.set]="hidden().length + pinned().length > 0" [attr.aria-expanded]="pop.open()" aria-haspopup="dialog" (click)="pop.toggle(button)"><m-icon name="columns" />Columns@if (hidden().length > 0) {<span class="mut">{{ hidden().length }} hidden</span>}</button>
    <div mPop #pop="mPop" role="group" aria-label="Columns" class="colmenu">
      @if (pop.open()) {
        @for (column of columns(); track column.name) {
          <div class="mi"><label class="grow"><input type="checkbox" class="cb" [checked]="!hidden().includes(column.name)" [disabled]="pinned().includes(column.name)" (change)="hidden.set(toggled(hidden(), column.name))" />{{ column.name }}</label>
            <button type="button" class="btn icon bare" [class.on]="pinned().includes(column.name)" [attr.aria-pressed]="pinned().includes(column.name)" [attr.aria-label]="'Pin ' + column.name" [disabled]="!pinned().includes(column.name) && pinned().length >= most" (click)="pin(column.name)"><m-icon name="pin" /></button></div>
        }
        @if (hidden().length + pinned().length > 0) {<button type="button" class="mi acc" (click)="hidden.set([]); pinned.set([])">As the model has them</button>}
      }
    </div>`,
})
export class ColumnsChoice {
  readonly columns = input.required<readonly Shown[]>();
  readonly hidden = model.required<readonly string[]>();
  readonly pinned = model.required<readonly string[]>();
  protected readonly most = MOST_PINNED;

  protected toggled(all: readonly string[], name: string): readonly string[] {
    return all.includes(name) ? all.filter((one) => one !== name) : [...all, name];
  }

  /** What is pinned is shown. */
  protected pin(name: string): void {
    this.pinned.set(this.toggled(this.pinned(), name));
  }
}
