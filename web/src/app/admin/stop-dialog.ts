import { Component, computed, inject, input, output, signal } from '@angular/core';

import { Api, type Schemas } from '../api/api';
import { Failure } from '../api/failure';
import { Catalogue } from '../model/catalogue';
import { Dialog } from '../ui/dialog';
import { counted } from '../ui/format';

const WORK = [
  { id: 'drain', label: 'Finish it first', what: 'If that takes too long, it goes back to the queue.' },
  { id: 'requeue', label: 'Back to the queue', what: 'Another instance does it. No attempt is used up.' },
  { id: 'fail', label: 'Fail its requests', what: 'Their owners read the reason below.' },
] as const;

/** What is stopped, what becomes of its work, and why. The focus is on the way out. */
@Component({
  selector: 'm-stop-dialog',
  imports: [Dialog],
  template: `<m-dialog label="Stop an instance" [wide]="true" (closed)="closed.emit()">
    <h2>Stop this instance of {{ catalogue.title(instance().model) }}?</h2>
    <p class="lead">{{ working() }} If somebody needs the model, another instance starts.</p>
    <form (submit)="stop($event, reason.value, grace.valueAsNumber)">
      <fieldset class="field"><legend class="l">What becomes of its work</legend><div class="opts">
        @for (one of work; track one.id) {<label class="opt"><input type="radio" class="rb" name="work" [checked]="chosen() === one.id" (change)="chosen.set(one.id)" /><span><b>{{ one.label }}</b><span>{{ one.what }}</span></span></label>}
      </div></fieldset>
      <div class="two-f"><div class="field"><label for="stop-reason">Reason</label><input #reason id="stop-reason" class="in" maxlength="500" required placeholder="Such as: it hangs" /></div><div class="field"><label for="stop-grace">At most, s</label><input #grace id="stop-grace" class="in" type="number" min="0" max="86400" /></div></div>
      @if (failure(); as failure) {<p class="bad" role="alert">{{ failure.detail }}</p>}
      <div class="end"><button type="button" class="btn big" autofocus (click)="closed.emit()">Cancel</button><button class="btn danger fill big" [disabled]="busy()">Stop instance</button></div>
    </form></m-dialog>`,
})
export class StopDialog {
  readonly instance = input.required<Schemas['Instance']>();
  readonly closed = output();
  readonly stopped = output();
  protected readonly catalogue = inject(Catalogue);
  readonly #api = inject(Api);
  protected readonly work = WORK;
  protected readonly chosen = signal<(typeof WORK)[number]['id']>('drain');
  protected readonly busy = signal(false);
  protected readonly failure = signal<Failure | null>(null);
  protected readonly working = computed(() => {
    const number = this.instance().requests.length;
    return number === 0 ? 'It works on nothing now.' : `It works on ${counted(number, 'request')}.`;
  });

  protected async stop(event: Event, reason: string, grace: number): Promise<void> {
    event.preventDefault();
    this.busy.set(true);
    this.failure.set(null);
    try {
      const body = { work: this.chosen(), reason, ...(Number.isFinite(grace) ? { grace_seconds: grace } : {}) };
      await this.#api.post('/api/v1/instances/{id}/stop', { path: { id: this.instance().id }, body });
      this.stopped.emit();
    } catch (error) {
      const failure = Failure.of(error);
      // It is gone already: that is what was wanted.
      if (failure.status === 404 || failure.kind === 'ended') this.stopped.emit();
      else this.failure.set(failure);
    } finally {
      this.busy.set(false);
    }
  }
}
