import { Component, inject, input, output, signal } from '@angular/core';

import { Api, type Schemas } from '../api/api';
import { Failure } from '../api/failure';
import { Dialog } from '../ui/dialog';

/** What a person calls a request. */
@Component({
  selector: 'm-label-dialog',
  imports: [Dialog],
  template: `<m-dialog label="Label" (closed)="closed.emit()"><h2>Label</h2><p class="lead">For your lists; administrators do not see it.</p>
    <form (submit)="$event.preventDefault(); save(box.value)">
      <div class="field full"><label for="request-label">Label</label><input #box id="request-label" class="in" maxlength="100" autocomplete="off" [value]="request().label ?? ''" />
        @if (failure(); as failure) {<p class="err bad" role="alert">{{ failure.detail }}</p>}</div>
      <div class="end"><button type="button" class="btn left" (click)="save('')">No label</button><button class="btn pri">Save</button></div>
    </form></m-dialog>`,
})
export class LabelDialog {
  readonly request = input.required<Schemas['Request']>();
  readonly changed = output<Schemas['Request']>();
  readonly closed = output();
  readonly #api = inject(Api);
  protected readonly failure = signal<Failure | null>(null);

  protected async save(label: string): Promise<void> {
    try {
      this.changed.emit(await this.#api.call('patch', '/api/v1/requests/{id}', { path: { id: this.request().id }, body: { label: label.trim() || null } }));
      this.closed.emit();
    } catch (error) {
      this.failure.set(Failure.of(error));
    }
  }
}
