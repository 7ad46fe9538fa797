/**
 * Thousands of facts as rows of which only those in sight are elements. One tab stop: the arrow keys move, Enter goes to the line. The
 * chosen row shows all that was said to it.
 */
import { css, html, LitElement, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, query, state } from 'lit/decorators.js';
import { count, precise, probability, signed, visible } from '../../extension/protocol/format';
import type { ProbeFactDetails, ProbeRow, RowStatus } from '../../extension/protocol/probesView';
import '../common/barList';
import '../common/icon';
import { destination } from '../common/roving';
import { base } from '../common/styles';
import { visibleRows, type Column, type Filter, type Order } from './rows';

const ROW_HEIGHT = 22;
/** Rows drawn beyond both ends of what is in sight. */
const MARGIN = 8;
/** A page of the keyboard. */
const PAGE = 20;

const COLUMNS: { column: Column; label: string; title: string }[] = [
  { column: 'relation', label: 'relation', title: 'In which relation the fact stands' },
  { column: 'query', label: 'query', title: 'The sentence of the first template' },
  { column: 'answer', label: 'answer', title: 'What was expected' },
  { column: 'rank', label: 'rank', title: 'Of the answer, among what the run ranks in' },
  { column: 'logprob', label: 'log p', title: 'Of the answer, in the whole vocabulary' },
  { column: 'top', label: 'generations [log p]', title: 'The first predictions' },
];
const STATUS: Record<RowStatus, string> = {
  right: 'right',
  wrong: 'not first',
  joint: 'several tokens',
  open: 'no answer known',
  skipped: 'left out',
};

/** Fires `choose` (index of a row, to be revealed) and `details` (index, to be fetched). */
@customElement('lens-fact-table')
export class FactTable extends LitElement {
  static override styles = [
    base,
    css`
      :host {
        display: block;
        container-type: inline-size;
      }
      .controls {
        margin: 4px 0 6px;
      }
      .controls input {
        flex: 1 1 120px;
        min-width: 0;
        padding: 0 6px;
      }
      .line {
        display: grid;
        grid-template-columns: 18px minmax(0, 4fr) minmax(0, 14fr) minmax(0, 4fr) 44px 52px minmax(0, 12fr);
        column-gap: 8px;
        align-items: center;
        height: 22px;
        padding: 0 14px;
      }
      .line > * {
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: nowrap;
      }
      .right {
        text-align: right;
        font-variant-numeric: tabular-nums;
      }
      .wide {
        margin: 0 -14px;
      }
      .head {
        font-size: 11px;
        color: var(--vscode-descriptionForeground);
        border-bottom: 1px solid var(--vscode-contrastBorder, var(--vscode-widget-border, var(--vscode-panel-border)));
      }
      .head button {
        max-width: 100%;
        padding: 0;
        overflow: hidden;
        text-overflow: ellipsis;
      }
      .scroller {
        position: relative;
        max-height: 60vh;
        overflow-y: auto;
      }
      .rows {
        position: absolute;
        left: 0;
        right: 0;
      }
      .line.row-line {
        cursor: pointer;
      }
      .row-line:hover {
        background: var(--vscode-list-hoverBackground);
        outline: 1px dashed var(--vscode-contrastActiveBorder, transparent);
        outline-offset: -1px;
      }
      .row-line[aria-selected='true'] {
        background: var(--vscode-list-inactiveSelectionBackground);
        color: var(--vscode-list-inactiveSelectionForeground, inherit);
        box-shadow: inset 2px 0 var(--vscode-focusBorder);
      }
      .yes {
        color: var(--vscode-charts-green);
      }
      .no {
        color: var(--vscode-charts-red);
      }
      .status {
        font-size: 14px;
        line-height: 1;
      }
      .first {
        font-weight: 600;
      }
      .details h2 .what {
        flex: 1;
      }
      @container (max-width: 720px) {
        .line {
          grid-template-columns: 18px minmax(0, 14fr) minmax(0, 5fr) 40px 48px;
        }
        .relation,
        .top {
          display: none;
        }
      }
      @container (max-width: 400px) {
        .line {
          grid-template-columns: 18px minmax(0, 3fr) minmax(0, 2fr) 36px;
          column-gap: 6px;
        }
        .logprob {
          display: none;
        }
      }
    `,
  ];
  @property({ attribute: false }) rows: readonly ProbeRow[] = [];
  /** Of the chosen row, when it was fetched. */
  @property({ attribute: false }) details: { index: number; said: ProbeFactDetails | null } | null = null;
  @state() private filter: Filter = { text: '', relation: '', status: 'all' };
  @state() private order: Order = { column: null, descending: false };
  /** Index of the chosen row in `rows`. */
  @state() private chosen: number | null = null;
  @state() private top = 0;
  @state() private height = 0;
  @query('.scroller') private readonly scroller!: HTMLElement | null;
  private shown: number[] = [];
  private readonly resized = new ResizeObserver(([entry]) => (this.height = entry?.contentRect.height ?? 0));

  override willUpdate(changed: PropertyValues): void {
    if (changed.has('rows') && this.chosen !== null && this.chosen >= this.rows.length) this.chosen = null;
    if (['rows', 'filter', 'order'].some((name) => changed.has(name)))
      this.shown = visibleRows(this.rows, this.filter, this.order);
  }

  override updated(): void {
    const { scroller } = this;
    if (scroller === null) return;
    this.resized.observe(scroller);
    // Inline styles in the template are blocked by the policy.
    scroller.style.height = `${Math.max(1, this.shown.length) * ROW_HEIGHT}px`;
    const spacer = scroller.querySelector<HTMLElement>('.spacer');
    if (spacer !== null) spacer.style.height = `${this.shown.length * ROW_HEIGHT}px`;
    const rows = scroller.querySelector<HTMLElement>('.rows');
    if (rows !== null) rows.style.top = `${this.from * ROW_HEIGHT}px`;
  }

  override disconnectedCallback(): void {
    this.resized.disconnect();
    super.disconnectedCallback();
  }

  private get from(): number {
    return Math.max(0, Math.min(Math.floor(this.top / ROW_HEIGHT), this.shown.length) - MARGIN);
  }

  override render(): TemplateResult {
    const { shown, from, chosen } = this;
    const to = Math.min(shown.length, from + Math.ceil(this.height / ROW_HEIGHT) + 2 * MARGIN);
    const at = chosen === null ? -1 : shown.indexOf(chosen);
    return html`${this.controls()}
      <div class="wide">
        <div class="line head" role="group" aria-label="Sort by">
          <span></span>
          ${COLUMNS.map((each) => this.heading(each))}
        </div>
        <div
          class="scroller"
          role="grid"
          tabindex="0"
          aria-label="Facts"
          aria-rowcount=${shown.length}
          aria-activedescendant=${at >= from && at < to ? `fact-${chosen}` : nothing}
          @keydown=${this.onKey}
          @scroll=${() => (this.top = this.scroller?.scrollTop ?? 0)}
        >
          <div class="spacer" role="presentation"></div>
          <div class="rows" role="presentation">
            ${shown.slice(from, to).map((index, place) => this.row(index, from + place))}
          </div>
        </div>
      </div>
      <p class="quiet number" role="status">
        ${shown.length === this.rows.length ? '' : `${count(shown.length)} of `}${count(this.rows.length)}
        fact${this.rows.length === 1 ? '' : 's'}
      </p>
      ${this.said()}`;
  }

  private controls(): TemplateResult {
    const relations = [...new Set(this.rows.map(({ relation }) => relation))];
    const statuses = [...new Set(this.rows.map(({ status }) => status))];
    const choose = (change: Partial<Filter>): void => {
      this.filter = { ...this.filter, ...change };
      if (this.scroller !== null) this.scroller.scrollTop = 0;
    };
    return html`<div class="row controls">
      <input
        type="search"
        placeholder="Filter"
        aria-label="Filter the facts"
        .value=${this.filter.text}
        @input=${(event: Event) => choose({ text: (event.target as HTMLInputElement).value })}
      />
      ${
        relations.length < 2
          ? nothing
          : html`<select
              aria-label="Relation"
              @change=${(event: Event) => choose({ relation: (event.target as HTMLSelectElement).value })}
            >
              <option value="">All relations</option>
              ${relations.map((relation) => html`<option value=${relation}>${visible(relation)}</option>`)}
            </select>`
      }
      ${
        statuses.length < 2
          ? nothing
          : html`<select
              aria-label="Outcome"
              @change=${(event: Event) =>
                choose({ status: (event.target as HTMLSelectElement).value as Filter['status'] })}
            >
              <option value="all">All outcomes</option>
              ${statuses.map((status) => html`<option value=${status}>${STATUS[status]}</option>`)}
            </select>`
      }
    </div>`;
  }

  private heading({ column, label, title }: (typeof COLUMNS)[number]): TemplateResult {
    const { order } = this;
    const own = order.column === column;
    return html`<span class="${column} ${column === 'rank' || column === 'logprob' ? 'right' : ''}"
      ><button
        title=${title}
        aria-pressed=${String(own)}
        @click=${() => {
          // Up, down, as they stand in their files.
          this.order = !own
            ? { column, descending: false }
            : order.descending
              ? { column: null, descending: false }
              : { column, descending: true };
        }}
      >
        ${label}${own ? (order.descending ? ' ▾' : ' ▴') : ''}
      </button></span
    >`;
  }

  private row(index: number, place: number): TemplateResult {
    const row = this.rows[index] as ProbeRow;
    const { status, rank, logprob } = row;
    return html`<div
      id="fact-${index}"
      class="line row-line"
      role="row"
      aria-rowindex=${place + 1}
      aria-selected=${String(index === this.chosen)}
      @click=${() => {
        this.choose(index);
        this.reveal(index);
      }}
    >
      <span role="gridcell" class="status" title=${row.why ?? STATUS[status]}>${mark(status)}</span>
      <span role="gridcell" class="relation quiet" title=${row.relation}>${visible(row.relation)}</span>
      <span role="gridcell" class="query" title=${row.query}>${visible(row.query)}</span>
      <span role="gridcell" class="answer" title=${row.answer}>${visible(row.answer)}</span>
      <span role="gridcell" class="rank right">${rank === null ? '–' : count(rank)}</span>
      <span role="gridcell" class="logprob right" title=${logprob === null ? '' : precise(logprob)}
        >${logprob === null ? '–' : signed(logprob)}</span
      >
      <span role="gridcell" class="top" title=${row.why ?? generations(row)}
        >${row.why === null ? generations(row) : html`<span class="quiet">${row.why}</span>`}</span
      >
    </div>`;
  }

  /** All that was said to the chosen row. */
  private said(): TemplateResult | typeof nothing {
    const { details, chosen } = this;
    if (chosen === null || details?.index !== chosen) return nothing;
    const { said } = details;
    const row = this.rows[chosen];
    if (said === null || row === undefined) return nothing;
    return html`<section class="details" aria-label="The chosen fact">
      ${
        said.place === null
          ? nothing
          : html`<p>
              <button class="link" @click=${() => this.reveal(chosen)}>
                ${visible(said.place.file)}, line ${said.place.line}
              </button>
            </p>`
      }
      ${row.why === null ? nothing : html`<p>${row.why}</p>`}
      ${said.answers.map(
        ({ label, query: asked, answer, logprob, rank, top }) =>
          html`<h2>
              <span class="what">${label === '' ? '' : `${visible(label)}: `}${visible(asked)}</span>
              <span class="column">p</span><span class="column">log p</span>
            </h2>
            ${
              answer === ''
                ? nothing
                : html`<p class="number" title=${precise(logprob)}>
                    ${visible(answer)}: log p ${signed(logprob)}${rank > 0 ? `, rank ${count(rank)}` : ''}
                  </p>`
            }
            <lens-bar-list
              .rows=${top.map((each) => ({
                label: visible(each.text),
                fraction: Math.exp(each.logprob),
                numbers: [probability(Math.exp(each.logprob)), signed(each.logprob)],
                title: `log-probability ${each.logprob}`,
                marked: each.text.trim() === answer,
              }))}
              .columns=${['p', 'log p']}
              label="Predictions"
            ></lens-bar-list>`,
      )}
    </section>`;
  }

  private choose(index: number): void {
    this.chosen = index;
    this.dispatchEvent(new CustomEvent('details', { detail: index }));
  }

  private reveal(index: number): void {
    this.dispatchEvent(new CustomEvent('choose', { detail: index }));
  }

  private readonly onKey = (event: KeyboardEvent): void => {
    const { shown, chosen, scroller } = this;
    const at = chosen === null ? -1 : shown.indexOf(chosen);
    if (event.key === 'Enter') {
      if (chosen !== null) this.reveal(chosen);
      return;
    }
    const paged = { PageDown: at + PAGE, PageUp: at - PAGE }[event.key];
    const to =
      paged === undefined ? destination(event.key, at, shown.length) : Math.max(0, Math.min(paged, shown.length - 1));
    const index = to === undefined ? undefined : shown[to];
    if (to === undefined || index === undefined || scroller === null) return;
    event.preventDefault();
    this.choose(index);
    const place = to * ROW_HEIGHT;
    if (place < scroller.scrollTop) scroller.scrollTop = place;
    else if (place + ROW_HEIGHT > scroller.scrollTop + scroller.clientHeight)
      scroller.scrollTop = place + ROW_HEIGHT - scroller.clientHeight;
  };
}

const generations = ({ top }: ProbeRow): string =>
  top.map(({ text, logprob }) => `${visible(text.trim())} [${signed(logprob, 1)}]`).join(', ');

const mark = (status: RowStatus): TemplateResult =>
  status === 'right'
    ? html`<lens-icon class="yes" name="check"></lens-icon><span class="visually-hidden">right</span>`
    : status === 'wrong'
      ? html`<lens-icon class="no" name="close"></lens-icon><span class="visually-hidden">not first</span>`
      : html`<span class="quiet" aria-hidden="true">${status === 'open' ? '?' : status === 'joint' ? '+' : '–'}</span
          ><span class="visually-hidden">${STATUS[status]}</span>`;
