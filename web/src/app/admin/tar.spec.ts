import { archive, counts, inside, record } from './tar';

const part = (path: string, text = path) => ({ path, file: new Blob([text]) });
const decoder = new TextDecoder();

/** What any reader of tar finds: name, kind and text of each entry. */
async function read(packed: Blob): Promise<[string, string, string][]> {
  const bytes = new Uint8Array(await new Response(packed.stream().pipeThrough(new DecompressionStream('gzip'))).arrayBuffer());
  expect(bytes.length % 512).toBe(0);
  const found: [string, string, string][] = [];
  for (let at = 0; bytes[at] !== 0; ) {
    const block = bytes.slice(at, at + 512);
    const text = (from: number, to: number) => decoder.decode(block.slice(from, to)).replace(/\0.*$/s, '');
    const sum = parseInt(text(148, 154), 8);
    block.fill(32, 148, 156);
    expect(block.reduce((all, byte) => all + byte, 0)).toBe(sum);
    const size = parseInt(text(124, 135), 8);
    found.push([text(0, 100), text(156, 157), decoder.decode(bytes.slice(at + 512, at + 512 + size))]);
    at += 512 + 512 * Math.ceil(size / 512);
  }
  return found;
}

test('what counts of a folder is packed in order, and long names stand before their files', async () => {
  const long = `${'d'.repeat(90)}/${'ü'.repeat(20)}.txt`;
  const parts = [part('predict.py'), part(long, 'far'), part('.git/config'), part('__pycache__/x.pyc'), part('a/b', 'x'.repeat(1000))];
  const found = await read(await archive(parts));
  expect(found.map(([, kind]) => kind)).toEqual(['0', 'x', '0', '0']);
  expect(found[0]?.slice(0, 2)).toEqual(['a/b', '0']);
  expect(found[1]?.[2]).toBe(decoder.decode(record(long)));
  expect(found[2]?.[2]).toBe('far');
  expect(found[3]?.[0]).toBe('predict.py');
});

test('the length of a record counts itself', () => {
  for (const length of [1, 84, 85, 86, 90, 91, 980, 990]) {
    const text = decoder.decode(record('x'.repeat(length)));
    expect(text.length).toBe(Number(text.split(' ')[0]));
  }
});

test('the folder around everything gives the name', () => {
  expect(inside([part('sol/model.toml'), part('sol/a/b')])).toMatchObject({ name: 'sol', parts: [{ path: 'model.toml' }, { path: 'a/b' }] });
  expect(inside([part('sol/model.toml'), part('b')]).name).toBe('');
  expect([counts('a/.b/c'), counts('a/b.pyc'), counts('a/b')]).toEqual([false, false, true]);
});
