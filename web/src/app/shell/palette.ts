import { Component, type ElementRef, computed, inject, output, signal, viewChild, afterNextRender } from '@angular/core';
import { Router } from '@angular/router';

import { Catalogue } from '../model/catalogue';
import { Session } from '../session/session';
import { Dialog } from '../ui/dialog';
import { Icon } from '../ui/icon';
import { ENTRIES } from './entries';

interface Target {
  readonly label: string;
  readonly icon: string;
  readonly to: string;
  readonly hint: string;
}

/** Pages and models by name; also the list of shortcuts. */
@Component({
  selector: 'm-palette',
  imports: [Dialog, Icon],
  template: `<m-dialog label="Find" [wide]="true" (closed)="closed.emit()">
    <input #box class="in" type="search" role="combobox" aria-expanded="true" aria-controls="found" [attr.aria-activedescendant]="'found-' + at()" placeholder="A page, a model, or a request's id" aria-label="Find" (input)="text.set(box.value); at.set(0)" (keydown)="key($event)" />
    <div class="found" id="found" role="listbox" aria-label="Found">
      @for (target of found(); track target.to; let i = $index) {
        <button type="button" class="mi" role="option" tabindex="-1" [id]="'found-' + i" [attr.aria-selected]="i === at()" [class.on]="i === at()" (click)="go(target)"><m-icon [name]="target.icon" />{{ target.label }}<span>{{ target.hint }}</span></button>
      } @empty {<p class="mut">Nothing here is called that.</p>}
    </div>
  </m-dialog>`,
})
export class Palette {
  readonly #router = inject(Router);
  readonly #session = inject(Session);
  readonly #catalogue = inject(Catalogue);
  readonly closed = output();
  protected readonly text = signal('');
  protected readonly at = signal(0);
  protected readonly box = viewChild.required<ElementRef<HTMLInputElement>>('box');
  protected readonly found = computed<Target[]>(() => {
    const text = this.text().trim().toLowerCase();
    if (/^[0-9a-f]{8}-[0-9a-f-]{27}$/.test(text)) return [{ label: text, icon: 'requests', to: `/requests/${text}`, hint: 'request' }];
    const pages = ENTRIES.filter((one) => !one.need || this.#session.may(...one.need)).map((one) => ({ label: one.label, icon: one.icon, to: `/${one.path}`, hint: one.key ? `g ${one.key}` : '' }));
    const models = this.#catalogue.models().map((one) => ({ label: one.title || one.id, icon: 'models', to: `/models/${one.id}`, hint: 'model' }));
    return [...pages, ...models].filter((one) => one.label.toLowerCase().includes(text)).slice(0, 12);
  });

  constructor() {
    afterNextRender(() => this.box().nativeElement.focus());
  }

  protected key(event: KeyboardEvent): void {
    const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
    const number = this.found().length;
    if (step !== 0 && number > 0) {
      event.preventDefault();
      this.at.update((at) => (at + step + number) % number);
    } else if (event.key === 'Enter') {
      const target = this.found()[this.at()];
      if (target) this.go(target);
    }
  }

  protected go(target: Target): void {
    this.closed.emit();
    void this.#router.navigateByUrl(target.to);
  }
}
