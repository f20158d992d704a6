import type { Schemas } from '../api/api';
import { binary, counted } from '../ui/format';

export type Node = Schemas['Node'];
type Room = Schemas['NodeRoom'];
type Held = Node['instances'][number];

/** A piece of a node's room, in percent of it. */
export interface Piece {
  readonly x: number;
  readonly width: number;
  readonly style: 'works' | 'idle' | 'drains' | 'others';
  readonly label: string;
}

export interface Bar {
  readonly what: string;
  /** How much is held, of how much. */
  readonly said: string;
  readonly pieces: readonly Piece[];
}

/** The mark of each stage, by the name of a state that has it. */
export const MARKS: { readonly [stage: string]: string } = { booting: 'starting', ready: 'ready', unready: 'failed', cordoned: 'held', drained: 'draining', leaving: 'draining' };

/** How an instance holds its room. */
export function styleOf({ state, idle_since }: Held): Piece['style'] {
  return state === 'draining' ? 'drains' : idle_since ? 'idle' : 'works';
}

const ORDER = ['others', 'works', 'idle', 'drains'];

/** What is held of each resource that the node has: named ones first, as they are scarce. */
export function barsOf(node: Node, title: (model: string) => string): Bar[] {
  const named = Object.keys(node.allocatable.named).sort();
  const bar = (what: string, of: (room: Room) => number, say: (held: number, all: number) => string): Bar => {
    const all = of(node.allocatable);
    const share = (amount: number) => (all > 0 ? Math.min(100, (amount / all) * 100) : 0);
    const held = node.instances.map((one) => ({ amount: of(one.asked), style: styleOf(one), label: title(one.model) }));
    const parts = [{ amount: of(node.held_by_others), style: 'others' as const, label: 'others' }, ...held].filter(({ amount }) => amount > 0);
    parts.sort((a, b) => ORDER.indexOf(a.style) - ORDER.indexOf(b.style) || b.amount - a.amount);
    let x = 0;
    const pieces = parts.map(({ amount, style, label }) => {
      const piece = { x, width: Math.min(share(amount), 100 - x), style, label };
      x += piece.width;
      return piece;
    });
    return { what, said: say(parts.reduce((sum, one) => sum + one.amount, 0), all), pieces };
  };
  return [
    ...named.map((name) => bar(nameOf(name), (room) => room.named[name] ?? 0, (held, all) => `${held} of ${all}`)),
    bar('CPU', (room) => room.cpu, (held, all) => `${cores(held)} of ${cores(all)}`),
    bar('Memory', (room) => room.memory, (held, all) => ofBytes(held, all)),
    ...(node.held_by_instances.storage ? [bar('Disk', (room) => room.storage ?? 0, (held, all) => ofBytes(held, all))] : []),
  ];
}

/** As people call it. */
export function nameOf(resource: string): string {
  return /\/gpu$/.test(resource) ? 'GPU' : resource.replace(/^.*\//, '');
}

export function cores(n: number): string {
  return String(Math.round(n * 100) / 100);
}

function ofBytes(held: number, all: number): string {
  const [a, b] = [binary(held), binary(all)];
  const unit = b.slice(b.lastIndexOf(' '));
  return held === 0 ? `0 of ${b}` : `${a.endsWith(unit) ? a.slice(0, -unit.length) : a} of ${b}`;
}

/** All of a room in words. */
export function roomInWords(room: Room): string {
  const named = Object.entries(room.named).filter(([, n]) => n > 0).map(([name, n]) => `${n} ${nameOf(name)}${nameOf(name) === 'GPU' && n > 1 ? 's' : ''}`);
  return [`${cores(room.cpu)} ${room.cpu === 1 ? 'core' : 'cores'}`, binary(room.memory), ...(room.storage ? [`${binary(room.storage)} of disk`] : []), ...named].join(', ');
}

/** Above the list: how many there are, and what is held of all of it. */
export function sumInWords(nodes: readonly Node[]): string {
  const sum = (of: (node: Node) => number) => nodes.reduce((all, node) => all + of(node), 0);
  const gpus = (room: Room) => Object.entries(room.named).reduce((all, [name, n]) => all + (nameOf(name) === 'GPU' ? n : 0), 0);
  const held = (of: (room: Room) => number) => sum((node) => of(node.held_by_instances) + of(node.held_by_others));
  const all = (of: (room: Room) => number) => sum((node) => of(node.allocatable));
  const cpu = (room: Room) => room.cpu;
  const memory = (room: Room) => room.memory;
  const parts = [`${cores(held(cpu))} of ${cores(all(cpu))} cores`, ofBytes(held(memory), all(memory)), ...(all(gpus) > 0 ? [`${held(gpus)} of ${all(gpus)} GPUs`] : [])];
  return `${counted(nodes.length, 'node')}: ${parts.join(', ')} held.`;
}

/** An autoscaler and whether it is there. */
export function scalerHead({ name, present }: Pick<Schemas['Autoscaler'], 'name' | 'present'>): string {
  const what = name === 'others' ? 'Others' : name;
  if (present == null) return name === 'others' ? 'Whether there are others is not known' : `${what}: not known whether it is there`;
  return present ? what : `${what} is not there`;
}

export function scalerMark({ present }: Pick<Schemas['Autoscaler'], 'present'>): string {
  return present == null ? 'warn' : present ? 'info' : 's-waiting';
}

export type NodeAct = 'cordon' | 'drain' | 'uncordon';

/** What an administrator may do with it now. */
export function actsOf({ stage }: Node): NodeAct[] {
  if (stage.name === 'leaving') return [];
  return stage.name === 'drained' ? ['uncordon'] : stage.name === 'cordoned' ? ['uncordon', 'drain'] : ['cordon', 'drain'];
}

export const ACTS: { readonly [A in NodeAct]: string } = { cordon: 'Cordon…', drain: 'Drain…', uncordon: 'Take instances…' };

/** What a plan for a question does and says that is not so as things are. */
export function changesOf(words: Schemas['PlanWords'] | undefined, title: (model: string) => string): string[] {
  if (!words) return [];
  const held = words.held.filter((one) => one.new).map((one) => `${title(one.model)} waits: ${one.message}`);
  return [...[...words.actions, ...words.advice].filter((one) => one.new).map((one) => one.message), ...held];
}
