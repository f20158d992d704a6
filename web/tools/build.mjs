// Builds the web app into dist/, as the binary carries it: hashed files in brotli and gzip, and the
// page. Nothing is done if nothing changed since the last build.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import esbuild from 'esbuild';

import { checkBudgets } from './budgets.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
process.chdir(root);
const files = (folder) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();

const newest = (folder) => Math.max(...files(folder).map((name) => statSync(name).mtimeMs));

/** Of everything that the result depends on. */
function fingerprint() {
  const hash = createHash('sha256');
  const sources = files('src').filter((name) => !name.startsWith('src/generated'));
  const settings = ['angular.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.app.json'];
  for (const name of [...sources, ...files('public'), ...files('tools'), ...settings, '../openapi.json']) {
    hash.update(`${name}\0`).update(readFileSync(name));
  }
  return hash.digest('hex');
}

/** Types of the API from its description: they cannot be older than it. */
function describeApi() {
  mkdirSync('src/generated', { recursive: true });
  run('openapi-typescript', ['../openapi.json', '-o', 'src/generated/schema.d.ts']);
}

/** Workers are classic scripts of their own: `new Worker(new URL(..))` breaks under Trusted Types. */
function buildWorkers() {
  run('tsc', ['-p', 'tsconfig.workers.json']);
  rmSync('.build/workers', { recursive: true, force: true });
  const names = readdirSync('src/workers').filter((name) => /^worker-.*\.ts$/.test(name));
  const { metafile } = esbuild.buildSync({
    entryPoints: names.map((name) => `src/workers/${name}`),
    outdir: '.build/workers',
    entryNames: '[name]-[hash]',
    bundle: true,
    minify: true,
    format: 'iife',
    target: 'es2023',
    legalComments: 'none',
    metafile: true,
  });
  const urls = Object.entries(metafile.outputs).map(([path, output]) => {
    const name = output.entryPoint.replace(/^.*worker-|\.ts$/g, '');
    return `export const ${name.toUpperCase()}_WORKER = '${path.split('/').pop()}';\n`;
  });
  writeFileSync('src/generated/workers.ts', urls.sort().join(''));
}

/**
 * What every first visit needs is asked for at once, not when the script before it was read: the
 * pages of everybody, what they import, and the font.
 */
function preload() {
  const names = files('.build/app').map((file) => file.slice('.build/app/'.length));
  const text = (name) => readFileSync(join('.build/app', name), 'utf8');
  const pages = names.filter((name) => name.endsWith('.js') && /selectors:\[\[.m-home-page.\]\]/.test(text(name)));
  if (pages.length !== 1) throw new Error(`The home page is in ${pages.length} files: tools/build.mjs looks for one`);
  const wanted = new Set(pages);
  for (const name of wanted) for (const [, other] of text(name).matchAll(/(?:from|import)\s*"\.\/([\w-]+\.js)"/g)) wanted.add(other);
  const page = text('index.html');
  const scripts = [...wanted].filter((name) => !page.includes(name)).map((name) => `<link rel="modulepreload" href="${name}">`);
  const fonts = names.filter((name) => name.endsWith('.woff2')).map((name) => `<link rel="preload" href="${name}" as="font" type="font/woff2" crossorigin>`);
  writeFileSync('.build/app/index.html', page.replace('</head>', `${[...fonts, ...scripts].join('')}</head>`));
}

/** Text is kept compressed only; what is small or compressed already as it is. */
function pack() {
  for (const entry of readdirSync('dist')) {
    if (entry !== '.gitignore') rmSync(join('dist', entry), { recursive: true });
  }
  for (const folder of ['.build/app', '.build/workers']) {
    for (const file of files(folder)) {
      const name = file.slice(folder.length + 1);
      if (/^(3rdpartylicenses\.txt|prerendered-routes\.json)$/.test(name)) continue;
      const to = join('dist', name);
      mkdirSync(dirname(to), { recursive: true });
      if (!/-[\w-]{8}\.(js|css)$/.test(name)) {
        cpSync(file, to);
        continue;
      }
      const bytes = readFileSync(file);
      const best = { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length } };
      writeFileSync(`${to}.br`, brotliCompressSync(bytes, best));
      writeFileSync(`${to}.gz`, gzipSync(bytes, { level: 9 }));
    }
  }
}

function run(command, args) {
  const bin = join(root, 'node_modules/.bin', command);
  execFileSync(process.execPath, [bin, ...args], { stdio: ['ignore', 'inherit', 'inherit'] });
}

const print = fingerprint();
const stamp = '.build/fingerprint';
if (existsSync('dist/index.html') && existsSync(stamp) && readFileSync(stamp, 'utf8') === print) {
  console.log('web/dist is up to date');
  // By its contents: a checkout makes sources look newer, and cargo would say that they are.
  const now = new Date();
  if (newest('src') > statSync('dist/index.html').mtimeMs) utimesSync('dist/index.html', now, now);
} else {
  rmSync(stamp, { force: true });
  describeApi();
  buildWorkers();
  run('ng', ['build']);
  preload();
  pack();
  checkBudgets();
  writeFileSync(stamp, print);
}
