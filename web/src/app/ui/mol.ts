import { Component, type ElementRef, DestroyRef, computed, effect, inject, input, linkedSignal, signal, viewChild } from '@angular/core';

import { Chemist } from '../chem/chemist';

/** A molecule's picture, drawn once it is seen. Until then, and if it cannot be drawn, its SMILES stands beside it. */
@Component({
  selector: 'm-mol',
  template: `<span class="mol" #frame>@if (picture(); as src) {<img [src]="src" [alt]="alt()" [width]="width()" [height]="height()" decoding="async" />}</span>`,
})
export class Mol {
  readonly #chemist = inject(Chemist);
  readonly smiles = input.required<string>();
  readonly name = input('');
  readonly width = input(136);
  readonly height = input(68);
  protected readonly alt = computed(() => this.name() || this.smiles());
  /** Never another molecule's. */
  protected readonly picture = linkedSignal<string, string | null>({ source: this.smiles, computation: () => null });
  protected readonly frame = viewChild.required<ElementRef<HTMLElement>>('frame');
  readonly #seen = signal(false);

  constructor() {
    let watch: IntersectionObserver | undefined;
    inject(DestroyRef).onDestroy(() => watch?.disconnect());
    effect(() => {
      const frame = this.frame().nativeElement;
      watch ??= new IntersectionObserver((all) => this.#seen.set(all.some((one) => one.isIntersecting)), { rootMargin: '200px' });
      watch.observe(frame);
    });
    effect((onCleanup) => {
      const [smiles, width, height] = [this.smiles(), this.width(), this.height()];
      if (!this.#seen()) return;
      let gone = false;
      onCleanup(() => (gone = true));
      void this.#chemist.draw(smiles, width, height).then((drawn) => {
        if (!gone) this.picture.set('svg' in drawn ? drawn.svg : null);
      });
    });
  }
}
