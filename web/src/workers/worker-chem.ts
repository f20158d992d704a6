import { Molecule, SmilesParser, SSSearcher } from 'openchemlib';

import type { Ask, Found, SdRecord, Told, Unreadable } from './chem-messages';
import { complaint } from './complaint';
import { draw, laidOut, LONGEST } from './drawing';

const parser = new SmilesParser();

self.onmessage = ({ data }: MessageEvent<Ask>) => {
  self.postMessage(answer(data));
};

function answer(ask: Ask): Told {
  const { id } = ask;
  if ('check' in ask) return { id, unreadable: check(ask.check) };
  if ('find' in ask) return { id, found: find(ask.find, ask.among) };
  if ('sdf' in ask) return { id, text: ask.sdf.map(sdRecord).join('') };
  return { id, drawn: draw(ask.draw, ask.width, ask.height) };
}

/** Which of these are not SMILES; coordinates, which are slow, are not made. */
function check(all: readonly string[]): Unreadable[] {
  return all.flatMap((smiles, at) => {
    if (smiles.length > LONGEST) return [];
    try {
      const atoms = parser.parseMolecule(smiles, { noCoordinates: true }).getAllAtoms();
      return atoms === 0 ? [{ at, problem: 'there are no atoms', caret: null }] : [];
    } catch (error) {
      return [{ at, ...complaint(String(error), smiles) }];
    }
  });
}

function find(query: string, among: readonly string[]): Found {
  const searcher = new SSSearcher();
  try {
    const fragment = new SmilesParser({ smartsMode: 'guess' }).parseMolecule(query, { noCoordinates: true });
    if (fragment.getAllAtoms() === 0) return { problem: 'there are no atoms' };
    fragment.setFragment(true);
    searcher.setFragment(fragment);
  } catch (error) {
    return { problem: complaint(String(error), query).problem };
  }
  const found = among.flatMap((smiles, at) => {
    try {
      searcher.setMolecule(parser.parseMolecule(smiles, { noCoordinates: true }));
      return searcher.isFragmentInMolecule() ? [at] : [];
    } catch {
      // What cannot be read contains nothing.
      return [];
    }
  });
  return { found };
}

/** What cannot be read has a record too, without atoms: no row is lost. */
function sdRecord({ smiles, name, fields }: SdRecord): string {
  let molecule = new Molecule(0, 0);
  try {
    if (smiles.length <= LONGEST) molecule = laidOut(smiles);
  } catch {
    // The SMILES stands in a field.
  }
  molecule.setName(oneLine(name).slice(0, 80));
  const data = fields.map(([field, value]) => `>  <${oneLine(field).replace(/[<>]/g, '_')}>\n${oneLine(value)}\n\n`);
  return `${molecule.toMolfile().trimEnd()}\n${data.join('')}$$$$\n`;
}

function oneLine(text: string): string {
  return text.replace(/[\r\n]+/g, ' ');
}
