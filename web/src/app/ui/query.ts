import { inject } from '@angular/core';
import { Router } from '@angular/router';

/** Changes what stands in the address behind the `?`; nothing and an empty list take a name away. */
export function queryChanger(): (change: { [name: string]: string | number | readonly string[] | null }, replace?: boolean) => void {
  const router = inject(Router);
  return (change, replace = false) => {
    const queryParams = Object.fromEntries(Object.entries(change).map(([name, value]) => [name, value === '' || (Array.isArray(value) && value.length === 0) ? null : value]));
    void router.navigate([], { queryParams, queryParamsHandling: 'merge', replaceUrl: replace });
  };
}

/** For `input()`: a parameter as a text, whatever was typed into the address. */
export function asText(value: unknown): string {
  return typeof value === 'string' ? value : Array.isArray(value) ? String(value[0] ?? '') : '';
}

/** The same for one that may stand there several times. */
export function asList(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(String) : typeof value === 'string' && value ? [value] : [];
}
