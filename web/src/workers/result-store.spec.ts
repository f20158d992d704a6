import { ResultStore } from './result-store';

const all = { sort: null, down: false, ranges: [], text: '', failed: false, rows: null };

function store() {
  const store = new ResultStore();
  for (const row of [
    { name: 'b', smiles: 'CCO', logp: 1.5, hbd: 1, error: null },
    { name: '=a', smiles: 'C"C', logp: -2, hbd: 0, error: null },
    { name: 'c', smiles: 'bad', logp: null, hbd: null, error: 'ring not closed' },
    { name: 'd', smiles: 'CC', logp: 10, hbd: 12, error: null },
  ]) store.take(JSON.stringify(row));
  store.end();
  return store;
}
const names = (one: ResultStore) => one.slice(0, 10).map((row) => row.values[0]);

test('columns are told with what they hold', () => {
  const [name, , logp, hbd] = store().end();
  expect([name?.kind, logp?.kind, logp?.whole, hbd?.whole]).toEqual(['text', 'number', false, true]);
  expect([logp?.least, logp?.most, logp?.bins.reduce((a, b) => a + b)]).toEqual([-2, 10, 3]);
  expect(store().failed()).toEqual({ failed: 1, errors: [['ring not closed', 1]] });
});

test('what is empty stands last, up and down', () => {
  const one = store();
  one.view({ ...all, sort: 'logp' });
  expect(names(one)).toEqual(['=a', 'b', 'd', 'c']);
  one.view({ ...all, sort: 'logp', down: true });
  expect(names(one)).toEqual(['d', 'b', '=a', 'c']);
});

test('texts stand as people count, equal ones as they came, made ready or not', () => {
  for (const ready of [true, false]) {
    const one = new ResultStore();
    ['x10', null, 'x9', 7, 'x9', 'X9', 'a'].forEach((id, at) => one.take(JSON.stringify({ id, at })));
    one.end();
    while (ready && one.prepare());
    one.view({ ...all, sort: 'id' });
    expect(one.slice(0, 9).map((row) => row.values[1])).toEqual([3, 6, 2, 4, 5, 0, 1]);
    one.view({ ...all, sort: 'id', down: true });
    expect(one.slice(0, 9).map((row) => row.values[1])).toEqual([0, 5, 2, 4, 6, 3, 1]);
  }
});

test('filters hold together, and the bins are of what is shown', () => {
  const one = store();
  const bins = one.view({ ...all, ranges: [{ column: 'logp', low: -5, high: 5 }] });
  expect([one.shown, bins['hbd']?.reduce((a, b) => a + b)]).toEqual([2, 2]);
  one.view({ ...all, ranges: [{ column: 'logp', low: -5, high: 5 }], text: 'CCO' });
  expect(names(one)).toEqual(['b']);
  one.view({ ...all, failed: true });
  expect(names(one)).toEqual(['c']);
});

test('tables as text: quoted, and nothing that a spreadsheet would run', () => {
  expect(store().text('csv', [1, 2])).toBe(`name,smiles,logp,hbd,error\r\n'=a,"C""C",-2,0,\r\nc,bad,,,ring not closed\r\n`);
  expect(store().text('tsv', [0]).split('\n')[1]).toBe('b\tCCO\t1.5\t1\t');
});

test('a table as JSON has its numbers as numbers, and why there is none', () => {
  expect(JSON.parse(store().text('json', [0, 2]))).toEqual([
    { name: 'b', smiles: 'CCO', logp: 1.5, hbd: 1 },
    { name: 'c', smiles: 'bad', logp: null, hbd: null, error: 'ring not closed' },
  ]);
  expect(store().text('ndjson', [0]).trimEnd().split('\n')).toHaveLength(1);
});

test('a row is told where its values stand among all', () => {
  const placed = store().place(0);
  expect([placed?.row.values[0], placed?.below[2]?.toFixed(0), placed?.below[0]]).toEqual(['b', '33', null]);
  expect(store().place(99)).toBe(null);
});

test('rows that a substructure is in are filtered and sorted as all are', () => {
  const one = store();
  one.view({ ...all, rows: [0, 1], sort: 'logp' });
  expect(names(one)).toEqual(['=a', 'b']);
});

test('100,000 rows of ten numbers are filtered and sorted, none is lost', () => {
  const one = new ResultStore();
  const value = (at: number, n: number) => (at * (n + 7)) % 1013;
  for (let at = 0; at < 100_000; at++) one.take(JSON.stringify({ input: `C${at}`, ...Object.fromEntries(Array.from({ length: 10 }, (_, n) => [`v${n}`, value(at, n)])) }));
  one.end();
  one.view({ ...all, sort: 'v3', ranges: [{ column: 'v1', low: 10, high: 900 }] });
  const wanted = Array.from({ length: 100_000 }, (_, at) => at).filter((at) => value(at, 1) >= 10 && value(at, 1) <= 900);
  expect([one.total, one.shown]).toEqual([100_000, wanted.length]);
  const shown = one.slice(0, wanted.length).map((row) => Number(row.values[4]));
  expect(shown).toEqual(wanted.map((at) => value(at, 3)).sort((a, b) => a - b));
}, 60_000);
