import { readdirSync, readFileSync } from 'node:fs';

// What the house style forbids in the app's sources, and no compiler does.
const SOURCES = new URL('..', import.meta.url);
const files = readdirSync(SOURCES, { recursive: true, encoding: 'utf8' }).filter((name) => /\.ts$/.test(name) && !/spec\.ts$|^generated/.test(name));
const all = files.map((name) => ({ name, text: readFileSync(new URL(name, SOURCES), 'utf8') }));

/** The lines that say something like it. */
function said(pattern: RegExp): string[] {
  return all.flatMap(({ name, text }) => text.split('\n').flatMap((line, at) => (pattern.test(line) ? [`${name}:${at + 1}: ${line.trim().slice(0, 120)}`] : [])));
}

test('the sources are there', () => expect(files.length).toBeGreaterThan(100));

test('no any', () => expect(said(/:\s*any\s*[,;=)\]|]|<any[,>]|\bas any\b|\bany\[\]/)).toEqual([]));

test('no style of its own in a template: the policy would not have it', () => expect(said(/\sstyle="/)).toEqual([]));

test('nothing that people wrote is taken for markup', () => expect(said(/\b(inner|outer)HTML\]?\s*=(?!=)|insertAdjacentHTML|bypassSecurityTrust|document\.write\(/)).toEqual([]));
