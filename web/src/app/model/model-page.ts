import { Component, computed, inject, input } from '@angular/core';
import { RouterLink } from '@angular/router';

import { follow, read } from '../api/read';
import { Feed } from '../live/feed';
import { count, duration } from '../ui/format';
import { Phase } from '../ui/phase';
import { Spark } from '../ui/spark';
import { Failed, Void } from '../ui/void';
import { About } from './about';
import { ApiTab } from './api-tab';
import { Run } from './run';
import { stateOf, thisWeek } from './words';

const TABS = [
  { id: 'run', label: 'Run' },
  { id: 'about', label: 'About' },
  { id: 'api', label: 'API' },
];

@Component({
  selector: 'm-model-page',
  imports: [About, ApiTab, Failed, Phase, RouterLink, Run, Spark, Void],
  template: `@if (read.value(); as model) {
      <header class="head big"><div class="ht">
        <div class="crumbs"><a routerLink="/">Models</a></div>
        <h1>{{ model.title }}<m-phase [is]="state().is" [said]="state().said" /></h1>
        <p class="sub">{{ model.sentence }}</p>
        <div class="facts"><span>Median <b>{{ median() }}</b></span><span>Running <b>{{ model.running }}</b></span><span>Waiting <b>{{ model.waiting }}</b></span><span>This week <b>{{ week() }}</b><m-spark [values]="model.week" [marked]="true" label="Requests a day, last seven days" /></span><span>Version <b [title]="model.version">{{ model.version.split('+')[0] }}</b></span></div>
      </div></header>
      @if (read.failure(); as failure) {<m-failed [failure]="failure" (again)="read.again()" />}
      @if (model.disabled; as why) {<div class="note w mb5"><svg class="i" viewBox="0 0 16 16" aria-hidden="true"><use href="#i-off" /></svg><span><b class="strong">It takes no new requests.</b> {{ why }}</span></div>}
      <nav class="tabs" aria-label="Model">
        @for (one of tabs; track one.id) {<a [class.on]="one.id === shown()" [attr.aria-current]="one.id === shown() ? 'page' : null" [routerLink]="[]" [queryParams]="{ tab: one.id === 'run' ? null : one.id }">{{ one.label }}</a>}
      </nav>
      @switch (shown()) {
        @case ('about') {<m-about [model]="model" />}
        @case ('api') {<m-api-tab [model]="model" />}
        @default {<m-run [model]="model" />}
      }
    } @else if (read.failure(); as failure) {
      @if (failure.kind === 'unknown-model') {
        <div class="sheet"><m-void title="There is no such model">It may have been taken out of the hub.<a step class="btn pri" routerLink="/">All models</a></m-void></div>
      } @else {<m-failed [failure]="failure" (again)="read.again()" />}
    } @else {
      <header class="head big"><div class="ht"><h1><i class="sk a"></i></h1><p class="sub"><i class="sk c"></i></p></div></header>
    }`,
})
export class ModelPage {
  readonly id = input.required<string>();
  readonly tab = input<string>();
  protected readonly tabs = TABS;
  protected readonly read = read('/api/v1/models/{id}', () => ({ path: { id: this.id() } }));
  protected readonly shown = computed(() => TABS.find((one) => one.id === this.tab())?.id ?? 'run');
  protected readonly state = computed(() => {
    const model = this.read.value();
    return model ? stateOf(model) : { is: 'cold', said: '' };
  });
  protected readonly week = computed(() => count(thisWeek(this.read.value() ?? { week: [] })));
  protected readonly median = computed(() => {
    const p50 = this.read.value()?.p50_seconds;
    return p50 === null || p50 === undefined ? '–' : duration(p50);
  });

  constructor() {
    follow(inject(Feed).models, [this.read]);
  }
}
