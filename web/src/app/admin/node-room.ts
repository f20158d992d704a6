import { Component, computed, inject, input } from '@angular/core';

import { Catalogue } from '../model/catalogue';
import { barsOf, type Node } from './node-words';

const STYLES = { works: 'a1', idle: 'a3', drains: 'dr', others: 'o' };

/** A node's room as a bar for each resource: who holds how much of it. */
@Component({
  selector: 'm-node-room',
  template: `<div class="room">
    @for (bar of bars(); track bar.what) {
      <span>{{ bar.what }}</span>
      <svg height="22" role="img" [attr.aria-label]="bar.what + ': ' + words(bar)">
        @for (piece of bar.pieces; track $index) {<svg [attr.x]="piece.x + '%'" y="0" [attr.width]="piece.width + '%'" height="22"><rect [attr.class]="styles[piece.style]" width="100%" height="22" /><rect class="gapl" width="1" height="22" />@if (piece.width > 12) {<text [class.a1t]="piece.style === 'works'" x="7" y="15">{{ piece.label }}</text>}</svg>}
      </svg>
      <span>{{ bar.said }}</span>
    }
  </div>`,
})
export class NodeRoom {
  readonly node = input.required<Node>();
  readonly #catalogue = inject(Catalogue);
  protected readonly styles = STYLES;
  protected readonly bars = computed(() => barsOf(this.node(), (model) => this.#catalogue.title(model)));

  protected words(bar: ReturnType<typeof barsOf>[number]): string {
    return [bar.said, ...bar.pieces.map((piece) => `${piece.label} ${Math.round(piece.width)} %`)].join(', ');
  }
}
