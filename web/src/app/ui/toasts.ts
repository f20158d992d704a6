import { Component, inject, Service, signal } from '@angular/core';

export interface Toast {
  readonly text: string;
  readonly action?: { readonly label: string; readonly run: () => void };
}

/** Short words about what was just done, with a way back where there is one. */
@Service()
export class Toasts {
  readonly shown = signal<Toast | null>(null);
  #timer: ReturnType<typeof setTimeout> | undefined;

  say(text: string, action?: Toast['action'], milliseconds = 5_000): void {
    clearTimeout(this.#timer);
    this.shown.set(action ? { text, action } : { text });
    this.#timer = setTimeout(() => this.shown.set(null), milliseconds);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.shown.set(null);
  }
}

@Component({
  selector: 'm-toasts',
  template: `<div role="status" aria-live="polite" class="toasts">
    @if (toasts.shown(); as toast) {
      <div class="selbar toast"><span>{{ toast.text }}</span>
        @if (toast.action; as action) {<button type="button" (click)="action.run(); toasts.close()">{{ action.label }}</button>}
      </div>
    }
  </div>`,
})
export class ToastList {
  protected readonly toasts = inject(Toasts);
}
