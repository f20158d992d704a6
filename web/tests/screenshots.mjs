// Every page, for desktop and phone, light and dark, of a hub with the real sample models: `make screenshots`.
// Words after it are the looks that are wanted alone: `scripts/web node tests/screenshots.mjs phone phone-dark`.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { signIn, world } from './world.mjs';

const root = resolve(import.meta.dirname, '../..');
const target = resolve(root, process.env.CARGO_TARGET_DIR ?? 'target');
const out = join(target, 'screenshots');
const environments = join(target, 'tmp/environments');
const muster = resolve(root, process.env.MUSTER ?? join(target, 'debug/muster'));
mkdirSync(out, { recursive: true });
for (const model of readdirSync(join(root, 'models'))) {
  execFileSync(muster, ['model', 'prepare', join(root, 'models', model), '--environments', environments], { stdio: 'inherit' });
}

const [hub, eyes] = await world({ models: join(root, 'models'), environments });
try {
  hub.admin('hub-admin');
  const admin = await hub.signIn('hub-admin');
  const table = readFileSync(join(root, 'examples/molecules.csv'), 'utf8').replace('CC1=CC(=O)C=CC1=O', 'C1=CC=CC=C');
  const submit = (token, model, body) => hub.call(`requests?model=${model}`, { token, method: 'POST', body, headers: { 'content-type': 'text/csv' } });
  const end = async (token, request) => {
    let now = request;
    while (['waiting', 'running'].includes(now.phase)) now = await hub.call(`requests/${request.id}?wait=30`, { token });
    return now;
  };
  const done = await end(admin, await submit(admin, 'rdkit-descriptors', table));
  const lines = table.trim().split('\n');
  for (const [name, sizes] of [['a.kovacs', [40, 200, 7]], ['t.nakano', [120, 3]], [null, [2, 15, 600]]]) {
    const token = name ? await hub.account(name) : await hub.person();
    for (const [n, size] of sizes.entries()) await end(token, await submit(token, n === 1 ? 'molecular-weight' : 'rdkit-descriptors', [lines[0], ...lines.slice(1 + n, 1 + n + size)].join('\n')));
    await hub.request(token, 'primer-tm', ['GTAAAACGACGGCCAGT', 'CAGGAAACAGCTATGAC']);
  }
  const waiting = await submit(admin, 'molecular-weight', lines.slice(0, 900).join('\n'));
  await hub.call(`requests/${waiting.id}/cancel`, { token: admin, body: {} });
  const [user] = (await hub.call('users?search=kovacs', { token: admin })).items;
  const pages = (instance) => [
    ['home', '', 'Try an example'],
    ['model', 'models/rdkit-descriptors', 'About'],
    ['about', 'models/rdkit-descriptors?tab=about', 'Columns of the result'],
    ['api', 'models/rdkit-descriptors?tab=api', 'description'],
    ['requests', 'requests', 'on this page'],
    ['result', `requests/${done.id}?colour=qed&range=logp:1.2..4`, 'Download'],
    ['account', 'account', 'Sessions and tokens'],
    ['sign-up', 'sign-up', 'Make an account'],
    ['statistics', 'admin/statistics?open=rdkit-descriptors', 'Times of'],
    ['admin-requests', 'admin/requests', /\d requests? on this page/],
    ['admin-request', `admin/requests?open=${done.id}`, 'Timeline'],
    ['instances', `admin/instances`, 'Works on'],
    ['instance', `admin/instances?open=${instance.id}`, 'Events'],
    ['nodes', 'admin/nodes', /1 node on this page/],
    ['history', 'admin/history', /^\d+ instances?$/],
    ['instance-page', `admin/instances/${instance.id}`, 'Time to ready'],
    ['instance-log', `admin/instances/${instance.id}?tab=logs`, 'Download'],
    ['catalogue', 'admin/catalogue', /^\d+ models/],
    ['push', 'admin/catalogue?push=yes', 'Drop the model’s folder here'],
    ['catalogue-model', 'admin/catalogue/rdkit-descriptors', 'Nothing was changed'],
    ['users', 'admin/users', 'on this page'],
    ['user', `admin/users?open=${user.id}`, 'Lost password'],
    ['audit', 'admin/audit', 'on this page'],
    ['health', 'admin/health', 'Clearing'],
    ['not-found', 'nowhere', 'no page'],
  ];
  for (const [look, options] of Object.entries({ light: {}, dark: { dark: true }, phone: { phone: true }, 'phone-dark': { phone: true, dark: true } })) {
    if (process.argv.length > 2 && !process.argv.includes(look)) continue;
    // Instances that are idle go: on a slow machine before their pictures were taken.
    for (const [model, input] of [['rdkit-descriptors', 'CCO'], ['molecular-weight', 'CCO'], ['primer-tm', 'GTAAAACGACGGCCAG']]) await end(admin, await hub.call(`requests?model=${model}&cache=false`, { token: admin, method: 'POST', body: input, headers: { 'content-type': 'text/plain' } }));
    const [instance] = (await hub.call('instances?ended=false', { token: admin })).items;
    const { page } = await eyes.person(hub, options);
    await page.goto('/sign-in');
    await page.getByLabel('Password').waitFor();
    await page.screenshot({ path: join(out, `sign-in-${look}.png`) });
    await signIn(page, 'hub-admin');
    for (const [name, path, words] of pages(instance)) {
      await page.goto(`/${path}`);
      await page.getByText(words).first().waitFor({ state: 'attached' });
      if (name === 'home') await page.getByLabel('Paste molecules or drop a file').fill('CC(=O)Oc1ccccc1C(=O)O\nCN1C=NC2=C1C(=O)N(C(=O)N2C)C\nCC(C)Cc1ccc(cc1)C(C)C(=O)O\nCCN(CC)CC(=O)Nc1c(C)cccc1C');
      if (name === 'model') await page.locator('input[type=file]').setInputFiles({ name: 'library-plate-07.csv', mimeType: 'text/csv', buffer: Buffer.from(table) });
      // On a phone a file's rows have no pictures, and fewer are seen at once.
      if (['home', 'result'].includes(name) || (name === 'model' && !options.phone)) await page.locator('.mol img').nth(options.phone ? 0 : 3).waitFor();
      if (name === 'result') await page.waitForFunction(() => document.querySelectorAll('.mol img').length >= (innerWidth < 700 ? 2 : 8));
      await page.evaluate(() => document.fonts.ready);
      await page.screenshot({ path: join(out, `${name}-${look}.png`) });
    }
    await page.context().close();
  }
  console.log(`The pictures are in ${out}`);
} finally {
  await eyes.close();
  await hub.stop();
}
