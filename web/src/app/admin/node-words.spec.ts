import { actsOf, barsOf, changesOf, type Node, roomInWords, styleOf, sumInWords } from './node-words';

const room = (cpu: number, gib: number, gpus = 0) => ({ cpu, memory: gib * 2 ** 30, storage: null, pods: null, named: gpus > 0 ? { 'nvidia.com/gpu': gpus } : {} });
const held = (model: string, cpu: number, gib: number, more: object = {}) => ({ id: model, model, state: 'ready', idle_since: null, asked: room(cpu, gib), devices: [], ...more });
const node = {
  id: 'lab1', allocatable: room(8, 32, 2), free: room(1.5, 20, 1), held_by_instances: room(5.5, 10, 1), held_by_others: room(1, 2), others: 3,
  instances: [held('idle', 1, 1, { idle_since: '2026-01-01T00:00:00Z' }), held('goes', 0.5, 1, { state: 'draining' }), held('busy', 4, 8, { asked: room(4, 8, 1) })],
} as unknown as Node;

test('room is cut into who holds it: others, what works, what is idle, what goes', () => {
  const [gpu, cpu, memory] = barsOf(node, (model) => model.toUpperCase());
  expect([gpu?.what, gpu?.said, gpu?.pieces]).toEqual(['GPU', '1 of 2', [{ x: 0, width: 50, style: 'works', label: 'BUSY' }]]);
  expect([cpu?.said, cpu?.pieces.map((one) => [one.label, one.style, one.x, one.width])]).toEqual(['6.5 of 8', [['others', 'others', 0, 12.5], ['BUSY', 'works', 12.5, 50], ['IDLE', 'idle', 62.5, 12.5], ['GOES', 'drains', 75, 6.25]]]);
  expect(memory?.said).toBe('12 of 32 GiB');
});

test('a bar never leaves its frame, whatever is held', () => {
  const over = { ...node, held_by_others: room(6, 2) } as Node;
  const pieces = barsOf(over, String)[1]?.pieces ?? [];
  expect(Math.max(...pieces.map((one) => one.x + one.width))).toBe(100);
});

test('rooms and their sum are told in words', () => {
  expect(roomInWords(room(1, 0.5, 2))).toBe('1 core, 512 MiB, 2 GPUs');
  expect(sumInWords([node, node])).toBe('2 nodes: 13 of 16 cores, 24 of 64 GiB, 2 of 4 GPUs held.');
  expect(styleOf(held('starts', 1, 1, { state: 'starting' }) as Node['instances'][number])).toBe('works');
});

test('of a question only what is not so as things are is told', () => {
  const words = { mode: 'own', actions: [{ do: 'launch', message: 'Launch.', new: true }, { do: 'retire', message: 'Retire.', new: false }], advice: [], held: [{ model: 'atoms', because: 'no_room', message: 'No room.', new: true }], kept: [], unneeded: [] };
  expect(changesOf(words as unknown as Parameters<typeof changesOf>[0], (model) => model.toUpperCase())).toEqual(['Launch.', 'ATOMS waits: No room.']);
  expect(changesOf(undefined, String)).toEqual([]);
});

test('what may be done with a node is what it is not already', () => {
  const at = (name: string) => actsOf({ ...node, stage: { name } } as unknown as Node);
  expect([at('ready'), at('unready'), at('cordoned'), at('drained'), at('leaving')]).toEqual([['cordon', 'drain'], ['cordon', 'drain'], ['uncordon', 'drain'], ['uncordon'], []]);
});
