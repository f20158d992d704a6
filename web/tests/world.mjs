// A real hub with its processes, and a browser that looks at it. Every page that a test opens is
// watched: an error in the console or a violation of the page's policy fails the test.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { chromium } from 'playwright-core';

const root = resolve(import.meta.dirname, '../..');
export const PASSWORD = 'tangible orchard 42 sings';
/** Of the slowest machine: what is waited for is what a person sees. */
const PATIENCE = 60_000;

/** Where the binary is that the tests look at. */
export const muster = resolve(root, process.env.MUSTER ?? join(process.env.CARGO_TARGET_DIR ?? 'target', 'debug/muster'));

/** Below the range that outgoing connections take theirs from: a hub that was killed finds its port again. */
export async function freePort() {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    const server = createServer().listen(port, '127.0.0.1');
    const free = await once(server, 'listening').then(() => true, () => false);
    await new Promise((done) => server.close(done));
    if (free) return port;
  }
}

export class Hub {
  static async start({ models = join(root, 'web/tests/models'), environments, env = {} } = {}) {
    assert.ok(existsSync(muster), `${muster} is not built: cargo build -p muster`);
    const hub = new Hub();
    hub.folder = mkdtempSync(join(tmpdir(), 'muster-web-'));
    hub.models = models;
    hub.env = env;
    if (environments) {
      mkdirSync(join(hub.folder, 'data'));
      symlinkSync(environments, join(hub.folder, 'data/environments'));
    }
    hub.port = await freePort();
    hub.url = `http://127.0.0.1:${hub.port}`;
    try {
      await hub.run();
    } catch (error) {
      await hub.stop();
      throw error;
    }
    return hub;
  }

  async run() {
    const ready = join(this.folder, 'port');
    rmSync(ready, { force: true });
    const log = join(this.folder, 'log');
    this.process = spawn('sh', ['-c', `exec "$0" "$@" 2>>'${log}' >>'${log}'`, muster, 'serve', '--data-dir', join(this.folder, 'data'), '--models', this.models, '--listen', `127.0.0.1:${this.port}`, '--port-file', ready], {
      // What runs at the end of the tests is nobody's.
      env: { ...process.env, MUSTER_INSECURE_COOKIES: 'true', MUSTER_STOP_SECONDS: '0', ...this.env },
    });
    const until = Date.now() + PATIENCE;
    while (!existsSync(ready) || readFileSync(ready, 'utf8') === '') {
      if (Date.now() > until || this.process.exitCode !== null) throw new Error(`The hub does not start:\n${readFileSync(log, 'utf8')}`);
      await new Promise((done) => setTimeout(done, 50));
    }
  }

  /** Without a word, as by a power cut. */
  async kill() {
    const gone = new Promise((done) => this.process.once('exit', done));
    this.process.kill('SIGKILL');
    await gone;
  }

  /** Killed, and there again whatever becomes of what is done meanwhile: the tests after it want a hub. */
  async killed(meanwhile) {
    await this.kill();
    try {
      await meanwhile();
    } finally {
      await this.run();
    }
  }

  async stop() {
    if (this.process.exitCode === null) {
      const gone = new Promise((done) => this.process.once('exit', done));
      this.process.kill('SIGTERM');
      await gone;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }

  admin(name) {
    const password = join(this.folder, 'password');
    writeFileSync(password, PASSWORD);
    execFileSync(muster, ['admin', 'create', name, '--email', `${name}@example.org`, '--password-file', password, '--data-dir', join(this.folder, 'data')], { stdio: 'ignore', env: { ...process.env, ...this.env } });
  }

  /** Of the API, as a script calls it. */
  async call(path, { token, body, method = body ? 'POST' : 'GET', headers = {} } = {}) {
    const response = await fetch(`${this.url}/api/v1/${path}`, {
      method,
      headers: { ...(body ? { 'content-type': 'application/json' } : {}), ...(token ? { authorization: `Bearer ${token}` } : {}), ...headers },
      ...(body ? { body: typeof body === 'string' ? body : JSON.stringify(body) } : {}),
    });
    const type = response.headers.get('content-type') ?? '';
    const answer = type.includes('json') ? await response.json() : await response.text();
    assert.ok(response.ok, `${path}: ${JSON.stringify(answer)}`);
    return answer;
  }

  async person() {
    return (await this.call('sessions', { body: {} })).token;
  }

  async account(name) {
    await this.call('accounts', { body: { name, first_name: 'Ada', last_name: 'Lovelace', email: `${name}@example.org`, password: PASSWORD } });
    return this.signIn(name);
  }

  async signIn(name) {
    return (await this.call('session', { body: { name, password: PASSWORD } })).token;
  }

  /** A request that ended. */
  async request(token, model, inputs) {
    let request = await this.call('requests?wait=30', { token, body: { model, inputs } });
    while (['waiting', 'running'].includes(request.phase)) request = await this.call(`requests/${request.id}?wait=30`, { token });
    return request;
  }
}

export class Eyes {
  #people = [];

  static async open() {
    const eyes = new Eyes();
    const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', process.env.CHROME_BIN].find((path) => path && existsSync(path));
    eyes.browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking'] });
    return eyes;
  }

  /** A browser that nobody used before. `expected` are errors that a test provokes. */
  async person(hub, { phone = false, dark = false, expected = [], ...more } = {}) {
    const context = await this.browser.newContext({
      baseURL: hub.url,
      viewport: phone ? { width: 390, height: 844 } : { width: 1440, height: 900 },
      hasTouch: phone,
      colorScheme: dark ? 'dark' : 'light',
      reducedMotion: 'reduce',
      locale: 'en-GB',
      timezoneId: 'UTC',
      acceptDownloads: true,
      ...more,
    });
    this.#people.push(context);
    context.setDefaultTimeout(PATIENCE);
    const faults = [];
    context.on('weberror', (error) => faults.push(String(error.error())));
    context.on('console', (message) => {
      const text = message.text();
      if (message.type() === 'error' && !expected.some((one) => one.test(text))) faults.push(`${text} ${message.location().url}`);
    });
    await context.addInitScript(() => {
      document.addEventListener('securitypolicyviolation', (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
    });
    const page = await context.newPage();
    return { context, page, faults, check: () => assert.deepEqual(faults, [], 'the console is silent') };
  }

  /** Everybody leaves: whose page stays open goes on listening to the hub, which has a limit. */
  async alone() {
    await Promise.all(this.#people.splice(0).map((context) => context.close()));
  }

  close() {
    return this.browser.close();
  }
}

/** A hub and a browser; none of them is left if the other cannot be had. */
export async function world(options) {
  const eyes = await Eyes.open();
  try {
    return [await Hub.start(options), eyes];
  } catch (error) {
    await eyes.close();
    throw error;
  }
}

/** Signs in by the form. */
export async function signIn(page, name) {
  await page.goto('sign-in');
  await page.getByLabel('User name').fill(name);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.waitForURL('**/requests');
}

/** The same without the form and its pages. */
export async function enter(page, name) {
  const answer = await page.context().request.post('api/v1/session', { data: { name, password: PASSWORD, kind: 'cookie' } });
  assert.ok(answer.ok(), await answer.text());
}

/** What a page asks the hub for: `twice()` names what was asked for more than once since it was called last. */
export function reads(page) {
  let asked = [];
  page.on('request', (request) => {
    const { pathname, search } = new URL(request.url());
    if (request.method() === 'GET' && pathname.includes('/api/v1/')) asked.push(pathname + search);
  });
  return {
    twice() {
      const all = asked;
      asked = [];
      return [...new Set(all.filter((one, at) => all.indexOf(one) < at))];
    },
  };
}

/** The texts of a table on the page, without what is only for the eye. */
export function table(page, selector = 'table') {
  return page.locator(`${selector} tbody tr`).evaluateAll((rows) => rows.map((row) => [...row.cells].map((cell) => cell.innerText.trim())));
}

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];

/** The rules whose answer depends on colours, for a page that was looked at in others. */
export const COLOURS = ['color-contrast', 'link-in-text-block'];

/** What is wrong with a page for those who cannot see it well, and whether it is wider than the screen. */
export async function faults(page, rules) {
  // What was injected is the test's, not the page's: it is evaluated apart from the page's policy.
  await page.evaluate(`window.axe || ${axe}; undefined`);
  const found = await page.evaluate(async (only) => {
    const { violations } = await globalThis.axe.run(document, { ...only, resultTypes: ['violations'] });
    return violations.map((one) => `${one.id}: ${one.nodes.map((node) => `${node.target} ${node.failureSummary}`).join(' | ').slice(0, 600)}`);
  }, { runOnly: rules ? { type: 'rule', values: rules } : TAGS });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  return wide > 0 ? [...found, `${wide} px wider than the screen`] : found;
}
