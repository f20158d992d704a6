import { buildOf } from './build-of';

test('a build is told by the name of its first script', () => {
  expect(buildOf('<script src="main-RLKAKFWX.js" type="module">')).toBe('main-RLKAKFWX.js');
  expect(buildOf('<script type="module" src="/main-a_b-1234.js">')).toBe('main-a_b-1234.js');
  expect(buildOf('<h1>The portal of a hotel</h1>')).toBe(undefined);
});
