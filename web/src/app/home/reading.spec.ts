import { readFileSync } from 'node:fs';

import { inputsOf, sheet, type Dialect, type Wish } from './sheet';

interface Case {
  readonly type: Dialect;
  readonly header: Wish['header'];
  readonly column: string | null;
  readonly asked: string | null;
  readonly text: string;
  readonly read: { readonly problem: string } | { readonly header: boolean; readonly column: string | null; readonly columns: string[]; readonly separator: string | null; readonly blank: number; readonly inputs: string[] };
}

// What the hub's reader made of each: `cargo nextest run -p muster-server vectors` writes the file.
const cases = JSON.parse(readFileSync(new URL('reading.golden.json', import.meta.url), 'utf8')) as Case[];

test('there are enough cases', () => expect(cases.length).toBeGreaterThan(50));

for (const one of cases) {
  test(`read as on the hub: ${one.type} ${one.header} ${one.column ?? ''} ${one.asked ?? ''} ${JSON.stringify(one.text)}`, () => {
    const read = sheet(one.text, one.type, { names: ['smiles', 'structure', 'input'], column: one.column, header: one.header, separator: one.asked });
    const seen = read.refusal
      ? { problem: read.refusal.kind }
      : { header: read.header, column: read.column, columns: read.columns, separator: read.separator, blank: read.blank, inputs: inputsOf(read) };
    expect(seen).toEqual(one.read);
  });
}
