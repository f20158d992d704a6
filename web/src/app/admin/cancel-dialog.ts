import { Component, input, output } from '@angular/core';

import { Dialog } from '../ui/dialog';
import { counted } from '../ui/format';

/** Cancelling takes a reason, which the owners read. The focus is on the way out. */
@Component({
  selector: 'm-cancel-dialog',
  imports: [Dialog],
  template: `<m-dialog label="Cancel requests" (closed)="closed.emit()"><h2>Cancel {{ counted(number(), 'request') }}?</h2><p class="lead">What was done of {{ number() === 1 ? 'it is lost. Its owner reads' : 'them is lost. Their owners read' }} the reason.</p>
    <form (submit)="$event.preventDefault(); cancelled.emit(reason.value)"><div class="field"><label for="cancel-reason">Reason</label><input #reason id="cancel-reason" class="in" required maxlength="500" placeholder="Such as: the model is taken down for repair" /></div>
      <div class="end"><button type="button" class="btn" autofocus (click)="closed.emit()">Keep {{ number() === 1 ? 'it' : 'them' }}</button><button class="btn danger fill">Cancel {{ counted(number(), 'request') }}</button></div></form></m-dialog>`,
})
export class CancelDialog {
  readonly number = input.required<number>();
  readonly closed = output();
  readonly cancelled = output<string>();
  protected readonly counted = counted;
}
