/** How contextual vectors are, layer by layer, over files. */
import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { CompareModelsResult, ContextualityLayer, ContextualityResult } from '../../extension/protocol/embeddings';
import { count, counted, precise, visible } from '../../extension/protocol/format';
import { palette } from '../common/colors';
import '../common/lineChart';
import type { Series } from '../common/lineChart';
import '../common/matrix';
import type { Cell } from '../common/gridCursor';
import { shapeIcon } from '../common/shapes';
import { cosineText, Page } from './page';

const COLUMNS: { label: string; title: string; value: (layer: ContextualityLayer) => number }[] = [
  {
    label: 'self',
    title: 'Self-similarity: mean cosine of two occurrences of the same piece',
    value: ({ selfSimilarity }) => selfSimilarity,
  },
  {
    label: 'intra',
    title: 'Mean cosine of a token with the mean of its sentence',
    value: ({ intraSentence }) => intraSentence,
  },
  {
    label: 'anisotropy',
    title: 'Mean cosine of tokens of different sentences: what the others are to be compared with',
    value: ({ anisotropy }) => anisotropy,
  },
  {
    label: 'self − anis.',
    title: 'Self-similarity less anisotropy',
    value: ({ selfSimilarity, anisotropy }) => selfSimilarity - anisotropy,
  },
  {
    label: 'MEV',
    title: 'Maximum explainable variance: how much of the occurrences of a piece one vector can say',
    value: ({ explainable }) => explainable,
  },
];

@customElement('lens-contextuality-page')
export class ContextualityPage extends Page {
  static override styles = [
    Page.styles,
    css`
      .legend svg {
        vertical-align: -1px;
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
  @property({ attribute: false }) result: ContextualityResult | null = null;
  @property({ attribute: false }) compared: CompareModelsResult | null = null;
  @state() private cell: Cell | null = null;
  @state() private otherCell: Cell | null = null;

  override render(): TemplateResult {
    const { result } = this;
    return html`<div class="row controls">
        <button class="bordered" @click=${() => this.host.ask('measure', null)}>Choose Files…</button>
        <button class="bordered" @click=${() => this.host.ask('compareModels', null)}>Compare with Model…</button>
      </div>
      ${
        result === null
          ? html`<p class="quiet">
              Over text files: how much a word's vector depends on its context at each layer (Ethayarajh 2019), and how
              alike the layers are. The first 1,000 sentences are read.
            </p>`
          : this.results(result)
      }
      ${this.compared === null ? nothing : this.models(this.compared)}`;
  }

  private results(result: ContextualityResult): TemplateResult {
    const { layers } = result;
    const chosen = COLUMNS.slice(0, 4);
    const series: Series[] = chosen.map(({ label, value }) => ({ label, values: layers.map(value) }));
    const { categories } = palette();
    return html`<p class="quiet">
        ${counted(result.sentences, 'sentence')}, ${count(result.tokens)} tokens; ${counted(result.pieces, 'piece')}
        with five occurrences or more; anisotropy of ${counted(result.samples, 'token')}
      </p>
      <div class="columns">
        <div>
          <h2><span class="title">By layer</span><span class="what">mean cosines</span></h2>
          <lens-line-chart .picture=${{ series, format: cosineText }} label="Contextuality by layer"></lens-line-chart>
          <div class="legend">
            ${chosen.map(({ label, title }, index) => html`<span title=${title}>${shapeIcon(index, categories[index] ?? '')} ${label}</span>`)}
          </div>
          ${this.table(layers)}
        </div>
        <div>
          <h2><span class="title">Layers with each other</span><span class="what">linear CKA</span></h2>
          ${this.matrix(
            { rows: layers.map(({ layer }) => layer), columns: layers.map(({ layer }) => layer), cka: result.cka },
            'Linear CKA of layers',
            this.cell,
            (cell) => (this.cell = cell),
          )}
        </div>
      </div>
      ${result.skipped.map(({ name, why }) => html`<p class="quiet">Left out: ${visible(name)}: ${visible(why)}</p>`)}`;
  }

  /** Linear CKA of layers with layers; what is pointed at is read below. */
  private matrix(
    { rows, columns, cka }: { rows: readonly number[]; columns: readonly number[]; cka: Float32Array },
    label: string,
    cell: Cell | null,
    point: (cell: Cell | null) => void,
  ): TemplateResult {
    const say = ({ row, column }: Cell): string => `layers ${rows[row]} and ${columns[column]}`;
    const valueAt = ({ row, column }: Cell): string => cosineText(cka[row * columns.length + column]);
    const near = cell !== null && cell.row >= 0 && cell.column >= 0 ? cell : null;
    return html`<lens-matrix
        .picture=${{
          ...{ rows: rows.map(String), columns: columns.map(String), values: cka },
          ...{ ramp: 'magnitude', full: 1, format: cosineText },
        }}
        label=${label}
        .describe=${(row: number, column: number) => `${say({ row, column })}: ${valueAt({ row, column })}`}
        @cell=${(event: CustomEvent<Cell | null>) => point(event.detail)}
      ></lens-matrix>
      <div class="readout">${near === null ? nothing : html`<strong>${valueAt(near)}</strong> ${say(near)}`}</div>`;
  }

  private models({ models, layers, cka, unit, samples, sentences, skipped }: CompareModelsResult): TemplateResult {
    const [rows, columns] = layers;
    return html`<h2><span class="title">Two models</span><span class="what">linear CKA of their layers</span></h2>
      <p class="quiet number">
        Rows: ${visible(models[0])}; columns: ${visible(models[1])}. ${counted(samples, unit)} that both models see, one
        of a sentence, of
        ${counted(sentences, 'sentence')}${unit === 'token' ? '; both cut these into the same tokens' : '; a word is the mean over its pieces'}.
      </p>
      ${this.matrix(
        { rows, columns, cka },
        'Linear CKA of two models',
        this.otherCell,
        (cell) => (this.otherCell = cell),
      )}
      ${skipped.map(({ name, why }) => html`<p class="quiet">Left out: ${visible(name)}: ${visible(why)}</p>`)}`;
  }

  private table(layers: readonly ContextualityLayer[]): TemplateResult {
    return html`<div class="table" tabindex="0" role="region" aria-label="Contextuality by layer, in numbers">
      <table>
        <thead>
          <tr>
            <th>layer</th>
            ${COLUMNS.map(({ label, title }) => html`<th title=${title}>${label}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${layers.map(
            (layer) =>
              html`<tr>
                <td>${layer.layer}</td>
                ${COLUMNS.map(({ value }) => html`<td title=${precise(value(layer))}>${cosineText(value(layer))}</td>`)}
              </tr>`,
          )}
        </tbody>
      </table>
    </div>`;
  }
}
