// What administrators see and do, and what they never see.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, afterEach, before, test } from 'node:test';

import { enter, PASSWORD, table, world } from './world.mjs';

const CANARY = 'CANARYSMILES';
let hub, eyes, admin;
before(async () => {
  [hub, eyes] = await world();
  hub.admin('grace');
  admin = await hub.signIn('grace');
  const person = await hub.person();
  await hub.request(person, 'atoms', [`C${CANARY}`, 'bad']);
  for (let n = 0; n < 60; n++) await hub.request(person, 'atoms', ['CCO']);
  const ada = await hub.account('lovelace');
  await hub.request(ada, 'broken', [`C${CANARY}`]);
  await hub.request(ada, 'atoms', ['CC', 'CCC']);
});
afterEach(() => eyes.alone());
after(async () => {
  await eyes?.close();
  await hub?.stop();
});

test('the table of statistics is what the hub counts, and its CSV is the table', async () => {
  const { page, check } = await eyes.person(hub);
  await enter(page, 'grace');
  await page.goto('/admin/statistics?sort=-total');
  await page.getByRole('button', { name: 'Atoms' }).waitFor();
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: /Download CSV/ }).click()]);
  const csv = readFileSync(await download.path(), 'utf8').trim().split(/\r?\n/).map((line) => line.split(','));
  const [head, ...lines] = csv;
  const of = (line, column) => Number(line[head.indexOf(column)]);
  const rows = (await table(page, 'table.stats')).filter((row) => row.length > 5);
  assert.deepEqual(rows.map((row) => [row[0], ...row.slice(1, 6).map(Number)]), lines.slice(0, -1).map((line) => [{ atoms: 'Atoms', broken: 'Broken' }[line[0]], ...['total', 'succeeded', 'failed', 'cancelled', 'active'].map((column) => of(line, column))]));
  assert.equal(lines.at(-1)[0], '(all)');
  // An opened row has every number; the address opens it again.
  await page.getByRole('button', { name: 'Atoms' }).click();
  await page.getByText('Times of 62 successes').waitFor();
  const copy = (await eyes.person(hub)).page;
  await enter(copy, 'grace');
  await copy.goto(page.url());
  await copy.getByText('Times of 62 successes').waitFor();
  assert.deepEqual(await table(copy, 'table.stats'), await table(page, 'table.stats'));
  check();
});

test('filters stand in the address, and Back takes the last one away', async () => {
  const { page, check } = await eyes.person(hub);
  await enter(page, 'grace');
  await page.goto('/admin/requests');
  await page.getByText('50 requests on this page').waitFor();
  await page.getByRole('button', { name: 'Accounts' }).click();
  await page.getByText('2 requests on this page').waitFor();
  await page.getByRole('button', { name: /^State/ }).click();
  await page.getByRole('checkbox', { name: 'failed' }).click();
  await page.getByText('1 request on this page').waitFor();
  assert.match(page.url(), /who=account.*phase=failed/);
  await page.keyboard.press('Escape');
  await page.goBack();
  await page.getByText('2 requests on this page').waitFor();
  await page.goBack();
  await page.getByText('50 requests on this page').waitFor();
  await page.getByRole('button', { name: 'Older' }).click();
  await page.getByText('13 requests on this page').waitFor();
  check();
});

test('new requests are counted, and nothing jumps', async () => {
  const { page, check } = await eyes.person(hub);
  await enter(page, 'grace');
  await page.goto('/admin/requests');
  await page.getByText('Live', { exact: true }).waitFor();
  await page.getByText('50 requests on this page').waitFor();
  const first = await page.locator('tbody tr').first().innerText();
  await hub.request(await hub.person(), 'atoms', ['CCO']);
  await page.getByRole('button', { name: '1 new' }).waitFor();
  assert.equal(await page.locator('tbody tr').first().innerText(), first);
  await page.getByRole('button', { name: '1 new' }).click();
  await page.getByRole('button', { name: '1 new' }).waitFor({ state: 'detached' });
  check();
});

test('several requests are acted on at once, and each that cannot be is named', async () => {
  const { page, check } = await eyes.person(hub, { expected: [/409/] });
  await enter(page, 'grace');
  await page.goto('/admin/requests?who=account');
  await page.getByLabel('Select all').click();
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.getByText('1 request could not be changed').waitFor();
  await page.keyboard.press('Escape');
  await page.getByText('1 selected').waitFor();
  check();
});

test('one request is tried again, moved to the front and cancelled beside the table', async () => {
  const { page, check } = await eyes.person(hub);
  const ada = await hub.signIn('lovelace');
  const failed = await hub.request(ada, 'broken', ['CCO']);
  await enter(page, 'grace');
  await page.goto('/admin/requests');
  await page.getByLabel('Open the request with this id').fill(failed.id);
  await page.keyboard.press('Enter');
  const drawer = page.locator('aside.drawer');
  await drawer.getByRole('button', { name: 'Try again' }).click();
  await page.getByText('1 request is tried again.').waitFor();
  // Both tries stand there, the one that is looked at marked; the other is a step away.
  await drawer.locator('.chain a').nth(1).waitFor();
  assert.equal(await drawer.locator('.chain a[aria-current]').innerText(), `…${failed.id.slice(-6)}`);
  await drawer.locator('.chain a').nth(1).click();
  await page.waitForURL((url) => url.searchParams.get('open') !== failed.id);
  await drawer.locator('.chain a').nth(1).waitFor();
  // One keeps the model busy, so the other waits.
  await hub.call('requests', { token: ada, body: { model: 'sleepy', inputs: ['600'] } });
  const waits = await hub.call('requests', { token: ada, body: { model: 'sleepy', inputs: ['601'] } });
  await page.goto(`/admin/requests?open=${waits.id}`);
  await drawer.getByRole('button', { name: 'To the front' }).click();
  await page.getByText('1 request is moved to the front.').waitFor();
  await drawer.getByRole('button', { name: 'Cancel…' }).click();
  await page.getByLabel('Reason').fill('The model is repaired');
  await page.getByRole('button', { name: 'Cancel 1 request' }).click();
  await drawer.getByText('cancelled_by_admin').waitFor();
  assert.match((await hub.call(`requests/${waits.id}`, { token: ada })).reason, /The model is repaired/);
  check();
});

test('an instance is looked at and stopped by the keyboard alone', async () => {
  const { page, check } = await eyes.person(hub);
  await hub.request(await hub.person(), 'atoms', ['CCCO']);
  await enter(page, 'grace');
  await page.goto('/admin/instances');
  await page.getByRole('link', { name: 'Atoms' }).first().focus();
  await page.keyboard.press('Enter');
  await page.getByText('it takes work').first().waitFor();
  await page.getByText('job_done').first().waitFor();
  await page.getByRole('button', { name: 'Stop…' }).focus();
  await page.keyboard.press('Enter');
  await page.getByText('Stop this instance of Atoms?').waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Cancel', 'the focus is on the way out');
  await page.getByRole('textbox', { name: 'Reason' }).fill('It hangs');
  await page.keyboard.press('Enter');
  await page.getByText('asked for it').waitFor();
  await page.getByText('Reason: It hangs.').waitFor();
  await page.goto('/admin/history');
  await page.getByText('stopped').first().waitFor();
  check();
});

test('what people sent is on no page of an administrator', async () => {
  const { page, context, check } = await eyes.person(hub);
  const heard = [];
  context.on('response', async (response) => {
    if (response.url().includes('/api/')) heard.push(await response.text().catch(() => ''));
  });
  await enter(page, 'grace');
  const all = await hub.call('admin/requests?limit=200', { token: admin });
  await hub.request(await hub.person(), 'atoms', [`N${CANARY}`, 'CCCCCC']);
  const [instance] = (await hub.call('instances?ended=false&model=atoms', { token: admin })).items;
  const { id: lovelace } = (await hub.call('users?search=lovelace', { token: admin })).items[0];
  // Each with what is there when its data is. Logs may quote inputs, and say so.
  for (const [path, words] of [
    ['statistics?open=atoms', /^Times of \d/],
    ['requests', /\d requests on this page/],
    [`requests?open=${all.items.at(-1).id}`, 'Timeline'],
    ['instances', 'Works on'],
    [`instances?open=${instance.id}`, 'Why it started'],
    ...[['', 'started because'], ['timeline', 'ready'], ['requests', 'count again'], ['events', 'job_done'], ['usage', 'Mean'], ['pod', 'It has no pod']].map(([tab, said]) => [`instances/${instance.id}?tab=${tab}`, said]),
    ['history', /^\d+ instances?$/],
    ['catalogue/atoms', 'Nothing was changed'],
    [`users?open=${lovelace}`, 'Lost password'],
    ['audit', /entr(y|ies) on this page/],
    ['health', 'Clearing'],
  ]) {
    await page.goto(`/admin/${path}`);
    await page.getByText(words).first().waitFor({ state: 'attached' });
    assert.ok(!(await page.content()).includes(CANARY), path);
  }
  assert.ok(heard.length > 5 && heard.every((text) => !text.includes(CANARY)));
  check();
});

test('what people wrote is text on every page that shows it', async () => {
  const { page, check } = await eyes.person(hub);
  const asked = [];
  page.on('dialog', (dialog) => (asked.push(dialog.message()), dialog.dismiss()));
  page.on('request', (request) => request.url().endsWith('/x') && asked.push(request.url()));
  const evil = (n) => `<img src=x onerror=alert(${n})>"'&{{7*7}}`;
  await hub.call('accounts', { body: { name: 'mallory', first_name: evil(1), last_name: evil(2), email: 'mallory@example.org', password: PASSWORD } });
  const mallory = await hub.signIn('mallory');
  const { id: who } = (await hub.call('users?search=mallory', { token: admin })).items[0];
  const request = await hub.call(`requests?model=atoms&wait=30&label=${encodeURIComponent(evil(3))}`, { token: mallory, body: `"${evil(4).replaceAll('"', '""')}",smiles\n"${evil(5).replaceAll('"', '""')}",CCO\nx,bad ${evil(6)}\n`, headers: { 'content-type': 'text/csv' } });
  await hub.call('me/tokens', { token: mallory, body: { name: evil(7) } });
  const held = await hub.call('requests', { token: mallory, body: { model: 'sleepy', inputs: ['700'] } });
  await hub.call(`admin/requests/${held.id}/cancel`, { token: admin, body: { reason: evil(8) } });
  await hub.request(mallory, 'atoms', ['CCN']);
  const [instance] = (await hub.call('instances?ended=false&model=atoms', { token: admin })).items;
  const { etag } = await hub.call('catalogue/broken', { token: admin });
  await hub.call('catalogue/broken', { token: admin, method: 'PATCH', headers: { 'if-match': etag }, body: { card: { title: evil(9), description: evil(10), licence: evil(11), publication: evil(12), tags: [evil(13)] } } });
  await hub.call(`instances/${instance.id}/stop`, { token: admin, body: { reason: evil(15), work: 'requeue' } });
  const look = async (person, path, shown) => {
    await person.goto(path);
    for (const n of shown) await person.getByText(`onerror=alert(${n})`).first().waitFor({ state: 'attached' });
    assert.equal(await person.locator('img[src="x"], [onerror]').count(), 0, path);
    assert.equal(await person.getByText('&49').count(), 0, `${path} computes nothing of it`);
  };
  await enter(page, 'mallory');
  await look(page, '/requests', [3]);
  await look(page, `/requests/${request.id}`, [3, 4, 5]);
  await look(page, `/requests/${request.id}?row=0`, [4, 5]);
  await look(page, `/requests/${held.id}`, [8]);
  await look(page, '/account', [7]);
  await look(page, '/', [9, 10]);
  await hub.call('catalogue/broken/disable', { token: admin, body: { reason: evil(14) } });
  await look(page, '/models/broken', [9, 14]);
  await look(page, '/models/broken?tab=about', [11, 12]);
  await hub.call('catalogue/broken/enable', { token: admin, method: 'POST' });
  await look(page, `/requests?q=${encodeURIComponent(evil(20))}`, [20]);
  const { page: boss, check: alsoCheck } = await eyes.person(hub);
  boss.on('dialog', (dialog) => (asked.push(dialog.message()), dialog.dismiss()));
  await enter(boss, 'grace');
  await look(boss, `/admin/users?open=${who}`, [1, 2]);
  await look(boss, `/admin/requests?open=${held.id}`, [8]);
  await look(boss, `/admin/instances/${instance.id}`, [15]);
  await look(boss, '/admin/statistics', [9]);
  await look(boss, '/admin/catalogue', [9]);
  await look(boss, '/admin/audit', [8, 14, 15]);
  await look(boss, `/admin/users?q=${encodeURIComponent(evil(20))}`, [20]);
  assert.deepEqual(asked, []);
  check();
  alsoCheck();
});

test('the tables of requests and of instances are what their CSV says', async () => {
  const { page, check } = await eyes.person(hub);
  await enter(page, 'grace');
  const saved = async (name) => {
    const [download] = await Promise.all([page.waitForEvent('download'), page.locator('main').getByText(name, { exact: true }).first().click()]);
    const [head, ...lines] = csvOf(readFileSync(await download.path(), 'utf8'));
    return lines.map((line) => Object.fromEntries(head.map((column, at) => [column, line[at]])));
  };
  const titles = Object.fromEntries((await hub.call('models', { token: admin })).items.map((one) => [one.id, one.title]));
  await page.goto('/admin/requests?who=account&phase=completed&phase=failed');
  await page.getByText(/\d requests on this page/).waitFor();
  const shown = await table(page, 'table.t');
  const lines = await saved('CSV');
  assert.deepEqual(lines.map((line) => [titles[line.model] ?? line.model, line.phase, line.user_name, Number(line.inputs), Number(line.failed)]), shown.map((row) => [row[2], row[3], row[4], Number(row[5]), Number(row[7])]));
  await page.goto('/admin/history');
  await page.getByText(/^\d+ instances$/).waitFor();
  const bars = (await table(page, 'table.t')).length;
  const all = await saved('CSV');
  assert.ok(bars > 0);
  assert.equal(all.length, bars);
  check();
});

/** The cells of a CSV. */
function csvOf(text) {
  return text.trim().split(/\r?\n/).map((line) => [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(([, quoted, bare]) => quoted?.replaceAll('""', '"') ?? bare));
}

test('a filter stands in the address, a fresh browser shows the same, and Back takes it away: every table', async () => {
  const { page, check } = await eyes.person(hub);
  const { page: fresh, check: alsoCheck } = await eyes.person(hub);
  await hub.request(admin, 'atoms', ['CCO']);
  await hub.request(admin, 'broken', ['CCO']);
  for (const one of [page, fresh]) await enter(one, 'grace');
  // What passes while one looks, and what a skeleton has, is left out.
  const rows = async (of) => (await table(of, 'main table.t')).map((row) => row.map((cell) => cell.replace(/\d+ (s|min|h|d) ago|now|\b\d+ d( \d+ h)?|\b\d+ (s|min|ms|M|%)|\b\d+\.\d\d\b/g, '~')).join(' | ')).filter((row) => /\w/.test(row));
  const shows = async (of, wanted, where) => {
    const until = Date.now() + 20_000;
    while (JSON.stringify(await rows(of)) !== JSON.stringify(wanted) && Date.now() < until) await of.waitForTimeout(50);
    assert.deepEqual(await rows(of), wanted, where);
  };
  for (const [path, label, option] of [
    ['requests', 'State', 'failed'],
    ['admin/requests', 'State', 'failed'],
    ['admin/instances', 'Model', 'Sleepy'],
    ['admin/history', 'Ended because', 'stopped'],
    ['admin/users', 'Permission', 'ADMIN'],
    ['admin/audit', 'What', 'stop-instance'],
  ]) {
    await page.goto(`/${path}`);
    await page.locator('main table.t tbody td').first().waitFor();
    await page.locator('main table.t .sk').first().waitFor({ state: 'detached' });
    const all = await rows(page);
    await page.locator('main').getByRole('button', { name: new RegExp(`^${label}`) }).click();
    await page.locator('.menu:popover-open label.mi', { hasText: option }).first().click();
    await page.keyboard.press('Escape');
    await page.waitForURL(/\?/);
    for (let n = 0; n < 400 && JSON.stringify(await rows(page)) === JSON.stringify(all); n++) await page.waitForTimeout(50);
    const some = await rows(page);
    assert.ok(some.length > 0 && some.length < all.length, `${path}: ${some.length} of ${all.length} rows`);
    await fresh.goto(page.url());
    await shows(fresh, some, `${path} in a fresh browser`);
    await page.goBack();
    await page.waitForURL((url) => url.search === '');
    await shows(page, all, `${path} after Back`);
  }
  check();
  alsoCheck();
});
