import { inject } from '@angular/core';
import type { CanMatchFn } from '@angular/router';

import { Session } from './session';

/** Who has none of the permissions is shown the page that names them, at the same address. */
export function guard(permissions: readonly string[]): CanMatchFn {
  return async () => {
    const session = inject(Session);
    if (!session.live()) await session.ready;
    return session.may(...permissions);
  };
}
