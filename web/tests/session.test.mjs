// Sessions in real browsers: only the hub's word ends one, in every tab, and nothing is lost by it.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';

import { PASSWORD, signIn, world } from './world.mjs';

const TABS = 8;
let hub, eyes;
before(async () => {
  [hub, eyes] = await world();
  hub.admin('grace');
});
afterEach(() => eyes.alone());
after(async () => {
  await eyes?.close();
  await hub?.stop();
});

const named = (page, name) => page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name, exact: true });
const sorry = (page) => page.locator('.banner', { hasText: 'The hub cannot be reached.' });
const asksForLogin = (page) => page.getByText('Your session ended');

test('only a session that ended asks for a sign-in, over the page, in every tab', async () => {
  await hub.account('hopper');
  const { page, context } = await eyes.person(hub);
  await signIn(page, 'hopper');
  await page.goto('/models/atoms');
  await page.getByLabel('Paste inputs for Atoms').fill('CCO\n');
  await page.getByRole('button', { name: 'Run 1 input' }).click();
  await page.waitForURL('**/requests/*');
  await page.getByText('completed').first().waitFor();
  const other = await context.newPage();
  await other.goto('/requests');
  await other.getByText('1 input').first().waitFor();
  // It hears by the first one what the hub says.
  await other.getByText('Live', { exact: true }).waitFor();
  // Ended elsewhere.
  const token = await hub.signIn('hopper');
  const sessions = await hub.call('me/sessions', { token });
  const cookie = sessions.items.find((one) => one.kind === 'cookie');
  await hub.call(`me/sessions/${cookie.id}/end`, { token, body: {} });
  await page.bringToFront();
  await page.getByText('Your session ended').waitFor();
  await other.bringToFront();
  await other.getByText('Your session ended').waitFor();
  assert.equal(await page.getByLabel('User name').inputValue(), 'hopper', 'the name is there');
  await page.bringToFront();
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('dialog').getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('Your session ended').waitFor({ state: 'detached' });
  await page.getByText('1 input').first().waitFor();
  await other.bringToFront();
  await other.getByText('Your session ended').waitFor({ state: 'detached' });
});

test('tabs that wake up together hear it from each other', async () => {
  await hub.account('noether');
  const { page, context, check } = await eyes.person(hub, { expected: [/ERR_INTERNET_DISCONNECTED/] });
  await signIn(page, 'noether');
  const tabs = [page];
  while (tabs.length < TABS) {
    const tab = await context.newPage();
    await tab.goto('/requests');
    await named(tab, 'noether').waitFor();
    tabs.push(tab);
  }
  await context.setOffline(true);
  for (const tab of tabs) await tab.locator('.banner', { hasText: 'You are offline.' }).waitFor();
  let asked = 0;
  context.on('requestfinished', (request) => (asked += request.url().endsWith('/session/renew') ? 1 : 0));
  await context.setOffline(false);
  for (const tab of tabs) await tab.locator('.banner').waitFor({ state: 'detached' });
  // Once, but for tabs whose turn comes before the news do.
  assert.ok(asked >= 1 && asked <= TABS / 2, `${asked} questions of ${TABS} tabs`);
  for (const tab of tabs) assert.ok((await asksForLogin(tab).count()) === 0 && (await named(tab, 'noether').isVisible()));
  check();
  await context.close();
});

test('the page of a hotel in front of the hub ends nothing, and it comes back by itself', async () => {
  await hub.account('meitner');
  const { page, check } = await eyes.person(hub);
  await signIn(page, 'meitner');
  await page.goto('/models/atoms');
  await page.getByLabel('Paste inputs for Atoms').fill('CCO\nCC\n');
  await page.route('**/api/v1/**', (route) => route.fulfill({ contentType: 'text/html', body: '<html>Room number, please</html>' }));
  await page.getByRole('button', { name: 'Run 2 inputs' }).click();
  await sorry(page).waitFor();
  assert.ok(await named(page, 'meitner').isVisible(), 'the name stays');
  assert.equal(await page.getByText(/Room number|Unexpected token/).count(), 0);
  assert.equal(await asksForLogin(page).count(), 0);
  await page.unroute('**/api/v1/**');
  await sorry(page).waitFor({ state: 'detached' });
  await page.waitForURL('**/requests/*');
  await page.getByText('completed').first().waitFor();
  check();
});

test('a sleep of three days, or a clock that jumps, ends nothing', async () => {
  await hub.account('curie');
  const { page, check } = await eyes.person(hub);
  await page.clock.install();
  await signIn(page, 'curie');
  await page.clock.runFor(1_000);
  await page.clock.fastForward(72 * 3_600_000);
  await page.getByRole('link', { name: 'New request' }).click();
  await page.getByLabel('Paste molecules or drop a file').waitFor();
  await page.clock.setSystemTime(new Date('2001-01-01T00:00:00Z'));
  await page.clock.runFor(10 * 60_000);
  await named(page, 'curie').click();
  await page.getByText('Sessions and tokens').waitFor();
  // Minutes that pass in a moment may cut off a call that was on its way: the page tries again, and says so meanwhile.
  await page.locator('.banner').waitFor({ state: 'detached' });
  assert.equal(await asksForLogin(page).count(), 0);
  check();
});

test('a cookie that was deleted asks for a sign-in over the page, and what is typed stays', async () => {
  await hub.account('franklin');
  const { page, context } = await eyes.person(hub);
  await signIn(page, 'franklin');
  await page.goto('/models/atoms');
  await page.getByLabel('Paste inputs for Atoms').fill('CCO\nCC\nC\n');
  await named(page, 'franklin').waitFor();
  await context.clearCookies();
  await page.getByRole('button', { name: 'Run 3 inputs' }).click();
  await asksForLogin(page).waitFor();
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('dialog').getByRole('button', { name: 'Sign in' }).click();
  await asksForLogin(page).waitFor({ state: 'detached' });
  await page.waitForURL('**/requests/*');
  await page.getByRole('heading', { name: 'Atoms, 3 inputs' }).waitFor();
});

test('who signs in as somebody else or out in one tab does so in all', async () => {
  await hub.account('germain');
  await hub.account('kovalevskaya');
  await hub.request(await hub.signIn('germain'), 'atoms', ['CCO']);
  const { page, context, check } = await eyes.person(hub);
  await signIn(page, 'germain');
  await page.getByText('1 input').first().waitFor();
  const other = await context.newPage();
  await other.goto('/sign-in');
  await other.getByLabel('User name').fill('kovalevskaya');
  await other.getByLabel('Password').fill(PASSWORD);
  await other.getByRole('button', { name: 'Sign in' }).click();
  await other.waitForURL('**/requests');
  await named(page, 'kovalevskaya').waitFor();
  await page.getByText('You have no requests yet').waitFor();
  assert.equal(await page.getByText('1 input').count(), 0, 'nothing of the person before is left');
  await other.goto('/account');
  await other.getByRole('button', { name: 'Sign out' }).click();
  await named(page, 'Sign in').waitFor();
  assert.equal(await asksForLogin(page).count(), 0, 'who signs out knows it');
  check();
});

test('going from page to page asks nothing about the session', async () => {
  const { page, check } = await eyes.person(hub);
  await signIn(page, 'grace');
  const asked = [];
  page.on('request', (request) => request.url().includes('/session') && asked.push(request.url()));
  for (const name of ['Statistics', 'Instances', 'History', 'My requests', 'Models']) {
    await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name, exact: true }).click();
    await page.locator('nav.side [aria-current=page]').filter({ hasText: name }).waitFor();
    await page.getByRole('heading', { level: 1 }).waitFor();
  }
  assert.deepEqual(asked, []);
  check();
});

test('who lacks a permission sees no entry, and the page names it; a permission that comes shows at once', async () => {
  await hub.account('jones');
  const { page } = await eyes.person(hub);
  await signIn(page, 'jones');
  assert.equal(await page.getByText('Administration').count(), 0);
  await page.goto('/admin/statistics');
  await page.getByText('This page is for administrators').waitFor();
  await page.getByText('ADMIN', { exact: true }).waitFor();
  const admin = await hub.signIn('grace');
  const [jones] = (await hub.call('users?search=jones', { token: admin })).items;
  await hub.call(`users/${jones.id}/grant`, { token: admin, body: { permission: 'ADMIN' } });
  await page.getByRole('heading', { name: 'Statistics' }).waitFor();
  // And one that goes.
  await hub.call(`users/${jones.id}/revoke`, { token: admin, body: { permission: 'ADMIN' } });
  await page.getByText('This page is for administrators').waitFor();
  assert.equal(await page.getByText('Administration').count(), 0);
  assert.ok(await page.getByRole('link', { name: 'jones' }).isVisible(), 'the name stays');
});

/** Ends what browsers have of a person, as from another machine. */
async function endElsewhere(name) {
  const token = await hub.signIn(name);
  const { items } = await hub.call('me/sessions', { token });
  for (const { id } of items.filter((one) => one.kind === 'cookie')) await hub.call(`me/sessions/${id}/end`, { token, body: {} });
}

test('a stream of events that ends says nothing about the session: it is asked, and the stream is opened again', async () => {
  await hub.account('lise');
  const { page, check } = await eyes.person(hub, { expected: [/401/] });
  let [streams, asked] = [0, 0];
  page.on('request', (request) => (asked += request.url().endsWith('/session/renew') ? 1 : 0));
  await page.route('**/api/v1/events', (route) => {
    streams++;
    return route.fulfill({ contentType: 'text/event-stream', body: ': so much\n\n' });
  });
  await signIn(page, 'lise');
  await page.waitForFunction(() => document.querySelector('main'));
  const [before, askedBefore] = [streams, asked];
  while (streams < before + 2) await page.waitForTimeout(100);
  assert.ok(asked > askedBefore, 'it is asked whether the session lives');
  assert.ok(await named(page, 'lise').isVisible());
  assert.equal(await asksForLogin(page).count(), 0);
  await endElsewhere('lise');
  await asksForLogin(page).waitFor();
  // Nobody listens for a session that is over.
  await page.waitForTimeout(500);
  const last = streams;
  await page.waitForTimeout(2_500);
  assert.equal(streams, last);
  check();
});

test('a page out of the back-forward cache asks who one is, and reads again', async () => {
  await hub.account('hildegard');
  const { page, check } = await eyes.person(hub, { expected: [/401/] });
  // Nothing else tells it.
  await page.route('**/api/v1/events', () => {});
  await signIn(page, 'hildegard');
  await page.getByText('You have no requests yet').waitFor();
  const token = await hub.signIn('hildegard');
  await hub.request(token, 'atoms', ['CCO']);
  const restored = () => page.evaluate(() => dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true })));
  assert.equal(await page.getByText('1 input').count(), 0);
  await restored();
  await page.getByText('1 input').waitFor();
  await endElsewhere('hildegard');
  assert.equal(await asksForLogin(page).count(), 0);
  await restored();
  await asksForLogin(page).waitFor();
  await named(page, 'hildegard').waitFor();
  // The same by the button of the browser.
  await page.goto('/api/docs/');
  await page.goBack();
  await page.getByText('You have no requests yet').or(asksForLogin(page)).waitFor();
  check();
});
