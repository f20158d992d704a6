import type { SdRecord } from '../../workers/chem-messages';
import type { ResultColumn, ResultRow } from '../../workers/result-messages';

/** The rows of a result as records of an SD file: the input is the structure, all columns are fields. */
export function sdRecords(columns: readonly ResultColumn[], rows: readonly ResultRow[], reading: { readonly column?: string | null; readonly columns?: readonly string[] | null }): SdRecord[] {
  const find = (name: string) => columns.findIndex((one) => one.name === name);
  const input = reading.column && find(reading.column) >= 0 ? find(reading.column) : Math.max(0, find('input'));
  const own = reading.columns ?? [];
  const name = columns.findIndex((one, at) => at !== input && own.includes(one.name) && one.kind === 'text' && /name|id/i.test(one.name));
  return rows.map(({ values, error }) => {
    const text = (at: number) => String(values[at] ?? '');
    const fields = columns.map((one, at) => [one.name, text(at)] as const).filter(([, value]) => value !== '');
    return { smiles: text(input), name: name < 0 ? '' : text(name), fields: error === null ? fields : [...fields, ['error', error] as const] };
  });
}
