import { Component, input, output, signal } from '@angular/core';

import type { Failure } from '../api/failure';
import { Dialog } from '../ui/dialog';

/** Asks for a word before what cannot be taken back. */
@Component({
  selector: 'm-typed',
  imports: [Dialog],
  template: `<m-dialog [label]="label()" (closed)="closed.emit()"><h2>{{ head() }}</h2><p class="lead"><ng-content /> This cannot be taken back.</p>
    <form (submit)="$event.preventDefault(); confirmed.emit()">
      <div class="field"><label for="typed">Type {{ what() }}, <span class="mono">{{ word() }}</span></label><input #box class="in" id="typed" autofocus autocomplete="off" spellcheck="false" (input)="typed.set(box.value)" /></div>
      @if (failure(); as failure) {<p class="bad" role="alert">{{ failure.detail }}</p>}
      <div class="end"><button type="button" class="btn" (click)="closed.emit()">Cancel</button><button class="btn danger fill" [disabled]="busy() || typed().trim() !== word()">{{ action() }}</button></div>
    </form></m-dialog>`,
})
export class Typed {
  readonly label = input.required<string>();
  readonly head = input.required<string>();
  /** What has to be typed, and what that is. */
  readonly word = input.required<string>();
  readonly what = input.required<string>();
  readonly action = input.required<string>();
  readonly busy = input(false);
  readonly failure = input<Failure | null>(null);
  readonly closed = output();
  readonly confirmed = output();
  protected readonly typed = signal('');
}
