import { Events } from './events';

test('events are read wherever the bytes are cut', () => {
  const text = ': connected\n\nevent: request\ndata: {"id":"ä"}\n\nevent: models\r\ndata: {}\r\n\r\n: still here\n\n';
  const bytes = new TextEncoder().encode(text);
  for (const size of [1, 2, 3, 7, 1000]) {
    const events = new Events();
    const found = [];
    for (let at = 0; at < bytes.length; at += size) found.push(...events.take(bytes.subarray(at, at + size)));
    expect(found).toEqual([
      { name: 'request', data: '{"id":"ä"}' },
      { name: 'models', data: '{}' },
    ]);
  }
});
