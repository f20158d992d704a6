import { readFileSync } from 'node:fs';

import { CAUSE_OPTIONS, causesOf, launchedInWords, WHOSE } from './instance-words';

test('why an instance was launched is said as what was', () => {
  expect(launchedInWords('1 inputs wait')).toBe('1 input waited');
  expect(launchedInWords('2000 inputs wait, or more')).toBe('2,000 inputs or more waited');
  expect(launchedInWords('its model keeps a minimum of instances')).toBe('its model keeps a minimum of instances');
});

test('all causes of ends are somebody’s doing, and can be chosen together or alone', () => {
  const api = JSON.parse(readFileSync(new URL('../../../../openapi.json', import.meta.url), 'utf8')) as { components: { schemas: { InstanceEnd: { properties: { cause: { enum: string[] } } } } } };
  expect(Object.values(WHOSE).flat().sort()).toEqual([...api.components.schemas.InstanceEnd.properties.cause.enum].sort());
  expect(CAUSE_OPTIONS).toContainEqual({ value: 'evicted', label: 'evicted' });
  expect([causesOf(''), causesOf('evicted'), causesOf('operator')]).toEqual([[], ['evicted'], ['idle', 'retired', 'stopped', 'changed']]);
});
