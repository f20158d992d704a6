import { Service, signal } from '@angular/core';

const NAMES = ['system', 'light', 'dark'] as const;
const KEY = 'muster.theme';

/** Light, dark, or as the system has it. */
@Service()
export class Theme {
  readonly name = signal<(typeof NAMES)[number]>('system');

  constructor() {
    const kept = localStorage.getItem(KEY);
    this.#set(NAMES.find((name) => name === kept) ?? 'system');
  }

  next(): void {
    this.#set(NAMES[(NAMES.indexOf(this.name()) + 1) % NAMES.length] ?? 'system');
    localStorage.setItem(KEY, this.name());
  }

  #set(name: (typeof NAMES)[number]): void {
    this.name.set(name);
    const { dataset } = document.documentElement;
    if (name === 'system') delete dataset['theme'];
    else dataset['theme'] = name;
  }
}
