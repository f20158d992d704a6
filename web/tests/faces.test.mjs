// Each page with nothing to show, with a hub that fails or is slow, and for those who may not see it.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';

import { enter, faults, world } from './world.mjs';

let hub, eyes;
/** Where it is, what it reads, that as an empty answer, what it says then, and with data; whose it is; lean: its parts are looked at by axe elsewhere. */
let pages;
const NONE = { items: [], next: null };
before(async () => {
  [hub, eyes] = await world();
  hub.admin('grace');
  const grace = await hub.signIn('grace');
  await hub.account('edith');
  const [edith] = (await hub.call('users?search=edith', { token: grace })).items;
  await hub.call(`users/${edith.id}/grant`, { token: grace, body: { permission: 'MODEL_EDITOR' } });
  await hub.account('lovelace');
  const done = await hub.request(grace, 'atoms', ['CCO', 'bad one']);
  const other = await hub.request(grace, 'atoms', ['CCO', 'CC']);
  const [instance] = (await hub.call('instances?ended=false', { token: grace })).items;
  const [node] = (await hub.call('nodes', { token: grace })).items;
  const stats = { ...(await hub.call('stats', { token: grace })), items: [] };
  pages = [
    { at: 'requests', reads: '**/api/v1/requests*', empty: NONE, says: 'You have no requests yet', has: /\d requests? on this page/ },
    { at: 'admin/statistics', reads: '**/api/v1/stats?*', empty: stats, says: 'Nobody asked for anything yet', has: 'Days are UTC', need: 'ADMIN' },
    { at: 'admin/requests', reads: '**/api/v1/admin/requests?*', empty: NONE, says: 'Nobody asked for anything yet', has: /\d requests? on this page/, need: 'ADMIN' },
    { at: 'admin/instances', reads: '**/api/v1/instances?*', empty: NONE, says: 'Nothing runs', has: 'Works on', need: 'ADMIN' },
    { at: 'admin/nodes', reads: '**/api/v1/nodes?*', empty: NONE, says: 'There is no node', has: '1 node on this page', need: 'ADMIN' },
    { at: `admin/nodes?open=${node.id}`, reads: `**/api/v1/nodes/${node.id}`, has: 'Why it stays', lean: true },
    { at: 'admin/history', reads: '**/api/v1/instances?*', empty: NONE, says: 'No instance ran then', has: /^\d+ instances?$/, need: 'ADMIN' },
    { at: `admin/instances/${instance.id}`, reads: `**/api/v1/instances/${instance.id}`, has: 'Time to ready', need: 'ADMIN' },
    { at: 'admin/catalogue', reads: '**/api/v1/catalogue?*', empty: NONE, says: 'There is no model yet', has: '3 models', need: 'MODEL_EDITOR' },
    { at: 'admin/catalogue/atoms', reads: '**/api/v1/catalogue/atoms', has: 'Nothing was changed', need: 'MODEL_EDITOR' },
    { at: 'admin/users', reads: '**/api/v1/users*', empty: NONE, says: 'No user is like that', has: '3 users on this page', need: 'ADMIN' },
    { at: 'admin/health', reads: '**/api/v1/hub/state', has: 'Clearing', need: 'ADMIN' },
    { at: '', reads: '**/api/v1/models?*', empty: NONE, says: 'No models yet', has: 'Counts the letters', lean: true },
    { at: 'models/atoms', reads: '**/api/v1/models/atoms', has: 'Counts the letters', lean: true },
    { at: `requests/${done.id}`, reads: `**/api/v1/requests/${done.id}`, has: '1 without prediction', lean: true },
    { at: `requests/${done.id}`, reads: `**/api/v1/requests/${done.id}/result*`, has: '1 without prediction', quiet: true, lean: true },
    { at: `requests/${done.id}/compare`, reads: '**/api/v1/requests?*', empty: NONE, says: 'There is no other completed request', has: `…${other.id.slice(-6)}`, quiet: true, lean: true },
    { at: `requests/${done.id}/compare?with=${other.id}`, reads: `**/api/v1/requests/${other.id}/result*`, has: 'in both', quiet: true, lean: true },
    { at: 'account', reads: '**/api/v1/me', has: 'Sessions and tokens', lean: true },
    { at: `admin/requests?open=${done.id}`, reads: `**/api/v1/admin/requests/${done.id}`, has: 'Timeline', lean: true },
    { at: `admin/instances?open=${instance.id}`, reads: `**/api/v1/instances/${instance.id}`, has: 'Why it started', lean: true },
    { at: `admin/users?open=${edith.id}`, reads: `**/api/v1/users/${edith.id}`, has: 'Lost password', lean: true },
    { at: `admin/instances/${instance.id}?tab=events`, reads: `**/api/v1/instances/${instance.id}/events*`, has: 'job_done', quiet: true, lean: true },
    { at: `admin/instances/${instance.id}?tab=requests`, reads: `**/api/v1/instances/${instance.id}/requests*`, empty: NONE, says: 'No request yet', has: done.id, quiet: true, lean: true },
    { at: `admin/instances/${instance.id}?tab=logs`, reads: `**/api/v1/instances/${instance.id}/log*`, has: 'Download', quiet: true, lean: true },
    { at: 'admin/audit', reads: '**/api/v1/audit*', empty: NONE, says: 'Nothing was done yet', has: 'on this page', need: 'ADMIN' },
  ];
});
afterEach(() => eyes.alone());
after(async () => {
  await eyes?.close();
  await hub?.stop();
});

test('a page that waits for the hub, one that cannot be read and one without anything say so: never each other', async () => {
  const { page, check } = await eyes.person(hub, { expected: [/500/, /ERR_FAILED/] });
  await enter(page, 'grace');
  // Without news from the hub it is read again by the button alone.
  await page.route('**/api/v1/events', (route) => route.abort());
  const failure = { status: 500, contentType: 'application/problem+json', headers: { 'x-request-id': 'abc-42' }, body: JSON.stringify({ type: '/problems/internal', title: 'Something went wrong in the hub', status: 500, detail: 'It is written down.' }) };
  for (const { at, reads, empty, has, says = 'There is no', quiet, lean } of pages) {
    let go;
    const held = new Promise((done) => (go = done));
    await page.route(reads, async (route) => {
      await held;
      await route.fulfill(failure);
    });
    await page.goto(`/${at}`);
    // A slow hub: it reads, and does not say that there is nothing.
    await page.locator('main .sk').first().waitFor().catch(() => assert.fail(`${at} shows no skeleton while it reads`));
    if (!quiet) await page.getByRole('progressbar', { name: 'Loading' }).waitFor();
    assert.equal(await page.getByText(says).count(), 0, `${at} does not say that it is empty`);
    if (!lean) assert.deepEqual(await faults(page), [], at);
    go();
    // One that fails: why, with the id to report, and a way to read it again.
    const alert = page.getByRole('alert').filter({ hasText: 'It is written down.' }).first();
    await alert.filter({ hasText: 'abc-42' }).waitFor();
    assert.equal(await page.getByText(says).count(), 0, `${at} does not say that it is empty`);
    if (!lean) assert.deepEqual(await faults(page), [], at);
    await page.unroute(reads);
    if (empty) await page.route(reads, (route) => route.fulfill({ json: empty }));
    await alert.getByRole('button', { name: 'Try again' }).click();
    if (empty) {
      // Nothing yet: what belongs there, and one step on.
      await page.getByText(says).waitFor();
      const step = await page.locator('main .void').locator('a, button').count();
      assert.ok(step > 0 || at === 'admin/users' || at.includes('tab='), `${at} offers a step`);
      assert.deepEqual(await faults(page), [], at);
      await page.unroute(reads);
    } else await page.getByText(has).first().waitFor();
    await alert.waitFor({ state: 'detached' });
  }
  check();
});

for (const [who, permissions] of Object.entries({ nobody: [], lovelace: [], edith: ['MODEL_EDITOR'], grace: ['ADMIN', 'MODEL_EDITOR'] })) {
  test(`each page is for whom it is for: ${who}`, async () => {
    const { page, check } = await eyes.person(hub);
    if (who === 'nobody') await page.goto('/');
    else await enter(page, who);
    let looked = false;
    for (const { at, has, need } of pages.filter((one) => one.need)) {
      await page.goto(`/${at}`);
      if (permissions.includes(need)) {
        await page.getByText(has).first().waitFor();
      } else {
        await page.getByText('This page is for administrators').waitFor();
        await page.getByText(need, { exact: false }).first().waitFor();
        // The same page each time, beside the same entries.
        if (!looked) assert.deepEqual(await faults(page), [], at);
        looked = true;
      }
    }
    check();
  });
}
