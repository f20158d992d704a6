import type { ResultAsk, ResultTold } from './result-messages';
import { ResultStore } from './result-store';

const TELL_EVERY = 2_000;
const store = new ResultStore();

function tell(told: ResultTold): void {
  self.postMessage(told);
}

self.onmessage = ({ data }: MessageEvent<ResultAsk>) => {
  if ('open' in data) void read(data.open);
  else if ('view' in data) {
    const bins = store.view(data.view);
    tell({ shown: store.shown, bins, turn: data.turn });
  } else if ('slice' in data) tell({ rows: store.slice(...data.slice), turn: data.turn });
  else if ('pick' in data) tell({ picked: store.pick(data.pick), turn: data.turn });
  else if ('values' in data) tell({ values: store.values(data.values), turn: data.turn });
  else if ('place' in data) tell({ placed: store.place(data.place), turn: data.turn });
  else tell({ text: store.text(data.text, data.rows), turn: data.turn });
};

async function read(address: string): Promise<void> {
  try {
    const response = await fetch(address, { headers: { accept: 'application/x-ndjson' } });
    if (!response.ok || !response.body) {
      const problem = (await response.json().catch(() => ({}))) as { title?: string; detail?: string };
      const { status, headers } = response;
      return tell({ problem: problem.detail ?? `The answer was ${status}.`, title: problem.title ?? '', status, requestId: headers.get('x-request-id') });
    }
    let rest = '';
    let more = true;
    const lines = response.body.pipeThrough(new TextDecoderStream());
    for await (const piece of lines) {
      const cut = (rest + piece).split('\n');
      rest = cut.pop() ?? '';
      for (const line of cut) {
        if (line && !(more = store.take(line))) break;
        if (store.total % TELL_EVERY === 0) tell({ read: store.total });
      }
      if (!more) break;
    }
    if (more && rest) store.take(rest);
    const columns = store.end();
    tell({ columns, total: store.total, ...store.failed(), cut: store.cut });
    prepare();
  } catch {
    tell({ problem: 'The hub cannot be reached.', title: '', status: 0, requestId: null });
  }
}

/** A column at a time: what a person asks for meanwhile is answered in between. */
function prepare(): void {
  setTimeout(() => store.prepare() && prepare());
}
