import type { Schemas } from '../api/api';
import type { Failure } from '../api/failure';
import { KINDS } from '../model/words';

type Model = Schemas['CatalogueModel'];

/** Something of a model that can be edited. `list` has one a line, `words` has commas between, `labels` too; `json` is an object as text. */
export interface Field {
  /** Its place in the API's document: `card.title`. */
  readonly id: string;
  readonly label: string;
  readonly kind: 'line' | 'text' | 'number' | 'list' | 'words' | 'labels' | 'flag' | 'choice' | 'outputs' | 'json';
  /** Of a choice; an empty value takes it back. */
  readonly options?: readonly { readonly value: string; readonly label: string }[];
  readonly hint?: string;
  /** Only where that is who describes the model. */
  readonly of?: 'api' | 'folder';
  /** Only of models that run so. */
  readonly runs?: 'elsewhere' | 'pod';
  /** Only for administrators. */
  readonly admin?: true;
  /** An empty text takes it away. */
  readonly optional?: true;
  readonly needed?: boolean;
}

export interface Group {
  readonly name: string;
  readonly fields: readonly Field[];
}

export const GROUPS: readonly Group[] = [
  {
    name: 'Server',
    fields: [
      { id: 'runs', label: 'It is', kind: 'choice', of: 'api', options: [{ value: 'elsewhere', label: 'a server elsewhere' }, { value: 'pod', label: 'an image' }] },
      { id: 'image', label: 'Image', kind: 'line', of: 'api', runs: 'pod', needed: true, hint: 'Begins with one of the operator’s model_images. A digest (@sha256:…) is always the same image.' },
      { id: 'port', label: 'Port', kind: 'number', of: 'api', runs: 'pod', hint: '80 if nothing is said.' },
      { id: 'address', label: 'Address', kind: 'line', of: 'api', runs: 'elsewhere', needed: true, hint: 'Begins with one of the operator’s model_addresses.' },
      { id: 'version', label: 'Version', kind: 'line', of: 'api', needed: true, hint: 'Another version means other predictions.' },
    ],
  },
  {
    name: 'What people read',
    fields: [
      { id: 'card.title', label: 'Title', kind: 'line' },
      { id: 'card.description', label: 'Description', kind: 'text' },
      { id: 'card.interpretation', label: 'How to read its results', kind: 'text' },
      { id: 'card.licence', label: 'Licence', kind: 'line' },
      { id: 'card.task', label: 'Task', kind: 'line', hint: 'What it is for, in a word or two.' },
      { id: 'card.tags', label: 'Tags', kind: 'words', hint: 'With commas between.' },
      { id: 'card.publication', label: 'Publication', kind: 'line' },
      { id: 'card.source_code', label: 'Source code', kind: 'line' },
    ],
  },
  {
    name: 'Input and result',
    fields: [
      { id: 'input.name', label: 'Input column', kind: 'line', of: 'api', needed: true },
      { id: 'input.description', label: 'What is in it', kind: 'line', of: 'api' },
      { id: 'input.also', label: 'Other headers that mean it', kind: 'words', of: 'api', hint: 'With commas between.' },
      { id: 'input.kind', label: 'What inputs are', kind: 'choice', of: 'api', options: [{ value: '', label: 'as its name says' }, ...Object.entries(KINDS).map(([value, label]) => ({ value, label }))] },
      { id: 'example', label: 'Example', kind: 'list', of: 'api', hint: 'One input a line.' },
      { id: 'outputs', label: 'Columns of the result', kind: 'outputs', of: 'api' },
    ],
  },
  {
    name: 'How it is run',
    fields: [
      { id: 'limits.batch_size', label: 'Inputs in one call', kind: 'number' },
      { id: 'limits.max_attempts', label: 'Tries of a call', kind: 'number' },
      { id: 'limits.min_instances', label: 'Instances, at least', kind: 'number' },
      { id: 'limits.max_instances', label: 'Instances, at most', kind: 'number' },
      { id: 'limits.spare_instances', label: 'Instances, room for more', kind: 'number', hint: 'Kept free on groups of nodes.' },
      { id: 'limits.memory_mib', label: 'Memory of an instance, MiB', kind: 'number' },
      { id: 'limits.memory_most_mib', label: 'Memory once it ran out of it, MiB', kind: 'number', runs: 'pod', hint: '0: no more than that.' },
      { id: 'limits.job_seconds', label: 'Longest call, s', kind: 'number' },
      { id: 'limits.start_seconds', label: 'Longest start, s', kind: 'number' },
      { id: 'limits.prepare_seconds', label: 'Longest preparation, s', kind: 'number' },
      { id: 'limits.idle_seconds', label: 'Idle before it goes, s', kind: 'number' },
      { id: 'cache', label: 'Known predictions are used again', kind: 'flag' },
      { id: 'network', label: 'Its code may reach', kind: 'choice', of: 'folder', admin: true, options: [{ value: 'none', label: 'nothing' }, { value: 'all', label: 'everything' }] },
    ],
  },
  {
    name: 'What an instance needs',
    fields: [
      { id: 'resources.cpu', label: 'Cores', kind: 'number', hint: '0.1 if nothing is said.' },
      { id: 'resources.memory_mib', label: 'Memory it asks for, MiB', kind: 'number', hint: 'As measured if nothing is said.' },
      { id: 'resources.storage_mib', label: 'Storage, MiB', kind: 'number' },
      { id: 'resources.gpus', label: 'GPUs', kind: 'number' },
      { id: 'resources.gpu', label: 'Resource name of its GPUs', kind: 'line', hint: 'nvidia.com/gpu, or as the nodes call them.' },
      { id: 'resources.node', label: 'Labels that a node must have', kind: 'labels', hint: 'zone=a, disk=ssd' },
    ],
  },
  {
    name: 'Its pods',
    fields: [
      { id: 'pod.template', label: 'What they have beyond the hub’s template, as JSON', kind: 'json', of: 'api', runs: 'pod', admin: true, hint: '{"metadata": {"labels": {…}}, "spec": {…}}: a strategic merge patch of a pod.' },
      { id: 'pod.unrestricted', label: 'Why they may do more than Kubernetes’ level “restricted”', kind: 'line', of: 'api', runs: 'pod', admin: true, optional: true, hint: 'Without a reason they may not. For example: its image runs as root.' },
      { id: 'pod.limit_cpu', label: 'Processors are limited to what it asks for', kind: 'flag', of: 'api', runs: 'pod', admin: true },
    ],
  },
];

export type Output = Schemas['NewModelOutput'];
/** Every field as text, as it stands in the form. */
export type Draft = { readonly [field: string]: string };

const FIELDS = GROUPS.flatMap((group) => group.fields);
export const EMPTY: Draft = { ...Object.fromEntries(FIELDS.map(({ id, kind }) => [id, kind === 'outputs' ? '[]' : kind === 'flag' ? 'false' : ''])), runs: 'elsewhere' };

/** Which fields a model has, or a new one; what its code may reach and what its pods have is for administrators. */
export function groupsOf({ owner, runs, isNew }: { readonly owner: string; readonly runs: string; readonly isNew: boolean }, admin: boolean): readonly Group[] {
  const has = (field: Field) => (!field.of || field.of === owner) && (!field.runs || field.runs === runs) && (!field.admin || admin) && (field.id !== 'runs' || isNew);
  return GROUPS.map(({ name, fields }) => ({ name, fields: fields.filter(has) })).filter(({ fields }) => fields.length > 0);
}

export function draftOf(model: Model): Draft {
  return Object.fromEntries(FIELDS.map((field) => [field.id, said(field, at(model, field.id))]));
}

function said({ id, kind }: Field, value: unknown): string {
  if (kind === 'outputs') return JSON.stringify(value ?? []);
  if (kind === 'json') return value == null ? '' : JSON.stringify(value, null, 2);
  if (kind === 'flag') return String(value ?? false);
  if (Array.isArray(value)) return value.join(kind === 'words' ? ', ' : '\n');
  if (kind === 'labels') return Object.entries(value ?? {}).map((label) => label.join('=')).join(', ');
  // The hub adds what stands for the address, the image or the folder.
  if (id === 'version') return String(value ?? '').replace(/\+[^+]*$/, '');
  return String(value ?? '');
}

function labelsOf(text: string): [key: string, value: string][] {
  const labels = text.split(',').map((one) => one.trim()).filter(Boolean);
  return labels.map((one) => [one.replace(/\s*=.*$/s, ''), /=\s*(.*)$/s.exec(one)?.[1] ?? '']);
}

/** A patch takes away what is null in it. */
function meant({ kind, optional }: Field, text: string, before = ''): unknown {
  if (kind === 'labels') return Object.fromEntries([...labelsOf(before).map(([key]) => [key, null] as const), ...labelsOf(text)]);
  if (kind === 'outputs') return JSON.parse(text) as unknown;
  if (kind === 'words' || kind === 'list') return text.split(kind === 'words' ? ',' : '\n').map((one) => one.trim()).filter(Boolean);
  if (kind === 'number') return text.trim() === '' ? null : Number(text);
  if (kind === 'json') return text.trim() ? patchOf(before ? JSON.parse(before) : null, JSON.parse(text)) : null;
  if (kind === 'choice' || optional) return text.trim() || null;
  return kind === 'flag' ? text === 'true' : text.trim();
}

/** The merge patch between two values. */
function patchOf(before: unknown, now: unknown): unknown {
  if (!isObject(before) || !isObject(now)) return now;
  const gone = Object.keys(before).filter((name) => !(name in now));
  const other = Object.keys(now).filter((name) => JSON.stringify(now[name]) !== JSON.stringify(before[name]));
  return Object.fromEntries([...gone.map((name) => [name, null] as const), ...other.map((name) => [name, patchOf(before[name], now[name])] as const)]);
}

function isObject(value: unknown): value is { readonly [name: string]: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What the hub need not be asked: texts that are no JSON, by their fields. */
export function faultsOf(draft: Draft): { [field: string]: string } {
  const faults: { [field: string]: string } = {};
  for (const { id } of FIELDS.filter(({ kind }) => kind === 'json')) {
    try {
      if (draft[id]?.trim() && !isObject(JSON.parse(draft[id]))) faults[id] = 'This is an object: {…}.';
    } catch (error) {
      faults[id] = `This is no JSON: ${(error as Error).message}`;
    }
  }
  return faults;
}

/** What is other than before, as the API takes it. What the model has not, because it runs otherwise, is left out. */
export function changeOf(before: Draft, now: Draft): { [member: string]: unknown } {
  const has = ({ id, runs }: Field) => id !== 'runs' && (!runs || runs === now['runs']);
  return together(FIELDS.filter((field) => has(field) && now[field.id] !== before[field.id]).map((field) => [field.id, meant(field, now[field.id] ?? '', before[field.id])]));
}

/** A new model: what was filled in, and the description of the input, which is needed even if empty. */
export function modelOf(id: string, draft: Draft): { [member: string]: unknown } {
  return { id, ...changeOf({ ...EMPTY, 'input.description': '\0' }, draft) };
}

/** An edit of a folder's model that is taken back. */
export function without(id: string): { [member: string]: unknown } {
  return together([[id, null]]);
}

export function isEdited(model: Model, id: string): boolean {
  return at(model.edits, id) !== undefined;
}

export interface Difference {
  readonly label: string;
  readonly seen: string;
  readonly theirs: string;
  readonly mine: string;
}

/** What was changed by somebody else or here since it was seen. */
export function differences(seen: Draft, theirs: Draft, mine: Draft): Difference[] {
  return FIELDS.filter(({ id }) => theirs[id] !== seen[id] || mine[id] !== seen[id]).map((field) => {
    const read = (draft: Draft) => readable(field, draft[field.id] ?? '');
    return { label: field.label, seen: read(seen), theirs: read(theirs), mine: read(mine) };
  });
}

function readable({ kind, options }: Field, text: string): string {
  if (kind === 'flag') return text === 'true' ? 'yes' : 'no';
  if (options) return options.find((one) => one.value === text)?.label ?? text;
  if (kind !== 'outputs') return text;
  return (JSON.parse(text) as Output[]).map((one) => [`${one.name}: ${one.kind}`, one.unit, one.direction && `${one.direction} is strong`, one.description].filter(Boolean).join(', ')).join('\n');
}

/** What the hub says of single fields, by their ids; pointers may go deeper than fields do. */
export function errorsOf({ problem, detail }: Failure): { [field: string]: string } {
  const all = problem.errors?.length ? problem.errors : problem.pointer ? [{ pointer: problem.pointer, detail }] : [];
  const errors: { [field: string]: string } = {};
  for (const { pointer, detail: why } of all) {
    const path = pointer.slice(1).replaceAll('/', '.');
    const id = path === 'id' ? 'id' : FIELDS.find((one) => path === one.id || path.startsWith(`${one.id}.`))?.id;
    if (id) errors[id] = [errors[id], why].filter(Boolean).join(' ');
  }
  return errors;
}

function at(document: unknown, id: string): unknown {
  return id.split('.').reduce<unknown>((part, name) => (part as { [name: string]: unknown } | null | undefined)?.[name], document);
}

function together(members: readonly (readonly [id: string, value: unknown])[]): { [member: string]: unknown } {
  const whole: { [member: string]: unknown } = {};
  for (const [id, value] of members) {
    const [first = '', second] = id.split('.');
    whole[first] = second ? { ...(whole[first] as object | undefined), [second]: value } : value;
  }
  return whole;
}
