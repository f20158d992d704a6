import { Component, computed, input } from '@angular/core';

import { Icon } from './icon';

/** Icon and class of each word that says how something stands. */
const MARKS: Record<string, readonly [icon: string, style: string]> = {
  waiting: ['s-waiting', 'st-w'],
  running: ['s-running', 'st-r'],
  completed: ['s-completed', 'st-c'],
  failed: ['s-failed', 'st-f'],
  cancelled: ['s-cancelled', 'st-x'],
  ready: ['s-ready', 'st-c'],
  preparing: ['s-starting', 'st-w'],
  starting: ['s-starting', 'st-w'],
  cold: ['s-cold', 'st-x'],
  held: ['s-held', 'st-w'],
  disabled: ['off', 'st-x'],
  draining: ['s-draining', 'st-w'],
  stopping: ['s-draining', 'st-w'],
  ended: ['s-ended', 'st-x'],
};

/** A state: icon, word and colour. */
@Component({
  selector: 'm-phase',
  imports: [Icon],
  template: `<span class="st {{ mark()[1] }}"><m-icon [name]="mark()[0]" /><span>{{ said() ?? is() }}</span></span>`,
})
export class Phase {
  readonly is = input.required<string>();
  /** What is said instead of the word. */
  readonly said = input<string>();
  protected readonly mark = computed(() => MARKS[this.is()] ?? (['s-ended', 'st-p'] as const));
}
