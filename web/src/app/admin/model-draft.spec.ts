import type { Schemas } from '../api/api';
import { Failure } from '../api/failure';
import { changeOf, differences, draftOf, EMPTY, errorsOf, faultsOf, groupsOf, isEdited, modelOf, without } from './model-draft';

const MODEL: Schemas['CatalogueModel'] = {
  id: 'sol', version: '1.2.0+3fa9c1d2', owner: 'api', offered: true, etag: '"1"', address: 'https://models.example.org', runs: 'elsewhere',
  card: { title: 'Solubility', description: '', interpretation: '', licence: 'MIT', publication: '', source_code: '', tags: ['water', 'adme'], task: 'ADME' },
  input: { name: 'smiles', description: 'A molecule', also: [], kind: 'smiles' }, outputs: [{ name: 'log_s', kind: 'float', description: '', unit: 'log mol/L', direction: 'high' }], example: ['CCO', 'CC'],
  limits: { batch_size: 50, min_instances: 0, max_instances: 2, spare_instances: 0, prepare_seconds: 600, start_seconds: 60, job_seconds: 60, idle_seconds: 300, memory_mib: 512, memory_most_mib: 0, max_attempts: 3 },
  resources: { cpu: 2.5, memory_mib: null, storage_mib: null, gpus: 1, gpu: 'nvidia.com/gpu', node: { zone: 'a', disk: '' } },
  cache: false, edits: { card: { title: 'Solubility' } },
};
const DRAFT = draftOf(MODEL);

test('a draft that is not touched changes nothing, and one field changes its member only', () => {
  expect(changeOf(DRAFT, DRAFT)).toEqual({});
  expect(changeOf(DRAFT, { ...DRAFT, 'limits.batch_size': '7', 'card.tags': 'water,  new ', cache: 'true' })).toEqual({ card: { tags: ['water', 'new'] }, limits: { batch_size: 7 }, cache: true });
  expect(changeOf(DRAFT, { ...DRAFT, example: 'C\n\nCC\n', version: '1.3.0' })).toEqual({ version: '1.3.0', example: ['C', 'CC'] });
});

test('what an instance needs is written as people write it', () => {
  expect([DRAFT['resources.cpu'], DRAFT['resources.memory_mib'], DRAFT['resources.node']]).toEqual(['2.5', '', 'zone=a, disk=']);
  expect(changeOf(DRAFT, { ...DRAFT, 'resources.cpu': '', 'resources.gpus': '0.5' })).toEqual({ resources: { cpu: null, gpus: 0.5 } });
  expect(changeOf(DRAFT, { ...DRAFT, 'resources.node': 'zone = b=c ,gpu' })).toEqual({ resources: { node: { zone: 'b=c', disk: null, gpu: '' } } });
  expect(changeOf(DRAFT, { ...DRAFT, 'resources.node': '' })).toEqual({ resources: { node: { zone: null, disk: null } } });
  expect(modelOf('sol', { ...EMPTY, 'resources.node': 'zone=a' })).toMatchObject({ resources: { node: { zone: 'a' } } });
});

test('a choice that is taken back is null, and columns are told in words', () => {
  expect(changeOf(DRAFT, { ...DRAFT, 'input.kind': '' })).toEqual({ input: { kind: null } });
  const theirs = { ...DRAFT, 'input.kind': 'dna', outputs: '[]' };
  expect(differences(DRAFT, theirs, DRAFT)).toEqual([
    { label: 'What inputs are', seen: 'molecules', theirs: 'DNA', mine: 'molecules' },
    { label: 'Columns of the result', seen: 'log_s: float, log mol/L, high is strong', theirs: '', mine: 'log_s: float, log mol/L, high is strong' },
  ]);
});

test('the version is shown without what the hub adds', () => {
  expect(DRAFT['version']).toBe('1.2.0');
});

test('a new model has what was filled in, and what the API needs', () => {
  const draft = { ...EMPTY, address: 'https://models.example.org', version: '1', 'input.name': 'smiles', 'card.title': 'A' };
  expect(modelOf('sol', draft)).toEqual({ id: 'sol', address: 'https://models.example.org', version: '1', card: { title: 'A' }, input: { name: 'smiles', description: '' } });
});

test('what two people changed stands side by side', () => {
  const theirs = { ...DRAFT, 'card.licence': 'BSD', cache: 'true' };
  const mine = { ...DRAFT, 'card.title': 'Water', 'card.licence': 'Apache' };
  expect(differences(DRAFT, theirs, mine)).toEqual([
    { label: 'Title', seen: 'Solubility', theirs: 'Solubility', mine: 'Water' },
    { label: 'Licence', seen: 'MIT', theirs: 'BSD', mine: 'Apache' },
    { label: 'Known predictions are used again', seen: 'no', theirs: 'yes', mine: 'no' },
  ]);
});

test('an edit of a folder is known and taken back', () => {
  expect([isEdited(MODEL, 'card.title'), isEdited(MODEL, 'card.licence'), isEdited(MODEL, 'limits.batch_size')]).toEqual([true, false, false]);
  expect(without('card.title')).toEqual({ card: { title: null } });
});

test('what cannot be edited is not offered', () => {
  const ids = (owner: string, runs: string, admin: boolean, isNew = false) => groupsOf({ owner, runs, isNew }, admin).flatMap(({ fields }) => fields.map(({ id }) => id));
  expect(ids('folder', 'process', false)).not.toContain('network');
  expect(ids('folder', 'process', true)).toContain('network');
  expect(ids('folder', 'process', true)).not.toContain('address');
  expect(ids('api', 'elsewhere', true)).toEqual(expect.arrayContaining(['address', 'outputs']));
  for (const id of ['image', 'port', 'pod.template', 'runs', 'limits.memory_most_mib']) expect(ids('api', 'elsewhere', true)).not.toContain(id);
  expect(ids('api', 'elsewhere', true, true)).toContain('runs');
  expect(ids('api', 'pod', true)).toEqual(expect.arrayContaining(['image', 'port', 'pod.template', 'pod.unrestricted', 'pod.limit_cpu', 'limits.memory_most_mib']));
  expect(ids('api', 'pod', false)).toContain('image');
  for (const id of ['address', 'pod.template', 'pod.unrestricted', 'pod.limit_cpu']) expect(ids('api', 'pod', false)).not.toContain(id);
});

test('errors stand at their fields', () => {
  const failure = new Failure(422, 'Two things.', { errors: [
    { type: '/problems/bad-model', pointer: '/limits/batch_size', detail: 'At least 1.' },
    { type: '/problems/bad-model', pointer: '/outputs/0/kind', detail: 'Not a kind.' },
    { type: '/problems/bad-model', pointer: '/id', detail: 'Not an id.' },
  ] });
  expect(errorsOf(failure)).toEqual({ 'limits.batch_size': 'At least 1.', outputs: 'Not a kind.', id: 'Not an id.' });
});

const IMAGE: Schemas['CatalogueModel'] = {
  ...MODEL, address: null, runs: 'pod', image: 'registry.example.org/lab/sol:1', port: 80,
  pod: { template: { metadata: { labels: { team: 'a', site: 'b' } }, spec: { priorityClassName: 'low' } }, unrestricted: 'It runs as root.', limit_cpu: false },
};

test('a new model is an image or a server elsewhere, whatever was filled in before it was chosen', () => {
  const draft = { ...EMPTY, address: 'https://models.example.org', image: 'lab/sol:1', port: '8080', version: '1', 'input.name': 'smiles', 'pod.limit_cpu': 'true' };
  const same = { id: 'sol', version: '1', input: { name: 'smiles', description: '' } };
  expect(modelOf('sol', draft)).toEqual({ ...same, address: 'https://models.example.org' });
  expect(modelOf('sol', { ...draft, runs: 'pod' })).toEqual({ ...same, image: 'lab/sol:1', port: 8080, pod: { limit_cpu: true } });
});

test('settings of pods are JSON, and what is taken out of it goes', () => {
  const before = draftOf(IMAGE);
  expect(changeOf(before, before)).toEqual({});
  const template = { metadata: { labels: { team: 'c' } }, spec: { priorityClassName: 'low', tolerations: [{ key: 'gpu' }] } };
  const change = changeOf(before, { ...before, 'pod.template': JSON.stringify(template), 'pod.unrestricted': ' ' });
  expect(change).toEqual({ pod: { template: { metadata: { labels: { site: null, team: 'c' } }, spec: { tolerations: [{ key: 'gpu' }] } }, unrestricted: null } });
  expect(changeOf(before, { ...before, 'pod.template': '', port: '' })).toEqual({ port: null, pod: { template: null } });
  expect(changeOf(draftOf({ ...IMAGE, pod: null }), { ...draftOf({ ...IMAGE, pod: null }), 'pod.template': '{"spec": {}}' })).toEqual({ pod: { template: { spec: {} } } });
});

test('a text that is no JSON is told before anything is sent', () => {
  expect(faultsOf(draftOf(IMAGE))).toEqual({});
  expect(faultsOf(draftOf(MODEL))).toEqual({});
  expect(faultsOf({ ...EMPTY, 'pod.template': '{"spec": ' })['pod.template']).toContain('no JSON');
  expect(faultsOf({ ...EMPTY, 'pod.template': '[]' })['pod.template']).toContain('an object');
});

test('an error within settings of pods stands at them', () => {
  const failure = new Failure(422, 'pod/template/spec/hostNetwork: no.', { pointer: '/pod/template/spec/hostNetwork' });
  expect(errorsOf(failure)).toEqual({ 'pod.template': 'pod/template/spec/hostNetwork: no.' });
});
