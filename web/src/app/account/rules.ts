import type { Failure } from '../api/failure';

/** As on the hub: `core::person`. */
export const LEAST_PASSWORD = 15;

export interface Person {
  readonly name: string;
  readonly first_name: string;
  readonly last_name: string;
  readonly email: string;
  readonly password: string;
}

export type Errors = { readonly [field in keyof Person]?: string };

/** What the hub would refuse, said before it is asked. The hub has the last word. */
export function check(person: Person): Errors {
  const errors: { -readonly [field in keyof Person]?: string } = {};
  const long = (text: string) => [...text].length;
  if (!person.name.trim()) errors.name = 'Choose a user name.';
  if (!person.first_name.trim()) errors.first_name = 'Enter your first name.';
  if (!person.last_name.trim()) errors.last_name = 'Enter your last name.';
  const [before, after] = [person.email.slice(0, person.email.lastIndexOf('@')), person.email.slice(person.email.lastIndexOf('@') + 1)];
  if (!person.email.includes('@') || !before) errors.email = 'Enter an address, such as ada@example.org.';
  else if (!after.includes('.')) errors.email = 'The part after @ needs a dot, such as example.org.';
  if (long(person.password) < LEAST_PASSWORD) errors.password = `${long(person.password)} of at least ${LEAST_PASSWORD} characters.`;
  return errors;
}

/** The hub's words, at the fields that they are about. */
export function errorsOf(failure: Failure): Errors {
  const errors: { [field: string]: string } = {};
  for (const { pointer, detail } of failure.problem.errors ?? []) errors[pointer.slice(1)] ??= detail;
  if (failure.kind === 'name-taken') errors['name'] = failure.detail;
  if (failure.problem.pointer) errors[failure.problem.pointer.slice(1)] ??= failure.detail;
  return errors;
}
