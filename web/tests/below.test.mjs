// A hub below a path of its host, behind a proxy that takes the path away: nothing of the app leads out of it.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { test } from 'node:test';

import { freePort, signIn, world } from './world.mjs';

/** Hands on what lies below the path; what was asked for outside of it is kept. */
async function proxy(port, path, to) {
  const outside = [];
  const server = createServer((asked, answer) => {
    if (!asked.url.startsWith(`${path}/`)) {
      outside.push(asked.url);
      answer.writeHead(404).end();
      return;
    }
    const { method, headers } = asked;
    const passed = request({ host: '127.0.0.1', port: to, path: asked.url.slice(path.length), method, headers }, (answered) => {
      answer.writeHead(answered.statusCode, answered.headers);
      answered.pipe(answer);
    });
    passed.on('error', () => answer.destroy());
    answer.on('close', () => passed.destroy());
    asked.pipe(passed);
  }).listen(port, '127.0.0.1');
  await once(server, 'listening');
  return { outside, close: () => (server.closeAllConnections(), server.close()) };
}

for (const told of [true, false]) {
  test(`the app works below a path that the hub ${told ? 'was told of' : 'knows nothing of'}`, async () => {
    const port = await freePort();
    const root = `http://127.0.0.1:${port}/labs/hub`;
    const [hub, eyes] = await world(told ? { env: { MUSTER_PUBLIC_URL: root } } : {});
    const before = await proxy(port, '/labs/hub', hub.port);
    try {
      hub.admin('grace');
      const { page, check } = await eyes.person({ url: `${root}/` });
      // The first page, and what is sent from it.
      await page.goto('');
      await page.getByRole('button', { name: 'Try an example' }).click();
      await page.getByRole('button', { name: 'Run 3 inputs' }).click();
      await page.waitForURL(`${root}/requests/*`);
      // Rows and pictures come out of workers.
      await page.locator('table.res tbody img').first().waitFor();
      await page.getByRole('button', { name: 'Download' }).click();
      const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: /^CSV/ }).first().click()]);
      assert.equal(readFileSync(await download.path(), 'utf8').trim().split('\n').length, 4);
      // A deep address in a window of its own.
      await page.reload();
      await page.locator('table.res tbody img').first().waitFor();
      await page.getByRole('link', { name: 'My requests' }).first().click();
      await page.waitForURL(`${root}/requests`);
      await page.goto('models/atoms?tab=api');
      await page.getByText(root).first().waitFor();
      await signIn(page, 'grace');
      await page.getByText('Live', { exact: true }).waitFor();
      await page.goto('admin/instances');
      await page.getByText('Works on').first().waitFor();
      await page.keyboard.press('g');
      await page.keyboard.press('s');
      await page.waitForURL(`${root}/admin/statistics`);
      const kept = await page.evaluate(() => Object.keys(localStorage));
      assert.ok(kept.includes('muster.session /labs/hub/') && !kept.includes('muster.session'), `another hub of this host keeps its own: ${kept}`);
      await page.goto('nowhere/at/all');
      await page.getByText('There is no page at this address').waitFor();
      await page.getByRole('link', { name: 'API and help' }).click();
      await page.waitForURL(`${root}/api/docs/`);
      assert.deepEqual(before.outside, []);
      check();
    } finally {
      await eyes.close();
      before.close();
      await hub.stop();
    }
  });
}
