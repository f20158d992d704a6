import type { Schemas } from '../api/api';
import { binary, duration } from '../ui/format';

type Summary = Schemas['ModelSummary'];

/** What inputs are, as people call it. */
export const KINDS: { readonly [kind in Schemas['ModelInput']['kind']]: string } = { smiles: 'molecules', dna: 'DNA', protein: 'proteins', text: 'text' };

export function takesMolecules(model: Pick<Summary, 'input'>): boolean {
  return model.input.kind === 'smiles';
}

/** Could these two be given the same inputs? */
export function takesAlike(one: Pick<Summary, 'input'>, other: Pick<Summary, 'input'>): boolean {
  return one.input.name === other.input.name || (one.input.kind !== 'text' && one.input.kind === other.input.kind);
}

export function thisWeek(model: Pick<Summary, 'week'>): number {
  return model.week.reduce((sum, day) => sum + day, 0);
}

/** Its state, and what that means for whoever runs it now. */
export function stateOf(model: Summary): { is: string; said: string } {
  if (model.held && model.waiting > 0) return { is: 'held', said: `held: ${model.held}` };
  const start = model.usual_start_seconds ? `, about ${duration(model.usual_start_seconds)}` : '';
  if (model.state === 'preparing') return { is: 'preparing', said: `preparing its environment${start && `, then${start.slice(1)} to start`}` };
  if (model.state === 'starting') return { is: 'starting', said: `starting${start}` };
  if (model.state === 'cold') return { is: 'cold', said: start ? `cold${start} to start` : 'cold' };
  return { is: 'ready', said: 'ready' };
}

export function queueOf(model: Summary): string {
  const parts = [model.waiting > 0 ? `${model.waiting} waiting` : '', model.running > 0 ? `${model.running} running` : ''];
  return parts.filter(Boolean).join(', ') || 'nobody waits';
}

/** What an instance needs, as far as the model declares it. */
export function needsOf({ cpu, memory_mib, storage_mib, gpus, gpu, node }: Schemas['ModelResources']): string {
  const labels = Object.entries(node).map((label) => label.join('='));
  const needs = [
    cpu == null ? '' : `${cpu} ${cpu === 1 ? 'core' : 'cores'}`,
    memory_mib == null ? '' : `${binary(memory_mib * 2 ** 20)} of memory`,
    storage_mib == null ? '' : `${binary(storage_mib * 2 ** 20)} of storage`,
    gpus > 0 ? `${gpus} ${gpu}` : '',
    labels.length > 0 ? `a node with ${labels.join(', ')}` : '',
  ];
  return needs.filter(Boolean).join(', ');
}
