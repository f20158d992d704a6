import { Component } from '@angular/core';

@Component({
  selector: 'm-logo',
  template: `<svg class="logo" viewBox="0 0 24 24" aria-hidden="true">
    <g class="logo-o"><circle cx="12" cy="4" r="2.3" /><circle cx="19" cy="8" r="2.3" /><circle cx="19" cy="16" r="2.3" /><circle cx="12" cy="20" r="2.3" /><circle cx="5" cy="16" r="2.3" /><circle cx="5" cy="8" r="2.3" /></g>
    <circle class="logo-i" cx="12" cy="12" r="3.1" />
  </svg>`,
})
export class Logo {}
