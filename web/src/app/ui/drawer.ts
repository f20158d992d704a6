import { afterNextRender, Component, type ElementRef, inject, input, output, viewChild } from '@angular/core';

import { copied } from './code';
import { Icon } from './icon';
import { Toasts } from './toasts';

/** One thing of a table, beside it. */
@Component({
  selector: 'm-drawer',
  imports: [Icon],
  template: `<aside class="drawer" [attr.aria-label]="title()" (keydown.escape)="closed.emit()">
    <div class="dh"><div><h2 #head tabindex="-1">{{ title() }}</h2><span class="mono mut">{{ id() }}</span></div>
      <button type="button" class="btn icon bare" aria-label="Copy the id" (click)="copy()"><m-icon name="copy" /></button><button type="button" class="btn icon bare" aria-label="Close" (click)="closed.emit()"><m-icon name="x" /></button></div>
    <ng-content />
  </aside>`,
})
export class Drawer {
  readonly title = input.required<string>();
  readonly id = input.required<string>();
  readonly closed = output();
  readonly #toasts = inject(Toasts);
  protected readonly head = viewChild.required<ElementRef<HTMLElement>>('head');

  constructor() {
    afterNextRender(() => this.head().nativeElement.focus({ preventScroll: true }));
  }

  protected async copy(): Promise<void> {
    await copied(this.id(), this.#toasts);
  }
}
