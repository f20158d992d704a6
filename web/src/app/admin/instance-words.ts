import type { Schemas } from '../api/api';
import type { Option } from '../ui/choice';
import { binary, counted } from '../ui/format';

type Instance = Schemas['Instance'];
type Details = Schemas['InstanceDetails'];
type Event = Schemas['InstanceEvent'];

/** Why instances end, by whose doing it is. */
export const WHOSE: { readonly [whose: string]: readonly string[] } = {
  model: ['start_timeout', 'not_started', 'unresponsive', 'out_of_memory', 'out_of_disk', 'image', 'refused', 'exited'],
  surroundings: ['server_gone', 'no_room', 'evicted', 'preempted', 'node_gone', 'deadline'],
  operator: ['idle', 'retired', 'stopped', 'changed'],
};
/** Ends that nobody has to look at. */
const GOOD = [...(WHOSE['operator'] ?? []), 'server_gone', 'preempted', 'deadline'];

/** What people choose of them: all that somebody's doing is, or one. */
export const CAUSE_OPTIONS: readonly Option[] = [
  { value: '', label: 'any' },
  { value: 'model', label: 'of the model' },
  { value: 'surroundings', label: 'of what is around it' },
  { value: 'operator', label: 'as somebody wanted' },
  ...Object.values(WHOSE).flat().map((value) => ({ value, label: value })),
];

/** What was chosen, as the API takes it. */
export function causesOf(chosen: string): string[] {
  return chosen ? [...(WHOSE[chosen] ?? [chosen])] : [];
}

/** Where it runs, in words. */
export function runsInWords({ runs }: Instance): string {
  return { process: 'as a process of a hub', elsewhere: 'elsewhere, on a server', pod: 'as a pod' }[runs];
}

export function isBad({ end }: Instance): boolean {
  return !!end && !GOOD.includes(end.cause);
}

/** The state that its mark shows. */
export function markOf(one: Instance): string {
  return one.stop && one.state !== 'ended' ? 'stopping' : one.state;
}

/** How it stands, in a list. */
export function statusOf(one: Instance): string {
  return one.stop && one.state !== 'ended' ? 'stopping' : (one.pod_status ?? one.state);
}

/** What the cluster says of a pod that does not run yet, in its own words. */
export function podSays({ state, pod_message }: Pick<Instance, 'state' | 'pod_message'>): string {
  return state === 'starting' ? (pod_message ?? '') : '';
}

/** The same and more, where there is room. */
export function stateInWords(one: Instance): string {
  if (one.state === 'ended') return `ended: ${one.end?.cause ?? ''}`;
  if (one.stop) return 'stopping';
  const busy = one.requests.length > 0 ? 'busy' : one.state === 'ready' ? 'idle' : '';
  return [statusOf(one), busy].filter(Boolean).join(', ');
}

/** What a pod that starts waits for: what its scheduler, its image or its program says. */
export function waitsFor({ runs, state, phases }: Pick<Details, 'runs' | 'state' | 'phases'>): { at: string; cause: string } | undefined {
  const last = phases.at(-1);
  return runs === 'pod' && state === 'starting' && last?.phase === state && last.cause ? { at: last.at, cause: last.cause } : undefined;
}

/** Why it was launched, when that is over; the hub says it of the moment. */
export function launchedInWords(cause: string): string {
  const waited = /^(\d+) inputs? waits?(, or more)?$/.exec(cause);
  return waited ? `${counted(Number(waited[1]), 'input')}${waited[2] ? ' or more' : ''} waited` : cause;
}

/** What an event says. */
export function eventInWords({ source, kind, message }: Pick<Event, 'source' | 'kind' | 'message'>): string {
  return source === 'hub' && kind === 'launched' ? launchedInWords(message) : message;
}

export function percent(share: number | null | undefined): string {
  return share == null ? '–' : `${Math.round(share * 100)} %`;
}

/** What it was launched with. */
export function askedOf({ asked, devices }: Instance): string {
  if (!asked) return '';
  const named = Object.entries(asked.named).map(([name, count]) => `${count} ${name}`);
  const storage = asked.storage > 0 ? `${binary(asked.storage)} of storage` : '';
  const what = [`${asked.cpu} ${asked.cpu === 1 ? 'core' : 'cores'}`, `${binary(asked.memory)} of memory`, storage, ...named];
  return what.filter(Boolean).join(', ') + (devices.length > 0 ? `: ${devices.join(', ')}` : '');
}
