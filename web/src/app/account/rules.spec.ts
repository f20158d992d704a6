import { Failure } from '../api/failure';
import { check, errorsOf } from './rules';

const ada = { name: 'ada', first_name: 'Ada', last_name: 'Lovelace', email: 'ada@example.org', password: 'tangible orchard' };

test('what the hub would refuse is said at its field', () => {
  expect(check(ada)).toEqual({});
  expect(check({ ...ada, email: 'ada@example', password: 'short', name: ' ' })).toEqual({ name: 'Choose a user name.', email: 'The part after @ needs a dot, such as example.org.', password: '5 of at least 15 characters.' });
  // Characters count, not units.
  expect(check({ ...ada, password: '😀'.repeat(15) })).toEqual({});
});

test("the hub's words go to their fields", () => {
  const errors = [{ type: '/problems/bad-name', pointer: '/name', detail: 'No.' }];
  expect(errorsOf(new Failure(422, '', { type: '/problems/bad-values', errors }))).toEqual({ name: 'No.' });
  expect(errorsOf(new Failure(409, 'Taken.', { type: '/problems/name-taken' }))).toEqual({ name: 'Taken.' });
});
