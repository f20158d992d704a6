// What administrators and editors of models change: the catalogue, people, instances; and who sees none of it.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';

import { enter, faults, PASSWORD, table, world } from './world.mjs';

const ADDRESS = 'http://127.0.0.1:9';
let hub, eyes, admin;
before(async () => {
  process.env.MUSTER_MODEL_ADDRESSES = ADDRESS;
  process.env.MUSTER_MODEL_IMAGES = 'registry.example.org/lab';
  [hub, eyes] = await world();
  hub.admin('grace');
  admin = await hub.signIn('grace');
  await hub.account('edith');
  await hub.account('lovelace');
  await hub.call(`users/${(await user('edith')).id}/grant`, { token: admin, body: { permission: 'MODEL_EDITOR' } });
});
afterEach(() => eyes.alone());
after(async () => {
  await eyes?.close();
  await hub?.stop();
});

async function user(name) {
  return (await hub.call(`users?search=${name}`, { token: admin })).items.find((one) => one.name === name);
}

async function edit(id, body) {
  const { etag } = await hub.call(`catalogue/${id}`, { token: admin });
  return hub.call(`catalogue/${id}`, { token: admin, method: 'PATCH', body, headers: { 'if-match': etag } });
}

test('an editor of models sees the catalogue and nothing else of administrators', async () => {
  const { page, check } = await eyes.person(hub);
  await enter(page, 'edith');
  await page.goto('/requests');
  await page.getByRole('link', { name: 'Catalogue' }).click();
  await page.getByText('4 models').or(page.getByText('3 models')).waitFor();
  assert.equal(await page.locator('nav.side').getByRole('link', { name: /Statistics|Users|Audit|Instances|History/ }).count(), 0);
  await page.goto('/admin/catalogue/atoms');
  await page.getByLabel('Title', { exact: true }).waitFor();
  assert.equal(await page.getByLabel('Its code may reach').count(), 0, 'what code may reach is for administrators');
  for (const path of ['users', 'audit', 'statistics', 'instances/x']) {
    await page.goto(`/admin/${path}`);
    await page.getByText('It takes the permission ADMIN').waitFor();
  }
  check();
});

test('an edit over somebody else’s change shows both versions first', async () => {
  const { page, check } = await eyes.person(hub, { expected: [/412/, /422/] });
  await enter(page, 'grace');
  await page.goto('/admin/catalogue/atoms');
  await page.getByLabel('Licence', { exact: true }).fill('Apache-2.0');
  await page.getByText('One field was changed.').waitFor();
  await edit('atoms', { card: { licence: 'BSD', publication: 'doi:1' } });
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('Somebody changed this model meanwhile').waitFor();
  assert.deepEqual(await table(page, 'table.both'), [['Licence', '–', 'BSD', 'Apache-2.0'], ['Publication', '–', 'doi:1', '–']]);
  await page.getByRole('button', { name: 'Save mine over it' }).click();
  await page.getByText('Saved.').waitFor();
  const saved = await hub.call('catalogue/atoms', { token: admin });
  assert.deepEqual([saved.card.licence, saved.card.publication], ['Apache-2.0', 'doi:1']);
  assert.equal(await page.getByLabel('Publication', { exact: true }).inputValue(), 'doi:1');
  // An edit of a folder's model is taken back; what is not saved yet stays.
  await page.getByLabel('Tags', { exact: true }).fill('one, two');
  await page.getByRole('button', { name: 'Take back what was edited of Licence' }).click();
  await page.getByRole('button', { name: 'Take back what was edited of Licence' }).waitFor({ state: 'detached' });
  assert.equal(await page.getByLabel('Licence', { exact: true }).inputValue(), '');
  assert.equal(await page.getByLabel('Tags', { exact: true }).inputValue(), 'one, two');
  await page.getByLabel('Inputs in one call', { exact: true }).fill('0');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByRole('alert').filter({ hasText: 'batch_size' }).waitFor();
  assert.equal(await page.getByLabel('Inputs in one call', { exact: true }).inputValue(), '0', 'what was filled in stays');
  check();
});

test('a model is disabled with a reason that people read, and enabled', async () => {
  const { page, check } = await eyes.person(hub);
  await hub.request(await hub.person(), 'atoms', ['CCCCCC']);
  await enter(page, 'grace');
  await page.goto('/admin/catalogue/atoms');
  await page.getByRole('button', { name: 'Disable…' }).click();
  await page.getByLabel('Reason').fill('It is being repaired');
  await page.getByRole('button', { name: 'Disable', exact: true }).click();
  await page.getByText('It takes no new requests. It is being repaired').waitFor();
  // Those who keep models know it by its title, disabled or not.
  await page.goto('/admin/requests');
  await page.locator('td.ttl').getByText('Atoms', { exact: true }).first().waitFor();
  await page.goto('/admin/catalogue?state=disabled');
  await page.getByText('1 model of').waitFor();
  await page.getByRole('link', { name: 'Atoms' }).click();
  await page.getByRole('button', { name: 'Enable' }).click();
  await page.getByText('It takes requests.').waitFor();
  await page.getByRole('button', { name: 'Forget predictions…' }).click();
  await page.getByRole('button', { name: 'Forget them' }).click();
  await page.getByText(/\d predictions? (is|are) forgotten/).waitFor();
  check();
});

test('an editor pushes a folder and reads its first predictions; what fails does not take its place', async () => {
  const { page, check } = await eyes.person(hub, { expected: [/422/, /404/] });
  const folder = mkdtempSync(join(tmpdir(), 'pushed-'));
  const dir = join(folder, 'Letter counts');
  const put = (version, body) => {
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, 'model.toml'), `version = "${version}"\nkind = "python"\nexample = ["CCO", "benzene"]\n[card]\ntitle = "Letters"\n[[outputs]]\nname = "letters"\nkind = "integer"\n`);
    writeFileSync(join(dir, 'predict.py'), body);
  };
  const push = async () => {
    await page.getByLabel('Choose a folder').setInputFiles(dir);
    await page.getByRole('heading', { name: 'Letter counts' }).waitFor();
    await page.getByRole('button', { name: 'Push', exact: true }).click();
  };
  const counting = (factor) => `def predict(inputs):\n    return [{"letters": ${factor} * len(text)} for text in inputs]\n`;
  await enter(page, 'edith');
  await page.goto('/admin/catalogue');
  await page.getByRole('link', { name: 'Push a folder' }).click();
  // What is wrong with it is said, and nothing is lost.
  put('one', 'x = 1\n');
  writeFileSync(join(dir, 'model.toml'), 'kind = "java"\n');
  await push();
  await page.getByRole('alert').filter({ hasText: 'java' }).waitFor();
  assert.equal(await page.getByLabel('Id', { exact: true }).inputValue(), 'letter-counts');
  await page.getByRole('button', { name: 'Remove' }).click();
  put('1.0', counting(1));
  await push();
  await page.waitForURL('**/admin/catalogue?push=letter-counts');
  await page.getByText(/^1\.0\+\w+ is served\./).waitFor();
  assert.deepEqual(await faults(page), []);
  await page.getByRole('link', { name: 'Its first predictions' }).click();
  await page.getByText('benzene').first().waitFor();
  await page.getByRole('cell', { name: '7', exact: true }).waitFor();
  // A version that fails: the reason is there, and the one before is served.
  await page.goto('/admin/catalogue/letter-counts');
  await page.getByRole('link', { name: 'Push a version' }).click();
  put('1.1', 'def predict(inputs):\n    raise RuntimeError("the weights are gone")\n');
  await push();
  await page.getByRole('alert').filter({ hasText: 'the weights are gone' }).waitFor();
  put('1.2', counting(2));
  await push();
  await page.getByText(/^1\.2\+\w+ is served\./).waitFor();
  await page.getByRole('link', { name: 'To the model' }).click();
  await page.getByRole('button', { name: 'Roll back…' }).click();
  await page.getByRole('button', { name: 'Roll back', exact: true }).click();
  await page.getByText(/1\.0\+\w+ is served\./).waitFor();
  assert.match((await hub.call('catalogue/letter-counts', { token: admin })).version, /^1\.0\+/);
  rmSync(folder, { recursive: true });
  check();
});

test('a model that runs elsewhere is added, and deleted by its name', async () => {
  const { page, check } = await eyes.person(hub, { expected: [/422/, /409/] });
  const before = (await hub.call('catalogue', { token: admin })).items.length;
  await enter(page, 'grace');
  await page.goto('/admin/catalogue');
  await page.getByRole('link', { name: 'Add a model' }).click();
  await page.getByLabel('Id', { exact: true }).fill('sol');
  await page.getByLabel('Address').fill('https://elsewhere.example.org');
  await page.getByLabel('Version').fill('1.2');
  await page.getByLabel('Input column').fill('smiles');
  await page.getByRole('button', { name: 'Add a column' }).click();
  await page.getByLabel('Name of column 1').fill('log_s');
  await page.getByLabel('Unit of column 1').fill('log mol/L');
  await page.getByLabel('Where column 1 is strong').selectOption('high is strong');
  await page.getByLabel('What inputs are').selectOption('molecules');
  await page.getByRole('button', { name: 'Add the model' }).click();
  await page.getByRole('alert').first().waitFor();
  assert.equal(await page.getByLabel('Name of column 1').inputValue(), 'log_s', 'what was filled in stays');
  await page.getByLabel('Address').fill(`${ADDRESS}/sol`);
  await page.getByRole('button', { name: 'Add the model' }).click();
  await page.waitForURL('**/admin/catalogue/sol');
  const { input, outputs } = await hub.call('catalogue/sol', { token: admin });
  assert.equal(input.kind, 'smiles');
  assert.deepEqual(outputs, [{ name: 'log_s', kind: 'float', description: '', unit: 'log mol/L', direction: 'high' }]);
  // In use: it is said why not.
  const ask = async () => {
    await page.getByRole('button', { name: 'Delete…' }).click();
    const sure = page.getByRole('button', { name: 'Delete model' });
    assert.ok(await sure.isDisabled(), 'not before its name is typed');
    await page.getByLabel(/^Type/).fill('sol');
    await sure.click();
  };
  await ask();
  await page.locator('dialog [role=alert]').waitFor();
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.getByRole('button', { name: 'Disable…' }).click();
  await page.getByRole('button', { name: 'Disable', exact: true }).click();
  await page.getByText('It takes no new requests.').first().waitFor();
  await ask();
  await page.waitForURL('**/admin/catalogue');
  await page.getByText(`${before} models`).waitFor();
  check();
});

test('a model that is an image is added and edited; its pods are for administrators', async () => {
  const { page, check } = await eyes.person(hub, { expected: [/422/] });
  await enter(page, 'grace');
  await page.goto('/admin/catalogue?add=yes');
  await page.getByLabel('Id', { exact: true }).fill('img');
  assert.equal(await page.getByLabel('Image', { exact: true }).count(), 0, 'it is a server elsewhere if nothing is said');
  await page.getByLabel('Address').fill(ADDRESS);
  await page.getByLabel('It is', { exact: true }).selectOption('an image');
  assert.equal(await page.getByLabel('Address').count(), 0);
  await page.getByLabel('Image', { exact: true }).fill('evil.example/img:1');
  await page.getByLabel('Port').fill('8080');
  await page.getByLabel('Version').fill('1');
  await page.getByLabel('Input column').fill('smiles');
  const template = page.getByLabel('What they have beyond');
  await template.fill('{"spec": ');
  const add = page.getByRole('button', { name: 'Add the model' });
  await add.click();
  await page.locator('[id="f-pod.template-error"]').getByText('This is no JSON').waitFor();
  await template.fill('{"spec": {"hostNetwork": true}}');
  await add.click();
  await page.locator('#f-image-error').getByText('model_images').waitFor();
  await page.getByLabel('Image', { exact: true }).fill('registry.example.org/lab/img:1');
  await add.click();
  await page.locator('[id="f-pod.template-error"]').getByText('pod/template/spec/hostNetwork').waitFor();
  await template.fill('{"spec": {"priorityClassName": "low", "tolerations": [{"key": "gpu"}]}}');
  await page.getByLabel('Memory once it ran out of it').fill('8192');
  await add.click();
  await page.waitForURL('**/admin/catalogue/img');
  const made = await hub.call('catalogue/img', { token: admin });
  assert.deepEqual([made.image, made.port, made.runs, made.address ?? null], ['registry.example.org/lab/img:1', 8080, 'pod', null]);
  assert.deepEqual(made.pod.template, { spec: { priorityClassName: 'low', tolerations: [{ key: 'gpu' }] } });
  assert.equal(made.limits.memory_most_mib, 8192);

  await template.fill('{"spec": {"priorityClassName": "high"}}');
  await page.getByLabel('Processors are limited').check();
  await page.getByText('2 fields were changed.').waitFor();
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('Saved.').waitFor();
  const edited = await hub.call('catalogue/img', { token: admin });
  assert.deepEqual(edited.pod, { template: { spec: { priorityClassName: 'high' } }, unrestricted: null, limit_cpu: true });

  const { page: hers, check: good } = await eyes.person(hub);
  await enter(hers, 'edith');
  await hers.goto('/admin/catalogue/img');
  await hers.getByLabel('Image', { exact: true }).fill('registry.example.org/lab/img:2');
  assert.equal(await hers.getByLabel('What they have beyond').count(), 0, 'pods are for administrators');
  await hers.getByRole('button', { name: 'Save' }).click();
  await hers.getByText('Saved.').waitFor();
  const hersNow = await hub.call('catalogue/img', { token: admin });
  assert.deepEqual([hersNow.image, hersNow.pod], ['registry.example.org/lab/img:2', edited.pod]);
  await hers.goto('/admin/catalogue');
  await hers.getByText('the API, an image').waitFor();
  good();
  await hub.call('catalogue/img/disable', { token: admin, method: 'POST', body: {} });
  const { etag } = await hub.call('catalogue/img', { token: admin });
  await hub.call('catalogue/img', { token: admin, method: 'DELETE', headers: { 'if-match': etag } });
  check();
});

test('people are found, granted, disabled, and deleted by their name; all of it is in the audit', async () => {
  const { page, check } = await eyes.person(hub, { expected: [/409/, /401/] });
  const ada = await user('lovelace');
  await enter(page, 'grace');
  await page.goto('/admin/users');
  await page.getByText('3 users on this page').waitFor();
  await page.getByLabel('Search the users').fill('lovel');
  await page.getByText('1 user on this page').waitFor();
  assert.match(page.url(), /q=lovel/);
  await page.getByRole('link', { name: 'lovelace' }).click();
  await page.getByRole('button', { name: 'Grant MODEL_EDITOR' }).click();
  await page.getByRole('button', { name: 'Grant', exact: true }).click();
  await page.getByRole('button', { name: 'Revoke MODEL_EDITOR' }).waitFor();
  assert.deepEqual((await user('lovelace')).permissions, ['MODEL_EDITOR']);
  await page.getByRole('button', { name: 'End all…' }).click();
  await page.getByRole('button', { name: 'End all', exact: true }).click();
  await page.getByText('All sessions are over.').waitFor();
  await page.getByRole('button', { name: 'Make a reset link' }).click();
  await page.getByText('/account/password#').waitFor();
  await page.getByRole('button', { name: 'Disable…' }).click();
  await page.getByRole('button', { name: 'Disable', exact: true }).click();
  await page.getByRole('button', { name: 'Enable' }).waitFor();
  const refused = await fetch(`${hub.url}/api/v1/session`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ name: 'lovelace', password: PASSWORD }) });
  assert.ok(refused.status >= 400, 'a disabled account cannot sign in');
  await page.getByRole('button', { name: 'Delete the account…' }).click();
  await page.getByLabel(/^Type/).fill('lovelace');
  await page.getByRole('button', { name: 'Delete account' }).click();
  await page.getByText('The account is deleted.').waitFor();
  await page.getByText('No user is like that').waitFor();
  assert.equal(await user('lovelace'), undefined);
  // The last administrator stays, and the page says why.
  await page.goto(`/admin/users?open=${(await user('grace')).id}`);
  assert.equal(await page.getByRole('button', { name: 'Delete the account…' }).count(), 0);
  await page.getByRole('button', { name: 'Revoke ADMIN' }).click();
  await page.getByRole('button', { name: 'Revoke', exact: true }).click();
  await page.getByText('This is the only administrator that is left.').waitFor();
  await page.goto('/admin/audit');
  await page.getByText('on this page').waitFor();
  const acts = (await table(page)).map((row) => row[1]);
  for (const act of ['delete', 'disable', 'grant', 'end-sessions']) assert.ok(acts.some((one) => one.startsWith(act)), `${act} in ${acts}`);
  assert.equal((await table(page)).some((row) => row.some((cell) => cell.includes(PASSWORD))), false);
  // What was done to one, by whom, of one kind: at an address that says the same in another browser.
  await page.getByRole('button', { name: /^What/ }).click();
  await page.locator('label.mi', { hasText: 'disable' }).first().click();
  await page.getByText('1 entry on this page').waitFor();
  assert.match(page.url(), /action=disable/);
  assert.equal((await table(page))[0][2], 'grace', 'a name, not an id');
  await page.goto(`/admin/audit?subject=${ada.id}`);
  await page.getByText('on this page').waitFor();
  assert.deepEqual([...new Set((await table(page)).map((row) => row[1]))].sort(), ['delete', 'disable', 'end-sessions', 'grant', 'reset-link']);
  check();
});

test('the health of the hub says what it stands on, and when it clears', async () => {
  const { page, check } = await eyes.person(hub);
  await enter(page, 'grace');
  await page.goto('/admin/health');
  const state = await hub.call('hub/state', { token: admin });
  await page.getByText(state.good ? 'nothing is broken' : 'something is broken').waitFor();
  const rows = (await table(page)).slice(0, state.checks.length);
  assert.deepEqual(rows.map((row) => row[0]).sort(), state.checks.map((one) => one.name).sort());
  await page.getByText(`${state.instances.now} of ${state.instances.most}`).waitFor();
  await page.getByText('plans and clears, answered this').waitFor();
  check();
});

test('a page of one instance has its life, events, log and usage, at addresses of their own', async () => {
  const { page, check } = await eyes.person(hub);
  await hub.request(await hub.person(), 'broken', ['CCO']);
  const [one] = (await hub.call('instances?model=broken', { token: admin })).items;
  await enter(page, 'grace');
  await page.goto(`/admin/instances?open=${one.id}`);
  await page.getByRole('link', { name: 'Open', exact: true }).click();
  await page.getByText('Time to ready').waitFor();
  for (const [tab, words] of [['Timeline', 'launched'], ['Requests', 'Inputs that were sent again'], ['Events', 'kept since'], ['Usage', /Kept in spans that grow|Nobody looked yet/], ['Pod', 'It has no pod']]) {
    await page.getByRole('navigation', { name: 'Instance' }).getByRole('link', { name: tab }).click();
    await page.getByText(words).first().waitFor();
    assert.match(page.url(), new RegExp(`tab=${tab.toLowerCase()}`));
  }
  await page.goto(`/admin/instances/${one.id}?tab=logs`);
  await page.locator('pre.log').waitFor();
  const all = (await page.locator('pre.log').innerText()).split('\n').length;
  await page.getByLabel('Search the log').fill('error');
  await page.getByText(/^\d+ of \d+ lines$/).waitFor();
  assert.ok((await page.locator('pre.log').innerText()).split('\n').length < all);
  await page.getByLabel('Search the log').fill('no such words');
  await page.getByText('No line has that').waitFor();
  await page.getByRole('button', { name: 'Show all' }).click();
  // What is written from now on comes by itself.
  await page.getByRole('checkbox', { name: 'Follow' }).check();
  await page.waitForURL(/follow=yes/);
  await page.locator('pre.log').waitFor();
  await hub.request(await hub.person(), 'broken', ['C']);
  await page.waitForFunction((before) => document.querySelector('pre.log').textContent.split('\n').length > before, all);
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Download' }).click()]);
  assert.equal(download.suggestedFilename(), `${one.id}.log`);
  check();
});
