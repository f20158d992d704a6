import { Directive, ElementRef, inject, signal } from '@angular/core';

const GAP = 4;
const EDGE = 8;

/** What a button opens beside itself. The browser closes it on Escape and on a press elsewhere. */
@Directive({
  selector: '[mPop]',
  exportAs: 'mPop',
  host: { popover: 'auto', class: 'menu', '(toggle)': 'toggled($event)' },
})
export class Pop {
  readonly #menu: HTMLElement = inject<ElementRef<HTMLElement>>(ElementRef).nativeElement;
  readonly open = signal(false);

  toggle(button: HTMLElement): void {
    if (this.open()) return this.close();
    this.#menu.showPopover();
    const place = button.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = this.#menu;
    const below = place.bottom + GAP;
    const top = below + height <= innerHeight - EDGE ? below : Math.max(EDGE, place.top - GAP - height);
    const left = place.left + width <= innerWidth - EDGE ? place.left : place.right - width;
    this.#menu.style.setProperty('--x', `${Math.max(EDGE, left)}px`);
    this.#menu.style.setProperty('--y', `${top}px`);
    this.#menu.querySelector<HTMLElement>('input:checked, input, button, a')?.focus();
  }

  close(): void {
    this.#menu.hidePopover();
  }

  protected toggled(event: ToggleEvent): void {
    this.open.set(event.newState === 'open');
  }
}
