import { Component, computed, input, model, signal } from '@angular/core';

import { daysInWords, PRESETS, resolve } from './days';
import { Icon } from './icon';
import { Pop } from './pop';

/** Days from and to, both included, or a preset. Days are UTC, as in the hub's figures. */
@Component({
  selector: 'm-days-choice',
  imports: [Icon, Pop],
  template: `<button type="button" #button class="ctl" [class.set]="value() !== ''" [attr.aria-expanded]="pop.open()" aria-haspopup="dialog" (click)="pop.toggle(button)"><span>{{ label() }}</span><b>{{ said() }}</b><m-icon name="down" /></button>
    <div mPop #pop="mPop" role="group" [attr.aria-label]="label()">
      @if (pop.open()) {
        @for (preset of presets; track preset.id) {<button type="button" class="mi" [class.on]="preset.id === value()" (click)="value.set(preset.id); pop.close()">{{ preset.label }}</button>}
        <form class="dates" (submit)="$event.preventDefault(); choose(from.value, to.value, pop)">
          <div class="field"><label for="day-from">From</label><input #from class="in sm" id="day-from" type="date" [value]="days().from ?? ''" /></div>
          <div class="field"><label for="day-to">To</label><input #to class="in sm" id="day-to" type="date" [value]="days().to ?? ''" /></div>
          @if (wrong()) {<p class="err bad" role="alert">The first day is after the last.</p>}
          <button class="btn">Show these days</button>
        </form>
      }
    </div>`,
})
export class DaysChoice {
  readonly label = input('Submitted');
  readonly value = model.required<string>();
  protected readonly presets = PRESETS;
  protected readonly wrong = signal(false);
  protected readonly said = computed(() => daysInWords(this.value()));
  protected readonly days = computed(() => resolve(this.value(), Date.now()));

  protected choose(from: string, to: string, pop: Pop): void {
    this.wrong.set(!!from && !!to && to < from);
    if (this.wrong()) return;
    this.value.set(from || to ? `${from}..${to}` : '');
    pop.close();
  }
}
