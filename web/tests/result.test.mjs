// The table of a result: everything that is chosen stands in the address, and a file is what the table shows.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';

import { COLOURS, enter, faults, table, world } from './world.mjs';

let hub, eyes, page, check, address;
const TABLE = `name,smiles\n${['ethanol,CCO', 'benzene,c1ccccc1', 'broken,bad one', 'phenol,Oc1ccccc1', 'propane,CCC', 'aspirin,CC(=O)Oc1ccccc1C(=O)O'].join('\n')}\n`;
before(async () => {
  [hub, eyes] = await world();
  hub.admin('grace');
  const token = await hub.signIn('grace');
  let request = await hub.call('requests?model=atoms&wait=30', { token, method: 'POST', body: TABLE, headers: { 'content-type': 'text/csv' } });
  while (['waiting', 'running'].includes(request.phase)) request = await hub.call(`requests/${request.id}?wait=30`, { token });
  address = `/requests/${request.id}`;
  ({ page, check } = await eyes.person(hub));
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await enter(page, 'grace');
});
after(async () => {
  await eyes?.close();
  await hub?.stop();
});

const names = async () => (await page.locator('table.res .nmz b').allInnerTexts()).join(' ');
async function open(query = '') {
  await page.goto(address + query);
  await page.getByText('1 without prediction').waitFor();
}
async function saved(click) {
  const [download] = await Promise.all([page.waitForEvent('download'), click()]);
  return { name: download.suggestedFilename(), text: readFileSync(await download.path(), 'utf8') };
}
const shows = (text) => page.waitForFunction((wanted) => [...document.querySelectorAll('table.res .nmz b')].map((one) => one.innerText).join(' ') === wanted, text);

test('a substructure, a text and a range leave their rows; Back takes one away, and a copied address shows the same', async () => {
  await open();
  await page.getByRole('button', { name: 'Substructure' }).click();
  await page.getByLabel('Piece').fill('c1ccccc1O');
  await page.getByRole('button', { name: 'Show these' }).click();
  await shows('phenol aspirin');
  await page.getByRole('button', { name: 'Range of mass' }).click();
  await page.getByLabel('At most').fill('120');
  await page.getByRole('button', { name: 'Show these' }).click();
  await shows('phenol');
  const { page: fresh } = await eyes.person(hub);
  await enter(fresh, 'grace');
  await fresh.goto(page.url());
  await fresh.waitForFunction(() => document.querySelectorAll('table.res .nmz b').length === 1);
  assert.deepEqual((await table(fresh, 'table.res')).slice(1), (await table(page, 'table.res')).slice(1));
  await page.getByRole('button', { name: 'Remove the range of mass' }).click();
  await shows('phenol aspirin');
  await page.getByRole('button', { name: 'Remove the substructure' }).click();
  await shows('ethanol benzene broken phenol propane aspirin');
  await page.goBack();
  await shows('phenol aspirin');
  await open('?sub=c1cc');
  await page.getByText('cannot be read').waitFor();
  check();
});

test('a column is sorted with the empty last, hidden, and pinned', async () => {
  await open('?sort=-mass');
  await shows('aspirin phenol benzene ethanol propane broken');
  await page.getByRole('columnheader', { name: 'mass' }).getByText('g/mol, low is strong').waitFor();
  await page.getByRole('button', { name: 'mass', exact: true }).click();
  await shows('propane ethanol benzene phenol aspirin broken');
  await page.getByRole('button', { name: 'Columns' }).click();
  await page.getByRole('checkbox', { name: 'carbons' }).click();
  await page.getByRole('button', { name: 'Pin share' }).click();
  await page.keyboard.press('Escape');
  const heads = () => page.locator('table.res thead .num .nm').allInnerTexts();
  assert.deepEqual(await heads(), ['share', 'mass']);
  await page.reload();
  await shows('propane ethanol benzene phenol aspirin broken');
  assert.deepEqual(await heads(), ['share', 'mass']);
  check();
});

test('a row opens with each value, its meaning and where it stands; rows are cards as well', async () => {
  await open('?view=cards');
  assert.equal(await page.locator('.ccell').count(), 6);
  await page.getByRole('button', { name: 'aspirin' }).click();
  const drawer = page.getByRole('complementary', { name: 'aspirin' });
  await drawer.getByText('higher than 80 % of 6').first().waitFor();
  await drawer.getByText('g/mol').first().waitFor();
  await drawer.getByText('low is strong').waitFor();
  await drawer.getByRole('button', { name: 'Close' }).click();
  await drawer.waitFor({ state: 'detached' });
  check();
});

test('what is selected is copied and downloaded; what is shown is, too; SDF has a record for each row', async () => {
  await open('?sort=-mass&range=mass:70..400');
  await shows('aspirin phenol benzene');
  await page.getByRole('checkbox', { name: 'Select row 2' }).check();
  await page.getByRole('checkbox', { name: 'Select row 6' }).check();
  await page.getByRole('button', { name: 'Copy SMILES' }).click();
  await page.waitForFunction(async () => (await navigator.clipboard.readText()) === 'c1ccccc1\nCC(=O)Oc1ccccc1C(=O)O');
  await page.getByRole('button', { name: 'Copy table' }).click();
  await page.waitForFunction(async () => /^name\tsmiles\tcarbons\tmass\tshare\terror\nbenzene\tc1ccccc1\t6/.test(await navigator.clipboard.readText()));
  const menu = page.getByRole('group', { name: 'Download' });
  const format = async (which, name) => {
    await page.getByRole('button', { name: 'Download', exact: true }).click();
    if (which) await menu.getByRole('button', { name: which }).click();
    return saved(() => menu.getByText(name, { exact: true }).click());
  };
  const shown = await format('Shown 3', 'CSV');
  assert.match(shown.name, /^atoms-.{6}-shown\.csv$/);
  assert.deepEqual(shown.text.trim().split('\r\n').slice(1).map((line) => line.split(',')[0]), ['aspirin', 'phenol', 'benzene']);
  const selected = await format('Selected 2', 'JSON');
  assert.deepEqual(JSON.parse(selected.text).map((row) => [row.name, row.carbons]), [['benzene', 6], ['aspirin', 9]]);
  // What the hub makes has all rows, and says so.
  await page.getByRole('button', { name: 'Download', exact: true }).click();
  await menu.getByRole('button', { name: 'Selected 2' }).click();
  const whole = menu.getByRole('link', { name: 'Parquet all 6 rows' });
  const [parquet] = await Promise.all([page.waitForEvent('download'), whole.click()]);
  assert.match(parquet.suggestedFilename(), /^atoms-[0-9a-f]+\.parquet$/);
  assert.equal(readFileSync(await parquet.path()).subarray(0, 4).toString(), 'PAR1');
  // Of neighbours it makes just these.
  await page.getByRole('checkbox', { name: 'Select row 6' }).uncheck();
  await open();
  for (const row of [4, 5]) await page.getByRole('checkbox', { name: `Select row ${row}` }).check();
  await page.getByRole('button', { name: 'Download', exact: true }).click();
  await menu.getByRole('button', { name: 'Selected 2' }).click();
  const two = menu.getByRole('link', { name: 'Parquet typed columns' });
  const asked = new URL(await two.evaluate((link) => link.href));
  const [part] = await Promise.all([page.waitForEvent('download'), two.click()]);
  assert.equal(readFileSync(await part.path()).subarray(0, 4).toString(), 'PAR1');
  asked.searchParams.set('format', 'json');
  const rows = await page.evaluate(async (url) => (await fetch(url)).json(), asked.href);
  assert.deepEqual(rows.map((row) => row.name), ['phenol', 'propane']);
  const sdf = await format('All 6', 'SDF');
  const records = sdf.text.split('$$$$\n').slice(0, -1);
  assert.equal(records.length, 6);
  assert.match(records[5], /^aspirin\n[\s\S]*V2000[\s\S]*M  END\n>  <name>\naspirin\n\n[\s\S]*>  <mass>\n/);
  assert.match(records[2], /^broken\n[\s\S]*  0  0 [\s\S]*>  <error>\nring not closed\n/);
  check();
});

test('two requests are compared by input: both values, the difference, a picture and a file', async () => {
  const token = await hub.signIn('grace');
  const other = await hub.request(token, 'atoms', ['c1ccccc1', 'CCO', 'CCCC']);
  await page.goto(address);
  await page.getByRole('link', { name: 'Compare' }).click();
  await page.getByRole('row', { name: /Atoms/ }).filter({ hasText: other.id.slice(-6) }).getByRole('link').click();
  await page.getByText('2 inputs in both').waitFor();
  await page.getByText('4 only in the first, 1 only in the second').waitFor();
  assert.deepEqual((await table(page, 'table.res')).map((row) => row.slice(-4)), [['CCO', '2', '2', '0'], ['c1ccccc1', '6', '6', '0']]);
  await page.getByRole('img', { name: /carbons against carbons: 2 points/ }).waitFor();
  await page.getByRole('button', { name: /^Second/ }).click();
  await page.locator('label.mi', { hasText: 'mass' }).click();
  await page.getByRole('button', { name: 'difference' }).click();
  await page.waitForFunction(() => document.querySelector('table.res tbody td.nmz')?.innerText === 'c1ccccc1');
  const { text } = await saved(() => page.getByRole('button', { name: 'Download CSV' }).click());
  assert.match(text, /^input,carbons \(first\),mass \(second\),difference\r\nc1ccccc1,6,7/);
  check();
});

test('the same inputs go to another model', async () => {
  await open();
  await page.getByRole('button', { name: 'Run again' }).click();
  await page.getByRole('group', { name: 'Run again' }).getByRole('button', { name: /^Broken/ }).click();
  await page.getByText('It failed.').waitFor();
  await page.getByRole('heading', { name: /^Broken, 6 inputs/ }).waitFor();
  // Those of a failed one as well.
  await page.getByRole('button', { name: 'Run again' }).click();
  await page.getByRole('group', { name: 'Run again' }).getByRole('button', { name: /^Atoms/ }).click();
  await page.getByText('1 without prediction').waitFor();
  await shows('ethanol benzene broken phenol propane aspirin');
  await page.getByRole('button', { name: 'Label' }).click();
  await page.getByRole('dialog').getByLabel('Label').fill('Plate 7');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByRole('heading', { name: /^Plate 7/ }).waitFor();
  await page.goto('/requests?q=plate');
  await page.getByRole('link', { name: 'Plate 7' }).waitFor();
  await page.getByText('1 request on this page').waitFor();
  check();
});

for (const [name, phone] of Object.entries({ 'in both themes': false, 'on a phone': true })) {
  test(`cards, a row, menus and a comparison are there for everybody ${name}`, async () => {
    const { page, check } = await eyes.person(hub, { phone });
    await enter(page, 'grace');
    const token = await hub.signIn('grace');
    const other = await hub.request(token, 'atoms', ['c1ccccc1', 'CCO']);
    const looked = async (what) => {
      assert.deepEqual(await faults(page), [], what);
      if (phone) return;
      await page.emulateMedia({ colorScheme: 'dark' });
      assert.deepEqual(await faults(page, COLOURS), [], `${what}, dark`);
      await page.emulateMedia({ colorScheme: 'light' });
    };
    const at = async (query, ready) => {
      await page.goto(address + query);
      await ready().waitFor();
      await looked(query);
    };
    await at('?view=cards&colour=mass', () => page.locator('.ccell').first());
    await at('?row=6&pin=share&colour=share', () => page.getByText('higher than').first());
    await at(`/compare?with=${other.id}`, () => page.getByText('2 inputs in both'));
    await at('/compare', () => page.getByText('With which of your completed requests?'));
    await at('', () => page.getByText('1 without prediction'));
    for (const open of [() => page.getByRole('button', { name: 'Columns' }).click(), () => page.getByRole('button', { name: 'Download', exact: true }).click(), () => page.getByRole('button', { name: 'Run again' }).click(), () => page.getByRole('button', { name: 'Substructure' }).click()]) {
      await open();
      await looked(String(open));
      await page.keyboard.press('Escape');
    }
    check();
  });
}
