/** What heads do on average over many texts, and which of them are alike. */
import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { HeadCorpusResult } from '../../extension/protocol/attention';
import { count, headName, probability } from '../../extension/protocol/format';
import '../common/lineChart';
import type { ChartPicture } from '../common/lineChart';
import '../common/scatter';
import { palette } from '../common/colors';
import { chartHeight, drawChart } from '../common/lineChart';
import { drawScatter, type ScatterPicture } from '../common/scatter';
import { shapeIcon } from '../common/shapes';
import type { Picture } from '../common/pictureFiles';
import { STATISTICS, typeIndex, TYPES, typeText } from './heads';
import { Page } from './page';
import { workOf } from './work';

const FIRST_ROWS = 24;

@customElement('lens-corpus-page')
export class CorpusPage extends Page {
  static override styles = [
    Page.styles,
    css`
      ul {
        margin: 4px 0;
        padding: 0;
        list-style: none;
      }
      li {
        overflow-wrap: anywhere;
      }
      svg {
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
  @property({ attribute: false }) corpus: HeadCorpusResult | null = null;
  @state() private sort = -1;
  @state() private all = false;
  @state() private near: number | null = null;

  override render(): TemplateResult {
    const { corpus } = this;
    return html`${workOf(this.host, this.state, 'corpus', corpus?.state ?? null)}
    ${
      corpus === null
        ? html`<p class="quiet">
            Text files, or a folder of them: what each head does on average, from the same rules as on one text. It can
            be stopped and gone on with.
          </p>`
        : this.results(corpus)
    }`;
  }

  private results(corpus: HeadCorpusResult): TemplateResult {
    const { state: found } = corpus;
    const packing = found.packing.kind === 'pairs' ? `pairs of ${found.packing.tokens} tokens` : 'each text by itself';
    return html`<p class="quiet">${count(found.documents)} documents, ${count(found.tokens)} tokens, ${packing}</p>
      <div class="columns">
        <div>
          <h2><span class="title">By layer</span><span class="what">means over heads</span></h2>
          <lens-line-chart .picture=${this.shares(corpus)} label="Attention by layer"></lens-line-chart>
          ${this.legend(this.shares(corpus))}
          <lens-line-chart .picture=${entropyOf(corpus)} label="Entropy by layer, in nats"></lens-line-chart>
          ${this.map(corpus)}
        </div>
        <div>${this.table(corpus)}</div>
      </div>`;
  }

  private shares({ blocks }: HeadCorpusResult): ChartPicture {
    return {
      series: [
        { label: 'to separators', values: [...blocks.separator] },
        { label: 'to periods and commas', values: [...blocks.punctuation] },
        { label: 'separator to separator', values: [...blocks.separatorToSeparator] },
      ],
      format: probability,
    };
  }

  private legend({ series }: ChartPicture): TemplateResult {
    const { categories } = palette();
    return html`<div class="legend">
      ${series.map(({ label }, index) => html`<span>${shapeIcon(index, categories[index] ?? '')} ${label}</span>`)}
    </div>`;
  }

  private scatter({ map, state: { layers, heads }, statistics }: HeadCorpusResult): ScatterPicture | null {
    if (map === null) return null;
    return {
      places: map,
      columns: heads,
      label: (index) =>
        `${headName({ layer: Math.floor(index / heads), head: index % heads })} ${typeText(statistics, index)}`,
      category: (index) => typeIndex(statistics.types[index] ?? 'mixed'),
      depth: (index) => Math.floor(index / heads) / Math.max(1, layers - 1),
    };
  }

  private map(corpus: HeadCorpusResult): TemplateResult | typeof nothing {
    const picture = this.scatter(corpus);
    if (picture === null) return nothing;
    const { statistics } = corpus;
    const used = TYPES.filter((type) => statistics.types.includes(type));
    return html`<h2>
        <span class="title">Alike</span
        ><span class="what">heads by Jensen–Shannon distance; shape: type, colour: layer, from orange to blue</span>
      </h2>
      <lens-scatter
        .picture=${picture}
        label="Heads by how alike they are; Enter opens one"
        @point=${(event: CustomEvent<number | null>) => (this.near = event.detail)}
        @choose=${(event: CustomEvent<number>) => this.open(event.detail)}
      ></lens-scatter>
      <div class="readout">${this.near === null ? '' : picture.label(this.near)}</div>
      <div class="legend quiet">
        ${used.map((type) => html`<span>${shapeIcon(typeIndex(type), 'currentColor')} ${type}</span>`)}
      </div>`;
  }

  private open(index: number): void {
    const heads = this.corpus?.state.heads ?? 1;
    const ref = { layer: Math.floor(index / heads), head: index % heads };
    this.host.look({ page: 'head', layer: ref.layer, heads: [ref] });
  }

  private table({ statistics, state: { layers, heads } }: HeadCorpusResult): TemplateResult {
    const order = Array.from({ length: layers * heads }, (_, index) => index);
    const by = STATISTICS[this.sort];
    if (by !== undefined) order.sort((a, b) => by.exact(statistics, b) - by.exact(statistics, a) || a - b);
    const shown = this.all ? order : order.slice(0, FIRST_ROWS);
    return html`<h2><span class="title">Heads</span></h2>
      <div class="table" tabindex="0" role="region" aria-label="Statistics of heads">
        <table>
          <thead>
            <tr>
              <th aria-sort=${this.sort < 0 ? 'ascending' : 'none'}>
                <button @click=${() => (this.sort = -1)}>head</button>
              </th>
              <th>type</th>
              ${STATISTICS.map(
                ({ label }, index) =>
                  html`<th aria-sort=${this.sort === index ? 'descending' : 'none'}>
                    <button @click=${() => (this.sort = index)}>${label}${this.sort === index ? ' ▾' : ''}</button>
                  </th>`,
              )}
            </tr>
          </thead>
          <tbody>
            ${shown.map(
              (index) =>
                html`<tr>
                  <td>
                    <button class="link" @click=${() => this.open(index)}>
                      ${headName({ layer: Math.floor(index / heads), head: index % heads })}
                    </button>
                  </td>
                  <td>${statistics.types[index]}</td>
                  ${STATISTICS.map(
                    ({ value, exact }) => html`<td title=${exact(statistics, index)}>${value(statistics, index)}</td>`,
                  )}
                </tr>`,
            )}
          </tbody>
        </table>
      </div>
      ${
        order.length <= FIRST_ROWS
          ? nothing
          : html`<button class="link" @click=${() => (this.all = !this.all)}>
              ${this.all ? 'Fewer' : `All ${order.length} heads`}
            </button>`
      }`;
  }

  override picture(): Picture | null {
    const { corpus } = this;
    if (corpus === null) return null;
    const scatter = this.scatter(corpus);
    const { statistics, state: found } = corpus;
    const size = scatter === null ? { width: 560, height: chartHeight } : { width: 640, height: 480 };
    return {
      title: `Heads of ${found.model} on ${found.documents} documents`,
      ...size,
      draw: (surface, theme) => {
        if (scatter === null) drawChart(surface, this.shares(corpus), size.width, null, theme);
        else drawScatter(surface, scatter, size, null, theme);
      },
      notes: [
        scatter === null
          ? 'Means over heads by layer.'
          : 'Places by Jensen–Shannon distance; shape: type, colour: layer.',
      ],
      table: {
        columns: ['head', 'type', ...STATISTICS.map(({ label }) => label)],
        rows: statistics.types.map((type, index) => [
          headName({ layer: Math.floor(index / found.heads), head: index % found.heads }),
          type,
          ...STATISTICS.map(({ exact }) => exact(statistics, index)),
        ]),
      },
    };
  }
}

const entropyOf = ({ blocks }: HeadCorpusResult): ChartPicture => ({
  series: [{ label: 'entropy in nats', values: [...blocks.entropy] }],
  format: (value) => value.toFixed(2),
});
