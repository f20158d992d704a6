import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';

import { draw } from './drawing';

// Hard structures, drawn once and looked at: STRUCTURES=anew draws them anew.
const tests = new URL('../../tests/', import.meta.url);
const all = readFileSync(new URL('structures.txt', tests), 'utf8').split('\n').filter((line) => line && !line.startsWith('#')).map((line) => line.split(' '));
const anew = process.env['STRUCTURES'] === 'anew';

function svg(smiles: string): string {
  const drawn = draw(smiles, 240, 160);
  return 'svg' in drawn ? `${decodeURIComponent(drawn.svg.replace('data:image/svg+xml,', ''))}\n` : `${drawn.problem}\n`;
}

test('forty hard structures are drawn as they were when somebody looked at them', () => {
  expect(all.length).toBeGreaterThanOrEqual(40);
  const folder = new URL('structures/', tests);
  mkdirSync(folder, { recursive: true });
  for (const [name = '', smiles = ''] of all) {
    const file = new URL(`${name}.svg`, folder);
    const now = svg(smiles);
    if (anew) writeFileSync(file, now);
    expect(now, name).toBe(readFileSync(file, 'utf8'));
    expect(now, `${name} is drawn`).toMatch(/^<svg/);
  }
}, 120_000);

test('a small molecule is not blown up, a large one fits, and what is none says why', () => {
  const box = (smiles: string) => (/viewBox="[-\d.]+ [-\d.]+ ([\d.]+) ([\d.]+)"/.exec(svg(smiles)) ?? []).slice(1).map(Number);
  // 24 units are a bond: 24.6 pixels of it at this height.
  expect(box('CCO')[1]).toBeCloseTo(156, 0);
  expect(box('C'.repeat(80))[0]).toBeGreaterThan(1_000);
  expect(draw('C1CC', 10, 10)).toHaveProperty('problem');
  expect(draw('C'.repeat(601), 10, 10)).toHaveProperty('problem');
}, 60_000);
