export const WHO: readonly { value: string; label: string }[] = [{ value: '', label: 'All' },
  { value: 'account', label: 'Accounts' },
  { value: 'anonymous', label: 'Anonymous' },
];

/** People as they stand in the address: accounts as `u:ID`, anonymous sessions as `s:ID`. */
export function usersOf(people: readonly string[]): string[] {
  return people.filter((one) => one.startsWith('u:')).map((one) => one.slice(2));
}

export function sessionsOf(people: readonly string[]): string[] {
  return people.filter((one) => one.startsWith('s:')).map((one) => one.slice(2));
}
