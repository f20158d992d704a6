import { readFileSync } from 'node:fs';

import { CAUSE_OPTIONS, causesOf, eventInWords, launchedInWords, waitsFor, WHOSE } from './instance-words';

test('why an instance was launched is said as what was', () => {
  expect(launchedInWords('1 input waits')).toBe('1 input waited');
  expect(launchedInWords('2000 inputs wait, or more')).toBe('2,000 inputs or more waited');
  expect(launchedInWords('its model keeps a minimum of instances')).toBe('its model keeps a minimum of instances');
});

test('an event of the hub that launched it says so too, and words of others stay', () => {
  const said = (source: string, kind: string) => eventInWords({ source, kind, message: '1 inputs wait, or more' });
  expect([said('hub', 'launched'), said('hub', 'starting'), said('kubernetes', 'launched')]).toEqual(['1 input or more waited', '1 inputs wait, or more', '1 inputs wait, or more']);
});

test('only a pod that starts waits for something, and that is the last that was said', () => {
  const phases = [
    { phase: 'launched', at: '2026-01-01T00:00:00Z', cause: '1 inputs wait' },
    { phase: 'starting', at: '2026-01-01T00:00:01Z', cause: 'no node has room for it: 2 Insufficient cpu' },
  ];
  expect(waitsFor({ runs: 'pod', state: 'starting', phases })).toEqual({ at: phases[1]?.at, cause: phases[1]?.cause });
  expect(waitsFor({ runs: 'process', state: 'starting', phases })).toBeUndefined();
  expect(waitsFor({ runs: 'pod', state: 'ended', phases: [...phases, { phase: 'ended', at: '', cause: 'evicted' }] })).toBeUndefined();
  expect(waitsFor({ runs: 'pod', state: 'starting', phases: phases.slice(0, 1) })).toBeUndefined();
});

test('all causes of ends are somebody’s doing, and can be chosen together or alone', () => {
  const api = JSON.parse(readFileSync(new URL('../../../../openapi.json', import.meta.url), 'utf8')) as { components: { schemas: { InstanceEnd: { properties: { cause: { enum: string[] } } } } } };
  expect(Object.values(WHOSE).flat().sort()).toEqual([...api.components.schemas.InstanceEnd.properties.cause.enum].sort());
  expect(CAUSE_OPTIONS).toContainEqual({ value: 'evicted', label: 'evicted' });
  expect([causesOf(''), causesOf('evicted'), causesOf('operator')]).toEqual([[], ['evicted'], ['idle', 'retired', 'stopped', 'changed']]);
});
