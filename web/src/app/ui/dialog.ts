import { Component, DestroyRef, type ElementRef, afterNextRender, inject, input, output, viewChild } from '@angular/core';

/** A dialog over the page. The browser keeps the focus inside; it goes back to where it came from. */
@Component({
  selector: 'm-dialog',
  template: `<dialog #dialog class="dlg" [class.wide]="wide()" [attr.aria-label]="label()" (cancel)="cancel($event)" (close)="closed.emit()" (pointerdown)="outside($event)">
    <ng-content />
  </dialog>`,
})
export class Dialog {
  readonly label = input.required<string>();
  readonly wide = input(false);
  /** Escape and a press beside it do not close it. */
  readonly stays = input(false);
  readonly closed = output();
  protected readonly dialog = viewChild.required<ElementRef<HTMLDialogElement>>('dialog');

  constructor() {
    // The browser gives it back when a dialog is closed, not when its answer takes it out of the page.
    const before = document.activeElement;
    inject(DestroyRef).onDestroy(() => {
      if (document.activeElement === document.body && before instanceof HTMLElement) before.focus({ preventScroll: true });
    });
    afterNextRender(() => this.dialog().nativeElement.showModal());
  }

  protected cancel(event: Event): void {
    if (this.stays()) event.preventDefault();
  }

  protected outside(event: PointerEvent): void {
    if (!this.stays() && event.target === this.dialog().nativeElement) this.dialog().nativeElement.close();
  }
}
