import { Component, computed, input, output } from '@angular/core';

import type { Failure } from '../api/failure';

/** What a page shows that has nothing to show: why, and one step on. */
@Component({
  selector: 'm-void',
  template: `<div class="void"><h3>{{ title() }}</h3><p><ng-content /></p><div class="bts"><ng-content select="[step]" /></div></div>`,
})
export class Void {
  readonly title = input.required<string>();
}

/** A failure, over what was read before or instead of it. */
@Component({
  selector: 'm-failed',
  template: `<div class="note f" role="alert">
    <svg class="i" viewBox="0 0 16 16" aria-hidden="true"><use href="#i-warn" /></svg>
    <span><b class="strong">{{ title() }}</b> {{ failure().detail }}
      @if (failure().requestId; as id) {<span class="mut"> Request id <span class="mono">{{ id }}</span></span>}</span>
    <span class="end"><button type="button" class="btn txt" (click)="again.emit()">Try again</button></span>
  </div>`,
})
export class Failed {
  readonly failure = input.required<Failure>();
  readonly again = output();
  protected readonly title = computed(() => this.failure().problem.title ? `${this.failure().problem.title}.` : '');
}
