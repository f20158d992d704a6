import { expect, test } from 'vitest';

import type { Schemas } from '../api/api';
import { stateOf } from './words';

test('a model says how far it is, and how long a start usually takes', () => {
  const said = (state: Schemas['ModelState'], usual_start_seconds: number | null) =>
    stateOf({ state, usual_start_seconds, held: null, waiting: 0 } as Schemas['ModelSummary']).said;
  expect(said('ready', 8)).toBe('ready');
  expect(said('starting', 8)).toBe('starting, about 8 s');
  expect(said('preparing', 8)).toBe('preparing its environment, then about 8 s to start');
  expect(said('preparing', null)).toBe('preparing its environment');
  expect(said('cold', 8)).toBe('cold, about 8 s to start');
});
