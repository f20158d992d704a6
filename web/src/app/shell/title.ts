import { Service, signal } from '@angular/core';
import { TitleStrategy, type RouterStateSnapshot } from '@angular/router';

@Service()
export class Title extends TitleStrategy {
  /** Of the page that is shown; on a phone it stands in the bar at the top. */
  readonly said = signal('Muster');

  override updateTitle(snapshot: RouterStateSnapshot): void {
    const title = this.buildTitle(snapshot);
    this.said.set(title ?? 'Muster');
    document.title = title ? `${title} · Muster` : 'Muster';
  }
}
