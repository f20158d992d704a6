import type { Schemas } from '../api/api';
import { binary, counted } from '../ui/format';

type Instance = Schemas['Instance'];

/** Why instances end. */
export const CAUSES = ['idle', 'retired', 'stopped', 'server_gone', 'start_timeout', 'not_started', 'unresponsive', 'out_of_memory', 'changed', 'exited'];
/** Ends that nobody has to look at. */
const GOOD = ['idle', 'retired', 'stopped', 'server_gone', 'changed'];

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

/** The same and more, where there is room. */
export function stateInWords(one: Instance): string {
  if (one.state === 'ended') return `ended: ${one.end?.cause ?? ''}`;
  if (one.stop) return 'stopping';
  const busy = one.requests.length > 0 ? 'busy' : one.state === 'ready' ? 'idle' : '';
  return [statusOf(one), busy].filter(Boolean).join(', ');
}

/** Why it was launched, when that is over; the hub says it of the moment. */
export function launchedInWords(cause: string): string {
  const waited = /^(\d+) inputs wait(, or more)?$/.exec(cause);
  return waited ? `${counted(Number(waited[1]), 'input')}${waited[2] ? ' or more' : ''} waited` : cause;
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
