import { expect, test } from 'vitest';

import type { Schemas } from '../api/api';
import { needsOf, stateOf, takesAlike } from './words';

test('a model says how far it is, and how long a start usually takes', () => {
  const said = (state: Schemas['ModelState'], usual_start_seconds: number | null) =>
    stateOf({ state, usual_start_seconds, held: null, waiting: 0 } as Schemas['ModelSummary']).said;
  expect(said('ready', 8)).toBe('ready');
  expect(said('starting', 8)).toBe('starting, about 8 s');
  expect(said('preparing', 8)).toBe('preparing its environment, then about 8 s to start');
  expect(said('preparing', null)).toBe('preparing its environment');
  expect(said('cold', 8)).toBe('cold, about 8 s to start');
});

test('what an instance needs is said as far as it is declared', () => {
  const nothing = { cpu: null, memory_mib: null, storage_mib: null, gpus: 0, gpu: 'nvidia.com/gpu', node: {} };
  expect(needsOf(nothing)).toBe('');
  expect(needsOf({ ...nothing, cpu: 1, memory_mib: 1536, gpus: 2, node: { zone: 'a', disk: '' } })).toBe('1 core, 1.5 GiB of memory, 2 nvidia.com/gpu, a node with zone=a, disk=');
  expect(needsOf({ ...nothing, cpu: 0.5, storage_mib: 10 })).toBe('0.5 cores, 10 MiB of storage');
});

test('models that take the same are those with the same column, or the same kind that is no mere text', () => {
  type Input = Schemas['ModelInput'];
  const takes = (name: string, kind: Input['kind']) => ({ input: { name, kind, description: '', also: [] } });
  expect(takesAlike(takes('smiles', 'smiles'), takes('structure', 'smiles'))).toBe(true);
  expect(takesAlike(takes('abstract', 'text'), takes('title', 'text'))).toBe(false);
  expect(takesAlike(takes('title', 'text'), takes('title', 'text'))).toBe(true);
  expect(takesAlike(takes('a', 'dna'), takes('b', 'protein'))).toBe(false);
});
