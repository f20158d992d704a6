// Where instances run: one machine with two GPUs, as an administrator sees it.
import assert from 'node:assert/strict';
import { appendFileSync, chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';

import { Postgres } from './postgres.mjs';
import { COLOURS, enter, faults, world } from './world.mjs';

/** As `nvidia-smi` answers on a machine with two cards that nobody else uses. */
const SMI = `#!/bin/sh
case $1 in
-L | --query-compute-apps*) ;;
*) printf '0, GPU-7a, NVIDIA H100, 81559 MiB\\n1, GPU-7b, NVIDIA H100, 81559 MiB\\n' ;;
esac
`;
/** A provider as docs/providers.md has it: of one group a node boots, of the other none can be had. */
const GROUPS = {
  groups: [
    { id: 'cpu', min: 1, max: 40, target: 1, price: 3, template: { cpu: 8, memory_mib: 32_768 }, machines: [{ id: 'i-1', state: 'booting' }] },
    { id: 'gpu-large', min: 0, max: 4, target: 0, price: 526, template: { cpu: 12, memory_mib: 87_040, gpus: 1 }, machines: [] },
  ],
};
const PROVIDER = `#!/bin/sh
if grep -q '"groups"'; then
  echo '${JSON.stringify(GROUPS)}'
else
  echo '{"error": {"class": "capacity", "message": "no gpu-large in zone a"}}'
  exit 1
fi
`;
let database, hub, eyes, admin, folder;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'muster-nodes-'));
  mkdirSync(join(folder, 'bin'));
  for (const [name, script] of [['nvidia-smi', SMI], ['provider', PROVIDER]]) {
    writeFileSync(join(folder, 'bin', name), script);
    chmodSync(join(folder, 'bin', name), 0o755);
  }
  const models = join(folder, 'models');
  cpSync(join(import.meta.dirname, 'models'), models, { recursive: true });
  for (const name of ['fold', 'dock', 'screen']) {
    cpSync(join(models, 'sleepy'), join(models, name), { recursive: true });
    const title = `${name[0].toUpperCase()}${name.slice(1)}`;
    writeFileSync(join(models, name, 'model.toml'), readFileSync(join(models, name, 'model.toml'), 'utf8').replace(/title = ".*"/, `title = "${title}"`));
    appendFileSync(join(models, name, 'model.toml'), `\n[resources]\ncpu = ${name === 'screen' ? 10 : 0.5}\nmemory_mib = 200\ngpus = 1\n`);
  }
  database = await Postgres.start();
  [hub, eyes] = await world({ models, env: { PATH: `${join(folder, 'bin')}:${process.env.PATH}`, MUSTER_DATABASE_URL: database.url, MUSTER_LOCAL_NODE: 'lab1', MUSTER_LOCAL_LABELS: 'zone=a', MUSTER_NODES_MODE: 'own', MUSTER_NODES_COMMAND: join(folder, 'bin/provider'), MUSTER_NODES_GROUPS: 'cpu,gpu-large' } });
  hub.admin('grace');
  admin = await hub.signIn('grace');
  // Two models have a card each; the third is too large for this machine, and its node cannot be had.
  for (const model of ['fold', 'dock']) await hub.call('requests', { token: admin, body: { model, inputs: ['600'] } });
  const holds = async () => (await hub.call('nodes', { token: admin })).items[0]?.held_by_instances.named['nvidia.com/gpu'];
  await until('both cards are held', async () => (await holds()) === 2);
  await hub.call('requests', { token: admin, body: { model: 'screen', inputs: ['0.1'] } });
});
/** A minute is enough for what takes a second. */
async function until(what, so) {
  const end = Date.now() + 60_000;
  while (!(await so())) {
    assert.ok(Date.now() < end, what);
    await new Promise((done) => setTimeout(done, 100));
  }
}
afterEach(() => eyes.alone());
after(async () => {
  await eyes?.close();
  await hub?.stop();
  await database?.stop();
  rmSync(folder, { recursive: true, force: true });
});

test('a node shows its room, who holds it and why others wait, and what comes is there without a word', async () => {
  const { page, check } = await eyes.person(hub);
  await enter(page, 'grace');
  await page.goto('/requests');
  await page.getByRole('link', { name: 'Nodes', exact: true }).click();
  const node = page.locator('article', { hasText: 'lab1' });
  await node.getByRole('img', { name: /^GPU: 2 of 2, (Fold|Dock) 50 %, (Fold|Dock) 50 %$/ }).waitFor();
  await node.getByRole('img', { name: /^CPU: 1 of / }).waitFor();
  await node.getByText(/no group, zone a/).waitFor();
  await page.getByText('Screen waits').waitFor();
  await until('why it waits is said in the words of the plan', async () => {
    const { held } = (await hub.call('plan', { token: admin })).words;
    return page.getByText(held.find((one) => one.model === 'screen')?.message).isVisible();
  });
  await page.getByText('2 of 2 GPUs held').waitFor();
  // An instance starts meanwhile.
  assert.equal(await node.getByRole('link', { name: 'Atoms' }).count(), 0);
  await page.getByText('Live', { exact: true }).waitFor();
  await hub.request(admin, 'atoms', ['CCO']);
  await node.getByRole('link', { name: 'Atoms' }).waitFor();
  // Who holds it is one step away.
  await node.getByRole('link', { name: 'Fold' }).click();
  await page.waitForURL('**/admin/instances?open=*');
  await page.locator('aside.drawer').getByText('1 nvidia.com/gpu: GPU-7').waitFor();
  check();
});

/** What the hub says that it would do without the node stands there. */
function saysWhatWouldBe(where) {
  return until('what would be without the node is said', async () => {
    const { actions, advice, held } = (await hub.call('plan?without=lab1', { token: admin })).words;
    const said = [...actions, ...advice, ...held].filter((one) => one.new).map((one) => one.message);
    const shown = await where.innerText();
    return (said.length > 0 ? said : ['Nothing else than it does now.']).every((one) => shown.includes(one));
  });
}

test('a node is explained beside the list: its devices, and what the plan would do without it', async () => {
  const { page, check } = await eyes.person(hub);
  await enter(page, 'grace');
  await page.goto('/admin/nodes');
  await page.getByRole('link', { name: 'Explain' }).click();
  await page.waitForURL('**/admin/nodes?open=lab1');
  const drawer = page.locator('aside.drawer');
  await drawer.getByText('GPU-7a').waitFor();
  await saysWhatWouldBe(drawer);
  await drawer.getByText('zone=a').waitFor();
  await page.keyboard.press('Escape');
  await page.waitForURL((url) => url.search === '');
  await page.goBack();
  await drawer.getByText('GPU-7b').waitFor();
  // A node that went away, and a stage that none is in.
  await page.goto('/admin/nodes?open=lab2');
  await page.getByText('There is no such node now.').waitFor().catch(() => assert.fail('a node that is not there is said to be gone'));
  await page.goto('/admin/nodes?stage=booting');
  await page.getByText('No node is like that').waitFor();
  await page.getByRole('button', { name: 'Clear the filters' }).click();
  await page.getByText('1 node on this page').waitFor();
});

test('a node is cordoned, let take instances and drained: what follows is said first, and stands in the audit', async () => {
  const { page, check } = await eyes.person(hub);
  await enter(page, 'grace');
  await hub.request(admin, 'atoms', ['CCN']);
  await page.goto('/admin/nodes');
  const node = page.locator('article', { hasText: 'lab1' });
  const dialog = page.locator('dialog[open]');
  await node.locator('li', { hasText: 'Atoms' }).locator('.dot.idle').waitFor();
  await node.getByRole('button', { name: 'Cordon…' }).click();
  await dialog.getByText(/3 instances are on it, 2 of them work: they stay/).waitFor();
  assert.deepEqual(await faults(page), [], 'dialog');
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  assert.equal((await hub.call('nodes/lab1', { token: admin })).stage.name, 'ready', 'nothing was done');
  await node.getByRole('button', { name: 'Cordon…' }).click();
  await dialog.getByLabel('Reason').fill('It gets a new disk.');
  await dialog.getByRole('button', { name: 'Cordon', exact: true }).click();
  await node.getByText('cordoned').first().waitFor();
  await node.getByRole('button', { name: 'Take instances…' }).click();
  await dialog.getByRole('button', { name: 'Take instances' }).click();
  await node.getByText('ready').first().waitFor();
  // Beside the list as well: what is idle goes, what works stays until it is done.
  await page.goto('/admin/nodes?open=lab1');
  const drawer = page.locator('aside.drawer');
  await drawer.getByRole('button', { name: 'Drain…' }).click();
  await dialog.getByText('what is idle ends at once').waitFor();
  await saysWhatWouldBe(dialog);
  if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/node-drain.png` });
  await dialog.getByRole('button', { name: 'Drain', exact: true }).click();
  await drawer.getByText('drained').first().waitFor();
  await node.getByRole('link', { name: 'Atoms' }).waitFor({ state: 'detached' });
  await node.getByRole('link', { name: 'Fold' }).waitFor();
  await page.goto('/admin/audit');
  await page.getByText('It gets a new disk.').waitFor();
  await hub.call('nodes/lab1/uncordon', { token: admin, method: 'POST' });
  check();
});

test('the page of nodes is there for everybody, with groups, what comes of them and why an order failed', async () => {
  await until('an order is refused', async () => (await hub.call('node-groups', { token: admin })).items.some((group) => group.failures));
  for (const phone of [false, true]) {
    const { page, check } = await eyes.person(hub, { phone });
    await enter(page, 'grace');
    await page.goto('/admin/nodes');
    await page.getByRole('img', { name: '0 are there, 1 comes. Between 1 and 40.' }).waitFor();
    await page.getByText(/^The last( \d)? orders? failed: .*no gpu-large in zone a/).waitFor();
    await page.getByText('1 node on this page').waitFor();
    assert.deepEqual(await faults(page), []);
    await page.emulateMedia({ colorScheme: 'dark' });
    assert.deepEqual(await faults(page, COLOURS), [], 'dark');
    if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/nodes-${phone ? 'phone' : 'desktop'}-dark.png`, fullPage: true });
    await page.emulateMedia({ colorScheme: 'light' });
    if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/nodes-${phone ? 'phone' : 'desktop'}-light.png`, fullPage: true });
    await page.goto('/admin/nodes?open=lab1');
    await page.locator('aside.drawer').getByText('GPU-7a').waitFor();
    await page.locator('aside.drawer').locator('li').first().waitFor();
    assert.deepEqual(await faults(page), [], 'open');
    if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/node-${phone ? 'phone' : 'desktop'}-light.png` });
    check();
  }
});
