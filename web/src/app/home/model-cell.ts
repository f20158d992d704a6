import { Component, computed, input } from '@angular/core';
import { RouterLink } from '@angular/router';

import type { ModelSummary } from '../model/catalogue';
import { queueOf, stateOf } from '../model/words';
import { duration } from '../ui/format';
import { Phase } from '../ui/phase';

/** A model in the list of all. */
@Component({
  selector: 'm-model-cell',
  imports: [Phase, RouterLink],
  template: `<a class="mcell" [routerLink]="['/models', model().id]">
    <div class="mh"><h3>{{ model().title || model().id }}</h3><span class="task">{{ model().tags[0] }}</span></div>
    <p>{{ model().sentence }}</p>
    <div class="mf">
      <div><m-phase [is]="state().is" [said]="state().said" /><div class="mut">{{ queue() }}</div></div>
      <div><div class="l">Median</div><div>{{ median() }}</div></div>
      <div class="wk"><span>{{ model().input.name }}</span></div>
    </div>
  </a>`,
})
export class ModelCell {
  readonly model = input.required<ModelSummary>();
  protected readonly state = computed(() => stateOf(this.model()));
  protected readonly queue = computed(() => queueOf(this.model()));
  protected readonly median = computed(() => {
    const p50 = this.model().p50_seconds;
    return p50 === null || p50 === undefined ? '–' : duration(p50);
  });
}
