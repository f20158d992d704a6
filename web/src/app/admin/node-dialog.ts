import { Component, computed, inject, input, output, signal } from '@angular/core';

import { Api } from '../api/api';
import { Failure } from '../api/failure';
import { read } from '../api/read';
import { Catalogue } from '../model/catalogue';
import { Dialog } from '../ui/dialog';
import { counted } from '../ui/format';
import { Toasts } from '../ui/toasts';
import { changesOf, type Node, type NodeAct } from './node-words';

const WORDS = {
  cordon: { verb: 'Cordon', head: 'Cordon', does: 'It gets nothing new until somebody lets it take instances again. No plan takes it away meanwhile.' },
  drain: { verb: 'Drain', head: 'Drain', does: 'It gets nothing new, and its instances end when they have done what they work on. The node stays.' },
  uncordon: { verb: 'Take instances', head: 'Let instances onto', does: 'It takes instances again, whoever cordoned or drained it.' },
};

/** What is done with a node, and what follows from that for those who are on it. The focus is on the way out. */
@Component({
  selector: 'm-node-dialog',
  imports: [Dialog],
  template: `<m-dialog [label]="words().verb + ' a node'" [wide]="true" (closed)="closed.emit()">
    <h2>{{ words().head }} <span class="mono">{{ node().id }}</span>?</h2>
    <p class="lead">{{ words().does }}</p>
    @if (act() !== 'uncordon') {
      <p class="mt2">{{ there() }}</p>
      @if (act() === 'drain') {
        <h3 class="mt3">What the plan would do without it</h3>
        @if (without.value()) {<ul class="flat mt2">@for (one of changes(); track $index) {<li>{{ one }}</li>} @empty {<li class="mut">Nothing else than it does now.</li>}</ul>} @else if (without.failure(); as failure) {<p class="mut mt2">{{ failure.detail }}</p>} @else {<p class="mt2"><i class="sk a"></i></p>}
      }
    }
    <form (submit)="go($event)">
      @if (act() !== 'uncordon') {<div class="field mt3"><label for="node-reason">Reason</label><input id="node-reason" class="in" maxlength="500" placeholder="Such as: it gets a new disk" [value]="reason()" (input)="typed($event)" /></div>}
      @if (failure(); as failure) {<p class="bad" role="alert">{{ failure.detail }}</p>}
      <div class="end"><button type="button" class="btn big" autofocus (click)="closed.emit()">Cancel</button><button class="btn big" [class.danger]="act() === 'drain'" [class.fill]="act() === 'drain'" [class.pri]="act() !== 'drain'" [disabled]="busy()">{{ words().verb }}</button></div>
    </form></m-dialog>`,
})
export class NodeDialog {
  readonly node = input.required<Node>();
  readonly act = input.required<NodeAct>();
  readonly closed = output();
  readonly done = output();
  readonly #api = inject(Api);
  readonly #catalogue = inject(Catalogue);
  readonly #toasts = inject(Toasts);
  protected readonly reason = signal('');
  protected readonly busy = signal(false);
  protected readonly failure = signal<Failure | null>(null);
  protected readonly words = computed(() => WORDS[this.act()]);
  protected readonly without = read('/api/v1/plan', () => (this.act() === 'drain' ? { query: { without: [this.node().id], world: false }, quiet: true } : undefined));
  protected readonly changes = computed(() => changesOf(this.without.value()?.words, (model) => this.#catalogue.title(model)));
  protected readonly there = computed(() => {
    const { instances } = this.node();
    if (instances.length === 0) return 'No instance is on it now.';
    const busy = instances.filter(({ state, idle_since }) => state === 'ready' && !idle_since).length;
    const work = busy === 0 ? 'none of them works' : busy === instances.length ? (busy === 1 ? 'it works' : 'all of them work') : `${busy} of them ${busy === 1 ? 'works' : 'work'}`;
    return `${counted(instances.length, 'instance')} ${instances.length === 1 ? 'is' : 'are'} on it, ${work}: ${this.act() === 'drain' ? 'what is idle ends at once.' : 'they stay.'}`;
  });

  protected typed(event: Event): void {
    this.reason.set((event.target as HTMLInputElement).value);
  }

  protected async go(event: Event): Promise<void> {
    event.preventDefault();
    this.busy.set(true);
    this.failure.set(null);
    const path = { id: this.node().id };
    const body = this.reason().trim() ? { reason: this.reason().trim() } : {};
    try {
      const answer = this.act() === 'uncordon' ? await this.#api.post('/api/v1/nodes/{id}/uncordon', { path })
        : this.act() === 'drain' ? await this.#api.post('/api/v1/nodes/{id}/drain', { path, body })
        : await this.#api.post('/api/v1/nodes/{id}/cordon', { path, body });
      this.#toasts.say(`${answer.node}: ${answer.changed ? '' : 'It was so already. '}${answer.message}`);
      this.done.emit();
    } catch (error) {
      this.failure.set(Failure.of(error));
    } finally {
      this.busy.set(false);
    }
  }
}
