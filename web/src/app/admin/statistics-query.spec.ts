import { groupsOf, query, type Asked } from './statistics-query';

const asked: Asked = { who: '', days: '', models: [], people: [], phases: [], size: '', by: '', group: '', then: '', sort: '' };

test('nothing asked is all, by model', () => {
  expect(query(asked, 0)).toEqual({ model: [], user: [], session: [], phase: [], group_by: ['model'], sort: ['-total'] });
});

test('what is asked is asked of the hub', () => {
  const all = { ...asked, who: 'anonymous', days: '2026-11-01..2026-11-02', models: ['a', 'b'], people: ['u:1', 's:2'], phases: ['failed'], size: '2-10', by: 'all', group: 'day', then: 'model', sort: 'failed' };
  expect(query(all, 0)).toEqual({ auth_type: 'anonymous', from: '2026-11-01', to: '2026-11-02', model: ['a', 'b'], user: ['1'], session: ['2'], phase: ['failed'], input_size_min: 2, input_size_max: 10, by: 'all', group_by: ['day', 'model'], sort: ['failed'] });
});

test('an address that was mistyped asks nothing that the hub would refuse', () => {
  expect(query({ ...asked, who: 'x', days: 'y', size: 'z', by: 'w', group: 'v', then: 'u' }, 0)).toEqual(query(asked, 0));
  expect(groupsOf({ group: 'day', then: 'day' })).toEqual(['day']);
});
