import { Component, input } from '@angular/core';

import type { Schemas } from '../api/api';
import { binary, count, duration } from '../ui/format';
import { KINDS, needsOf } from './words';

/** The model's card, its columns and limits. What the card says is text, never markup. */
@Component({
  selector: 'm-about',
  template: `<div class="two"><div>
      <div class="prose"><p>{{ model().card.description || 'Nobody described this model yet.' }}</p>@if (model().card.interpretation; as text) {<p class="mut">{{ text }}</p>}</div>
      <div class="h2r"><h2>Columns of the result</h2></div>
      <div class="tw cards"><table class="t"><thead><tr><th>Column</th><th>Kind</th><th>Unit</th><th>Strong where</th><th>Meaning</th></tr></thead><tbody>
        @for (column of model().outputs; track column.name) {
          <tr><td class="mono ttl">{{ column.name }}</td><td class="mut" data-l="Kind"><span class="v">{{ column.kind }}</span></td><td [class.nil]="!column.unit" data-l="Unit"><span class="v">{{ column.unit }}</span></td><td [class.nil]="!column.direction" data-l="Strong where"><span class="v">{{ column.direction }}</span></td><td class="wrap full">{{ column.description }}</td></tr>
        } @empty {<tr><td colspan="5" class="mut">It does not say which columns it answers.</td></tr>}
      </tbody></table></div>
    </div>
    <aside class="rail"><div class="sheet pad"><dl class="kv">
      @if (model().task; as text) {<dt>Task</dt><dd>{{ text }}</dd>}
      <dt>Input</dt><dd>{{ model().input.name }}, {{ kinds[model().input.kind] }}</dd>
      @if (model().input.description; as text) {<dt></dt><dd class="mut">{{ text }}</dd>}
      @if (model().card.licence; as text) {<dt>Licence</dt><dd>{{ text }}</dd>}
      @if (model().card.publication; as text) {<dt>Publication</dt><dd>@if (isLink(text)) {<a [href]="text" rel="noopener noreferrer">{{ text }}</a>} @else {{{ text }}}</dd>}
      @if (model().card.source_code; as text) {<dt>Source</dt><dd>@if (isLink(text)) {<a [href]="text" rel="noopener noreferrer">{{ text }}</a>} @else {{{ text }}}</dd>}
      <dt>Version</dt><dd>{{ model().version }}</dd>
      <dt>In a request</dt><dd>{{ count(model().limits.inputs) }} inputs, {{ binary(model().limits.body_bytes) }}</dd>
      <dt>In a call</dt><dd>{{ count(model().limits.batch_size) }} inputs, at most {{ duration(model().limits.job_seconds) }}</dd>
      <dt>Instances</dt><dd>at most {{ model().limits.max_instances }}</dd>
      @if (needsOf(model().resources); as text) {<dt>Each needs</dt><dd>{{ text }}</dd>}
      <dt>Predictions</dt><dd>{{ model().cache ? 'known ones are used again' : 'are always made anew' }}</dd>
    </dl></div></aside></div>`,
})
export class About {
  readonly model = input.required<Schemas['Model']>();
  protected readonly kinds = KINDS;
  protected readonly count = count;
  protected readonly binary = binary;
  protected readonly duration = duration;
  protected readonly needsOf = needsOf;

  protected isLink(text: string): boolean {
    return /^https?:\/\//.test(text);
  }
}
