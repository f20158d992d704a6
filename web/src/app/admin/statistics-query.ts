import type { paths } from '../../generated/schema';
import { resolve } from '../ui/days';
import { sessionsOf, usersOf } from './who';

type Sort = NonNullable<NonNullable<paths['/api/v1/stats']['get']['parameters']['query']>['sort']>[number];

/** What the address says of the page of statistics. */
export interface Asked {
  readonly who: string;
  readonly days: string;
  readonly models: readonly string[];
  readonly people: readonly string[];
  readonly phases: readonly string[];
  readonly size: string;
  readonly by: string;
  readonly group: string;
  readonly then: string;
  readonly sort: string;
}

export const GROUPS = ['model', 'day', 'week', 'month', 'user', 'session', 'auth_type', 'input_size'] as const;
export type Group = (typeof GROUPS)[number];

export const GROUP_NAMES: { readonly [group in Group]: string } = {
  model: 'Model',
  day: 'Day',
  week: 'Week',
  month: 'Month',
  user: 'Account',
  session: 'Anonymous session',
  auth_type: 'Kind of person',
  input_size: 'Size',
};

/** The classes that sizes are kept in. */
export const SIZES: readonly { value: string; label: string }[] = [
  { value: '', label: 'any' },
  { value: '1-1', label: '1 input' },
  { value: '2-10', label: '2 to 10' },
  { value: '11-100', label: '11 to 100' },
  { value: '101-1000', label: '101 to 1,000' },
  { value: '1001-10000', label: '1,001 to 10,000' },
  { value: '10001-100000', label: '10,001 to 100,000' },
];

export function groupsOf(asked: Pick<Asked, 'group' | 'then'>): Group[] {
  const known = (text: string) => GROUPS.find((one) => one === text);
  const first = known(asked.group) ?? 'model';
  const second = known(asked.then);
  return second && second !== first ? [first, second] : [first];
}

/** The same question for the hub. */
export function query(asked: Asked, now: number) {
  const size = /^(\d+)-(\d+)$/.exec(asked.size);
  return {
    ...(asked.who === 'account' || asked.who === 'anonymous' ? { auth_type: asked.who } : {}),
    ...resolve(asked.days, now),
    model: [...asked.models],
    user: usersOf(asked.people),
    session: sessionsOf(asked.people),
    phase: [...asked.phases],
    ...(size ? { input_size_min: Number(size[1]), input_size_max: Number(size[2]) } : {}),
    ...(asked.by === 'failures' || asked.by === 'all' ? { by: asked.by } : {}),
    group_by: groupsOf(asked),
    // The address may have anything; the hub says what is wrong with it.
    sort: [(asked.sort || '-total') as Sort],
  };
}
