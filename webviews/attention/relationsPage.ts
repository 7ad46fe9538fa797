/** Heads against the relations of a treebank: which head finds the head of a word, and in which sentences. */
import { css, html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { HeadRef, HeadRelationsResult, RelationExample, RelationRow } from '../../extension/protocol/attention';
import { count, headName, probability, visible } from '../../extension/protocol/format';
import { palette } from '../common/colors';
import type { Cell } from '../common/gridCursor';
import '../common/matrix';
import { drawMatrix, matrixLayout, type MatrixPicture } from '../common/matrixPicture';
import type { Picture } from '../common/pictureFiles';
import { Page } from './page';
import { workOf } from './work';

interface Column {
  label: string;
  title: string;
  order: (row: RelationRow) => number | string;
}
const percent = (value: number): string => (100 * value).toFixed(1);
const offset = (value: number): string => (value > 0 ? `+${value}` : `−${-value}`);
const COLUMNS: Column[] = [
  { label: 'relation', title: 'Of the treebank', order: ({ relation }) => relation },
  { label: 'n', title: 'How many there are', order: ({ n }) => -n },
  {
    label: 'head',
    title: 'The best one: ↑ from the dependent to its head, ↓ from the head to its dependent',
    order: ({ best }) => best.layer * 1000 + best.head,
  },
  { label: '%', title: 'Right answers of the best head, in percent', order: ({ best }) => -best.accuracy },
  {
    label: 'base',
    title: 'Right answers of the best fixed offset, in percent',
    order: ({ baseline }) => -baseline.accuracy,
  },
  { label: 'at', title: 'The best fixed offset, in words', order: ({ baseline }) => baseline.offset },
  {
    label: 'over',
    title: 'How far the head is above the fixed offset, in points',
    order: ({ best, baseline }) => baseline.accuracy - best.accuracy,
  },
];

@customElement('lens-relations-page')
export class RelationsPage extends Page {
  static override styles = [
    Page.styles,
    css`
      ul {
        margin: 4px 0;
        padding: 0;
        list-style: none;
      }
      li {
        padding: 2px 0;
        overflow-wrap: anywhere;
      }
      /* Can be told from the two before it. */
      @media (max-width: 360px) {
        :is(th, td):nth-child(7) {
          display: none;
        }
      }
      .example {
        display: block;
        width: 100%;
        padding: 3px 4px;
        text-align: left;
        overflow-wrap: anywhere;
      }
      mark {
        padding: 0 2px;
        border-radius: 2px;
        color: inherit;
        background: none;
      }
      .from {
        background: var(--vscode-editor-selectionBackground);
        color: var(--vscode-editor-selectionForeground, inherit);
      }
      .expected {
        border-bottom: 2px solid var(--vscode-charts-green);
      }
      .predicted {
        outline: 1px dashed var(--vscode-charts-orange);
      }
      .right {
        outline: 1px solid var(--vscode-charts-green);
      }
      @media (min-width: 820px) {
        .columns {
          display: grid;
          grid-template-columns: minmax(0, 1fr) minmax(0, 1fr);
          column-gap: 40px;
        }
      }
    `,
  ];
  @property({ attribute: false }) relations: HeadRelationsResult | null = null;
  @state() private sort = 1;
  @state() private descending = false;
  @state() private chosen: string | null = null;
  @state() private examples: RelationExample[] | null = null;
  @state() private near: Cell | null = null;

  override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has('relations') && !this.relations?.table.some(({ relation }) => relation === this.chosen))
      [this.chosen, this.examples] = [null, null];
  }

  override render(): TemplateResult {
    const { relations } = this;
    return html`${workOf(this.host, this.state, 'relations', relations?.state ?? null)}
    ${
      relations === null
        ? html`<p class="quiet">
            CoNLL-U files: for every word each head is asked for the word it is attached to, in both directions, and
            compared with the best fixed offset.
          </p>`
        : this.results(relations)
    }`;
  }

  private results({ state: { sentences, words }, table, coreference }: HeadRelationsResult): TemplateResult {
    const { order } = COLUMNS[this.sort] as Column;
    const rows = [...table].sort((a, b) => {
      const [x, y] = [order(a), order(b)];
      return (x < y ? -1 : x > y ? 1 : 0) * (this.descending ? -1 : 1);
    });
    const chosen = table.find(({ relation }) => relation === this.chosen);
    return html`<p class="quiet">${count(sentences)} sentences, ${count(words)} words</p>
      <div class="columns">
        <div class="table" tabindex="0" role="region" aria-label="Relations">
          <table>
            <thead>
              <tr>
                ${COLUMNS.map(
                  ({ label, title }, index) =>
                    html`<th
                      title=${title}
                      aria-sort=${this.sort === index ? (this.descending ? 'descending' : 'ascending') : 'none'}
                    >
                      <button @click=${() => this.sortBy(index)}>
                        ${label}${this.sort === index ? (this.descending ? ' ▴' : ' ▾') : ''}
                      </button>
                    </th>`,
                )}
              </tr>
            </thead>
            <tbody>
              ${rows.map((row) => this.row(row))}
            </tbody>
          </table>
        </div>
        <div>
          ${
            coreference === null
              ? nothing
              : html`<p>
                  Coreference: best head
                  ${coreference.best.slice(0, 3).map(
                    (best) =>
                      html`<button class="link" @click=${() => this.open(best)}>${headName(best)}</button>
                        ${percent(best.accuracy)} % `,
                  )}
                  <span class="quiet"
                    >nearest mention ${percent(coreference.nearest)} %, n ${count(coreference.n)}</span
                  >
                </p>`
          }
          ${chosen === undefined ? html`<p class="quiet">A relation shows its sentences and all its heads.</p>` : this.details(chosen)}
        </div>
      </div>`;
  }

  private sortBy(index: number): void {
    this.descending = this.sort === index && !this.descending;
    this.sort = index;
  }

  private row(row: RelationRow): TemplateResult {
    const { relation, n, best, baseline } = row;
    return html`<tr class=${relation === this.chosen ? 'chosen' : ''}>
      <td>
        <button class="link" aria-pressed=${String(relation === this.chosen)} @click=${() => this.choose(row)}>
          ${visible(relation)}
        </button>
      </td>
      <td>${count(n)}</td>
      <td>
        <button class="link" title="Open the head, ${best.direction}" @click=${() => this.open(best)}>
          ${headName(best)}</button
        ><span class="quiet" title=${best.direction}
          >${best.direction === 'dependent→head' ? '↑' : '↓'}<span class="visually-hidden"
            >${best.direction}</span
          ></span
        >
      </td>
      <td title=${best.accuracy}>${percent(best.accuracy)}</td>
      <td title=${baseline.accuracy}>${percent(baseline.accuracy)}</td>
      <td>${offset(baseline.offset)}</td>
      <td>${percent(best.accuracy - baseline.accuracy).replace('-', '−')}</td>
    </tr>`;
  }

  private open({ layer, head }: HeadRef): void {
    this.host.look({ page: 'head', layer, heads: [{ layer, head }] });
  }

  private choose({ relation, best }: RelationRow): void {
    this.chosen = relation;
    this.examples = null;
    const { layer, head, direction } = best;
    void this.host.fetch('examples', { layer, head, relation, direction }).then((examples) => {
      if (this.chosen === relation) this.examples = examples ?? [];
    });
  }

  private details(row: RelationRow): TemplateResult {
    const picture = this.accuracies(row);
    const heads = picture.columns.length;
    const say = ({ row: layer, column }: Cell): string =>
      `${headName({ layer, head: column })} ${percent(row.accuracies[layer * heads + column] ?? NaN)} %`;
    const { near } = this;
    return html`<h2><span class="title">${visible(row.relation)}</span><span class="what">by layer and head</span></h2>
      <lens-matrix
        .picture=${picture}
        .describe=${(layer: number, column: number) => say({ row: layer, column })}
        label="Right answers by layer and head"
        @cell=${(event: CustomEvent<Cell | null>) => (this.near = event.detail)}
        @choose=${(event: CustomEvent<Cell>) => {
          const { row: layer, column: head } = event.detail;
          if (layer >= 0 && head >= 0) this.open({ layer, head });
        }}
      ></lens-matrix>
      <div class="readout">${near !== null && near.row >= 0 && near.column >= 0 ? say(near) : ''}</div>
      <p class="quiet">
        <mark class="from">word</mark> <mark class="expected">expected</mark> <mark class="predicted">predicted</mark>
      </p>
      ${
        this.examples === null
          ? html`<p class="quiet">Looking for sentences…</p>`
          : html`<ul>
              ${this.examples.map((example) => this.example(example))}
            </ul>`
      }`;
  }

  private example({ source, line, text, words, from, expected, predicted, weight }: RelationExample): TemplateResult {
    const roles = (index: number): string =>
      [
        index === from ? 'from' : '',
        index === expected ? 'expected' : '',
        index === predicted ? (predicted === expected ? 'right' : 'predicted') : '',
      ]
        .filter(Boolean)
        .join(' ');
    const parts: (string | TemplateResult)[] = [];
    let at = 0;
    words.forEach(({ range }, index) => {
      const role = roles(index);
      if (role === '') return;
      parts.push(between(text.slice(at, range.start)));
      parts.push(html`<mark class=${role}>${visible(text.slice(range.start, range.end))}</mark>`);
      at = Math.max(at, range.end);
    });
    const verdict = predicted === expected ? 'right' : `expected ${words[expected]?.form ?? ''}`;
    return html`<li>
      <button
        class="example"
        title="${visible(source)}, line ${line}: open"
        @click=${() => this.host.ask('openExample', { source, line })}
      >
        <bdi>${parts}${between(text.slice(at))}</bdi>
        <span class="quiet number">${probability(weight)}<span class="visually-hidden">, ${verdict}</span></span>
      </button>
    </li>`;
  }

  private accuracies({ accuracies }: RelationRow): MatrixPicture {
    const { layers = 0, heads = 0 } = this.relations?.state ?? {};
    const names = (length: number): string[] => Array.from({ length }, (_, index) => String(index));
    return {
      ...{ rows: names(layers), columns: names(heads), values: accuracies, ramp: 'magnitude', full: 1 },
      format: percent,
    };
  }

  override picture(): Picture | null {
    const { relations } = this;
    if (relations === null) return null;
    const row = relations.table.find(({ relation }) => relation === this.chosen) ?? relations.table[0];
    if (row === undefined) return null;
    const picture = this.accuracies(row);
    const layout = matrixLayout(picture, 40 + 26 * picture.columns.length, 1, palette());
    const viewport = { left: 0, top: 0, width: layout.width, height: layout.height };
    return {
      title: `Heads of ${relations.state.model} and relations`,
      width: layout.width,
      height: layout.height,
      draw: (surface, theme) =>
        drawMatrix(surface, picture, layout, viewport, { cursor: null, hover: null, only: null, target: null }, theme),
      notes: [`Drawn: right answers for ${row.relation} by layer (rows) and head (columns).`],
      table: {
        columns: ['relation', 'n', 'best head', 'direction', 'accuracy', 'baseline', 'offset'],
        rows: relations.table.map(({ relation, n, best, baseline }) => [
          relation,
          n,
          headName(best),
          best.direction,
          best.accuracy,
          baseline.accuracy,
          baseline.offset,
        ]),
      },
    };
  }
}

/** A space between words stays one. */
const between = (text: string): string => (text.trim() === '' ? text : visible(text));
