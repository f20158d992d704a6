import { Component, computed, effect, type ElementRef, inject, input, signal, viewChild } from '@angular/core';

import { Api } from '../api/api';
import { Failure } from '../api/failure';
import { Events } from '../live/events';
import { count, counted } from '../ui/format';
import { Icon } from '../ui/icon';
import { asText, queryChanger } from '../ui/query';
import { Failed, Void } from '../ui/void';

const FIRST = 2_000;
const MOST = 10_000;

/** The end of what an instance wrote: searched, followed, taken along. */
@Component({
  selector: 'm-instance-log',
  imports: [Failed, Icon, Void],
  template: `<div class="bar">
      <label class="ctl inp"><m-icon name="search" /><input #search type="search" placeholder="In the lines" aria-label="Search the log" [value]="find()" (input)="go({ find: search.value }, true)" /></label>
      @if (!ended()) {<label class="btn"><input #box type="checkbox" class="cb" [checked]="follow() === 'yes'" (change)="go({ follow: box.checked ? 'yes' : null })" />Follow</label>}
      <span class="lbl" role="status">{{ said() }}</span>
      <span class="end"><button type="button" class="btn" (click)="again()"><m-icon name="again" />Read again</button> <a class="btn" [href]="file()" [download]="id() + '.log'"><m-icon name="download" />Download</a></span>
    </div>
    <div class="note mb5"><m-icon name="info" /><span>A model may quote inputs of people here: treat it as you would treat them.</span></div>
    @if (failure(); as failure) {<m-failed [failure]="failure" (again)="again()" />}
    @if (shown().length > 0) {<pre #end class="code log tall" tabindex="0" aria-label="Log">{{ shown().join('\\n') }}</pre>}
    @else if (lines().length > 0) {<div class="sheet"><m-void title="No line has that">None of {{ counted(lines().length, 'line') }} has “{{ find() }}” in it.<button step type="button" class="btn" (click)="go({ find: null })">Show all</button></m-void></div>}
    @else if (!loading() && !failure()) {<div class="sheet"><m-void title="It wrote nothing">What the model and its server print appears here.</m-void></div>}
    @else if (!failure()) {<p><i class="sk c"></i></p>}`,
})
export class InstanceLog {
  readonly id = input.required<string>();
  readonly ended = input.required<boolean>();
  readonly find = input.required<string, unknown>({ transform: asText });
  readonly follow = input.required<string, unknown>({ transform: asText });
  readonly #api = inject(Api);
  protected readonly go = queryChanger();
  protected readonly counted = counted;
  protected readonly lines = signal<readonly string[]>([]);
  protected readonly loading = signal(true);
  protected readonly failure = signal<Failure | null>(null);
  readonly #over = signal(false);
  readonly #turn = signal(0);
  protected readonly end = viewChild<ElementRef<HTMLElement>>('end');
  protected readonly file = computed(() => `api/v1/instances/${this.id()}/logs?tail=${MOST}`);
  protected readonly shown = computed(() => {
    const text = this.find().toLowerCase();
    return text ? this.lines().filter((line) => line.toLowerCase().includes(text)) : this.lines();
  });
  protected readonly said = computed(() => {
    const all = counted(this.lines().length, 'line');
    const some = this.find() ? `${count(this.shown().length)} of ${all}` : all;
    return this.#over() ? `${some}, it has ended` : some;
  });

  constructor() {
    effect((onCleanup) => {
      this.#turn();
      const follows = this.follow() === 'yes' && !this.ended();
      const address = `api/v1/instances/${this.id()}/logs?tail=${FIRST}${follows ? '&follow=true' : ''}`;
      const stop = new AbortController();
      onCleanup(() => stop.abort());
      void this.#read(address, follows, stop.signal);
    });
    // Who looks at the end goes on looking at the end.
    effect(() => {
      this.shown();
      const box = this.end()?.nativeElement;
      if (!box) return;
      const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40 || box.scrollTop === 0;
      if (atEnd) requestAnimationFrame(() => (box.scrollTop = box.scrollHeight));
    });
  }

  protected again(): void {
    this.#turn.update((n) => n + 1);
  }

  async #read(address: string, follows: boolean, stop: AbortSignal): Promise<void> {
    this.failure.set(null);
    this.#over.set(false);
    this.loading.set(true);
    try {
      const answer = await this.#api.fetch(address, { signal: stop }, follows);
      if (!follows || !answer.body) this.#show((await answer.text()).trimEnd().split('\n').filter((line, at, all) => line || all.length > 1));
      else {
        const events = new Events();
        let all: string[] = [];
        for await (const bytes of answer.body) {
          for (const { name, data } of events.take(bytes)) {
            if (name === 'log') all = [...all, ...data.split('\n')].slice(-MOST);
            if (name === 'end') this.#over.set(true);
          }
          this.#show(all);
        }
      }
    } catch (error) {
      if (!stop.aborted) this.failure.set(Failure.of(error));
    }
    if (!stop.aborted) this.loading.set(false);
  }

  #show(lines: readonly string[]): void {
    this.lines.set(lines);
    this.loading.set(false);
  }
}
