// A folder as tar.gz, as the hub takes it: the same bytes for the same content, whoever makes them.

/** A file of a folder, by its path in it. */
export interface Part {
  readonly path: string;
  readonly file: Blob;
}

const BLOCK = 512;
const encoder = new TextEncoder();

/** Does a path belong to a model? Hidden files and what Python compiled do not. */
export function counts(path: string): boolean {
  return path.split('/').every((name) => !name.startsWith('.') && name !== '__pycache__' && !name.endsWith('.pyc'));
}

/** The folder around all of them, if there is one: its name, and the paths in it. */
export function inside(parts: readonly Part[]): { readonly name: string; readonly parts: readonly Part[] } {
  const name = parts[0]?.path.split('/')[0] ?? '';
  const around = parts.length > 0 && parts.every(({ path }) => path.startsWith(`${name}/`));
  return around ? { name, parts: parts.map(({ path, file }) => ({ path: path.slice(name.length + 1), file })) } : { name: '', parts };
}

export async function archive(parts: readonly Part[]): Promise<Blob> {
  const order = (one: Part, other: Part) => (one.path < other.path ? -1 : one.path > other.path ? 1 : 0);
  const pieces: BlobPart[] = [];
  for (const { path, file } of parts.filter(({ path }) => counts(path)).sort(order)) {
    const name = encoder.encode(path);
    if (name.length > 100) pieces.push(...entry('pax', 'x', record(path)));
    pieces.push(header(name.slice(0, 100), '0', file.size), file, zeros(file.size));
  }
  pieces.push(new Uint8Array(2 * BLOCK));
  const packed = new Blob(pieces).stream().pipeThrough(new CompressionStream('gzip'));
  return new Response(packed, { headers: { 'content-type': 'application/gzip' } }).blob();
}

function entry(name: string, kind: string, bytes: Uint8Array<ArrayBuffer>): BlobPart[] {
  return [header(encoder.encode(name), kind, bytes.length), bytes, zeros(bytes.length)];
}

/** `LENGTH path=PATH` and a line end, where the length counts itself (POSIX, pax). */
export function record(path: string): Uint8Array<ArrayBuffer> {
  const rest = encoder.encode(` path=${path}\n`).length;
  let length = rest + 1;
  while (length !== rest + String(length).length) length = rest + String(length).length;
  return encoder.encode(`${length} path=${path}\n`);
}

function zeros(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array((BLOCK - (length % BLOCK)) % BLOCK);
}

function header(name: Uint8Array, kind: string, size: number): Uint8Array<ArrayBuffer> {
  const block = new Uint8Array(BLOCK);
  const put = (at: number, text: string) => block.set(encoder.encode(text), at);
  const octal = (at: number, digits: number, n: number) => put(at, n.toString(8).padStart(digits, '0'));
  block.set(name, 0);
  octal(100, 7, 0o644);
  octal(108, 7, 0);
  octal(116, 7, 0);
  // Eight gigabytes and more have no room here; the hub takes no such file by default.
  octal(124, 11, Math.min(size, 0o77777777777));
  octal(136, 11, 0);
  put(148, ' '.repeat(8));
  put(156, kind);
  put(257, 'ustar\u000000');
  octal(148, 6, block.reduce((sum, byte) => sum + byte, 0));
  put(154, '\u0000 ');
  return block;
}
