import { Component, type ElementRef, computed, effect, inject, output, signal, viewChild, afterNextRender } from '@angular/core';
import { Router } from '@angular/router';

import { Api } from '../api/api';
import { Failure } from '../api/failure';
import { readBy } from '../api/read';
import { Catalogue } from '../model/catalogue';
import { Session } from '../session/session';
import { Dialog } from '../ui/dialog';
import { counted } from '../ui/format';
import { Icon } from '../ui/icon';
import { ENTRIES } from './entries';

interface Target {
  readonly label: string;
  readonly icon: string;
  readonly to: string;
  readonly hint: string;
}

const ID = /^[0-9a-f]{8}-[0-9a-f-]{27}$/;
/** Whoever types is not asked about at every key. */
const PAUSE = 200;
const FEWEST = 2;
const PEOPLE = 5;

/** Pages and models by name; what an id that was pasted belongs to; for administrators, people by name. */
@Component({
  selector: 'm-palette',
  imports: [Dialog, Icon],
  template: `<m-dialog label="Find" [wide]="true" (closed)="closed.emit()">
    <input #box class="in" type="search" role="combobox" aria-expanded="true" aria-controls="found" [attr.aria-activedescendant]="'found-' + at()" [placeholder]="admin() ? 'A page, a model, a person, or an id' : 'A page, a model, or a request’s id'" aria-label="Find" (input)="text.set(box.value); at.set(0)" (keydown)="key($event)" />
    <div class="found" id="found" role="listbox" aria-label="Found">
      @for (target of found(); track target.to; let i = $index) {
        <button type="button" class="mi" role="option" tabindex="-1" [id]="'found-' + i" [attr.aria-selected]="i === at()" [class.on]="i === at()" (click)="go(target)"><m-icon [name]="target.icon" />{{ target.label }}<span>{{ target.hint }}</span></button>
      } @empty {<p class="mut" role="status">{{ none() }}</p>}
    </div>
  </m-dialog>`,
})
export class Palette {
  readonly #router = inject(Router);
  readonly #session = inject(Session);
  readonly #catalogue = inject(Catalogue);
  readonly #api = inject(Api);
  readonly closed = output();
  protected readonly text = signal('');
  protected readonly at = signal(0);
  protected readonly box = viewChild.required<ElementRef<HTMLInputElement>>('box');
  protected readonly found = computed<Target[]>(() => {
    const text = this.#sought();
    const looked = this.#looked.value();
    const more = looked?.text === text ? looked.targets : [];
    if (ID.test(text)) return more;
    const pages = ENTRIES.filter((one) => !one.need || this.#session.may(...one.need)).map((one) => ({ label: one.label, icon: one.icon, to: `/${one.path}`, hint: one.key ? `g ${one.key}` : '' }));
    const models = this.#catalogue.models().map((one) => ({ label: one.title || one.id, icon: 'models', to: `/models/${one.id}`, hint: 'model' }));
    return [...[...pages, ...models].filter((one) => `${one.label} ${one.to}`.toLowerCase().includes(text)).slice(0, 12), ...more];
  });
  protected readonly admin = computed(() => this.#session.may('ADMIN'));
  readonly #sought = computed(() => this.text().trim().toLowerCase());
  readonly #asked = signal('');
  readonly #looked = readBy((signal) => {
    const text = this.#asked();
    if (!ID.test(text) && !(this.admin() && text.length >= FEWEST)) return undefined;
    return async () => ({ text, targets: ID.test(text) ? await this.#byId(text, signal) : await this.#people(text, signal) });
  });
  protected readonly none = computed(() => {
    const failed = this.#looked.failure();
    if (failed) return `It could not be looked up: ${failed.detail}`;
    if (!ID.test(this.#sought())) return 'Nothing here is called that.';
    if (this.#looked.value()?.text !== this.#sought()) return 'Looking it up …';
    return this.admin() ? 'No request, instance or person has this id.' : 'None of your requests has this id.';
  });

  constructor() {
    effect((onCleanup) => {
      const text = this.#sought();
      const timer = setTimeout(() => this.#asked.set(text), ID.test(text) ? 0 : PAUSE);
      onCleanup(() => clearTimeout(timer));
    });
    afterNextRender(() => this.box().nativeElement.focus());
  }

  async #byId(id: string, signal: AbortSignal): Promise<Target[]> {
    const given = { path: { id }, signal, quiet: true };
    const request = (found: { model: string; inputs: number }, to: string): Target => ({ label: `${this.#catalogue.title(found.model)}, ${counted(found.inputs, 'input')}`, icon: 'requests', to, hint: 'request' });
    if (!this.admin()) return somewhere([this.#api.get('/api/v1/requests/{id}', given).then((found) => request(found, `/requests/${id}`))]);
    return somewhere([
      this.#api.get('/api/v1/admin/requests/{id}', given).then((found) => request(found, `/admin/requests?open=${id}`)),
      this.#api.get('/api/v1/instances/{id}', given).then((found) => ({ label: `${this.#catalogue.title(found.model)}, ${found.state}`, icon: 'instances', to: `/admin/instances/${id}`, hint: 'instance' })),
      this.#api.get('/api/v1/users/{id}', given).then((found) => person(found)),
    ]);
  }

  async #people(search: string, signal: AbortSignal): Promise<Target[]> {
    const { items } = await this.#api.get('/api/v1/users', { query: { search, limit: PEOPLE }, signal, quiet: true });
    return items.map(person);
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

function person({ id, name }: { id: string; name: string }): Target {
  return { label: name, icon: 'user', to: `/admin/users?open=${id}`, hint: 'person' };
}

/** Those that are there. */
async function somewhere(sought: Promise<Target>[]): Promise<Target[]> {
  const found = await Promise.all(sought.map((one) => one.catch((error: unknown) => {
    if (Failure.of(error).status === 404) return null;
    throw error;
  })));
  return found.flatMap((one) => one ?? []);
}
