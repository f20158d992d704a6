import { Component, computed, input, model, signal } from '@angular/core';

import { Icon } from './icon';
import { Pop } from './pop';

export interface Option {
  readonly value: string;
  readonly label: string;
  /** Beside it, quieter. */
  readonly more?: string;
}

let menus = 0;

/** One of several: a button that says what is chosen, and what else there is. */
@Component({
  selector: 'm-choice',
  imports: [Icon, Pop],
  template: `<button type="button" #button class="ctl" [class.set]="value() !== none()" [attr.aria-expanded]="pop.open()" aria-haspopup="dialog" (click)="pop.toggle(button)">
      <span>{{ label() }}</span><b>{{ chosen() }}</b><m-icon name="down" />
    </button>
    <div mPop #pop="mPop" role="radiogroup" [attr.aria-label]="label()">
      @if (pop.open()) {
        @for (option of options(); track option.value) {
          <label class="mi" [class.on]="option.value === value()"><input type="radio" class="vh" [name]="name" [checked]="option.value === value()" (click)="choose(option.value, $event, pop)" (keydown.enter)="pop.close()" (change)="value.set(option.value)" />{{ option.label }}<span>{{ option.more }}</span></label>
        }
      }
    </div>`,
})
export class Choice {
  readonly label = input.required<string>();
  readonly options = input.required<readonly Option[]>();
  readonly value = model.required<string>();
  /** The value that filters nothing. */
  readonly none = input('');
  protected readonly name = `choice-${menus++}`;
  protected readonly chosen = computed(() => this.options().find((o) => o.value === this.value())?.label ?? this.value());

  /** A press chooses and closes; arrow keys, which browsers tell as clicks at no place, only choose. */
  protected choose(value: string, event: MouseEvent, pop: Pop): void {
    this.value.set(value);
    if (event.detail > 0) pop.close();
  }
}

/** Any of several. None chosen means all. */
@Component({
  selector: 'm-choices',
  imports: [Icon, Pop],
  template: `<button type="button" #button class="ctl" [class.set]="value().length > 0" [attr.aria-expanded]="pop.open()" aria-haspopup="dialog" (click)="pop.toggle(button)">
      <span>{{ label() }}</span><b>{{ chosen() }}</b><m-icon name="down" />
    </button>
    <div mPop #pop="mPop" role="group" [attr.aria-label]="label()">
      @if (pop.open()) {
        @if (options().length > 8) {<input class="in sm" type="search" placeholder="Search" aria-label="Search" #search (input)="sought.set(search.value)" />}
        @for (option of found(); track option.value) {
          <label class="mi"><input type="checkbox" class="cb" [checked]="value().includes(option.value)" (change)="toggle(option.value)" />{{ option.label }}<span>{{ option.more }}</span></label>
        } @empty {<p class="mi mut">Nothing is called that.</p>}
        @if (value().length > 0) {<button type="button" class="mi acc" (click)="value.set([])">Clear</button>}
      }
    </div>`,
})
export class Choices {
  readonly label = input.required<string>();
  readonly options = input.required<readonly Option[]>();
  readonly value = model.required<readonly string[]>();
  readonly all = input('all');
  protected readonly sought = signal('');
  protected readonly found = computed(() => {
    const text = this.sought().toLowerCase();
    return this.options().filter((o) => o.label.toLowerCase().includes(text)).slice(0, 200);
  });
  protected readonly chosen = computed(() => {
    const value = this.value();
    if (value.length === 0) return this.all();
    const first = this.options().find((o) => o.value === value[0])?.label ?? value[0];
    return value.length === 1 ? first : `${first} and ${value.length - 1} more`;
  });

  protected toggle(value: string): void {
    this.value.update((all) => (all.includes(value) ? all.filter((one) => one !== value) : [...all, value]));
  }
}
