import { Component, computed, input } from '@angular/core';

import type { Schemas } from '../api/api';
import { count, duration, exact } from '../ui/format';
import { Icon } from '../ui/icon';
import { When } from '../ui/when';
import { eventInWords, launchedInWords, waitsFor } from './instance-words';

const DOTS: { [phase: string]: string } = { preparing: 'w', starting: 'w', draining: 'w', ready: 'c' };

/** What it waits for, who asked for its stop, and why it ended. */
@Component({
  selector: 'm-instance-notes',
  imports: [Icon, When],
  template: `@if (waits(); as it) {<div class="note w mt"><m-icon name="s-starting" /><span><b class="strong">{{ one().pod_status ?? 'Starting' }}</b> since <m-when [at]="it.at" [relative]="false" />: {{ it.cause }}.</span></div>}
    @if (one().stop; as stop) {<div class="note w mt"><m-icon name="info" /><span><span [title]="stop.by">{{ stop.by_name ?? 'An administrator' }}</span> asked for it <m-when [at]="stop.asked_at" />: {{ work() }}.@if (stop.reason) { Reason: {{ stop.reason }}.}</span></div>}
    @if (one().end; as end) {<div class="note mt"><m-icon name="s-ended" /><span><b class="strong">{{ end.cause }}</b> {{ end.message }}@if (end.exit_code != null) {, exit code {{ end.exit_code }}}</span></div>}`,
})
export class InstanceNotes {
  readonly one = input.required<Schemas['InstanceDetails']>();
  protected readonly waits = computed(() => waitsFor(this.one()));
  protected readonly work = computed(() => {
    const work = this.one().stop?.work;
    return work === 'drain' ? 'it finishes its work first' : work === 'fail' ? 'its requests fail' : 'its work goes back to the queue';
  });
}

/** Its phases under each other, with how long each was. */
@Component({
  selector: 'm-instance-timeline',
  imports: [When],
  template: `<div class="ph">
    @for (phase of phases(); track $index) {<span [class.ln1]="!$last" [class.p0]="$last"><span class="dot {{ phase.dot }}"></span></span><span>{{ phase.phase }}</span><span class="m">{{ phase.said }}</span><span class="m" [title]="exact(phase.at)"><m-when [at]="phase.at" [relative]="false" /></span>}
  </div>`,
})
export class InstanceTimeline {
  readonly all = input.required<readonly Schemas['InstancePhase'][]>();
  protected readonly exact = exact;
  protected readonly phases = computed(() => this.all().map(({ phase, at, cause, seconds }) => ({ phase, at, dot: DOTS[phase] ?? '', said: [seconds == null ? '' : duration(seconds), phase === 'launched' ? launchedInWords(cause) : cause].filter(Boolean).join(': ') })));
}

/** What happened to it, the newest first, each as its source says it. */
@Component({
  selector: 'm-instance-events',
  imports: [Icon, When],
  template: `@for (event of all(); track $index) {
      <div [class.warn]="event.level === 'warning'"><div class="eh">@if (event.level === 'warning') {<m-icon name="warn" />}<b>{{ event.kind }}</b><span class="mut">{{ event.source }}</span><span class="end" [title]="exact(event.last_at)">@if (event.count > 1) {{{ count(event.count) }}×, last }<m-when [at]="event.last_at" [relative]="false" /></span></div><p>{{ said(event) }}</p>
        @if (event.raw) {<details><summary class="mut">JSON</summary><pre class="code" tabindex="0">{{ json(event.raw) }}</pre></details>}</div>
    } @empty {<div class="mut">{{ none() }}</div>}`,
  host: { class: 'ev' },
})
export class InstanceEvents {
  readonly all = input.required<readonly Schemas['InstanceEvent'][]>();
  readonly none = input('Nothing happened yet.');
  protected readonly count = count;
  protected readonly exact = exact;
  protected readonly said = eventInWords;

  protected json(value: unknown): string {
    return JSON.stringify(value, null, 2);
  }
}
