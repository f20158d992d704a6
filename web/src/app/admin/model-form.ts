import { Component, computed, inject, input, linkedSignal, output, signal, untracked } from '@angular/core';

import { Api, type Schemas } from '../api/api';
import { Failure } from '../api/failure';
import { Session } from '../session/session';
import { Dialog } from '../ui/dialog';
import { Icon } from '../ui/icon';
import { changeOf, type Difference, differences, type Draft, draftOf, EMPTY, errorsOf, faultsOf, type Field, groupsOf, isEdited, modelOf, without } from './model-draft';
import { OutputsField } from './outputs-field';

type Model = Schemas['CatalogueModel'];

/** A model's fields, of one that is there or of a new one. Who saves over somebody else's change sees both first. */
@Component({
  selector: 'm-model-form',
  imports: [Dialog, Icon, OutputsField],
  template: `<form novalidate class="mform" (submit)="save($event)">
      @if (!model()) {
        <div class="field"><label for="model-id">Id</label><input #id class="in sm mono" id="model-id" maxlength="64" placeholder="solubility" autocomplete="off" [value]="newId()" (input)="newId.set(id.value)" [attr.aria-invalid]="errors()['id'] ? true : null" aria-describedby="model-id-hint" />
          <p class="hint" id="model-id-hint">{{ errors()['id'] ?? 'Small letters, digits, points and dashes. It stays as it is.' }}</p></div>
      }
      @for (group of groups(); track group.name) {
        <fieldset><legend><h2>{{ group.name }}</h2></legend><div class="fgrid">
          @for (field of group.fields; track field.id) {
            @if (field.kind === 'flag') {
              <label class="full chk"><input #flag type="checkbox" class="cb" [checked]="draft()[field.id] === 'true'" (change)="put(field.id, flag.checked ? 'true' : 'false')" />{{ field.label }}
                @if (edited(field)) {<span class="mut">edited here</span><button type="button" class="link" (click)="takeBack(field)">Take back</button>}</label>
            } @else {
              <div class="field" [class.full]="isWide(field)">
                <div class="fl">@if (field.kind === 'outputs') {<span class="l">{{ field.label }}</span>} @else {<label [for]="'f-' + field.id">{{ field.label }}</label>}@if (edited(field)) {<span class="mut">edited here</span><button type="button" class="link" [attr.aria-label]="'Take back what was edited of ' + field.label" (click)="takeBack(field)">Take back</button>}</div>
                @switch (field.kind) {
                  @case ('outputs') {<m-outputs-field [value]="draft()[field.id] ?? '[]'" (valueChange)="put(field.id, $event)" />}
                  @case ('text') {<textarea #area class="in" rows="4" [id]="'f-' + field.id" [value]="draft()[field.id] ?? ''" (input)="put(field.id, area.value)" [attr.aria-invalid]="invalid(field)" [attr.aria-describedby]="told(field)"></textarea>}
                  @case ('list') {<textarea #area class="in mono" rows="3" [id]="'f-' + field.id" [value]="draft()[field.id] ?? ''" (input)="put(field.id, area.value)" [attr.aria-invalid]="invalid(field)" [attr.aria-describedby]="told(field)"></textarea>}
                  @case ('json') {<textarea #area class="in mono" rows="8" spellcheck="false" [id]="'f-' + field.id" [value]="draft()[field.id] ?? ''" (input)="put(field.id, area.value)" [attr.aria-invalid]="invalid(field)" [attr.aria-describedby]="told(field)"></textarea>}
                  @case ('choice') {<select #choice class="in sm" [id]="'f-' + field.id" (change)="put(field.id, choice.value)" [attr.aria-invalid]="invalid(field)" [attr.aria-describedby]="told(field)">@for (one of field.options; track one.value) {<option [value]="one.value" [selected]="draft()[field.id] === one.value">{{ one.label }}</option>}</select>}
                  @default {<input #line class="in sm" [type]="field.kind === 'number' ? 'number' : 'text'" [id]="'f-' + field.id" [attr.inputmode]="field.kind === 'number' ? 'decimal' : null" [attr.step]="field.kind === 'number' ? 'any' : null" [value]="draft()[field.id] ?? ''" (input)="put(field.id, line.value)" [required]="!!field.needed" [attr.aria-invalid]="invalid(field)" [attr.aria-describedby]="told(field)" />}
                }
                @if (errors()[field.id]; as text) {<p class="err" [id]="'f-' + field.id + '-error'"><m-icon name="warn" /><span>{{ text }}</span></p>} @else if (field.hint) {<p class="hint" [id]="'f-' + field.id + '-hint'">{{ field.hint }}</p>}
              </div>
            }
          }
        </div></fieldset>
      }
      <div class="mend">
        @if (number() > 0) {<div class="note f" role="alert"><m-icon name="warn" /><span><b class="strong">{{ number() === 1 ? 'One field needs' : number() + ' fields need' }} a change.</b> Nothing was lost.</span></div>}
        @if (failure(); as failure) {<div class="note f" role="alert"><m-icon name="warn" /><span>{{ failure.detail }}</span></div>}
        <span class="mut">{{ model() ? (changed() === 0 ? 'Nothing was changed.' : changed() === 1 ? 'One field was changed.' : changed() + ' fields were changed.') : '' }}</span>
        @if (changed() > 0 && model()) {<button type="button" class="btn" (click)="start()">Undo all</button>}<button class="btn pri" [disabled]="busy() || (model() && changed() === 0)">{{ model() ? 'Save' : 'Add the model' }}</button></div>
    </form>
    @if (theirs()) {
      <m-dialog label="Changed meanwhile" [wide]="true" (closed)="theirs.set(null)"><h2>Somebody changed this model meanwhile</h2><p class="lead">Nothing of yours was saved. Fields that only they changed are kept as they are now.</p>
        <div class="tw scroll" tabindex="0" role="region" aria-label="Both versions"><table class="t compact both"><thead><tr><th>Field</th><th>You saw</th><th>Now there</th><th>Yours</th></tr></thead><tbody>
          @for (one of both(); track one.label) {<tr><th scope="row">{{ one.label }}</th><td class="wrap mut">{{ one.seen || '–' }}</td><td class="wrap" [class.strong]="one.theirs !== one.seen">{{ one.theirs || '–' }}</td><td class="wrap" [class.strong]="one.mine !== one.seen">{{ one.mine || '–' }}</td></tr>}
        </tbody></table></div>
        <div class="end"><button type="button" class="btn" autofocus (click)="theirs.set(null)">Back to the form</button><button type="button" class="btn" (click)="takeTheirs()">Take theirs</button><button type="button" class="btn pri" (click)="saveMine()">Save mine over it</button></div></m-dialog>
    }`,
})
export class ModelForm {
  readonly model = input<Model | null>(null);
  readonly saved = output<Model>();
  /** What somebody else made of it, when that is taken. */
  readonly found = output<Model>();
  readonly #api = inject(Api);
  readonly #session = inject(Session);
  /** Fields that are other than what was seen. */
  readonly #changes = signal<Draft>({});
  /** The version that is edited. A newer one is taken unless it has other fields than those that were edited from. */
  readonly #seen = linkedSignal<Model | null, Model | null>({
    source: this.model,
    computation: (now, before) => {
      const old = before?.value;
      if (!old || old.id !== now?.id || Object.keys(untracked(this.#changes)).length === 0) return now;
      return Object.keys(changeOf(draftOf(old), draftOf(now))).length === 0 ? now : old;
    },
  });
  readonly #before = computed<Draft>(() => {
    const seen = this.#seen();
    return seen ? draftOf(seen) : EMPTY;
  });
  protected readonly draft = computed<Draft>(() => ({ ...this.#before(), ...this.#changes() }));
  protected readonly newId = signal('');
  protected readonly theirs = signal<Model | null>(null);
  protected readonly errors = signal<{ readonly [field: string]: string }>({});
  protected readonly failure = signal<Failure | null>(null);
  protected readonly busy = signal(false);
  protected readonly number = computed(() => Object.keys(this.errors()).length);
  protected readonly groups = computed(() => groupsOf({ owner: ownerOf(this.model()), runs: this.draft()['runs'] ?? '', isNew: !this.model() }, this.#session.may('ADMIN')));
  protected readonly changed = computed(() => Object.keys(this.#changes()).length);
  protected readonly both = computed<Difference[]>(() => {
    const theirs = this.theirs();
    return theirs ? differences(this.#before(), draftOf(theirs), this.draft()) : [];
  });

  protected put(id: string, text: string): void {
    this.#keep(id, text === this.#before()[id] ? null : text);
  }

  #keep(id: string, text: string | null): void {
    this.#changes.update(({ [id]: _, ...others }) => (text === null ? others : { ...others, [id]: text }));
  }

  protected edited(field: Field): boolean {
    const seen = this.#seen();
    return seen?.owner !== 'api' && !!seen && isEdited(seen, field.id);
  }

  protected isWide({ kind, id }: Field): boolean {
    return kind === 'text' || kind === 'outputs' || kind === 'list' || kind === 'json' || ['address', 'image', 'pod.unrestricted'].includes(id);
  }

  protected invalid({ id }: Field): true | null {
    return this.errors()[id] ? true : null;
  }

  protected told({ id, hint }: Field): string | null {
    return this.errors()[id] ? `f-${id}-error` : hint ? `f-${id}-hint` : null;
  }

  protected start(): void {
    this.#changes.set({});
    this.errors.set({});
    this.failure.set(null);
  }

  protected save(event: Event): Promise<void> {
    event.preventDefault();
    const faults = faultsOf(this.draft());
    if (Object.keys(faults).length > 0) {
      this.failure.set(null);
      this.errors.set(faults);
      return Promise.resolve();
    }
    return this.#try(() => {
      const seen = this.#seen();
      return seen ? this.#patch(seen, changeOf(this.#before(), this.draft())) : this.#api.post('/api/v1/catalogue', { body: modelOf(this.newId().trim(), this.draft()) as Schemas['NewModel'] });
    });
  }

  protected takeBack(field: Field): Promise<void> {
    return this.#try(() => this.#patch(this.#seen() as Model, without(field.id)), () => this.#keep(field.id, null));
  }

  protected takeTheirs(): void {
    this.start();
    this.#look();
  }

  /** Fields that only they changed stay as they made them. */
  protected saveMine(): Promise<void> {
    const theirs = this.#look();
    return this.#try(() => this.#patch(theirs, changeOf(draftOf(theirs), this.draft())));
  }

  /** From now on what they made of it is what is edited. */
  #look(): Model {
    const theirs = this.theirs() as Model;
    this.theirs.set(null);
    this.#seen.set(theirs);
    this.found.emit(theirs);
    return theirs;
  }

  #patch({ id, etag }: Model, body: { [member: string]: unknown }): Promise<Model> {
    return this.#api.call('patch', '/api/v1/catalogue/{id}', { path: { id }, body: body as Schemas['ModelChange'], headers: { 'if-match': etag } });
  }

  /** Other changes stay when one field's edit is taken back. */
  async #try(work: () => Promise<Model>, done = () => this.#changes.set({})): Promise<void> {
    this.busy.set(true);
    this.errors.set({});
    this.failure.set(null);
    try {
      const model = await work();
      done();
      this.#seen.set(model);
      this.saved.emit(model);
    } catch (error) {
      const failure = Failure.of(error);
      const seen = this.#seen();
      if (failure.kind === 'changed-meanwhile' && seen) {
        await this.#api.get('/api/v1/catalogue/{id}', { path: { id: seen.id } }).then((theirs) => this.theirs.set(theirs), () => this.failure.set(failure));
        return;
      }
      this.errors.set(errorsOf(failure));
      if (this.number() === 0) this.failure.set(failure);
      setTimeout(() => document.querySelector<HTMLElement>('m-model-form [aria-invalid]')?.focus());
    } finally {
      this.busy.set(false);
    }
  }
}

/** A folder is edited alike, whether it was pushed or lies on the hub's machine. */
function ownerOf(model: Model | null): string {
  return model?.owner === 'push' ? 'folder' : (model?.owner ?? 'api');
}
