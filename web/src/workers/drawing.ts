import { type Molecule, SmilesParser } from 'openchemlib';

import type { Drawn } from './chem-messages';

/** No flags of chirality over the picture: they belong to drawings on paper. */
const PLAIN = {
  suppressChiralText: true,
  suppressESR: true,
  suppressCIPParity: true,
  noStereoProblem: true,
};

/** Longer ones take seconds and cannot be seen at this size anyway. */
export const LONGEST = 600;
/** Pixels of a bond at most: molecules in one column are drawn at the same size, in larger pictures larger. */
const LONGEST_BOND = 17;
const BONDS_HIGH = 6.5;
/** What OpenChemLib makes of a bond where there is room; a canvas on which there always is. */
const OWN_BOND = 24;
const CANVAS = 4_000;
const parser = new SmilesParser();

/** With coordinates: the same ones each time. */
export function laidOut(smiles: string): Molecule {
  parser.setRandomSeed(1);
  return parser.parseMolecule(smiles);
}

/** A picture of a molecule as the address of an image, black on nothing. */
export function draw(smiles: string, width: number, height: number): Drawn {
  if (smiles.length > LONGEST) return { problem: `longer than ${LONGEST} characters` };
  try {
    const molecule = laidOut(smiles);
    if (molecule.getAllAtoms() === 0) return { problem: 'there are no atoms' };
    const svg = molecule.toSVG(CANVAS, CANVAS, 'm', { ...PLAIN, autoCrop: true });
    return { svg: `data:image/svg+xml,${encodeURIComponent(framed(svg, width, height))}` };
  } catch (error) {
    return { problem: words(error) };
  }
}

/** The drawing in the middle of a picture of this size. */
function framed(svg: string, width: number, height: number): string {
  const box = /viewBox="([\d.-]+) ([\d.-]+) ([\d.]+) ([\d.]+)"/.exec(svg)?.slice(1).map(Number) ?? [];
  const [x = 0, y = 0, wide = 1, high = 1] = box;
  const longest = Math.max(LONGEST_BOND, height / BONDS_HIGH);
  const scale = Math.min(width / wide, height / high, longest / OWN_BOND);
  const [w, h] = [width / scale, height / scale];
  const frame = [x + (wide - w) / 2, y + (high - h) / 2, w, h].map((n) => n.toFixed(1)).join(' ');
  return svg.replace(/<svg[^>]*>/, `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="${frame}">`);
}

/** What OpenChemLib says of a text. */
export function words(error: unknown): string {
  return String(error instanceof Error ? error.message : error).replace(/^SmilesParser:\s*/, '');
}
