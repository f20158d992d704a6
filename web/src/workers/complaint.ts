/** What is wrong with a SMILES, and under which character that is to be said. */
export interface Complaint {
  readonly problem: string;
  /** The first character is 0. */
  readonly caret: number | null;
}

/** OpenChemLib's words as a person says them. */
export function complaint(message: string, smiles: string): Complaint {
  const bare = message.replace(/^.*SmilesParser:\s*/, '');
  const said = /[,;.]?\s*position:\s*(\d+)/i.exec(bare);
  const at = said ? Math.min(Number(said[1]), smiles.length) : null;
  const ring = /dangling ring closure: (\d+)/.exec(bare)?.[1];
  if (ring) return { problem: `ring ${ring} is opened here and not closed`, caret: opening(smiles, ring) ?? at };
  if (/element label|atom label/i.test(bare)) return { problem: 'there is no such element', caret: at };
  if (/without opening counterpart/.test(bare)) return { problem: 'this bracket closes nothing', caret: at };
  if (/dangling open bond/.test(bare)) return { problem: 'this bond leads nowhere', caret: at === null ? null : Math.max(0, at - 1) };
  if (/inside brackets/.test(bare)) return { problem: at === smiles.length ? 'the bracket is not closed' : 'this cannot stand in brackets', caret: at };
  return { problem: said ? bare.replace(said[0], '') : bare, caret: at };
}

/** Where a ring's number stands last: what is open at the end was opened there. */
function opening(smiles: string, ring: string): number | null {
  let found: number | null = null;
  for (const one of smiles.matchAll(/\[[^\]]*\]|%(\d\d)|(\d)/g)) if ((one[1] ?? one[2]) === ring) found = one.index;
  return found;
}
