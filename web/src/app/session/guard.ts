import { inject } from '@angular/core';
import type { CanMatchFn } from '@angular/router';

import { Session } from './session';

/** Who lacks the permission is shown the page that names it, at the same address. */
export function guard(permission: string): CanMatchFn {
  return async () => {
    const session = inject(Session);
    if (!session.live()) await session.ready;
    return session.may(permission);
  };
}
