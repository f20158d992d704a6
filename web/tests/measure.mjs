// What is too large or too slow for `make test`, measured once: `scripts/web node tests/measure.mjs`.
// The figures stand in README.md, with the machine they were measured on. A word after it measures that alone.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { signIn, world } from './world.mjs';

const SLOW = { offline: false, latency: 150, downloadThroughput: 1.6e6 / 8, uploadThroughput: 750e3 / 8 };
/** Instances that are watched, and for how long: `MINUTES=60 .. measure.mjs instances`. */
const MANY = 200;
const MINUTES = Number(process.env.MINUTES ?? 10);
const folder = mkdtempSync(join(tmpdir(), 'muster-measure-'));
const servers = process.argv[2] === 'instances' ? await serve() : [];
const [hub, eyes] = await world({ env: { MUSTER_QUOTAS_DAY_INPUTS: '10000000' }, ...(servers.length > 0 && { models: folder }) });
const wanted = (what) => !process.argv[2] || process.argv[2] === what;
const say = (what, value) => console.log(`${what}: ${value}`);
const ms = (n) => `${Math.round(n)} ms`;
try {
  hub.admin('grace');
  const token = await hub.signIn('grace');
  const molecule = (n) => `${'C'.repeat(2 + (n % 17))}${'O'.repeat(1 + (n % 5))}N${'C'.repeat(n % 23)}`;

  // First sight on a slow line and a slow computer.
  if (wanted('sight')) {
    const { page, context } = await eyes.person(hub);
    const session = await context.newCDPSession(page);
    await session.send('Network.enable');
    await session.send('Network.emulateNetworkConditions', SLOW);
    await session.send('Emulation.setCPUThrottlingRate', { rate: 4 });
    await page.addInitScript(() => new PerformanceObserver((list) => (globalThis.lcp = list.getEntries().at(-1).startTime)).observe({ type: 'largest-contentful-paint', buffered: true }));
    await page.goto('/');
    await page.getByText('Counts the letters').waitFor();
    say('LCP, 1.6 Mbit/s, 150 ms, a quarter of the CPU', ms(await page.evaluate(() => globalThis.lcp)));
    await context.close();
  }

  const { page, context } = await eyes.person(hub);
  const session = await context.newCDPSession(page);
  await signIn(page, 'grace');
  const heap = async () => {
    await session.send('HeapProfiler.collectGarbage');
    return ((await session.send('Runtime.getHeapUsage')).usedSize / 1e6).toFixed(0);
  };
  /** From an event until the page has drawn something else where the selector looks, by the page's own clock; and the longest task meanwhile. */
  const timed = async (event, selector, act) => {
    await page.evaluate(([event, selector]) => {
      const text = () => [...document.querySelectorAll(selector)].map((one) => one.outerHTML).join(' ');
      const before = text();
      globalThis.longest = 0;
      globalThis.tasks?.disconnect();
      globalThis.tasks = new PerformanceObserver((list) => list.getEntries().forEach((entry) => (globalThis.longest = Math.max(globalThis.longest, entry.duration))));
      globalThis.tasks.observe({ type: 'longtask' });
      globalThis.taken = new Promise((done) => {
        document.addEventListener(event, ({ timeStamp }) => {
          const look = () => {
            if (text() === before) return;
            watch.disconnect();
            requestAnimationFrame(() => setTimeout(() => done(performance.now() - timeStamp)));
          };
          const watch = new MutationObserver(look);
          watch.observe(document, { subtree: true, childList: true, characterData: true });
        }, { capture: true, once: true });
      });
    }, [event, selector]);
    await act();
    return page.evaluate(() => globalThis.taken);
  };
  const longest = async () => {
    await page.waitForTimeout(2_000);
    return page.evaluate(() => globalThis.longest);
  };

  // A file of 64 MiB: how soon its first rows are there, and how long the page stands still for it.
  if (wanted('file')) {
    const row = (n) => `${molecule(n)},plate ${n},${'x'.repeat(600)}\n`;
    const rows = Array.from({ length: 98_000 }, (_, n) => row(n)).join('');
    const file = { name: 'large.csv', mimeType: 'text/csv', buffer: Buffer.from(`smiles,note,more\n${rows}`) };
    writeFileSync(`${folder}/large.csv`, file.buffer);
    await page.goto('/models/atoms');
    await page.getByRole('button', { name: 'Try an example' }).waitFor();
    say(`file of ${(file.buffer.length / 2 ** 20).toFixed(0)} MiB, first rows`, ms(await timed('change', 'table.prev tbody tr', () => page.locator('input[type=file]').setInputFiles(`${folder}/large.csv`))));
    const counted = Date.now();
    await page.getByText('98,000 rows').first().waitFor();
    say('the same, all rows counted', `${ms(Date.now() - counted)} later`);
    say('the same, longest task', ms(await longest()));
  }

  // 90,000 lines pasted where people paste.
  if (wanted('paste')) {
    await page.goto('/');
    await page.getByText('Counts the letters').waitFor();
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
    await page.evaluate((text) => navigator.clipboard.writeText(text), Array.from({ length: 90_000 }, (_, n) => molecule(n)).join('\n'));
    await page.locator('textarea').focus();
    say('90,000 pasted lines, first ones', ms(await timed('paste', '.seen', () => page.keyboard.press('Control+V'))));
    const counted = Date.now();
    await page.getByText('90,000 molecules').first().waitFor();
    say('the same, all counted', `${ms(Date.now() - counted)} later`);
    say('the same, longest task', ms(await longest()));
    await page.goto('/about');
  }

  // A result of 100,000 rows.
  if (wanted('result')) {
    const inputs = Array.from({ length: 100_000 }, (_, n) => molecule(n));
    const done = await hub.request(token, 'atoms', inputs);
    const begun = Date.now();
    await page.goto(`/requests/${done.id}`);
    await page.locator('table.res tbody tr').nth(5).waitFor();
    say(`result of ${done.inputs} rows, shown`, ms(Date.now() - begun));
    await page.waitForTimeout(2_000);
    for (const [what, name] of [['sorted by a number', 'mass'], ['the other way round', 'mass'], ['sorted by a text', 'input']]) {
      const taken = await timed('click', 'table.res tbody .nmz', () => page.getByRole('button', { name, exact: true }).first().click());
      say(`the same, ${what}`, `${ms(taken)}, longest task ${ms(await longest())}`);
    }
    say('heap of the page', `${await heap()} MB`);
  }

  // Pictures of molecules that nobody saw yet, by a worker that has drawn nothing, of a page that is opened.
  if (wanted('pictures')) {
    const lines = readFileSync(join(import.meta.dirname, '../../examples/molecules.csv'), 'utf8').trim().split('\n');
    const at = lines[0].split(',').indexOf('smiles');
    const done = await hub.request(token, 'atoms', lines.slice(1, 901).map((line) => line.split(',')[at]));
    const { page: fresh, context: other } = await eyes.person(hub, { viewport: { width: 1440, height: 1200 } });
    await signIn(fresh, 'grace');
    await fresh.addInitScript(() => {
      const seen = (globalThis.seen = { table: null, twelve: null });
      new MutationObserver(() => {
        if (seen.table === null && document.querySelectorAll('table.res tbody tr').length >= 8) seen.table = performance.now();
        if (seen.twelve === null && document.querySelectorAll('table.res .mol img').length >= 12) seen.twelve = performance.now();
      }).observe(document, { subtree: true, childList: true });
    });
    await fresh.goto(`/requests/${done.id}`);
    await fresh.waitForFunction(() => globalThis.seen.twelve !== null);
    say('first 12 pictures, after the table', ms(await fresh.evaluate(() => globalThis.seen.twelve - globalThis.seen.table)));
    const each = await fresh.evaluate(async () => {
      const times = [];
      for (let n = 1; n <= 20; n++) {
        const begun = performance.now();
        const before = new Set([...document.querySelectorAll('table.res .mol img')].map((one) => one.src));
        scrollTo(0, n * 1_600);
        const drawn = () => [...document.querySelectorAll('table.res .mol')].filter((one) => one.getBoundingClientRect().top < innerHeight && one.getBoundingClientRect().bottom > 0);
        await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        while (!drawn().every((one) => one.querySelector('img')) || drawn().length < 8) await new Promise((done) => requestAnimationFrame(done));
        const fresh = [...document.querySelectorAll('table.res .mol img')].filter((one) => !before.has(one.src)).length;
        times.push((performance.now() - begun) / Math.max(1, fresh));
      }
      return times;
    });
    each.sort((a, b) => a - b);
    say('each later picture, of 20 screens', `${each[10].toFixed(1)} ms in the middle, at most ${each.at(-1).toFixed(1)} ms`);
    await other.close();
  }

  // Many instances that live, begin and end, while somebody looks on.
  if (servers.length > 0) {
    await page.goto('/admin/instances');
    await page.waitForFunction((many) => document.querySelectorAll('table.t tbody tr').length >= many, MANY);
    await page.evaluate(() => {
      globalThis.frames = [];
      let changed = false;
      new MutationObserver(() => {
        if (changed) return;
        changed = true;
        requestAnimationFrame(() => {
          changed = false;
          globalThis.frames.push(performance.now());
        });
      }).observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
    });
    const used = async () => {
      await session.send('HeapProfiler.collectGarbage');
      return (await session.send('Runtime.getHeapUsage')).usedSize / 1e6;
    };
    let turn = 0;
    let begun = null;
    for (let minute = 0; minute <= MINUTES; minute++) {
      const until = Date.now() + 60_000;
      while (Date.now() < until) {
        const server = servers[(turn += 7) % MANY];
        server.here = !server.here;
        await page.waitForTimeout(500);
      }
      // Somebody is there: who only looks is signed out after half an hour.
      await page.keyboard.press('Shift');
      const frames = await page.evaluate(() => globalThis.frames.splice(0));
      const most = Math.max(0, ...frames.map((at, n) => frames.slice(n).filter((one) => one < at + 1_000).length));
      const nodes = await page.evaluate(() => document.querySelectorAll('*').length);
      // The first minute is the page's own beginning.
      begun ??= await used();
      say(`minute ${minute} of ${MANY} instances`, `heap ${(await used()).toFixed(1)} MB, ${nodes} elements, drawn ${(frames.length / 60).toFixed(1)} times a second, at most ${most}`);
    }
    say('heap', `${((await used()) - begun).toFixed(1)} MB more after ${MINUTES} minutes`);
  }

  // 10,000 requests, a page after the other, on a slow computer; and what a filter costs there.
  if (wanted('requests')) {
    const many = Array.from({ length: 10_000 }, (_, n) => n);
    const each = async () => {
      for (let n = many.pop(); n !== undefined; n = many.pop()) await hub.call('requests', { token, body: { model: 'atoms', inputs: [molecule(n % 50)] } });
    };
    await Promise.all(Array.from({ length: 8 }, each));
    await session.send('Emulation.setCPUThrottlingRate', { rate: 4 });
    await page.goto('/admin/requests');
    await page.getByText('50 requests on this page').waitFor();
    const pages = [];
    for (let n = 0; n < 10; n++) {
      pages.push(await timed('click', 'table.t tbody .ttl a', () => page.getByRole('button', { name: 'Older' }).click()));
      await page.waitForTimeout(300);
    }
    say('next page of 10,000 requests, a quarter of the CPU', `${ms(Math.min(...pages))} to ${ms(Math.max(...pages))}`);
    await page.goto('/admin/requests');
    await page.getByText('50 requests on this page').waitFor();
    await page.evaluate(() => {
      globalThis.worst = 0;
      new PerformanceObserver((list) => list.getEntries().forEach((entry) => (globalThis.worst = Math.max(globalThis.worst, entry.duration)))).observe({ type: 'event', durationThreshold: 16 });
    });
    for (const name of ['Accounts', 'Anonymous', 'All']) {
      await page.getByRole('button', { name, exact: true }).click();
      await page.waitForTimeout(1_000);
    }
    say('filter of 50 rows, a quarter of the CPU: slowest interaction', ms(await page.evaluate(() => globalThis.worst)));
  }
} finally {
  await eyes.close();
  await hub.stop();
  rmSync(folder, { recursive: true });
  for (const { server } of servers) server.close();
}

/** Model servers that are there or not as they are told, and a model for each. */
async function serve() {
  return Promise.all(Array.from({ length: MANY }, async (_, n) => {
    const one = { here: true };
    one.server = createServer((_, answer) => answer.writeHead(one.here ? 200 : 503).end('{}'));
    await new Promise((done) => one.server.listen(0, '127.0.0.1', done));
    mkdirSync(join(folder, `far-${n}`));
    writeFileSync(join(folder, `far-${n}/model.toml`), `kind = "http"\nurl = "http://127.0.0.1:${one.server.address().port}"\n[card]\ntitle = "Far ${n}"\n[limits]\nmin_instances = 1\n`);
    return one;
  }));
}
