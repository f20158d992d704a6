/** Days of submission as they stand in the address: two days, or a word that moves with the calendar. */
export interface Days {
  readonly from?: string;
  readonly to?: string;
}

export const PRESETS: readonly { id: string; label: string }[] = [
  { id: '', label: 'any day' },
  { id: 'today', label: 'today' },
  { id: '7d', label: 'last 7 days' },
  { id: '30d', label: 'last 30 days' },
  { id: 'month', label: 'this month' },
];

const DAY = 86_400_000;

/** As the hub counts days: in UTC. */
export function day(time: number): string {
  return new Date(time).toISOString().slice(0, 10);
}

/** What a word or two days mean now; nothing if they mean nothing. */
export function resolve(text: string, now: number): Days {
  if (text === 'today') return { from: day(now), to: day(now) };
  const last = /^(\d{1,3})d$/.exec(text);
  if (last) return { from: day(now - (Number(last[1]) - 1) * DAY), to: day(now) };
  if (text === 'month') return { from: `${day(now).slice(0, 7)}-01`, to: day(now) };
  const [from = '', to = ''] = text.split('..');
  return { ...(isDay(from) ? { from } : {}), ...(isDay(to) ? { to } : {}) };
}

export function isDay(text: string): boolean {
  return /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(text)) && day(Date.parse(text)) === text;
}

/** `21 to 27 Nov`, `today`. */
export function daysInWords(text: string): string {
  const preset = PRESETS.find((one) => one.id === text);
  if (preset) return preset.label;
  const { from, to } = resolve(text, 0);
  const said = (one: string) => `${Number(one.slice(8))} ${new Date(one).toLocaleString('en', { month: 'short', timeZone: 'UTC' })}`;
  if (from && to) return from === to ? said(from) : from.slice(0, 7) === to.slice(0, 7) ? `${Number(from.slice(8))} to ${said(to)}` : `${said(from)} to ${said(to)}`;
  return from ? `since ${said(from)}` : to ? `until ${said(to)}` : 'any day';
}
