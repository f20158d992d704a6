import { Component, computed, inject } from '@angular/core';

import { Draft } from '../home/draft';
import { bytes } from './format';
import { Icon } from './icon';

/** How far an upload is, and why it was refused. */
@Component({
  selector: 'm-sending',
  imports: [Icon],
  template: `@if (draft.sending(); as sending) {
      <div class="note r mt" role="status"><m-icon name="s-running" /><span><b class="strong">{{ sending.trouble ? 'Trying again.' : 'Sending.' }}</b>
        {{ sending.trouble ?? said() }} Nothing is sent twice.</span><span class="end"><button type="button" class="btn txt" (click)="draft.stop()">Stop</button></span></div>
    }
    @if (draft.failure(); as failure) {
      <div class="note f mt" role="alert"><m-icon name="warn" /><span><b class="strong">{{ failure.problem.title ?? 'It was not taken' }}.</b> {{ failure.detail }}
        @if (failure.requestId) {<span class="mut">Request id <span class="mono">{{ failure.requestId }}</span></span>}</span></div>
    }`,
})
export class Sending {
  protected readonly draft = inject(Draft);
  protected readonly said = computed(() => {
    const { sent, of } = this.draft.sending() ?? { sent: 0, of: 0 };
    return `${bytes(sent)} of ${bytes(of)} are sent.`;
  });
}
