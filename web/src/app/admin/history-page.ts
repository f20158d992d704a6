import { Component, computed, effect, type ElementRef, inject, input, untracked, viewChild } from '@angular/core';
import { RouterLink } from '@angular/router';

import { Api, type Schemas } from '../api/api';
import { alike, follow, readBy } from '../api/read';
import { Feed } from '../live/feed';
import { Catalogue } from '../model/catalogue';
import { Choice, Choices } from '../ui/choice';
import { Clock } from '../ui/clock';
import { DaysChoice } from '../ui/days-choice';
import { count, counted, duration, tail } from '../ui/format';
import { Icon } from '../ui/icon';
import { asList, asText, queryChanger } from '../ui/query';
import { save } from '../ui/save';
import { Failed, Void } from '../ui/void';
import { When } from '../ui/when';
import { bars, hours, type Span } from './gantt';
import { InstanceDrawer } from './instance-drawer';
import { CAUSE_OPTIONS, causesOf, isBad, launchedInWords, percent } from './instance-words';
import { launched } from './instances-page';
import { Filters } from './people';

type Instance = Schemas['Instance'];

const MOST = 400;
const ROW = 22;
const TOP = 26;
/** Bars that are drawn; the table has all. */
const BARS = 40;

/** Every instance that ran: when, for how long, why it ended. The bars and the table say the same. */
@Component({
  selector: 'm-history-page',
  imports: [Choice, Choices, DaysChoice, Failed, Icon, InstanceDrawer, RouterLink, Void, When],
  template: `<div [class.split]="opened()"><div>
    <header class="head dup"><div class="ht"><h1>History</h1><p class="sub">Every instance that ran, as bars and as a table.</p></div><div class="acts"><button type="button" class="btn" [disabled]="rows().length === 0" (click)="saveCsv()"><m-icon name="download" />CSV</button></div></header>
    <div class="bar">
      <m-days-choice label="Started" [value]="days() || 'today'" (valueChange)="go({ days: $event })" />
      <m-choices label="Model" [options]="filters.models()" [value]="model()" (valueChange)="go({ model: $event })" />
      <m-choice label="Ended because" [options]="causes" [value]="cause()" (valueChange)="go({ cause: $event })" />
      <div class="lg end no-phone"><span><i class="lst"></i>starts</span><span><i class="ok l78"></i>ready</span></div>
    </div>
    @if (read.failure(); as failure) {<m-failed [failure]="failure" (again)="read.again()" />}
    @if (rows().length > 0) {
      <div #wide class="sheet pad gantt-w" tabindex="0" role="img" aria-label="Instances over time, the same as in the table below"><div class="gantt">
        <svg class="gbg" [attr.height]="height()"><defs><pattern id="hw" class="hw" width="4" height="4" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path d="M0 0V4" /></pattern></defs></svg>
        <svg class="glab" [attr.height]="height()">@for (bar of drawn(); track bar.id; let i = $index) {@if (bar.first) {<text x="0" [attr.y]="top + i * row + 15">{{ short(catalogue.title(bar.model)) }}</text>}<text class="m mono" x="100%" dx="-12" [attr.y]="top + i * row + 15" text-anchor="end">{{ tail(bar.id) }}</text>}</svg>
        <svg class="gbar" [attr.height]="height()">
          @for (hour of hours(); track hour.x) {<line class="gl" [attr.x1]="hour.x + '%'" [attr.x2]="hour.x + '%'" y1="20" [attr.y2]="height()" /><text class="ax" [attr.x]="hour.x + '%'" y="13" [attr.text-anchor]="hour.anchor">{{ hour.text }}</text>}
          @for (bar of drawn(); track bar.id; let i = $index) {
            <rect class="stt" [attr.x]="bar.start + '%'" [attr.width]="bar.starting + '%'" [attr.y]="top + i * row + 4" height="14" />
            <rect class="bsy" [attr.x]="bar.start + bar.starting + '%'" [attr.width]="bar.ready + '%'" [attr.y]="top + i * row + 4" height="14" />
            @if (bar.ended) {<line [attr.class]="bar.bad ? 'eb' : 'en'" [attr.x1]="bar.end + '%'" [attr.x2]="bar.end + '%'" [attr.y1]="top + i * row + 4" [attr.y2]="top + i * row + 18" />}
          }
        </svg>
      </div></div>
      @if (rows().length > bars) {<p class="under">The {{ bars }} newest are drawn; the table has all {{ count(rows().length) }}.</p>}
      <div class="h2r"><h2>As a table</h2><span class="mut">{{ counted(rows().length, 'instance') }}{{ rows().length === most ? ', the newest' : '' }}</span></div>
      <div class="tw cards"><table class="t compact"><thead><tr><th>Model</th><th class="num">Started</th><th class="p3">Why</th><th class="num">To ready</th><th class="num">Lived</th><th>Ended because</th><th class="num p2">Jobs</th><th class="num p2">Idle</th><th class="p3">Node</th></tr></thead><tbody>
        @for (one of rows(); track one.id) {
          <tr [class.on]="opened() === one.id"><td class="ttl"><a class="tx" [routerLink]="[]" [queryParams]="{ open: one.id }" queryParamsHandling="merge">{{ catalogue.title(one.model) }}</a>&ngsp;<span class="mono id" [title]="one.id">{{ tail(one.id) }}</span></td>
            <td class="num" data-l="Started"><span class="v"><m-when [at]="one.launched_at" [relative]="false" /></span></td>
            <td class="p3 mut full"><span class="cutw">{{ launchedInWords(one.launch_cause) }}</span></td>
            <td class="num" data-l="To ready"><span class="v" [class.z]="one.start_seconds == null">{{ one.start_seconds == null ? '–' : duration(one.start_seconds) }}</span></td>
            <td class="num" data-l="Lived"><span class="v">{{ lived(one) }}</span></td>
            <td data-l="Ended because"><span class="v" [class.bad]="isBad(one)" [title]="one.end?.message">{{ one.end?.cause ?? 'runs' }}</span></td>
            <td class="num p2" data-l="Jobs"><span class="v" [class.z]="one.jobs === 0">{{ one.jobs }}</span></td>
            <td class="num p2" data-l="Idle"><span class="v">{{ percent(one.idle_share) }}</span></td>
            <td class="p3 mut" data-l="Node"><span class="v">{{ one.node ?? '–' }}</span></td></tr>
        }
      </tbody></table></div>
    } @else if (read.value()) {
      <div class="sheet"><m-void title="{{ cause() ? 'No instance ended then for that cause' : 'No instance ran then' }}">Choose other days, or another model.<button step type="button" class="btn" (click)="go({ days: '30d', model: null, cause: null })">The last 30 days</button></m-void></div>
    } @else if (read.loading()) {
      <div class="tw" aria-busy="true"><table class="t compact"><tbody>@for (n of [1, 2, 3, 4, 5]; track n) {<tr><td><i class="sk a"></i></td><td class="num"><i class="sk d"></i></td><td class="num"><i class="sk d"></i></td><td><i class="sk b"></i></td></tr>}</tbody></table></div>
    }
    </div>@if (opened(); as id) {<m-instance-drawer [id]="id" (closed)="go({ open: null })" />}
  </div>`,
})
export class HistoryPage {
  readonly days = input('', { transform: asText });
  readonly model = input([], { transform: asList });
  readonly cause = input('', { transform: asText });
  readonly opened = input('', { transform: asText, alias: 'open' });
  protected readonly filters = inject(Filters);
  protected readonly catalogue = inject(Catalogue);
  readonly #api = inject(Api);
  readonly #clock = inject(Clock);
  protected readonly go = queryChanger();
  protected readonly most = MOST;
  protected readonly bars = BARS;
  protected readonly row = ROW;
  protected readonly top = TOP;
  protected readonly count = count;
  protected readonly counted = counted;
  protected readonly duration = duration;
  protected readonly tail = tail;
  protected readonly isBad = isBad;
  protected readonly launchedInWords = launchedInWords;
  protected readonly percent = percent;
  readonly #query = computed(() => ({ model: [...this.model()], ...launched(this.days() || 'today', untracked(this.#clock.now)), limit: 200, ...(this.cause() ? { cause: causesOf(this.cause()) } : {}) }), { equal: alike });
  protected readonly read = readBy((signal, quiet) => {
    const query = this.#query();
    return async () => {
      const all: Instance[] = [];
      for (const ended of [false, true]) {
        for (let after: string | undefined; all.length < MOST; ) {
          const page = await this.#api.get('/api/v1/instances', { query: { ...query, ended, ...(after ? { after } : {}) }, signal, quiet });
          all.push(...page.items);
          if (!page.next) break;
          after = page.next;
        }
      }
      return all.sort((a, b) => (a.launched_at < b.launched_at ? 1 : -1)).slice(0, MOST);
    };
  });
  protected readonly rows = computed(() => this.read.value() ?? []);
  protected readonly causes = CAUSE_OPTIONS;
  readonly #span = computed<Span>(() => {
    const shown = this.rows().slice(0, BARS);
    const now = this.#clock.now();
    const from = Math.min(...shown.map((one) => Date.parse(one.launched_at)), now - 600_000);
    const to = Math.max(...shown.map((one) => (one.end ? Date.parse(one.end.at) : now)));
    return { from, to: Math.max(to, from + 60_000) };
  });
  protected readonly drawn = computed(() => bars(this.rows().slice(0, BARS), this.#span()));
  protected readonly hours = computed(() => hours(this.#span()));
  protected readonly height = computed(() => TOP + this.drawn().length * ROW + 4);

  protected readonly wide = viewChild<ElementRef<HTMLElement>>('wide');

  constructor() {
    // Where it is wider than the screen, the newest is seen first.
    effect(() => {
      const box = this.wide()?.nativeElement;
      if (box) requestAnimationFrame(() => (box.scrollLeft = box.scrollWidth));
    });
    follow(inject(Feed).instances, [this.read]);
  }

  protected lived(one: Instance): string {
    const end = one.end ? Date.parse(one.end.at) : this.#clock.now();
    return duration((end - Date.parse(one.launched_at)) / 1000);
  }

  protected short(title: string): string {
    return title.length > 20 ? `${title.slice(0, 19)}…` : title;
  }

  protected saveCsv(): void {
    const lines = this.rows().map((one) => [one.id, one.model, one.model_version, one.launched_at, one.launch_cause, one.start_seconds ?? '', one.end?.at ?? '', one.end?.cause ?? '', one.jobs, one.idle_share ?? '', one.node ?? '']);
    const cell = (value: string | number) => (/[",\r\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
    const head = ['id', 'model', 'model_version', 'launched_at', 'launch_cause', 'start_seconds', 'ended_at', 'cause', 'jobs', 'idle_share', 'node'];
    save([head, ...lines].map((line) => line.map(cell).join(',')).join('\r\n') + '\r\n', 'instances.csv', 'text/csv');
  }
}
