import { podInWords } from './pod-words';

const node = (status: string, reason?: string, message?: string) => ({ type: 'PodScheduled', status, ...(reason ? { reason } : {}), ...(message ? { message } : {}) });
const lines = (pod: Parameters<typeof podInWords>[0]) => podInWords(pod).map(({ of, said }) => `${of}: ${said}`);

test('a pod that waits has the words of its scheduler', () => {
  const words = '0/2 nodes are available: 2 Insufficient cpu.';
  expect(lines({ spec: {}, status: { phase: 'Pending', conditions: [node('False', 'Unschedulable', words)] } })).toEqual(['Phase: Pending', `Scheduler: Unschedulable: ${words}`]);
  expect(lines({ status: { phase: 'Pending' } })).toEqual(['Phase: Pending', 'Scheduler: has not looked at it yet']);
  expect(lines({})).toEqual(['Scheduler: has not looked at it yet']);
});

test('a pod whose image is not there says so', () => {
  const waiting = { reason: 'ErrImagePull', message: 'not found' };
  expect(lines({ spec: { nodeName: 'n1' }, status: { phase: 'Pending', conditions: [node('True')], containerStatuses: [{ name: 'model', state: { waiting } }] } })).toEqual(['Phase: Pending', 'Scheduler: bound it to n1', 'Container model: ErrImagePull: not found']);
});

test('a pod that was evicted says why, and how its containers ended', () => {
  const disturbed = { type: 'DisruptionTarget', status: 'True', reason: 'TerminationByKubelet', message: 'memory' };
  const status = { phase: 'Failed', reason: 'Evicted', message: 'The node was low on resource: memory. ', conditions: [node('True'), disturbed] };
  const containerStatuses = [{ name: 'model', state: { terminated: { reason: 'Error', exitCode: 137 } } }];
  expect(lines({ spec: { nodeName: 'n1' }, status: { ...status, initContainerStatuses: [{ name: 'first', state: { running: {} } }], containerStatuses } })).toEqual(['Phase: Failed, Evicted: The node was low on resource: memory.', 'Scheduler: bound it to n1', 'Disruption: TerminationByKubelet: memory', 'Container first: runs', 'Container model: Error, exit code 137']);
});
