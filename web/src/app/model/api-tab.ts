import { Component, computed, inject, input, signal } from '@angular/core';

import type { Schemas } from '../api/api';
import { absolute } from '../api/place';
import { Draft, readingQuery } from '../home/draft';
import { CONTENT_TYPES, inputsOf, namesOf } from '../home/sheet';
import { Code } from '../ui/code';
import { LANGUAGES, type Language, snippet } from './snippets';

/** The request that is on the screen, as a command; else one with the model's examples. */
@Component({
  selector: 'm-api-tab',
  imports: [Code],
  template: `<div class="bar wrap"><div class="seg" role="group" aria-label="Language">
      @for (one of languages; track one.id) {<button type="button" [class.on]="one.id === language()" [attr.aria-pressed]="one.id === language()" (click)="language.set(one.id)">{{ one.label }}</button>}
    </div><span class="lbl">{{ draft.empty() ? 'With the model’s examples' : 'With what you pasted' }}</span></div>
    <m-code [text]="code()" />
    <p class="mut mt3">All calls are in the <a href="api/docs/">API’s description</a>. No account is needed: the first call gives a token.</p>`,
})
export class ApiTab {
  readonly model = input.required<Schemas['Model']>();
  protected readonly draft = inject(Draft);
  protected readonly languages = LANGUAGES;
  protected readonly language = signal<Language>('curl');
  protected readonly code = computed(() => snippet(this.language(), wanted(this.draft, this.model())));
}

export function wanted(draft: Draft, model: Schemas['Model']) {
  const sheet = draft.sheet(namesOf(model.input));
  const file = draft.cut() ? { name: draft.file()?.name ?? (sheet.dialect === 'plain' ? 'inputs.txt' : 'inputs.csv') } : draft.file();
  const query = Object.entries(readingQuery(draft.choice())).map(([name, value]) => `&${name}=${encodeURIComponent(value)}`).join('');
  return {
    hub: absolute('').replace(/\/$/, ''),
    model: model.id,
    inputs: draft.empty() ? model.example : inputsOf(sheet),
    file: file ? { name: file.name, contentType: CONTENT_TYPES[sheet.dialect], query } : null,
  };
}
