import { SmilesParser } from 'openchemlib';

import { complaint } from './complaint';

function of(smiles: string) {
  try {
    new SmilesParser().parseMolecule(smiles, { noCoordinates: true });
  } catch (error) {
    const { problem, caret } = complaint(String((error as Error).message), smiles);
    return `${problem} at ${caret}`;
  }
  return 'readable';
}

test('what is wrong is said in words, with the character', () => {
  expect(of('C1=CC=CC=C')).toBe('ring 1 is opened here and not closed at 1');
  expect(of('[13C]C%12CC')).toBe('ring 12 is opened here and not closed at 6');
  expect(of('CC)C')).toBe('this bracket closes nothing at 2');
  expect(of('CXC')).toBe('there is no such element at 1');
  expect(of('[Xx]')).toBe('there is no such element at 0');
  expect(of('CC=')).toBe('this bond leads nowhere at 2');
  expect(of('[C')).toBe('the bracket is not closed at 2');
});

test('what is said in other words is passed on', () => {
  expect(complaint('Class$S19: SmilesParser: strange thing; position:3', 'CCCC')).toEqual({ problem: 'strange thing', caret: 3 });
  expect(complaint('something broke', 'C')).toEqual({ problem: 'something broke', caret: null });
});
