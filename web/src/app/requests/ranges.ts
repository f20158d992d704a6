/** A range of a column's values, as it stands in the address: `logp:1.2..4;qed:0..0.5`. */
export interface Range {
  readonly column: string;
  readonly low: number;
  readonly high: number;
}

export function parseRanges(text: string): Range[] {
  return text.split(';').flatMap((one) => {
    const found = /^(.+):(-?[\d.e+-]+)\.\.(-?[\d.e+-]+)$/.exec(one);
    if (!found) return [];
    const [column, low, high] = [decodeURIComponent(found[1] ?? ''), Number(found[2]), Number(found[3])];
    return Number.isFinite(low) && Number.isFinite(high) ? [{ column, low, high }] : [];
  });
}

export function writeRanges(ranges: readonly Range[]): string {
  const short = (value: number) => String(Number(value.toPrecision(6)));
  return ranges.map(({ column, low, high }) => `${encodeURIComponent(column)}:${short(low)}..${short(high)}`).join(';');
}
