import { Component, inject, input } from '@angular/core';

import { Icon } from './icon';
import { Toasts } from './toasts';

/** A text to be copied. */
@Component({
  selector: 'm-code',
  imports: [Icon],
  template: `<div class="codebox"><pre class="code" tabindex="0">{{ text() }}</pre><button type="button" class="btn" (click)="copy()"><m-icon name="copy" />Copy</button></div>`,
})
export class Code {
  readonly text = input.required<string>();
  readonly #toasts = inject(Toasts);

  protected async copy(): Promise<void> {
    await copied(this.text(), this.#toasts);
  }
}

export async function copied(text: string, toasts: Toasts): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    toasts.say('Copied.');
  } catch {
    toasts.say('The browser refuses the clipboard. Select the text and copy it by hand.');
  }
}
