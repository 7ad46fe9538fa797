/** How alike sentences are. */
import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { CorpusNeighboursResult } from '../../extension/protocol/embeddings';
import type { EmbeddingsLook, SentenceComparison } from '../../extension/protocol/embeddingsView';
import { counted, precise, shortened, visible } from '../../extension/protocol/format';
import '../common/matrix';
import type { MatrixPicture } from '../common/matrixPicture';
import './foundList';
import { cosineText, layerText, Page } from './page';

const LABEL_LENGTH = 22;
const QUOTED_LENGTH = 200;
const MOST_PAIRS = 8;
const POOLS: { value: EmbeddingsLook['pool']; label: string }[] = [
  { value: 'mean', label: 'mean of all tokens' },
  { value: 'cls', label: 'first token' },
  { value: 'pooler', label: 'pooled output' },
  { value: 'own', label: 'as the model’s folder says' },
];

@customElement('lens-sentences-page')
export class SentencesPage extends Page {
  static override styles = [
    Page.styles,
    css`
      .quoted {
        margin: 2px 0;
        overflow-wrap: anywhere;
      }
      .pair {
        margin: 4px 0;
        overflow-wrap: anywhere;
      }
      .pair button {
        text-align: left;
        white-space: normal;
      }
      @media (min-width: 820px) {
        .columns {
          display: grid;
          grid-template-columns: minmax(0, 3fr) minmax(0, 2fr);
          column-gap: 40px;
        }
      }
    `,
  ];
  @property({ attribute: false }) result: SentenceComparison | null = null;
  @property({ attribute: false }) passages: CorpusNeighboursResult | null = null;
  @state() private cell: { row: number; column: number } | null = null;

  override render(): TemplateResult {
    const { result, look } = this;
    return html`<div class="row controls">
        <button class="bordered" @click=${() => this.host.ask('compareSentences', null)}>
          ${result === null ? 'Compare Sentences' : 'Compare Again'}
        </button>
        <button class="bordered" @click=${() => this.host.ask('findPassages', null)}>Find Similar Passages</button>
        <label
          >Vector
          <select
            @change=${(event: Event) =>
              this.host.look({ pool: (event.target as HTMLSelectElement).value as EmbeddingsLook['pool'] })}
          >
            ${POOLS.map(({ value, label }) => html`<option value=${value} ?selected=${value === look.pool}>${label}</option>`)}
          </select></label
        >
        <label
          ><input
            type="checkbox"
            .checked=${look.centre}
            @change=${(event: Event) => this.host.look({ centre: (event.target as HTMLInputElement).checked })}
          />Less the mean vector</label
        >
      </div>
      ${
        result === null
          ? html`<p class="quiet">
              The sentences of the selection, or of the whole document when nothing is selected, each as one vector:
              which of them are alike. Similar passages are sentences of the workspace's files that are near to what is
              selected; their vectors are kept in an index.
            </p>`
          : this.results(result)
      }
      ${this.passages === null ? nothing : this.found(this.passages)}`;
  }

  private results(result: SentenceComparison): TemplateResult {
    const { sentences, cosines, pooling, layer, truncated } = result;
    const size = sentences.length;
    const text = (index: number): string => visible(sentences[index]?.text ?? '');
    const picture: MatrixPicture = {
      rows: sentences.map((sentence, index) => `${index + 1} ${shortened(sentence.text, LABEL_LENGTH)}`),
      columns: sentences.map((_, index) => String(index + 1)),
      values: cosines,
      ramp: 'difference',
      full: 1,
      format: cosineText,
    };
    const cell = this.cell !== null && this.cell.row >= 0 && this.cell.column >= 0 ? this.cell : null;
    return html`<p class="quiet">
        ${counted(size, 'sentence')} of ${visible(result.document)}; ${pooling}, ${layer.replace('.', ' ')}
        ${truncated ? html`<span class="warning">only the first ${size} are compared</span>` : nothing}
      </p>
      <div class="columns">
        <div>
          <lens-matrix
            .picture=${picture}
            label="Cosines of sentences"
            .describe=${(row: number, column: number) =>
              `${row + 1} with ${column + 1}: ${cosineText(cosines[row * size + column])}`}
            @cell=${(event: CustomEvent<{ row: number; column: number } | null>) => (this.cell = event.detail)}
            @choose=${(event: CustomEvent<{ row: number }>) => this.open(event.detail.row)}
          ></lens-matrix>
          <div class="readout">
            ${
              cell === null
                ? nothing
                : html`<strong>${cosineText(cosines[cell.row * size + cell.column])}</strong> ${text(cell.row)}
                    <span class="quiet">|</span> ${text(cell.column)}`
            }
          </div>
        </div>
        <div>
          <h2><span class="title">Most alike</span><span class="what">cosine</span></h2>
          ${pairsOf(cosines, size).map(
            ({ row, column, cosine }) =>
              html`<p class="pair">
                <span class="number" title=${precise(cosine)}>${cosineText(cosine)}</span>
                <button class="link" @click=${() => this.open(row)}>${text(row)}</button>
                <span class="quiet">|</span>
                <button class="link" @click=${() => this.open(column)}>${text(column)}</button>
              </p>`,
          )}
        </div>
      </div>
      ${result.notes.map((note) => html`<p class="quiet">${visible(note)}</p>`)}`;
  }

  private found({ word, neighbours, index, layer, pool, searched }: CorpusNeighboursResult): TemplateResult {
    const how = POOLS.find(({ value }) => value === pool)?.label ?? pool;
    return html`<h2><span class="title">Similar passages</span><span class="what">cosine; opens the place</span></h2>
      <p class="quoted">${visible(shortened(word, QUOTED_LENGTH))}</p>
      <p class="quiet number">
        ${how}${pool === 'pooler' ? '' : `, layer ${layerText(layer)}`}; among ${counted(index.words, 'sentence')} of
        ${counted(index.files, 'file')}, exactly, in ${searched.toFixed(0)} ms
      </p>
      <lens-found-list
        label="Similar passages"
        .rows=${neighbours}
        @choose=${(event: CustomEvent<number>) => this.host.ask('openPassage', { index: event.detail })}
      ></lens-found-list>
      ${index.skipped.map(({ name, why }) => html`<p class="quiet">Left out: ${visible(name)}: ${visible(why)}</p>`)}`;
  }

  private open(index: number): void {
    if (index >= 0) this.host.ask('openSentence', { index });
  }
}

function pairsOf(cosines: Float32Array, size: number): { row: number; column: number; cosine: number }[] {
  const pairs: { row: number; column: number; cosine: number }[] = [];
  for (let row = 0; row < size; row++)
    for (let column = row + 1; column < size; column++)
      pairs.push({ row, column, cosine: cosines[row * size + column] as number });
  return pairs.sort((a, b) => b.cosine - a.cosine).slice(0, MOST_PAIRS);
}
