import { Component, computed, model } from '@angular/core';

import { Icon } from '../ui/icon';
import type { Output } from './model-draft';

const ENDS: readonly (Output['direction'] & {} | null)[] = [null, 'high', 'low'];
const KINDS: readonly Output['kind'][] = ['float', 'integer', 'string'];

/** The columns that a model answers, one a line; as JSON outside. */
@Component({
  selector: 'm-outputs-field',
  imports: [Icon],
  template: `@for (one of all(); track $index; let at = $index) {
      <div class="out">
        <input #name class="in sm" [attr.aria-label]="'Name of column ' + (at + 1)" placeholder="name" maxlength="100" [value]="one.name" (input)="put(at, { name: name.value })" />
        <select #kind class="in sm" [attr.aria-label]="'Kind of column ' + (at + 1)" (change)="put(at, { kind: kinds[kind.selectedIndex] })">@for (option of kinds; track option) {<option [value]="option" [selected]="option === one.kind">{{ option }}</option>}</select>
        <input #unit class="in sm" [attr.aria-label]="'Unit of column ' + (at + 1)" placeholder="unit" maxlength="100" [value]="one.unit ?? ''" (input)="put(at, { unit: unit.value })" />
        <select #end class="in sm" [attr.aria-label]="'Where column ' + (at + 1) + ' is strong'" (change)="put(at, { direction: ends[end.selectedIndex] ?? null })">@for (option of ends; track option) {<option [selected]="option === (one.direction ?? null)">{{ option ? option + ' is strong' : 'strong where?' }}</option>}</select>
        <input #words class="in sm" [attr.aria-label]="'Meaning of column ' + (at + 1)" placeholder="what it means" [value]="one.description ?? ''" (input)="put(at, { description: words.value })" />
        <button type="button" class="btn icon bare" [attr.aria-label]="'Take column ' + (at + 1) + ' away'" (click)="set(without(at))"><m-icon name="x" /></button>
      </div>
    }
    <button type="button" class="btn" (click)="set([...all(), { name: '', kind: 'float', description: '', unit: '', direction: null }])">Add a column</button>`,
})
export class OutputsField {
  readonly value = model.required<string>();
  protected readonly kinds = KINDS;
  protected readonly ends = ENDS;
  protected readonly all = computed(() => JSON.parse(this.value()) as Output[]);

  protected put(at: number, change: Partial<Output>): void {
    this.set(this.all().map((one, place) => (place === at ? { ...one, ...change } : one)));
  }

  protected without(at: number): Output[] {
    return this.all().filter((_, place) => place !== at);
  }

  protected set(all: readonly Output[]): void {
    this.value.set(JSON.stringify(all));
  }
}
