import { Service, signal } from '@angular/core';

import { CHEM_WORKER } from '../../generated/workers';
import type { Drawn, Found, SdRecord, Told, Unreadable } from '../../workers/chem-messages';

/** Most pictures that are kept: a picture is 2 to 20 kB. */
const KEPT = 2_000;
/** So many are searched or written at a time. */
const PIECE = 200;

/** Draws molecules in a worker. */
@Service()
export class Chemist {
  #worker: Worker | undefined;
  #next = 1;
  readonly #waiting = new Map<number, (told: Told | null) => void>();
  readonly #kept = new Map<string, Promise<Drawn>>();
  /** The browser refused the worker: texts are shown instead. */
  readonly refused = signal(false);

  /** Loads the worker; the first picture takes a second or two. */
  warm(): void {
    void this.draw('C', 16, 16);
  }

  draw(smiles: string, width: number, height: number): Promise<Drawn> {
    const key = `${width}x${height} ${smiles}`;
    const kept = this.#kept.get(key);
    if (kept) return kept;
    const drawn = this.#ask({ draw: smiles, width, height }).then((told) =>
      told && 'drawn' in told ? told.drawn : { problem: 'Pictures cannot be drawn in this browser.' },
    );
    this.#kept.set(key, drawn);
    if (this.#kept.size > KEPT) this.#kept.delete(this.#kept.keys().next().value ?? '');
    return drawn;
  }

  /** Which of these are not SMILES; nothing is said if the worker cannot run. */
  async check(all: readonly string[]): Promise<readonly Unreadable[]> {
    const told = await this.#ask({ check: all });
    return told && 'unreadable' in told ? told.unreadable : [];
  }

  /** Which of these contain a substructure; piece by piece, so that pictures are drawn in between. */
  async find(query: string, among: readonly string[], goOn: (done: number) => boolean): Promise<Found> {
    const found: number[] = [];
    for (let from = 0; from < among.length; from += PIECE) {
      if (!goOn(from)) break;
      const told = await this.#ask({ find: query, among: among.slice(from, from + PIECE) });
      if (!told || !('found' in told)) return { problem: 'structures cannot be searched in this browser' };
      if ('problem' in told.found) return told.found;
      found.push(...told.found.found.map((at) => at + from));
    }
    return { found };
  }

  /** An SD file with coordinates; nothing if the worker cannot run or it was given up. */
  async sdf(records: readonly SdRecord[], goOn: (done: number) => boolean): Promise<string | null> {
    const pieces: string[] = [];
    for (let from = 0; from < records.length; from += PIECE) {
      if (!goOn(from)) return null;
      const told = await this.#ask({ sdf: records.slice(from, from + PIECE) });
      if (!told || !('text' in told)) return null;
      pieces.push(told.text);
    }
    return pieces.join('');
  }

  #ask(what: object): Promise<Told | null> {
    return new Promise((resolve) => {
      const id = this.#next++;
      this.#waiting.set(id, resolve);
      try {
        this.#worker ??= this.#start();
        this.#worker.postMessage({ id, ...what });
      } catch {
        this.#fail();
      }
    });
  }

  #start(): Worker {
    const worker = new Worker(CHEM_WORKER);
    worker.onmessage = ({ data }: MessageEvent<Told>) => {
      this.#waiting.get(data.id)?.(data);
      this.#waiting.delete(data.id);
    };
    worker.onerror = () => this.#fail();
    return worker;
  }

  #fail(): void {
    this.refused.set(true);
    for (const answer of this.#waiting.values()) answer(null);
    this.#waiting.clear();
  }
}
