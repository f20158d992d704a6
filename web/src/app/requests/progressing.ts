import { Component, computed, effect, inject, input, signal, untracked } from '@angular/core';

import type { Schemas } from '../api/api';
import { Clock } from '../ui/clock';
import { count, counted, duration, moment, range } from '../ui/format';
import { Icon } from '../ui/icon';

/** Cells of the strip that shows how much is done. */
const CELLS = 40;
/** The rate is that of the last minute. */
const MEMORY = 60_000;

/** A request that did not end yet: why it waits, or how fast it goes. */
@Component({
  selector: 'm-progressing',
  imports: [Icon],
  template: `<div class="sheet" aria-live="polite">
    @if (request().phase === 'waiting') {
      <div class="whyline warnc"><m-icon name="s-starting" /><div class="tx"><b>{{ why() }}</b><p>Your request runs by itself; you can close this page.</p></div></div>
      <dl class="big4">
        <div><dt>Waiting since</dt><dd>{{ waiting() }}</dd><dd class="small">submitted {{ moment(request().submitted_at, clock.now()) }}</dd></div>
        <div><dt>Ahead of you</dt><dd>{{ ahead() }}</dd><dd class="small">{{ queue() }} wait for this model; people take turns</dd></div>
        <div><dt>The model</dt><dd>{{ state() }}</dd><dd class="small">{{ start() }}</dd></div>
        <div><dt>Done in</dt><dd>{{ expected() }}</dd><dd class="small">{{ request().expected_seconds ? 'likely, from now' : 'not known yet' }}{{ usual() }}</dd></div>
      </dl>
    } @else {
      <div class="whyline"><span class="acr"><m-icon name="s-running" /></span><div class="tx"><b>{{ count(request().done) }} of {{ counted(request().inputs, 'input') }} are done.</b><p>Predictions come when all inputs are done. You can close this page.</p></div></div>
      <dl class="big4">
        <div><dt>Done</dt><dd>{{ percent() }} %</dd><dd class="small">{{ count(request().done) }} of {{ count(request().inputs) }}</dd></div>
        <div><dt>Rate</dt><dd>{{ rate() ? said(rate()) : '–' }}</dd><dd class="small">over the last minute</dd></div>
        <div><dt>Time left</dt><dd>{{ left() }}</dd><dd class="small">at this rate</dd></div>
        <div><dt>Without prediction</dt><dd>{{ count(request().failed) }}</dd><dd class="small">{{ request().cached > 0 ? count(request().cached) + ' known before' : 'so far' }}</dd></div>
      </dl>
      <div class="strip"><h3>Inputs<span>{{ count(request().inputs) }}, in the order in which they are answered</span></h3><div class="jb" role="img" [attr.aria-label]="percent() + ' % are done'">@for (cell of cells(); track $index) {<i [class]="cell"></i>}</div></div>
    }
  </div>`,
})
export class Progressing {
  readonly request = input.required<Schemas['Request']>();
  /** Its model, as far as it is known. */
  readonly model = input<Schemas['Model']>();
  protected readonly clock = inject(Clock);
  protected readonly count = count;
  protected readonly counted = counted;
  protected readonly moment = moment;
  /** A range goes down until the request is read again. */
  readonly #readAt = computed(() => {
    this.request();
    return untracked(this.clock.now);
  });
  readonly #seen = signal<readonly { at: number; done: number }[]>([]);

  protected readonly why = computed(() => {
    const reason = this.request().waiting_reason ?? this.model()?.held;
    if (reason) return `${reason.charAt(0).toUpperCase()}${reason.slice(1).replace(/\.$/, '')}.`;
    const state = this.model()?.state;
    return state === 'ready' ? 'It is next in the queue.' : state === 'preparing' ? 'The environment of the model is being made.' : 'An instance of the model starts.';
  });
  protected readonly waiting = computed(() => duration((this.clock.now() - Date.parse(this.request().submitted_at)) / 1000));
  protected readonly ahead = computed(() => {
    const ahead = this.request().ahead_inputs;
    return ahead === null || ahead === undefined ? '–' : counted(ahead, 'input');
  });
  protected readonly expected = computed(() => {
    const said = this.request().expected_seconds;
    const since = (this.clock.now() - this.#readAt()) / 1000;
    return said ? range({ low: said.low - since, high: said.high - since }) : '–';
  });
  protected readonly queue = computed(() => counted(this.model()?.waiting ?? 1, 'request'));
  protected readonly state = computed(() => this.model()?.state ?? '–');
  protected readonly start = computed(() => {
    const { state, usual_start_seconds: start } = this.model() ?? {};
    if (state === 'ready') return 'an instance of it is there';
    if (state === 'preparing') return 'its environment is being made';
    if (state === 'starting') return start ? `usually takes ${duration(start)}` : 'it did not start before';
    return start ? `starts in about ${duration(start)}` : 'starts when somebody needs it';
  });
  protected readonly usual = computed(() => {
    const p50 = this.model()?.p50_seconds;
    return p50 ? `, others took ${duration(p50)}` : '';
  });
  protected readonly percent = computed(() => Math.floor((this.request().done / Math.max(1, this.request().inputs)) * 100));
  protected readonly cells = computed(() => {
    const done = (this.request().done / Math.max(1, this.request().inputs)) * CELLS;
    return Array.from({ length: CELLS }, (_, at) => (at + 1 <= done ? 'd' : at < done + 1 ? 'n' : ''));
  });
  protected readonly rate = computed(() => {
    const seen = this.#seen();
    const [first, last] = [seen[0], seen.at(-1)];
    return first && last && last.at > first.at ? ((last.done - first.done) / (last.at - first.at)) * 1000 : 0;
  });
  protected readonly left = computed(() => {
    const rate = this.rate();
    return rate > 0 ? duration((this.request().inputs - this.request().done) / rate) : '–';
  });

  constructor() {
    effect(() => {
      const done = this.request().done;
      const now = Date.now();
      untracked(() => this.#seen.update((seen) => [...seen.filter((one) => now - one.at < MEMORY), { at: now, done }]));
    });
  }

  protected said(rate: number): string {
    return rate >= 1 ? `${count(Math.round(rate))} a second` : `${count(Math.round(rate * 60))} a minute`;
  }
}
