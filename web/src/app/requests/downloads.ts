import { Component, computed, inject, input, signal } from '@angular/core';

import type { Schemas } from '../api/api';
import { Chemist } from '../chem/chemist';
import { takesMolecules } from '../model/words';
import { Clock } from '../ui/clock';
import { count, counted, moment } from '../ui/format';
import { Icon } from '../ui/icon';
import { Pop } from '../ui/pop';
import { save } from '../ui/save';
import { Toasts } from '../ui/toasts';
import type { TextFormat } from '../../workers/result-messages';
import type { Result } from './result';
import { sdRecords } from './sd-records';

interface Format {
  readonly id: string;
  readonly label: string;
  readonly what: string;
  /** Made here of any rows, with this media type; the hub makes them of all. */
  readonly type?: string;
}

const FORMATS: readonly Format[] = [
  { id: 'csv', label: 'CSV', what: 'yours and the predictions', type: 'text/csv' },
  { id: 'xlsx', label: 'XLSX', what: 'numbers as numbers' },
  { id: 'sdf', label: 'SDF', what: 'with 2D structures', type: 'chemical/x-mdl-sdfile' },
  { id: 'json', label: 'JSON', what: 'one list', type: 'application/json' },
  { id: 'ndjson', label: 'NDJSON', what: 'one row a line', type: 'application/x-ndjson' },
  { id: 'parquet', label: 'Parquet', what: 'typed columns' },
  { id: 'arrow', label: 'Arrow', what: 'for notebooks' },
];

type Which = 'all' | 'shown' | 'selected';

/** All rows, those that are shown or those that were selected, as files. */
@Component({
  selector: 'm-downloads',
  imports: [Icon, Pop],
  template: `<button type="button" class="btn pri" #button aria-haspopup="dialog" [attr.aria-expanded]="menu.open()" (click)="menu.toggle(button)"><m-icon name="download" />Download<m-icon name="down" /></button>
    <div mPop #menu="mPop" class="dl" role="group" aria-label="Download">
      @if (parts().length > 1) {
        <div class="seg" role="group" aria-label="Rows">@for (part of parts(); track part.id) {<button type="button" [class.on]="part.id === which()" [attr.aria-pressed]="part.id === which()" (click)="wanted.set(part.id)">{{ part.label }}</button>}</div>
      }
      @for (format of formats(); track format.id) {
        @if (byHub(format)) {
          <a class="mi" [href]="'api/v1/requests/' + request().id + '/result?format=' + format.id + piece()" [download]="nameOf(format.id, 'all')" (click)="menu.close()"><b>{{ format.label }}</b><i>{{ which() === 'all' || piece() ? format.what : 'all ' + counted(total(), 'row') }}</i></a>
        } @else {
          <button type="button" class="mi" (click)="make(format); menu.close()"><b>{{ format.label }}</b><i>{{ format.what }}</i></button>
        }
      }
      <p>{{ which() === 'shown' ? 'Rows in the order of the table.' : 'Rows in the order of the inputs.' }}@if (which() !== 'all' && !piece()) { The hub makes XLSX, Parquet and Arrow, of all rows or of neighbours.}@if (request().expires_at; as at) { Kept until {{ moment(at, clock.now()) }}.}</p>
    </div>`,
})
export class Downloads {
  readonly request = input.required<Schemas['Request']>();
  readonly model = input<Schemas['Model']>();
  readonly result = input.required<Result>();
  protected readonly clock = inject(Clock);
  readonly #chemist = inject(Chemist);
  readonly #toasts = inject(Toasts);
  protected readonly moment = moment;
  protected readonly wanted = signal<Which>('all');
  protected readonly counted = counted;
  protected readonly total = computed(() => this.result().columns()?.total ?? 0);
  protected readonly parts = computed(() => {
    const total = this.total();
    const shown = this.result().shown()?.number ?? total;
    const selected = this.result().selected().size;
    const parts: { id: Which; label: string }[] = [{ id: 'all', label: `All ${count(total)}` }];
    if (shown < total) parts.push({ id: 'shown', label: `Shown ${count(shown)}` });
    if (selected > 0) parts.push({ id: 'selected', label: `Selected ${count(selected)}` });
    return parts;
  });
  protected readonly which = computed<Which>(() => (this.parts().some((part) => part.id === this.wanted()) ? this.wanted() : 'all'));
  /** What the hub is asked for of a selection without gaps; nothing if it has some. */
  protected readonly piece = computed(() => {
    const rows = this.result().picked();
    const [first = 0, last = -1] = [rows[0], rows.at(-1)];
    return this.which() === 'selected' && last - first === rows.length - 1 ? `&offset=${first}&limit=${rows.length}` : '';
  });
  protected readonly formats = computed(() => {
    const model = this.model();
    const molecules = !!model && takesMolecules(model) && !!this.result().columns();
    const those = FORMATS.filter(({ id }) => id !== 'sdf' || molecules);
    // What has the rows that were chosen stands first.
    return this.which() === 'all' || this.piece() ? those : [...those.filter(({ type }) => type), ...those.filter(({ type }) => !type)];
  });

  /** The hub makes every format of all rows; the page makes some of any rows, and structures. */
  protected byHub({ id, type }: Format): boolean {
    return id !== 'sdf' && (this.which() === 'all' || !type);
  }

  protected nameOf(format: string, rows: Which = this.which()): string {
    const { model, id } = this.request();
    const which = rows === 'all' ? '' : `-${rows}`;
    return `${model}-${id.slice(-6)}${which}.${format}`;
  }

  protected async make({ id, type }: Format): Promise<void> {
    const name = this.nameOf(id);
    const result = this.result();
    const all = [...Array(this.total()).keys()];
    const rows = this.which() === 'selected' ? result.picked() : this.which() === 'shown' ? null : all;
    if (id !== 'sdf') return this.#done(await result.text(id as TextFormat, rows), name, type, rows);
    const records = sdRecords(result.columns()?.columns ?? [], await result.pick(rows), this.request().reading);
    let stopped = false;
    const say = (done: number) => {
      if (done > 0) this.#toasts.say(`${count(done)} of ${count(records.length)} structures are laid out.`, { label: 'Stop', run: () => (stopped = true) }, 60_000);
      return !stopped;
    };
    const text = await this.#chemist.sdf(records, say);
    if (text === null) this.#toasts.say(stopped ? 'Nothing was saved.' : 'Structures cannot be laid out in this browser.');
    else this.#done(text, name, type, rows);
  }

  #done(text: string, name: string, type: string | undefined, rows: readonly number[] | null): void {
    save(text, name, type ?? 'text/plain');
    this.#toasts.say(`Saved ${counted(rows?.length ?? this.result().shown()?.number ?? 0, 'row')}.`);
  }
}
