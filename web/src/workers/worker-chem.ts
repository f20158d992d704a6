import { Molecule, SmilesParser } from 'openchemlib';

import type { Ask, Drawn, Told, Unreadable } from './chem-messages';

/** No flags of chirality over the picture: they belong to drawings on paper. */
const PLAIN = {
  suppressChiralText: true,
  suppressESR: true,
  suppressCIPParity: true,
  noStereoProblem: true,
};

/** Longer ones take seconds and cannot be seen at this size anyway. */
const LONGEST = 600;
/** Pixels: molecules in one column are drawn at about the same size. */
const LONGEST_BOND = 17;
const parser = new SmilesParser();

self.onmessage = ({ data }: MessageEvent<Ask>) => {
  const told: Told =
    'check' in data
      ? { id: data.id, unreadable: check(data.check) }
      : { id: data.id, drawn: draw(data.draw, data.width, data.height) };
  self.postMessage(told);
};

function draw(smiles: string, width: number, height: number): Drawn {
  if (smiles.length > LONGEST) return { problem: `longer than ${LONGEST} characters` };
  try {
    const molecule = Molecule.fromSmiles(smiles);
    if (molecule.getAllAtoms() === 0) return { problem: 'there are no atoms' };
    const larger = bondLength(molecule, width, height) / LONGEST_BOND;
    const scale = Math.max(1, larger);
    const svg = molecule.toSVG(Math.round(width * scale), Math.round(height * scale), 'm', PLAIN);
    return { svg: `data:image/svg+xml,${encodeURIComponent(svg)}` };
  } catch (error) {
    return { problem: words(error) };
  }
}

/** Pixels of a bond, if the molecule filled the picture. */
function bondLength(molecule: Molecule, width: number, height: number): number {
  const atoms = Array.from({ length: molecule.getAllAtoms() }, (_, atom) => atom);
  const span = (of: (atom: number) => number) => {
    const all = atoms.map(of);
    return Math.max(...all) - Math.min(...all);
  };
  const [wide, tall] = [span((atom) => molecule.getAtomX(atom)), span((atom) => molecule.getAtomY(atom))];
  const bond = molecule.getAverageBondLength(true);
  return Math.min(width / Math.max(wide + bond, bond), height / Math.max(tall + bond, bond)) * bond;
}

/** Which of these are not SMILES; coordinates, which are slow, are not made. */
function check(all: readonly string[]): Unreadable[] {
  return all.flatMap((smiles, at) => {
    if (smiles.length > LONGEST) return [];
    try {
      const atoms = parser.parseMolecule(smiles, { noCoordinates: true }).getAllAtoms();
      return atoms === 0 ? [{ at, problem: 'there are no atoms' }] : [];
    } catch (error) {
      return [{ at, problem: words(error) }];
    }
  });
}

function words(error: unknown): string {
  return String(error instanceof Error ? error.message : error).replace(/^SmilesParser:\s*/, '');
}
