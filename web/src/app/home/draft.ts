import { Service, computed, inject, signal } from '@angular/core';
import { Router } from '@angular/router';

import { Failure } from '../api/failure';
import type { Schemas } from '../api/api';
import { Session } from '../session/session';
import { whyNotText } from './not-text';
import { Reader } from './reader';
import { type Dialect, CONTENT_TYPES, dialectOf, numberOf, separatorName, type Sheet, sheet, type Wish } from './sheet';

/** So much is looked at here and at once; what is larger is read in a worker. */
const HEAD = 128 << 10;
/** A box with more lines would stop the page. */
const MOST_LINES = 2_000;
/** Requests of so many inputs are waited for: the table comes at once. */
const SMALL = 100;
const FIRST_REST = 1_000;
const LONGEST_REST = 8_000;

export interface Choice {
  readonly column: string | null;
  readonly header: Wish['header'];
  readonly separator: string | null;
  readonly cache: boolean;
  /** What the person calls the request. */
  readonly label: string;
}

const NO_CHOICE: Choice = { column: null, header: 'auto', separator: null, cache: true, label: '' };

/** What was pasted or dropped and not sent yet. It stays while one looks at models. */
@Service()
export class Draft {
  readonly #session = inject(Session);
  readonly #router = inject(Router);
  /** All that was pasted, or the beginning of what is large. */
  readonly text = signal('');
  /** A file, or a pasted text that is too large for the box. */
  readonly whole = signal<Blob | null>(null);
  readonly file = computed(() => {
    const whole = this.whole();
    return whole instanceof File ? whole : null;
  });
  /** `text` is only the beginning. */
  readonly cut = signal(false);
  readonly #reader = new Reader();
  readonly choice = signal(NO_CHOICE);
  /** Why the file cannot be taken. */
  readonly refused = signal<string | null>(null);
  readonly sending = signal<{ sent: number; of: number; trouble: string | null } | null>(null);
  readonly failure = signal<Failure | null>(null);
  #abort: (() => void) | null = null;

  readonly empty = computed(() => this.text().trim() === '' && !this.whole());
  readonly dialect = computed<Dialect>(() => dialectOf(this.text(), this.file()?.name));
  readonly bytes = computed(() => this.whole()?.size ?? new Blob([this.text()]).size);
  /** All rows of what is large are being counted. */
  readonly counting = computed(() => this.#reader.busy());

  /** `choice`: as if that was chosen. */
  sheet(names: readonly string[], choice: Pick<Choice, 'column' | 'header' | 'separator'> = this.choice()): Sheet {
    const wish = wishOf(names, choice);
    return this.#reader.sheet(this.dialect(), wish) ?? sheet(this.text(), this.dialect(), wish, this.cut());
  }

  /** Has all of what is large read, as `sheet` will then tell. */
  look(names: readonly string[]): void {
    if (this.cut()) this.#reader.read(this.dialect(), wishOf(names, this.choice()));
  }

  paste(text: string): void {
    const head = headOf(text);
    this.#new(head, head.length < text.length ? new Blob([text], { type: 'text/plain' }) : null);
  }

  /** The same list, changed. How it is read was chosen by its first line: while that stays, so does the choice. */
  change(text: string, readAlike = firstLine(text) === firstLine(this.text())): void {
    const { cache, label, ...reading } = this.choice();
    this.paste(text);
    this.choice.set({ ...NO_CHOICE, ...(readAlike && reading), cache, label });
  }

  async drop(file: File): Promise<void> {
    const bytes = new Uint8Array(await file.slice(0, HEAD).arrayBuffer());
    const refused = whyNotText(bytes, file.name);
    this.refused.set(refused);
    if (refused) return;
    // A record that is cut is none.
    const text = new TextDecoder().decode(bytes);
    this.#new(file.size > HEAD ? text.slice(0, text.lastIndexOf('\n') + 1) : text, file);
  }

  clear(): void {
    this.paste('');
  }

  #new(text: string, whole: Blob | null): void {
    const cut = whole !== null && (whole.size > HEAD || !(whole instanceof File));
    this.text.set(text);
    this.whole.set(whole);
    this.cut.set(cut);
    this.#reader.open(cut ? whole : null);
    this.choice.set(NO_CHOICE);
    this.failure.set(null);
    this.refused.set(null);
  }

  /** Sends it under one key, however often that takes, and goes to the request. */
  async run(model: string, read: Sheet): Promise<void> {
    const key = crypto.randomUUID();
    const body: Blob = this.whole() ?? new Blob([this.text()]);
    const { cache, label } = this.choice();
    const query = new URLSearchParams({ model, ...readingQuery(this.choice()) });
    if (!cache) query.set('cache', 'false');
    if (label.trim()) query.set('label', label.trim());
    if (!read.cut && numberOf(read) <= SMALL) query.set('wait', '5');
    this.failure.set(null);
    this.sending.set({ sent: 0, of: body.size, trouble: null });
    let stopped = false;
    try {
      for (let rest = FIRST_REST; ; rest = Math.min(LONGEST_REST, rest * 2)) {
        try {
          await this.#session.begin();
          const request = await new Promise<Schemas['Request']>((resolve, reject) => {
            this.#abort = send(`api/v1/requests?${query}`, body, { 'content-type': CONTENT_TYPES[this.dialect()], 'idempotency-key': key }, (sent) => this.sending.set({ sent, of: body.size, trouble: null }), resolve, reject);
          });
          this.clear();
          await this.#router.navigate(['/requests', request.id]);
          return;
        } catch (error) {
          const failure = Failure.of(error);
          if (failure.status === 401 && (await this.#session.back())) continue;
          if (failure.status === 0) this.#session.lost();
          if (!failure.passes) throw failure;
          this.sending.set({ sent: 0, of: body.size, trouble: failure.detail });
          await new Promise<void>((resolve) => {
            const timer = setTimeout(resolve, rest);
            this.#abort = () => {
              stopped = true;
              clearTimeout(timer);
              resolve();
            };
          });
          if (stopped) return;
        }
      }
    } catch (error) {
      if (!(error instanceof Aborted)) this.failure.set(Failure.of(error));
    } finally {
      this.#abort = null;
      this.sending.set(null);
    }
  }

  stop(): void {
    this.#abort?.();
  }
}

function wishOf(names: readonly string[], { column, header, separator }: Pick<Choice, 'column' | 'header' | 'separator'>): Wish {
  return { names, column, header, separator };
}

/** Of a text that is too large for a box, whole lines of its beginning. */
export function headOf(text: string): string {
  const head = text.length > HEAD ? text.slice(0, text.lastIndexOf('\n', HEAD) + 1 || HEAD) : text;
  let end = 0;
  for (let n = 0; n < MOST_LINES; n++) {
    end = head.indexOf('\n', end) + 1;
    if (end === 0) return head;
  }
  return head.slice(0, end);
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? '';
}

/** How the hub is told to read it, if it is told. */
export function readingQuery({ column, header, separator }: Pick<Choice, 'column' | 'header' | 'separator'>): { [name: string]: string } {
  return { ...(column !== null && { column }), ...(header !== 'auto' && { header }), ...(separator !== null && { separator: separatorName(separator) }) };
}

class Aborted extends Error {}

/** By XMLHttpRequest, which tells how much is sent. */
function send(
  address: string,
  body: Blob,
  headers: { [name: string]: string },
  progress: (sent: number) => void,
  resolve: (answer: Schemas['Request']) => void,
  reject: (error: Error) => void,
): () => void {
  const request = new XMLHttpRequest();
  request.open('POST', address);
  for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
  request.upload.onprogress = (event) => progress(event.loaded);
  request.onerror = () => reject(Failure.unreachable());
  request.onabort = () => reject(new Aborted());
  request.onload = () => {
    const { status, statusText } = request;
    if (status >= 200 && status < 300) {
      try {
        return resolve(JSON.parse(request.responseText) as Schemas['Request']);
      } catch {
        // A portal's page, say.
        return reject(Failure.unreachable());
      }
    }
    const answered = new Headers();
    for (const name of ['content-type', 'x-request-id', 'retry-after']) {
      const value = request.getResponseHeader(name);
      if (value) answered.set(name, value);
    }
    void Failure.from(new Response(request.responseText, { status, statusText, headers: answered })).then(reject);
  };
  request.send(body);
  return () => request.abort();
}
