/** How contextual vectors are, layer by layer, over files. */
import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { ContextualityLayer, ContextualityResult } from '../../extension/protocol/embeddings';
import { count, counted, precise, visible } from '../../extension/protocol/format';
import { palette } from '../common/colors';
import '../common/lineChart';
import type { Series } from '../common/lineChart';
import '../common/matrix';
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
  @state() private cell: { row: number; column: number } | null = null;

  override render(): TemplateResult {
    const { result } = this;
    return html`<div class="row controls">
        <button class="bordered" @click=${() => this.host.ask('measure', null)}>Choose Files…</button>
      </div>
      ${
        result === null
          ? html`<p class="quiet">
              Over text files: how much a word's vector depends on its context at each layer (Ethayarajh 2019), and how
              alike the layers are. The first 1,000 sentences are read.
            </p>`
          : this.results(result)
      }`;
  }

  private results(result: ContextualityResult): TemplateResult {
    const { layers } = result;
    const chosen = COLUMNS.slice(0, 4);
    const series: Series[] = chosen.map(({ label, value }) => ({ label, values: layers.map(value) }));
    const { categories } = palette();
    const size = layers.length;
    const cell = this.cell !== null && this.cell.row >= 0 && this.cell.column >= 0 ? this.cell : null;
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
          <lens-matrix
            .picture=${{
              rows: layers.map(({ layer }) => String(layer)),
              columns: layers.map(({ layer }) => String(layer)),
              values: result.cka,
              ramp: 'magnitude',
              full: 1,
              format: cosineText,
            }}
            label="Linear CKA of layers"
            .describe=${(row: number, column: number) =>
              `layers ${layers[row]?.layer} and ${layers[column]?.layer}: ${cosineText(result.cka[row * size + column])}`}
            @cell=${(event: CustomEvent<{ row: number; column: number } | null>) => (this.cell = event.detail)}
          ></lens-matrix>
          <div class="readout">
            ${
              cell === null
                ? nothing
                : html`<strong>${cosineText(result.cka[cell.row * size + cell.column])}</strong> layers
                    ${layers[cell.row]?.layer} and ${layers[cell.column]?.layer}`
            }
          </div>
        </div>
      </div>
      ${result.skipped.map(({ name, why }) => html`<p class="quiet">Left out: ${visible(name)}: ${visible(why)}</p>`)}`;
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
