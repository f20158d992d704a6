import type { Schemas } from '../api/api';
import { isBad } from './instance-words';

/** Milliseconds that the drawing goes from and to. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

export interface Bar {
  readonly id: string;
  readonly model: string;
  /** The first of its model. */
  readonly first: boolean;
  /** All in percent of the span. */
  readonly start: number;
  readonly starting: number;
  readonly ready: number;
  readonly end: number;
  readonly ended: boolean;
  readonly bad: boolean;
}

const STEPS = [60_000, 300_000, 900_000, 3_600_000, 7_200_000, 21_600_000, 86_400_000, 604_800_000];
const MOST_LABELS = 8;

/** Instances of one model stand together, the model that started one last first. */
export function bars(instances: readonly Schemas['Instance'][], { from, to }: Span): Bar[] {
  const models = [...new Set(instances.map((one) => one.model))];
  const at = (time: number) => ((time - from) / (to - from)) * 100;
  return models.flatMap((model) =>
    instances
      .filter((one) => one.model === model)
      .map((one, place) => {
        const start = at(Date.parse(one.launched_at));
        const end = one.end ? at(Date.parse(one.end.at)) : 100;
        const ready = one.ready_at ? at(Date.parse(one.ready_at)) : end;
        return { id: one.id, model, first: place === 0, start, starting: Math.max(0.1, ready - start), ready: Math.max(0, end - ready), end, ended: !!one.end, bad: isBad(one) };
      }),
  );
}

/** Labels of the axis, at round times of this browser's zone. */
export function hours({ from, to }: Span): { x: number; text: string; anchor: string }[] {
  const step = STEPS.find((one) => (to - from) / one <= MOST_LABELS) ?? 30 * 86_400_000;
  const zone = new Date(from).getTimezoneOffset() * 60_000;
  const labels = [];
  for (let time = Math.ceil((from - zone) / step) * step + zone; time <= to; time += step) {
    const date = new Date(time);
    const text = step >= 86_400_000 ? `${date.getDate()} ${date.toLocaleString('en', { month: 'short' })}` : date.toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' });
    const x = ((time - from) / (to - from)) * 100;
    labels.push({ x, text, anchor: x < 3 ? 'start' : x > 97 ? 'end' : 'middle' });
  }
  return labels;
}
