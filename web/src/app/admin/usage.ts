/** What was used at a time, in milliseconds. */
export interface Sample {
  readonly at: number;
  readonly value: number;
}

/** An hour of the samples that are written every ten seconds. */
const MOST = 360;
const HEIGHT = 40;

/** With one more; the oldest leave. What was seen at the same moment is seen once. */
export function joined<T extends { readonly at: number }>(samples: readonly T[], next: T): readonly T[] {
  const last = samples.at(-1);
  return last && last.at >= next.at ? samples : [...samples, next].slice(-MOST);
}

/** Paths in a field of 100 by 40: from 0 at the bottom to the most at the top, time as it went. */
export function drawn(samples: readonly Sample[]): { line: string; area: string } {
  const [first, last] = [samples[0], samples.at(-1)];
  if (!first || !last || first.at === last.at) return { line: '', area: '' };
  const most = Math.max(1e-9, ...samples.map((one) => one.value));
  const x = (at: number) => round(((at - first.at) / (last.at - first.at)) * 100);
  const points = samples.map(({ at, value }) => `${x(at)} ${round(HEIGHT - (value / most) * (HEIGHT - 2))}`);
  return { line: `M${points.join('L')}`, area: `M0 ${HEIGHT}L${points.join('L')}L100 ${HEIGHT}Z` };
}

function round(n: number): number {
  return Math.round(n * 100) / 100;
}
