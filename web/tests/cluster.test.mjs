// A hub whose instances are pods, on a served Kubernetes API whose kubelets run processes: a folder that somebody pushes in the
// browser is tried and served as pods that fetch it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { Eyes, Hub, enter, muster } from './world.mjs';

const RUNNER = 'registry.example.org/lab/muster-one:1';
const folder = mkdtempSync(join(tmpdir(), 'cluster-'));
let cluster, url, hub, eyes;

before(async () => {
  const fake = join(dirname(muster), 'fake-kube');
  assert.ok(existsSync(fake), `${fake} is not built: cargo build -p fake-kube`);
  writeFileSync(join(folder, 'actors.json'), JSON.stringify({ kubelet: { images: { [RUNNER]: { run: [muster] } } } }));
  const kubeconfig = join(folder, 'kubeconfig');
  cluster = spawn(fake, ['--kubeconfig', kubeconfig, '--actors', join(folder, 'actors.json')], { stdio: 'ignore' });
  const until = Date.now() + 30_000;
  while (!(url = existsSync(kubeconfig) && /"server": "([^"]+)"/.exec(readFileSync(kubeconfig, 'utf8'))?.[1])) {
    assert.ok(Date.now() < until && cluster.exitCode === null, 'the cluster does not start');
    await new Promise((done) => setTimeout(done, 50));
  }
  const made = await fetch(`${url}/api/v1/namespaces`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'models' } }) });
  assert.equal(made.status, 201);
  hub = await Hub.start({ env: { MUSTER_CLUSTER: 'kubernetes', MUSTER_KUBERNETES_KUBECONFIG: kubeconfig, MUSTER_KUBERNETES_NAMESPACE: 'models', MUSTER_KUBERNETES_RUNNER_IMAGE: RUNNER } });
  hub.admin('grace');
  eyes = await Eyes.open();
});

after(async () => {
  await eyes?.close();
  await hub?.stop();
  cluster?.kill();
  rmSync(folder, { recursive: true, force: true });
});

test('a folder that is pushed in the browser gives its first predictions as a pod', async () => {
  const { page, check } = await eyes.person(hub, { expected: [/404/] });
  const dir = join(folder, 'Letter counts');
  mkdirSync(dir);
  writeFileSync(join(dir, 'model.toml'), 'version = "1.0"\nkind = "python"\nexample = ["CCO", "benzene"]\n[[outputs]]\nname = "letters"\nkind = "integer"\n');
  writeFileSync(join(dir, 'predict.py'), 'def predict(inputs):\n    return [{"letters": len(text)} for text in inputs]\n');
  await enter(page, 'grace');
  await page.goto('/admin/catalogue?push=yes');
  await page.getByLabel('Choose a folder').setInputFiles(dir);
  await page.getByRole('heading', { name: 'Letter counts' }).waitFor();
  await page.getByRole('button', { name: 'Push', exact: true }).click();
  await page.getByText(/^1\.0\+\w+ is served\./).waitFor();
  await page.getByRole('link', { name: 'Its first predictions' }).click();
  await page.getByText('benzene').first().waitFor();
  await page.getByRole('cell', { name: '7', exact: true }).waitFor();
  const { items } = await (await fetch(`${url}/api/v1/namespaces/models/pods`)).json();
  assert.deepEqual(items.map(({ spec }) => spec.containers[0].image), [RUNNER]);
  check();
});
