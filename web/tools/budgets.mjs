// What a visitor has to load, in bytes of brotli. A build that is over a limit fails.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { brotliDecompressSync } from 'node:zlib';

const KB = 1000;
const LIMITS = { first: 100 * KB, route: 45 * KB, chemistry: 320 * KB, editor: 320 * KB, load: 270 * KB };

export function checkBudgets() {
  const size = (name) => statSync(`dist/${name}.br`).size;
  const page = readFileSync('dist/index.html', 'utf8');
  const scripts = readdirSync('dist').filter((name) => /\.(js|css)\.br$/.test(name)).map((name) => name.slice(0, -3));
  // What build.mjs preloads of the pages has no nonce: it is a route.
  const first = scripts.filter((name) => new RegExp(`(src|href)="${name}"[^>]* nonce=`).test(page));
  const lazy = scripts.filter((name) => name.startsWith('chunk-') && !first.includes(name));
  // OpenChemLib's editor is asked for by who draws, and by nobody else.
  const editor = lazy.filter((name) => brotliDecompressSync(readFileSync(`dist/${name}.br`)).includes('openchemlibCanvasEditor'));
  if (editor.length !== 1) throw new Error(`The editor is in ${editor.length} files: tools/budgets.mjs looks for one`);
  const pages = lazy.filter((name) => !editor.includes(name));
  const chemistry = scripts.filter((name) => name.startsWith('worker-chem'));
  const sum = (names) => names.reduce((total, name) => total + size(name), 0);
  const font = readdirSync('dist/media').reduce((total, name) => total + statSync(`dist/media/${name}`).size, 0);
  const route = Math.max(0, ...pages.map(size));
  const measured = { first: sum(first), route, chemistry: sum(chemistry), editor: sum(editor), load: sum(first) + font + route };
  let over = false;
  for (const [what, limit] of Object.entries(LIMITS)) {
    const said = `${what}: ${(measured[what] / KB).toFixed(1)} of ${limit / KB} kB brotli`;
    console.log(said);
    over ||= measured[what] > limit;
  }
  if (over) throw new Error('A budget of web/tools/budgets.mjs is crossed');
}
