import type { Value } from '../../workers/result-messages';

/** An input that both requests have, with a value of each. */
export interface Pair {
  readonly input: string;
  readonly a: number | null;
  readonly b: number | null;
  /** b less a; nothing if one is missing. */
  readonly difference: number | null;
}

export interface Joined {
  readonly pairs: readonly Pair[];
  /** How many inputs only one of them has. */
  readonly onlyA: number;
  readonly onlyB: number;
}

/** Joins by input; what stands there several times is taken in its order. */
export function join(inputsA: readonly Value[], a: readonly Value[], inputsB: readonly Value[], b: readonly Value[]): Joined {
  const places = new Map<string, number[]>();
  inputsB.forEach((input, at) => {
    const key = String(input ?? '').trim();
    const known = places.get(key);
    if (known) known.push(at);
    else places.set(key, [at]);
  });
  const next = new Map<string, number>();
  const pairs: Pair[] = [];
  inputsA.forEach((input, at) => {
    const key = String(input ?? '').trim();
    const turn = next.get(key) ?? 0;
    const other = places.get(key)?.[turn];
    if (other === undefined) return;
    next.set(key, turn + 1);
    const [one, two] = [number(a[at]), number(b[other])];
    pairs.push({ input: key, a: one, b: two, difference: one === null || two === null ? null : two - one });
  });
  return { pairs, onlyA: inputsA.length - pairs.length, onlyB: inputsB.length - pairs.length };
}

function number(value: Value | undefined): number | null {
  return typeof value === 'number' ? value : null;
}

export type Key = 'input' | 'a' | 'b' | 'difference';

/** What is empty stands last, up or down. */
export function ordered(pairs: readonly Pair[], key: Key | null, down: boolean): readonly Pair[] {
  if (key === null) return pairs;
  const sign = down ? -1 : 1;
  return [...pairs].sort((one, other) => {
    const [x, y] = [one[key], other[key]];
    if (x === null || y === null) return x === y ? 0 : x === null ? 1 : -1;
    return sign * (typeof x === 'number' && typeof y === 'number' ? x - y : String(x).localeCompare(String(y), 'en', { numeric: true }));
  });
}

export interface Summary {
  /** Pairs with both values. */
  readonly both: number;
  readonly mean: number | null;
  /** The mean of the differences without their signs. */
  readonly absolute: number | null;
  /** Pearson's r; nothing for less than three pairs, or where one side does not vary. */
  readonly correlation: number | null;
}

export function summary(pairs: readonly Pair[]): Summary {
  const both = pairs.filter((pair): pair is Pair & { a: number; b: number; difference: number } => pair.difference !== null);
  const n = both.length;
  if (n === 0) return { both: 0, mean: null, absolute: null, correlation: null };
  const mean = (of: (pair: (typeof both)[number]) => number) => both.reduce((sum, pair) => sum + of(pair), 0) / n;
  const [a, b] = [mean((pair) => pair.a), mean((pair) => pair.b)];
  const spread = (x: number, y: number) => Math.sqrt(x) * Math.sqrt(y);
  const below = spread(mean((pair) => (pair.a - a) ** 2), mean((pair) => (pair.b - b) ** 2));
  const correlation = n < 3 || below === 0 ? null : mean((pair) => (pair.a - a) * (pair.b - b)) / below;
  return { both: n, mean: mean((pair) => pair.difference), absolute: mean((pair) => Math.abs(pair.difference)), correlation };
}
