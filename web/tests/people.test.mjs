// People who use a hub: without an account, with one, with a session that ended, with a hub that is gone.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, afterEach, before, test } from 'node:test';

import { COLOURS, PASSWORD, faults, signIn, table, world } from './world.mjs';

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

const MOLECULES = 'name,smiles\nethanol,CCO\n<img src=x onerror=alert(1)>,c1ccccc1\nbroken,bad one\n';

/** Pastes and runs, and waits for the table. */
async function run(page, text = MOLECULES) {
  await page.goto('/models/atoms');
  await page.getByLabel('Paste inputs for Atoms').fill(text);
  await page.getByRole('button', { name: /^Run \d/ }).click();
  await page.waitForURL('**/requests/*');
  await page.getByText('completed').first().waitFor();
}

/** What stands above every page; a page itself may say the same of what it could not read. */
function banner(page, text) {
  return page.locator('.banner', { hasText: text });
}

async function downloaded(page, click) {
  const [download] = await Promise.all([page.waitForEvent('download'), click()]);
  return readFileSync(await download.path(), 'utf8');
}

test('anybody gets from the front page to a CSV, and takes it along to an account', async () => {
  const { page, check } = await eyes.person(hub);
  await page.goto('/');
  await page.getByLabel('Paste molecules or drop a file').fill(MOLECULES);
  await page.getByText('3 molecules in column smiles of 2').waitFor();
  await page.getByRole('button', { name: /^Model / }).click();
  await page.locator('label.mi', { hasText: 'Atoms' }).click();
  await page.getByRole('button', { name: 'Run 3 inputs' }).click();
  await page.waitForURL('**/requests/*');
  await page.getByText('1 without prediction').waitFor();
  const rows = await table(page, 'table.res');
  assert.deepEqual(rows.slice(1).map((row) => row.at(-1)), ['0.667', '1.000', 'ring not closed']);
  assert.ok(rows[2].some((cell) => cell.includes('<img src=x')), 'a name with markup is text');
  await page.getByRole('button', { name: 'Download' }).click();
  const csv = await downloaded(page, () => page.getByRole('link', { name: 'CSV yours and the predictions' }).click());
  assert.match(csv, /^name,smiles,carbons,mass,share,error\r?\nethanol,CCO,2,40.021,0.66/);
  const address = page.url();

  await page.goto('/sign-up');
  await page.getByRole('button', { name: 'Make account' }).click();
  await page.locator('.field .err').first().waitFor();
  assert.equal(await page.locator('.field .err').count(), 5, 'each field says what it needs');
  await page.getByLabel('User name').fill('lovelace');
  await page.getByLabel('First name').fill('Ada');
  await page.getByLabel('Last name').fill('Lovelace');
  await page.getByLabel('Email').fill('ada@example.org');
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Make account' }).click();
  await page.waitForURL('**/requests');
  await page.getByRole('link', { name: 'lovelace' }).waitFor();
  await page.getByText('3 inputs').waitFor();
  await page.goto(address);
  await page.getByText('1 without prediction').waitFor();
  check();
});

test('somebody who knows only what is on the screen runs an example and downloads it within a minute', async () => {
  const { page, check } = await eyes.person(hub);
  const begun = Date.now();
  await page.goto('/');
  await page.getByRole('button', { name: 'Try an example' }).click();
  await page.getByRole('button', { name: 'Run 3 inputs' }).click();
  await page.getByRole('button', { name: 'Download' }).click();
  const csv = await downloaded(page, () => page.getByRole('link', { name: /^CSV/ }).first().click());
  assert.equal(csv.trim().split('\n').length, 4);
  assert.ok(Date.now() - begun < 60_000);
  check();
});

test('how long it takes is said before it is sent, of as many inputs as there are', async () => {
  const { page, check } = await eyes.person(hub);
  const token = await hub.person();
  await hub.request(token, 'atoms', ['CCO', 'CCCO']);
  // What an instance did is noted a moment later.
  while (!(await hub.call('models/atoms')).expected_seconds) await page.waitForTimeout(250);
  await page.goto('/models/atoms');
  const said = page.locator('.exp');
  await said.filter({ hasText: /^\d+ s( to \d+ s)?$/ }).waitFor();
  const [answer] = await Promise.all([
    page.waitForResponse((one) => one.url().endsWith('/models/atoms?inputs=400')),
    page.getByLabel('Paste inputs for Atoms').fill('CCO\n'.repeat(400)),
  ]);
  const { low, high } = (await answer.json()).expected_seconds;
  assert.ok(high > (await hub.call('models/atoms')).expected_seconds.high, `${high} s`);
  const [from, to] = [low, high].map((seconds) => `${Math.max(1, Math.round(seconds))} s`);
  await said.filter({ hasText: from === to ? from : `${from} to ${to}` }).waitFor();
  check();
});

test('by the keyboard alone somebody gets from the front page to a downloaded result', async () => {
  const { page, check } = await eyes.person(hub);
  await page.goto('/');
  await page.getByRole('button', { name: 'Try an example' }).waitFor();
  /** What has the focus after so many steps as it takes. */
  const tabTo = async (name) => {
    for (let steps = 0; steps < 60; steps++) {
      await page.keyboard.press('Tab');
      const { said, seen } = await page.evaluate(() => {
        const one = document.activeElement;
        // A field's box is marked around it.
        const marked = (box) => !!box && (getComputedStyle(box).outlineStyle !== 'none' || getComputedStyle(box).boxShadow !== 'none' || (box !== document.body && marked(box.parentElement)));
        return { said: one.getAttribute('aria-label') || one.labels?.[0]?.textContent.trim() || one.textContent.trim(), seen: marked(one) };
      });
      if (!name.test(said)) continue;
      assert.ok(seen, `${said} shows that it has the focus`);
      return;
    }
    assert.fail(`the focus never comes to ${name}`);
  };
  await tabTo(/^Paste molecules/);
  await page.keyboard.type('CCO\nc1ccccc1');
  await tabTo(/^Run 2 inputs$/);
  await page.keyboard.press('Enter');
  await page.waitForURL('**/requests/*');
  await page.getByRole('columnheader', { name: /carbons/ }).first().waitFor();
  await tabTo(/^Download$/);
  await page.keyboard.press('Enter');
  // The menu has the focus on its first line.
  const csv = await downloaded(page, () => page.keyboard.press('Enter'));
  assert.equal(csv.trim().split('\n').length, 3);
  check();
});

test('a first visit takes few requests, and its text is there within a second', async () => {
  for (const path of ['/', '/requests', '/models/atoms']) {
    const loads = [];
    // This machine may build beside it: once more if it was slow, at most three times.
    while (loads.length < 3 && !(loads.at(-1)?.lcp < 1_000)) {
      const { page, context, check } = await eyes.person(hub);
      const session = await context.newCDPSession(page);
      await session.send('Network.enable');
      await session.send('Network.emulateNetworkConditions', { offline: false, latency: 40, downloadThroughput: 10e6 / 8, uploadThroughput: 10e6 / 8 });
      const asked = [];
      page.on('request', (request) => asked.push(request.url()));
      await page.addInitScript(() => new PerformanceObserver((list) => (globalThis.lcp = list.getEntries().at(-1).startTime)).observe({ type: 'largest-contentful-paint', buffered: true }));
      await page.goto(path);
      await page.waitForLoadState('networkidle');
      await page.waitForFunction(() => globalThis.lcp > 0);
      loads.push({ lcp: await page.evaluate(() => globalThis.lcp), requests: asked.length });
      check();
      await context.close();
    }
    const lcp = Math.round(Math.min(...loads.map((one) => one.lcp)));
    console.log(`${path}: ${loads[0].requests} requests, LCP ${lcp} ms`);
    assert.ok(loads.every((one) => one.requests <= 15), JSON.stringify(loads));
    // 1.0 s on a quiet machine.
    assert.ok(lcp < 3_000, JSON.stringify(loads));
  }
});

test('what cannot be read is said before it is sent, with what to do', async () => {
  const { page, check } = await eyes.person(hub);
  await page.goto('/models/atoms');
  const choose = (name, content) => page.locator('input[type=file]').setInputFiles({ name, mimeType: 'text/csv', buffer: Buffer.from(content) });
  await choose('report.csv', '%PDF-1.7 ..');
  await page.getByText('report.csv is a PDF. Copy the SMILES out of it').waitFor();
  await choose('two.csv', 'a,b\nCCO,1\nCC,2\n');
  await page.getByText('Which column has the inputs?').waitFor();
  assert.ok(await page.getByRole('button', { name: 'Run', exact: true }).isDisabled());
  await page.getByRole('button', { name: /^Input column/ }).click();
  await page.locator('label.mi', { hasText: /^a$/ }).click();
  await page.getByRole('button', { name: 'Run 2 inputs' }).waitFor();
  await page.getByRole('button', { name: 'Other file' }).click();
  await page.getByLabel('Paste inputs for Atoms').fill('CCO\nC1CC\n');
  await page.getByText('1 line of 2 cannot be read as SMILES').waitFor();
  await page.getByRole('button', { name: 'Clear' }).click();
  await choose('twice.csv', 'smiles,x,x\nCCO,1,2\n');
  await page.getByText('Columns 2 and 3 are both named').waitFor();
  assert.ok(await page.getByRole('button', { name: 'Run 1 input' }).isDisabled());
  // A table of another country, and one without a header.
  await page.getByRole('button', { name: 'Other file' }).click();
  await choose('komma.csv', 'name;smiles;mass\na, b;CCO;46,07\n');
  await page.getByText('smiles is the input: the model expects a column of this name').waitFor();
  await page.getByRole('button', { name: 'Other file' }).click();
  await choose('bare.csv', 'CCO,ethanol\nC,methane\n');
  await page.getByRole('button', { name: /^First line/ }).click();
  await page.locator('label.mi', { hasText: 'an input' }).click();
  await page.getByRole('button', { name: /^Input column/ }).click();
  await page.locator('label.mi', { hasText: 'column_1' }).click();
  await page.getByRole('button', { name: 'Run 2 inputs' }).waitFor();
  // A separator that is not the one that was recognised: the hub reads the same.
  await page.getByRole('button', { name: 'Other file' }).click();
  await choose('list.csv', 'smiles,note;rank\nCCO,a;1\nCC,b;2\n');
  await page.getByRole('button', { name: 'Separator comma' }).click();
  await page.locator('label.mi', { hasText: 'semicolon' }).click();
  await page.getByText('Which column has the inputs?').waitFor();
  await page.getByRole('button', { name: /^Input column/ }).click();
  await page.locator('label.mi', { hasText: 'smiles,note' }).click();
  await page.getByRole('columnheader', { name: 'rank' }).waitFor();
  const [asked] = await Promise.all([page.waitForRequest(/\/requests\?model=/), page.getByRole('button', { name: 'Run 2 inputs' }).click()]);
  assert.equal(new URL(asked.url()).searchParams.get('separator'), 'semicolon');
  await page.waitForURL('**/requests/*');
  await page.getByText('2 without prediction').or(page.getByText('completed')).first().waitFor();
  await page.getByRole('columnheader', { name: 'rank' }).first().waitFor();
  await page.goto('/models/atoms');
  await choose('bare.csv', 'CCO\nCC\n');
  await page.getByRole('button', { name: 'Run 2 inputs' }).waitFor();
  assert.equal(await page.getByRole('button', { name: /^Separator/ }).count(), 0, 'nothing could cut these');
  // The hub refuses what it cannot take, in its words and with nothing lost.
  await page.getByRole('button', { name: 'Other file' }).click();
  await choose('long.csv', `smiles,x\n${'C'.repeat(70_000)},1\n`);
  await page.getByRole('button', { name: 'Run 1 input' }).click();
  await page.getByText('the limit').waitFor();
  await page.getByText('long.csv').waitFor();
});

test('a molecule is drawn and predicted, one of a list is changed, and what is typed is drawn', async () => {
  const { page, check } = await eyes.person(hub);
  await page.goto('/models/atoms');
  await page.getByRole('button', { name: 'Draw', exact: true }).click();
  const dialog = page.getByRole('dialog', { name: 'Draw a molecule' });
  const smiles = dialog.getByRole('textbox', { name: 'SMILES' });
  const area = dialog.getByRole('application');
  await area.waitFor();
  assert.ok(await dialog.getByRole('button', { name: 'Add to the list' }).isDisabled(), 'nothing is drawn');
  // A bond, and an atom at its end, by the key that is pressed over it: it counts once the pointer goes on.
  const { x, y, width, height } = await area.boundingBox();
  const [from, to] = [[x + width / 2, y + height / 2], [x + width / 2 + 60, y + height / 2]];
  await page.mouse.move(...from);
  await page.mouse.down();
  await page.mouse.move(...to, { steps: 5 });
  await page.mouse.up();
  await page.waitForFunction(() => document.getElementById('drawn').value === 'CC');
  await page.mouse.move(to[0] - 1, to[1]);
  await page.keyboard.press('o');
  await page.mouse.move(from[0], from[1] + 80, { steps: 3 });
  await page.waitForFunction(() => document.getElementById('drawn').value === 'CO');
  assert.deepEqual(await faults(page), [], 'dialog');
  await page.emulateMedia({ colorScheme: 'dark' });
  assert.deepEqual(await faults(page, COLOURS), [], 'dialog, dark');
  await page.emulateMedia({ colorScheme: 'light' });
  // Escape does not throw away what was drawn.
  await page.keyboard.press('Escape');
  await dialog.getByRole('button', { name: 'Add to the list' }).click();
  await dialog.waitFor({ state: 'detached' });
  const box = page.getByLabel('Paste inputs for Atoms');
  assert.equal(await box.inputValue(), 'CO\n');
  assert.equal(await page.evaluate(() => document.activeElement.innerText.trim().slice(0, 20)), 'Draw', 'the focus comes back');

  // By keys alone: what cannot be read is said, and nothing is added until it can.
  await page.keyboard.press('Enter');
  await area.waitFor();
  await smiles.focus();
  await page.keyboard.type('C1CC');
  await dialog.getByText('It cannot be read: ring 1 is opened here and not closed.').waitFor();
  assert.ok(await dialog.getByRole('button', { name: 'Add to the list' }).isDisabled());
  await page.keyboard.type('1');
  await dialog.getByText('It cannot be read').waitFor({ state: 'detached' });
  await page.keyboard.press('Enter');
  await dialog.waitFor({ state: 'detached' });
  assert.equal(await box.inputValue(), 'CO\nC1CC1\n');
  // What is typed into the box stays in it, until its rows are asked for.
  await box.press('End');
  await box.press('Control+End');
  await page.keyboard.type('CCN');
  assert.equal(await box.inputValue(), 'CO\nC1CC1\nCCN');
  await page.getByRole('button', { name: 'Show the rows' }).click();
  await page.getByRole('button', { name: 'Change the molecule in line 2' }).click();
  const change = page.getByRole('dialog', { name: 'Draw a molecule' });
  await change.getByRole('application').waitFor();
  assert.equal(await smiles.inputValue(), 'C1CC1');
  await smiles.fill('c1ccccc1');
  await change.getByRole('button', { name: 'Change it' }).click();
  await change.waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Run 3 inputs' }).click();
  await page.waitForURL('**/requests/*');
  await page.getByText('completed').first().waitFor();
  await page.locator('table.res td', { hasText: 'CCN' }).waitFor();
  const rows = await table(page, 'table.res');
  assert.deepEqual(rows.map((row) => row.slice(2, 4)), [['CO', '1'], ['c1ccccc1', '6'], ['CCN', '2']], 'carbons');
  check();
});

test('a phone draws with a finger, and an editor that cannot be loaded leaves the text', async () => {
  const { page, check } = await eyes.person(hub, { phone: true, expected: [/Failed to fetch|net::ERR|503/] });
  await page.goto('/models/atoms');
  await page.getByRole('button', { name: 'Draw', exact: true }).waitFor();
  await page.route('**/chunk-*.js', (route) => route.abort());
  await page.getByRole('button', { name: 'Draw', exact: true }).tap();
  await page.getByText('The editor could not be loaded').waitFor();
  await page.unroute('**/chunk-*.js');
  await page.getByRole('button', { name: 'Try again' }).tap();
  const area = page.getByRole('application');
  await area.waitFor();
  const { x, y, width, height } = await area.boundingBox();
  await page.touchscreen.tap(x + width / 2, y + height / 2);
  await page.waitForFunction(() => document.getElementById('drawn').value === 'CC');
  assert.deepEqual(await faults(page), []);
  await page.setViewportSize({ width: 320, height: 700 });
  assert.deepEqual(await faults(page), []);
  await page.getByRole('button', { name: 'Add to the list' }).tap();
  await page.getByRole('button', { name: 'Run 1 input' }).tap();
  await page.waitForURL('**/requests/*');
  await page.getByText('completed').first().waitFor();
  check();
});

test('a request says why it failed, and one that runs is cancelled with a way back', async () => {
  const { page, check } = await eyes.person(hub);
  await page.goto('/models/broken');
  await page.getByLabel('Paste inputs for Broken').fill('CCO');
  await page.getByRole('button', { name: 'Run 1 input' }).click();
  await page.getByText('It failed.').waitFor();
  await page.goto('/models/sleepy');
  await page.getByRole('heading', { name: 'Sleepy <b>model</b>' }).waitFor();
  await page.getByLabel(/Paste inputs for/).fill('0.2\n0.2\n60\n60\n');
  await page.getByRole('button', { name: 'Run 4 inputs' }).click();
  await page.waitForURL('**/requests/*');
  await page.getByText('2 of 4 inputs are done.').waitFor();
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.getByRole('button', { name: 'Undo' }).click();
  await page.getByText('running').first().waitFor();
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.goto('/requests');
  await page.getByText('cancelled').first().waitFor();
  check();
});

test('a hub that is killed takes nothing away: page, form and name stay, and it comes back by itself', async () => {
  await hub.account('babbage');
  const { page } = await eyes.person(hub);
  await signIn(page, 'babbage');
  await page.goto('/models/atoms');
  await page.getByLabel('Paste inputs for Atoms').fill('CCO\nCC\n');
  await hub.killed(async () => {
    await page.getByRole('button', { name: 'Run 2 inputs' }).click();
    await banner(page, 'The hub cannot be reached.').waitFor();
    assert.ok(await page.getByRole('link', { name: 'babbage' }).isVisible(), 'the name stays');
  });
  await page.waitForURL('**/requests/*');
  await page.getByText('completed').first().waitFor();
  await banner(page, 'The hub cannot be reached.').waitFor({ state: 'detached' });
});

test('banners say that there is no network, and that the hub has a new version of the app; ? lists the shortcuts', async () => {
  await hub.account('lamarr');
  const { page, context } = await eyes.person(hub);
  await signIn(page, 'lamarr');
  await page.getByText('Live', { exact: true }).waitFor();
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Shortcuts' }).getByText('My requests').waitFor();
  await page.keyboard.press('Escape');
  await context.setOffline(true);
  await banner(page, 'You are offline.').waitFor();
  await context.setOffline(false);
  await banner(page, 'You are offline.').waitFor({ state: 'detached' });
  // The hub comes back with another build.
  await page.route('/', async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: (await response.text()).replace(/main-[\w-]+\.js/, 'main-ANOTHER1.js') });
  });
  await hub.killed(() => banner(page, 'The hub cannot be reached.').waitFor());
  await banner(page, 'There is a new version of this app.').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Reload' }).count(), 1);
});

test('the link of a mail sets a new password, and its secret leaves the address', async () => {
  await hub.account('turing');
  const admin = await hub.signIn('grace');
  const [turing] = (await hub.call('users?search=turing', { token: admin })).items;
  const { link } = await hub.call(`users/${turing.id}/reset-link`, { token: admin, body: {} });
  const { page, check } = await eyes.person(hub);
  const { pathname, hash } = new URL(link, hub.url);
  await page.goto(pathname + hash);
  await page.getByLabel('New password').fill(`${PASSWORD} again`);
  assert.equal(new URL(page.url()).hash, '');
  await page.getByRole('button', { name: 'Set the password' }).click();
  await page.waitForURL('**/sign-in');
  await page.getByLabel('User name').fill('turing');
  await page.getByLabel('Password').fill(`${PASSWORD} again`);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.waitForURL('**/requests');
  check();
});

test('a large text stays out of the page: its first lines are drawn, all are counted, and all are sent', async () => {
  const { page, check } = await eyes.person(hub);
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.goto('/');
  await page.evaluate((text) => navigator.clipboard.writeText(text), `${'C'.repeat(40)}\n`.repeat(5_000));
  await page.getByLabel('Paste molecules or drop a file').focus();
  await page.keyboard.press('Control+V');
  await page.getByText('5,000 molecules, one a line').waitFor();
  assert.equal(await page.locator('textarea').count(), 0, 'no box with 5,000 lines');
  await page.getByText('Pasted text').waitFor();
  await page.getByRole('button', { name: /^Model / }).click();
  await page.locator('label.mi', { hasText: 'Atoms' }).click();
  await page.getByRole('button', { name: 'Run 5,000 inputs' }).click();
  await page.waitForURL('**/requests/*');
  const id = page.url().split('/').pop();
  const { inputs } = await page.evaluate(async (address) => (await fetch(address)).json(), `/api/v1/requests/${id}`);
  assert.equal(inputs, 5_000);

  // What is wrong far behind the beginning of a file is said as well.
  await page.goto('/models/atoms');
  const rows = 'ethanol,CCO\n'.repeat(40_000);
  const file = (text) => ({ name: 'large.csv', mimeType: 'text/csv', buffer: Buffer.from(`name,smiles\n${text}`) });
  await page.locator('input[type=file]').setInputFiles(file(`${rows}methane,C,surplus\n`));
  await page.getByText('The row at line 40002 has “surplus” in its cell 3').waitFor();
  assert.ok(await page.getByRole('button', { name: /^Run / }).isDisabled());
  await page.getByRole('button', { name: 'Other file' }).click();
  await page.locator('input[type=file]').setInputFiles(file(rows));
  await page.getByRole('button', { name: 'Run 40,000 inputs' }).waitFor();
  await page.getByRole('button', { name: /^Input column/ }).click();
  await page.locator('label.mi', { hasText: 'name' }).click();
  await page.getByText('40,000 rows, 2 columns').waitFor();
  check();
});
