import { type Molecule, SmilesParser } from 'openchemlib';

import type { Drawn } from './chem-messages';
import { complaint } from './complaint';

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
const LEAST_CONTRAST = 4.5;

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
    return { svg: `data:image/svg+xml,${encodeURIComponent(framed(readable(svg), width, height))}` };
  } catch (error) {
    return { problem: complaint(String(error), smiles).problem };
  }
}

/** Elements' colours, dark enough for white: on dark surfaces the picture is inverted, and they are as bright. */
function readable(svg: string): string {
  return svg.replace(/rgb\((\d+),(\d+),(\d+)\)/g, (_, ...channels: string[]) => {
    let colour = channels.slice(0, 3).map(Number);
    while (1.05 / (luminance(colour) + 0.05) < LEAST_CONTRAST) colour = colour.map((channel) => channel * 0.95);
    return `rgb(${colour.map(Math.round).join(',')})`;
  });
}

/** As WCAG has it. */
function luminance(colour: readonly number[]): number {
  const [r = 0, g = 0, b = 0] = colour.map((channel) => {
    const share = channel / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
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
