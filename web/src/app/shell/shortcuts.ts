import { Component, computed, inject, output } from '@angular/core';

import { Session } from '../session/session';
import { Dialog } from '../ui/dialog';
import { ENTRIES } from './entries';

/** What the keyboard does anywhere in the app. */
@Component({
  selector: 'm-shortcuts',
  imports: [Dialog],
  template: `<m-dialog label="Shortcuts" (closed)="closed.emit()"><h2>Shortcuts</h2><p class="lead">Not while you type in a field.</p>
    <dl class="keys">
      <dt><kbd>?</kbd></dt><dd>These shortcuts</dd>
      <dt><kbd>/</kbd> or <kbd>Ctrl K</kbd></dt><dd>Find a page or a model by name, anything by its id</dd>
      @for (one of places(); track one.key) {<dt><kbd>g</kbd> <kbd>{{ one.key }}</kbd></dt><dd>{{ one.label }}</dd>}
      <dt><kbd>Esc</kbd></dt><dd>Close what is open</dd>
    </dl></m-dialog>`,
})
export class Shortcuts {
  readonly #session = inject(Session);
  readonly closed = output();
  protected readonly places = computed(() => ENTRIES.filter((one) => one.key && (!one.need || this.#session.may(...one.need))));
}
