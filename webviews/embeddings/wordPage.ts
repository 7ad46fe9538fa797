/** One word, from the static row to the last layer: how its vector moves away, and what it is near to there. */
import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import type { WordLayer, WordResult } from '../../extension/protocol/embeddings';
import { count, precise, readable, signed, visible } from '../../extension/protocol/format';
import { palette } from '../common/colors';
import '../common/lineChart';
import type { ChartPicture } from '../common/lineChart';
import { shapeIcon } from '../common/shapes';
import { cosineText, layerText, Page } from './page';

const NAMED = 5;
const MOST_WORDS = 12;

@customElement('lens-word-page')
export class WordPage extends Page {
  static override styles = [
    Page.styles,
    css`
      .legend svg {
        vertical-align: -1px;
      }
      td.names {
        text-align: left;
        max-width: 0;
        width: 60%;
        overflow: hidden;
        text-overflow: ellipsis;
      }
      .near {
        font-family: var(--vscode-editor-font-family);
        margin-right: 8px;
        unicode-bidi: isolate;
      }
      th.names {
        text-align: left;
      }
      tr[aria-selected='true'] td {
        background: var(--vscode-list-inactiveSelectionBackground);
        color: var(--vscode-list-inactiveSelectionForeground, inherit);
        outline: 1px solid var(--vscode-contrastActiveBorder, transparent);
      }
      .words td:first-child {
        width: 50%;
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
  @property({ attribute: false }) result: WordResult | null = null;

  override render(): TemplateResult | typeof nothing {
    const { result } = this;
    if (result === null) return nothing;
    const chosen = chosenLayer(result, this.look.layer);
    return html`<div class="row controls">
        <label
          ><input
            type="checkbox"
            .checked=${this.look.centre}
            @change=${(event: Event) => this.host.look({ centre: (event.target as HTMLInputElement).checked })}
          />Less the mean vector</label
        >
      </div>
      <div class="columns">
        <div>${this.chart(result)} ${this.layers(result, chosen)}</div>
        <div>${this.words(result, chosen)}</div>
      </div>
      ${result.notes.map((note) => html`<p class="quiet">${visible(note)}</p>`)}`;
  }

  private chart({ layers }: WordResult): TemplateResult {
    const hidden = layers.filter(({ layer }) => layer !== 'static');
    const picture: ChartPicture = {
      series: [
        { label: 'to the static row', values: hidden.map(({ toStatic }) => toStatic) },
        { label: 'to the layer before', values: hidden.map(({ toPrevious }) => toPrevious) },
      ],
      format: cosineText,
    };
    const { categories } = palette();
    return html`<h2><span class="title">From layer to layer</span><span class="what">cosine of its vector</span></h2>
      <lens-line-chart .picture=${picture} label="Cosines of the word by layer"></lens-line-chart>
      <div class="legend">
        ${picture.series.map(({ label }, index) => html`<span>${shapeIcon(index, categories[index] ?? '')} ${label}</span>`)}
      </div>`;
  }

  private layers({ layers }: WordResult, chosen: number): TemplateResult {
    return html`<h2>
        <span class="title">Layers</span><span class="what">nearest rows of the embedding table; choose a layer</span>
      </h2>
      <div class="table" tabindex="0" role="region" aria-label="The word at each layer">
        <table>
          <thead>
            <tr>
              <th>layer</th>
              <th>norm</th>
              <th title="Rank of the word's own first piece among all rows of the table">rank</th>
              <th class="names">nearest</th>
            </tr>
          </thead>
          <tbody>
            ${layers.map((layer, index) => this.layer(layer, index === chosen))}
          </tbody>
        </table>
      </div>`;
  }

  private layer({ layer, norm, rank, neighbours, toStatic }: WordLayer, chosen: boolean): TemplateResult {
    return html`<tr class=${chosen ? 'chosen' : ''}>
      <td>
        <button
          class="link"
          aria-pressed=${String(chosen)}
          title="Rank the words of the text at this layer"
          @click=${() => this.host.look({ layer })}
        >
          ${layerText(layer)}
        </button>
      </td>
      <td title="${precise(norm)}; cosine with the static row ${toStatic === null ? 'not known' : precise(toStatic)}">
        ${norm.toFixed(1)}
      </td>
      <td>${rank === null ? '–' : count(rank)}</td>
      <td class="names" title=${neighbours.map(({ token, cosine }) => `${token} ${signed(cosine, 3)}`).join('\n')}>
        ${neighbours.slice(0, NAMED).map(({ token }) => html`<span class="near">${readable(token)}</span>`)}
      </td>
    </tr>`;
  }

  private words({ words, cosines, layers }: WordResult, chosen: number): TemplateResult {
    const size = words.length;
    const ranked = words
      .map((word, index) => ({ ...word, cosine: cosines[chosen * size + index] as number }))
      .filter(({ own, cosine }) => !own && !Number.isNaN(cosine))
      .sort((a, b) => b.cosine - a.cosine);
    const same = ranked.filter((word) => word.same);
    const list = (title: string, what: string, rows: typeof ranked): TemplateResult =>
      html`<h2><span class="title">${title}</span><span class="what">${what}</span></h2>
        <div class="table words">
          <table aria-label=${title}>
            <tbody>
              ${rows.map(
                ({ label, range, cosine }) =>
                  html`<tr>
                    <td>
                      <button
                        class="link token"
                        title="Show in the editor"
                        @click=${() => this.host.ask('reveal', { range })}
                      >
                        ${visible(label)}
                      </button>
                    </td>
                    <td title=${precise(cosine)}>${cosineText(cosine)}</td>
                    <td class="quiet">${this.around(words, range)}</td>
                  </tr>`,
              )}
            </tbody>
          </table>
        </div>`;
    const at = `cosine at ${layerText(layers[chosen]?.layer)}`;
    return html`${same.length === 0 ? nothing : list('The same word elsewhere', at, same)}
    ${list('Nearest words of the text', at, ranked.slice(0, MOST_WORDS))}`;
  }

  /** The words beside it, which say which one it is. */
  private around(words: WordResult['words'], { start }: { start: number }): string {
    const index = words.findIndex(({ range }) => range.start === start);
    return words
      .slice(Math.max(0, index - 2), index + 3)
      .map(({ label }) => visible(label))
      .join(' ');
  }
}

/** Index of the layer in the result; of the last by default. */
export function chosenLayer({ layers }: Pick<WordResult, 'layers'>, layer: 'static' | number | null): number {
  const found = layers.findIndex((each) => each.layer === layer);
  return found < 0 ? layers.length - 1 : found;
}
