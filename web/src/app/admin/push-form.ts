import { Component, computed, inject, input, output, signal } from '@angular/core';

import { url } from '../api/api';
import { Failure } from '../api/failure';
import { Session } from '../session/session';
import type { Schemas } from '../api/api';
import { binary, counted } from '../ui/format';
import { Icon } from '../ui/icon';
import { archive, counts, inside, type Part } from './tar';

export type Version = Schemas['ModelVersion'];

/** What is to be sent: a folder's files, or the archive that somebody made of them. */
interface Chosen {
  readonly name: string;
  readonly parts: readonly Part[];
  readonly archive: Blob | null;
  readonly bytes: number;
}

/** A folder or its archive is dropped, and sent to the hub. */
@Component({
  selector: 'm-push-form',
  imports: [Icon],
  template: `<form class="mform push" (submit)="$event.preventDefault(); push(name.value, inputs.value)">
      <div class="sheet drop" [class.dragging]="dragging()" (dragover)="over($event)" (dragleave)="dragging.set(false)" (drop)="drop($event)">
        <div class="void">
          @if (chosen(); as what) {
            <h3>{{ what.name }}</h3><p>{{ what.archive ? 'An archive' : counted(what.parts.length, 'file') }}, {{ binary(what.bytes) }}</p>
            @if (!sending()) {<div class="bts"><button type="button" class="btn" (click)="clear()">Remove</button></div>}
          } @else {
            <h3>Drop the model’s folder here</h3><p>Or its archive as tar.gz. Hidden files are left out; links are not followed.</p>
            <div class="bts"><label class="btn file"><m-icon name="file" />Choose a folder<input type="file" class="vh" webkitdirectory (change)="choose($event)" /></label>
              <label class="btn file"><m-icon name="file" />Choose an archive<input type="file" class="vh" accept=".gz,.tgz,application/gzip" (change)="choose($event)" /></label></div>
          }
        </div>
      </div>
      <div class="fgrid">
        <div class="field"><label for="push-id">Id</label><input #name class="in sm mono" id="push-id" maxlength="58" autocomplete="off" placeholder="solubility" [readonly]="!!id()" [value]="id() || proposed()" aria-describedby="push-id-hint" /><p class="hint" id="push-id-hint">{{ id() ? 'Another version of this model.' : 'Small letters, digits, points and dashes. It stays as it is.' }}</p></div>
        <div class="field"><label for="push-inputs">Inputs to try it with</label><textarea #inputs class="in mono" id="push-inputs" rows="3" spellcheck="false" aria-describedby="push-inputs-hint"></textarea><p class="hint" id="push-inputs-hint">One a line. Without any, the folder’s own example is taken.</p></div>
      </div>
      @if (sending(); as sent) {
        <div class="note r" role="status"><m-icon name="s-running" /><span><b class="strong">{{ sent.of === 0 ? 'Packing.' : sent.done < sent.of ? 'Sending.' : 'Reading.' }}</b> {{ sent.of === 0 ? 'The folder is made an archive.' : sent.done < sent.of ? binary(sent.done) + ' of ' + binary(sent.of) + ' are sent.' : 'The hub reads and checks it. Nothing of it runs yet.' }}
          @if (sent.of > 0) {<progress [value]="sent.done" [max]="sent.of" aria-label="Sent"></progress>}</span>
          <span class="end"><button type="button" class="btn txt" (click)="stop()">Stop</button></span></div>
      }
      @if (failure(); as failure) {
        <div class="note f" role="alert"><m-icon name="warn" /><span><b class="strong">{{ failure.problem.title ?? 'It was not taken' }}.</b> {{ failure.detail }}@if (failure.requestId) {<span class="mut"> Request id <span class="mono">{{ failure.requestId }}</span></span>}</span></div>
      }
      <div class="mend"><span class="mut">Its example runs before anybody else uses it. Until that has predictions, the version before is served.</span><button class="btn pri" [disabled]="!chosen() || !!sending()">Push</button></div>
    </form>`,
})
export class PushForm {
  /** The model that gets another version; none: a new one. */
  readonly id = input('');
  readonly pushed = output<{ id: string; version: Version }>();
  readonly #session = inject(Session);
  protected readonly dragging = signal(false);
  protected readonly chosen = signal<Chosen | null>(null);
  protected readonly sending = signal<{ done: number; of: number } | null>(null);
  protected readonly failure = signal<Failure | null>(null);
  protected readonly proposed = computed(() => idOf(this.chosen()?.name ?? ''));
  protected readonly binary = binary;
  protected readonly counted = counted;
  #stop: (() => void) | null = null;

  protected over(event: DragEvent): void {
    event.preventDefault();
    this.dragging.set(true);
  }

  protected drop(event: DragEvent): void {
    event.preventDefault();
    this.dragging.set(false);
    // Before anything is waited for: the browser forgets what was dropped.
    const entries = [...(event.dataTransfer?.items ?? [])].flatMap((item) => item.webkitGetAsEntry() ?? []);
    if (entries.length > 0) void this.#take(entries);
    else this.#put([...(event.dataTransfer?.files ?? [])].map((file) => ({ path: file.name, file })));
  }

  protected choose(event: Event): void {
    const box = event.target as HTMLInputElement;
    this.#put([...(box.files ?? [])].map((file) => ({ path: file.webkitRelativePath || file.name, file })));
    box.value = '';
  }

  protected clear(): void {
    this.chosen.set(null);
    this.failure.set(null);
  }

  protected stop(): void {
    this.#stop?.();
  }

  protected async push(name: string, inputs: string): Promise<void> {
    const what = this.chosen();
    const id = name.trim();
    if (!what || this.sending()) return;
    this.failure.set(null);
    this.sending.set({ done: 0, of: 0 });
    let stopped = false;
    this.#stop = () => (stopped = true);
    try {
      const body = what.archive ?? (await archive(what.parts));
      if (stopped) return;
      const example = inputs.split('\n').map((line) => line.trim()).filter(Boolean);
      const address = url('/api/v1/catalogue/{id}/versions', { path: { id }, query: { example } });
      const response = await this.#session.send(() => this.#send(address, body));
      if (!response.ok) throw await Failure.from(response);
      this.pushed.emit({ id, version: (await response.json()) as Version });
      this.chosen.set(null);
    } catch (error) {
      if (!stopped && !(error instanceof DOMException && error.name === 'AbortError')) this.failure.set(error instanceof TypeError ? Failure.unreachable() : Failure.of(error));
    } finally {
      this.sending.set(null);
      this.#stop = null;
    }
  }

  /** As `fetch` does it, which does not tell how much of a body is sent. */
  #send(address: string, body: Blob): Promise<Response> {
    return new Promise((done, failed) => {
      const request = new XMLHttpRequest();
      request.open('POST', address);
      request.setRequestHeader('content-type', 'application/gzip');
      request.setRequestHeader('accept', 'application/json');
      request.upload.onprogress = ({ loaded, total }) => this.sending.set({ done: loaded, of: total });
      request.onload = () => {
        const headers = new Headers();
        for (const name of ['content-type', 'x-request-id', 'retry-after']) {
          const value = request.getResponseHeader(name);
          if (value !== null) headers.set(name, value);
        }
        done(new Response(request.responseText, { status: request.status, statusText: request.statusText, headers }));
      };
      request.onerror = () => failed(new TypeError('no answer'));
      request.onabort = () => failed(new DOMException('stopped', 'AbortError'));
      this.#stop = () => request.abort();
      this.sending.set({ done: 0, of: body.size });
      request.send(body);
    });
  }

  async #take(entries: readonly FileSystemEntry[]): Promise<void> {
    try {
      const parts: Part[] = [];
      for (const entry of entries) await collect(entry, parts);
      this.#put(parts);
    } catch {
      this.failure.set(new Failure(-1, 'The browser cannot read all of the folder. Make a tar.gz of it and drop that.'));
    }
  }

  #put(parts: readonly Part[]): void {
    this.failure.set(null);
    const [first] = parts;
    if (!first) return;
    if (parts.length === 1 && /\.(tgz|tar\.gz)$/i.test(first.path)) {
      this.chosen.set({ name: first.path, parts, archive: first.file, bytes: first.file.size });
      return;
    }
    const folder = inside(parts);
    const counted = folder.parts.filter(({ path }) => counts(path));
    if (!folder.name || counted.length === 0) {
      this.failure.set(new Failure(-1, 'This is neither a folder nor a tar.gz. Drop the folder itself, not what is in it.'));
      return;
    }
    this.chosen.set({ name: folder.name, parts: counted, archive: null, bytes: counted.reduce((sum, { file }) => sum + file.size, 0) });
  }
}

/** A folder's or archive's name as an id, as far as it can be one. */
export function idOf(name: string): string {
  const id = name.toLowerCase().replace(/\.(tgz|tar\.gz)$/, '').replace(/[^a-z0-9._-]+/g, '-').replace(/^[^a-z0-9]+/, '');
  return id.slice(0, 58);
}

async function collect(entry: FileSystemEntry, parts: Part[]): Promise<void> {
  const path = entry.fullPath.replace(/^\//, '');
  if (entry.isFile) {
    const file = await new Promise<File>((done, failed) => (entry as FileSystemFileEntry).file(done, failed));
    parts.push({ path, file });
    return;
  }
  // It gives some at a time, and none at the end.
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((done, failed) => reader.readEntries(done, failed));
    if (some.length === 0) return;
    for (const one of some) if (counts(one.name)) await collect(one, parts);
  }
}
