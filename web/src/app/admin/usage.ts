/** What was used in a span of time that begins then, in milliseconds: the mean, and the largest sample. */
export interface Sample {
  readonly at: number;
  readonly value: number;
  readonly most: number;
}

const HEIGHT = 40;

/** Paths in a field of 100 by 40: the mean as a line, the largest as an area from 0 at the bottom; time as it went. */
export function drawn(samples: readonly Sample[]): { line: string; area: string } {
  const [first, last] = [samples[0], samples.at(-1)];
  if (!first || !last || first.at === last.at) return { line: '', area: '' };
  const top = Math.max(1e-9, ...samples.map((one) => one.most));
  const x = (at: number) => round(((at - first.at) / (last.at - first.at)) * 100);
  const points = (of: (one: Sample) => number) => samples.map((one) => `${x(one.at)} ${round(HEIGHT - (of(one) / top) * (HEIGHT - 2))}`).join('L');
  return { line: `M${points((one) => one.value)}`, area: `M0 ${HEIGHT}L${points((one) => one.most)}L100 ${HEIGHT}Z` };
}

function round(n: number): number {
  return Math.round(n * 100) / 100;
}
