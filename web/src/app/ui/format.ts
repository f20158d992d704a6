/** Numbers, sizes and times as people read them. */

const COUNT = new Intl.NumberFormat('en');

export function count(n: number): string {
  return COUNT.format(n);
}

/** `1 input`, `2,000 inputs`. */
export function counted(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** A duration in the two largest units that matter: `0.31 s`, `4.2 s`, `38 s`, `3 min 6 s`, `2 h 5 min`, `6 d 23 h`. */
export function duration(seconds: number): string {
  if (seconds < 0) return '0 s';
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${trim(seconds.toFixed(1))} s`;
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3_600) return pair(Math.floor(s / 60), 'min', s % 60, 's');
  if (s < 86_400) return pair(Math.floor(s / 3_600), 'h', Math.floor((s % 3_600) / 60), 'min');
  return pair(Math.floor(s / 86_400), 'd', Math.floor((s % 86_400) / 3_600), 'h');
}

/** `40 s to 2 min`, `1 s`: a range in whole seconds, in one piece where its ends look alike. */
export function range({ low, high }: { low: number; high: number }): string {
  const [from, to] = [low, high].map((seconds) => duration(Math.max(1, Math.round(seconds))));
  return from === to ? (to ?? '') : `${from} to ${to}`;
}

function pair(a: number, unitA: string, b: number, unitB: string): string {
  return b === 0 ? `${a} ${unitA}` : `${a} ${unitA} ${b} ${unitB}`;
}

function trim(text: string): string {
  return text.replace(/\.0$/, '');
}

/** How long ago, or how far ahead, in one unit. */
export function ago(from: number, now: number): string {
  const seconds = Math.round((now - from) / 1000);
  const far = Math.abs(seconds);
  const said = far < 60 ? `${far} s` : far < 3_600 ? `${Math.floor(far / 60)} min` : far < 172_800 ? `${Math.floor(far / 3_600)} h` : `${Math.floor(far / 86_400)} d`;
  if (far < 2) return 'now';
  return seconds < 0 ? `in ${said}` : `${said} ago`;
}

export function bytes(n: number): string {
  if (n < 1000) return `${n} B`;
  const units = ['kB', 'MB', 'GB', 'TB'];
  let size = n / 1000;
  let unit = 0;
  while (size >= 999.5 && unit < units.length - 1) {
    size /= 1000;
    unit++;
  }
  return `${size < 9.95 ? trim(size.toFixed(1)) : Math.round(size)} ${units[unit]}`;
}

/** Powers of 1024, as limits are set. */
export function binary(n: number): string {
  for (const [size, unit] of [[2 ** 30, 'GiB'], [2 ** 20, 'MiB'], [2 ** 10, 'KiB']] as const) {
    if (n >= size) return `${trim((n / size).toFixed(1))} ${unit}`;
  }
  return `${n} B`;
}

/**
 * How many decimals a column shows: the largest value has four significant digits, all rows the
 * same decimals, so that the points stand under each other.
 */
export function decimals(largest: number, whole: boolean): number {
  if (whole || largest === 0 || !Number.isFinite(largest)) return 0;
  return Math.min(8, Math.max(0, 3 - Math.floor(Math.log10(Math.abs(largest)))));
}

export function fixed(value: number, digits: number): string {
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** Seconds in statistics: three digits or so. */
export function figure(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined) return '–';
  if (seconds < 1) return seconds.toFixed(seconds < 0.01 ? 3 : 2);
  return seconds < 99.95 ? seconds.toFixed(1) : count(Math.round(seconds));
}

/** The last six characters: UUIDv7 begin alike. */
export function tail(id: string): string {
  return `…${id.slice(-6)}`;
}

/** `14:32:01` today, `21 Nov 14:32` on other days, in this browser's zone. */
export function moment(iso: string, now: number): string {
  const at = new Date(iso);
  const today = new Date(now).toDateString() === at.toDateString();
  const time = at.toLocaleTimeString('en-GB', today ? { hour: '2-digit', minute: '2-digit', second: '2-digit' } : { hour: '2-digit', minute: '2-digit' });
  return today ? time : `${at.getDate()} ${at.toLocaleString('en', { month: 'short' })} ${time}`;
}

/** The whole of it, for whoever asks. */
export function exact(iso: string): string {
  return `${new Date(iso).toLocaleString('en-GB')} (${iso.replace('T', ' ').replace(/\.\d+Z$/, ' UTC')})`;
}
