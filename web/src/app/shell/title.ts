import { Service } from '@angular/core';
import { TitleStrategy, type RouterStateSnapshot } from '@angular/router';

@Service()
export class Title extends TitleStrategy {
  override updateTitle(snapshot: RouterStateSnapshot): void {
    const title = this.buildTitle(snapshot);
    document.title = title ? `${title} · Muster` : 'Muster';
  }
}
