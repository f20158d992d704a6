import { Component, computed, input } from '@angular/core';
import { RouterLink } from '@angular/router';

import type { ModelSummary } from '../model/catalogue';
import { queueOf, stateOf, thisWeek } from '../model/words';
import { count, duration } from '../ui/format';
import { Phase } from '../ui/phase';
import { Spark } from '../ui/spark';

/** A model in the list of all. */
@Component({
  selector: 'm-model-cell',
  imports: [Phase, RouterLink, Spark],
  template: `<a class="mcell" [routerLink]="['/models', model().id]">
    <div class="mh"><h3>{{ model().title || model().id }}</h3><span class="task">{{ model().task || model().tags[0] }}</span></div>
    <p>{{ model().sentence }}</p>
    <div class="mf">
      <div><m-phase [is]="state().is" [said]="state().said" /><div class="mut">{{ queue() }}</div></div>
      <div><div class="l">Median</div><div>{{ median() }}</div></div>
      <div class="wk"><m-spark [values]="model().week" [width]="84" [height]="24" [marked]="true" label="Requests a day, last seven days" /><span>{{ count(week()) }} this week</span></div>
    </div>
  </a>`,
})
export class ModelCell {
  readonly model = input.required<ModelSummary>();
  protected readonly state = computed(() => stateOf(this.model()));
  protected readonly count = count;
  protected readonly week = computed(() => thisWeek(this.model()));
  protected readonly queue = computed(() => queueOf(this.model()));
  protected readonly median = computed(() => {
    const p50 = this.model().p50_seconds;
    return p50 === null || p50 === undefined ? '–' : duration(p50);
  });
}
