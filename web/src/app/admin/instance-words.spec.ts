import { launchedInWords } from './instance-words';

test('why an instance was launched is said as what was', () => {
  expect(launchedInWords('1 inputs wait')).toBe('1 input waited');
  expect(launchedInWords('2000 inputs wait, or more')).toBe('2,000 inputs or more waited');
  expect(launchedInWords('its model keeps a minimum of instances')).toBe('its model keeps a minimum of instances');
});
