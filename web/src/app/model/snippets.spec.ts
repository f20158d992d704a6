import { execFileSync } from 'node:child_process';

import { quoted, snippet, type Wanted } from './snippets';

const nasty = ['CCO', `C'C"$(touch x)`, 'a\\b `date`'];
const wanted: Wanted = { hub: 'http://hub.example', model: 'atoms', inputs: nasty, file: null };

test('a shell reads back what was quoted', () => {
  for (const text of nasty) expect(execFileSync('sh', ['-c', `printf %s ${quoted(text)}`]).toString()).toBe(text);
});

test('a curl command sends the very inputs', () => {
  const command = snippet('curl', wanted);
  const body = execFileSync('sh', ['-c', `curl() { for a; do case $a in "{"*) printf %s "$a"; esac; done; }; python3() { :; }; ${command.replace(/token=.*\n/, '')}`]).toString();
  expect(JSON.parse(body)).toEqual({ model: 'atoms', inputs: nasty });
});

test('a script is Python, whatever the inputs', () => {
  for (const file of [null, { name: `it's "one".csv`, contentType: 'text/csv', query: '&column=a%20b' }]) {
    execFileSync('python3', ['-c', 'import ast, sys; ast.parse(sys.stdin.read())'], { input: snippet('python', { ...wanted, file }) });
  }
});

test('the command line gets each input', () => {
  const line = snippet('muster', wanted).split('\n')[1] ?? '';
  const heard = execFileSync('sh', ['-c', `muster() { for a; do printf '%s\\n' "$a"; done; }; ${line}`]).toString();
  expect(heard).toBe(['run', 'atoms', ...nasty.flatMap((one) => ['--input', one]), ''].join('\n'));
});
