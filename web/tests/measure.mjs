// What is too large or too slow for `make test`, measured once: `scripts/web node tests/measure.mjs`.
// The figures stand in README.md, with the machine they were measured on. A word after it measures that alone.
import { signIn, world } from './world.mjs';

const SLOW = { offline: false, latency: 150, downloadThroughput: 1.6e6 / 8, uploadThroughput: 750e3 / 8 };
const [hub, eyes] = await world({ env: { MUSTER_QUOTAS_DAY_INPUTS: '10000000' } });
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
    const { writeFileSync, mkdtempSync, rmSync } = await import('node:fs');
    const folder = mkdtempSync('/tmp/muster-measure-');
    writeFileSync(`${folder}/large.csv`, file.buffer);
    await page.goto('/models/atoms');
    await page.getByRole('button', { name: 'Try an example' }).waitFor();
    say(`file of ${(file.buffer.length / 2 ** 20).toFixed(0)} MiB, first rows`, ms(await timed('change', 'table.prev tbody tr', () => page.locator('input[type=file]').setInputFiles(`${folder}/large.csv`))));
    const counted = Date.now();
    await page.getByText('98,000 rows').first().waitFor();
    say('the same, all rows counted', `${ms(Date.now() - counted)} later`);
    say('the same, longest task', ms(await longest()));
    rmSync(folder, { recursive: true });
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
}
