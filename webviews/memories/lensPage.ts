/** What the model would say after each part of each layer, at the word that is looked at. */
import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { LogitLens, WatchedToken } from '../../extension/protocol/ffn';
import type { ShownLens } from '../../extension/protocol/memoriesView';
import {
  count,
  difference,
  nats,
  precise,
  probability,
  readable,
  signed,
  visible,
} from '../../extension/protocol/format';
import type { Prediction } from '../../extension/protocol/engine';
import { palette } from '../common/colors';
import '../common/icon';
import '../common/lineChart';
import { chartHeight, drawChart, type ChartPicture } from '../common/lineChart';
import '../common/matrix';
import type { MatrixPicture } from '../common/matrixPicture';
import type { Picture } from '../common/pictureFiles';
import { shapeIcon } from '../common/shapes';
import { headText, Page, placeLabel, placeWords } from './page';
import './tunedLens';
import './wordField';

/** Lines that can be told from each other. */
const MOST_LINES = 8;
const PICTURE_WIDTH = 640;

@customElement('lens-lens-page')
export class LensPage extends Page {
  static override styles = [
    Page.styles,
    css`
      td.says {
        text-align: left;
        max-width: 0;
        width: 90%;
        overflow: hidden;
        text-overflow: ellipsis;
      }
      .prediction {
        margin-right: 9px;
      }
      .prediction .token {
        color: inherit;
      }
      .prediction.answer .token {
        font-weight: 600;
        text-decoration: underline;
        text-underline-offset: 3px;
      }
      .prediction .number {
        color: var(--vscode-descriptionForeground);
      }
      .layer-end td {
        border-bottom: 1px solid
          var(--vscode-contrastBorder, var(--vscode-widget-border, var(--vscode-panel-border, transparent)));
      }
      .watched svg {
        vertical-align: -1px;
      }
      td button svg {
        vertical-align: -1px;
      }
      td:first-child {
        width: 1%;
      }
      .chosen .quiet {
        color: inherit;
      }
      td.marks {
        white-space: normal;
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
  @property({ attribute: false }) result: ShownLens | null = null;
  @state() private layer: number | null = null;

  override render(): TemplateResult {
    const { result, look } = this;
    if (result === null) return this.tunedLens();
    const shown = result.watched.slice(0, MOST_LINES);
    const stepped = shown.find(({ id }) => id === look.steps) ?? shown[0];
    return html`${this.tunedLens()}
      <div class="row controls">
        <span class="switch" role="group" aria-label="What of the words"
          >${(['rank', 'logprob'] as const).map(
            (chart) =>
              html`<button aria-pressed=${String(chart === look.chart)} @click=${() => this.host.look({ chart })}>
                ${chart === 'rank' ? 'Rank' : 'log p'}
              </button>`,
          )}</span
        >
        <lens-word-field
          label="Watch"
          hint="a word"
          @word=${(event: CustomEvent<string>) => this.host.ask('addWord', { text: event.detail, to: 'watch' })}
        ></lens-word-field>
      </div>
      <div class="columns">
        <div>
          <h2>
            <span class="title">Words</span
            ><span class="what"
              >${look.chart === 'rank' ? 'rank in the vocabulary' : 'log p'} after each part; choose one</span
            >
          </h2>
          <lens-line-chart
            .picture=${chartOf(result, shown, look.chart, this.beforeOf(stepped))}
            label="${look.chart === 'rank' ? 'Ranks' : 'Log-probabilities'} of words after each part of each layer"
          ></lens-line-chart>
          ${
            result.before === null || stepped === undefined
              ? nothing
              : html`<p class="quiet watched">
                  ${shapeIcon(shown.length, palette().categories[shown.length % palette().categories.length] ?? '')}
                  <bdi class="mono">${readable(stepped.token)}</bdi> in the unchanged model
                </p>`
          }
          ${this.words(result, shown, stepped)} ${stepped === undefined ? nothing : this.steps(stepped)}
        </div>
        <div>${this.states(result)}</div>
      </div>
      <p class="quiet">Head: ${visible(headText(result))}.</p>
      ${result.notes.map((note) => html`<p class="quiet">${visible(note)}</p>`)}`;
  }

  /** The same word in the unchanged model, while another one is looked at. */
  private beforeOf(word: WatchedToken | undefined): WatchedToken | undefined {
    return this.result?.before?.watched.find(({ id }) => id === word?.id);
  }

  private words(
    { states, target, before }: ShownLens,
    shown: readonly WatchedToken[],
    stepped: WatchedToken | undefined,
  ): TemplateResult {
    const { categories } = palette();
    const at = (index: number | null): string => {
      const place = states[index ?? -1];
      return place === undefined ? '–' : placeLabel(place);
    };
    return html`<div class="table" tabindex="0" role="region" aria-label="Words over the layers">
      <table class="watched">
        <thead>
          <tr>
            <th>word</th>
            <th title="The first state in which it leads">appears</th>
            <th title="The state from which on it leads to the end (saturation)">stays from</th>
            <th title="States in which it leads no more (elimination)">lost</th>
            <th>rank</th>
            <th>log p</th>
            ${before === null ? nothing : html`<th title="Log-probability less that of the unchanged model">Δ</th>`}
            <th><span class="visually-hidden">remove</span></th>
          </tr>
        </thead>
        <tbody>
          ${shown.map((word, index) => {
            const { id, token, ranks, logprobs, appears, saturates, lost } = word;
            const was = this.beforeOf(word);
            const change = (logprobs.at(-1) ?? NaN) - (was?.logprobs.at(-1) ?? NaN);
            const removable = this.look.watch.some((each) => each.id === id);
            return html`<tr class=${id === stepped?.id ? 'chosen' : ''}>
              <td>
                <button
                  class="link mono"
                  aria-pressed=${String(id === stepped?.id)}
                  title="${visible(token)}: show its steps"
                  @click=${() => this.host.look({ steps: id })}
                >
                  ${shapeIcon(index, categories[index] ?? '')} ${readable(token)}
                </button>
                ${id === target.id ? html`<span title="What the model says in the end">· answer</span>` : nothing}
              </td>
              <td>${at(appears)}</td>
              <td>${at(saturates)}</td>
              <td class="marks">${lost.length === 0 ? '–' : lost.map((each) => at(each)).join(', ')}</td>
              <td>
                ${was === undefined ? nothing : html`<span class="quiet">${count(was.ranks.at(-1) ?? 0)} →</span> `}${count(
                  ranks.at(-1) ?? 0,
                )}
              </td>
              <td title=${precise(logprobs.at(-1) ?? NaN)}>${signed(logprobs.at(-1) ?? NaN)}</td>
              ${
                before === null
                  ? nothing
                  : html`<td title=${precise(change)}>${Number.isNaN(change) ? '–' : difference(change)}</td>`
              }
              <td>
                ${
                  removable
                    ? html`<button
                        aria-label="Watch ${readable(token)} no more"
                        title="Watch it no more"
                        @click=${() => this.host.look({ watch: this.look.watch.filter((each) => each.id !== id) })}
                      >
                        <lens-icon name="close"></lens-icon>
                      </button>`
                    : nothing
                }
              </td>
            </tr>`;
          })}
        </tbody>
      </table>
    </div>`;
  }

  /** Δ log p of one word by the attention and by the FFN of each layer. */
  private steps(word: WatchedToken): TemplateResult {
    const { token, steps } = word;
    const { ffn } = steps;
    const before = this.beforeOf(word)?.steps;
    // A tuned lens has no map of what stands between them.
    const parts = this.result?.tuned === null ? ['attention', 'FFN'] : ['layer'];
    const linesOf = (each: WatchedToken['steps']): Float32Array[] =>
      parts.length === 1 ? [each.ffn] : [each.attention, each.ffn];
    const lines = [...linesOf(steps), ...(before === undefined ? [] : linesOf(before))];
    const layers = ffn.length;
    const values = new Float32Array(lines.length * layers);
    lines.forEach((line, row) => values.set(line, row * layers));
    const picture: MatrixPicture = {
      rows: [...parts, ...parts.map((part) => `${part}, unchanged`)].slice(0, lines.length),
      columns: Array.from({ length: layers }, (_, layer) => String(layer)),
      ...{ values, ramp: 'difference', rowHeight: 22 },
      full: values.reduce((most, value) => (Number.isNaN(value) ? most : Math.max(most, Math.abs(value))), 0),
      format: (value) => signed(value, 1),
    };
    const say = (row: number, layer: number): string => {
      const value = values[row * layers + layer] ?? NaN;
      return Number.isNaN(value) ? 'not known' : difference(value);
    };
    const { layer } = this;
    return html`<h2>
        <span class="title">Steps</span
        ><span class="what"
          >Δ log p of <bdi class="mono">${readable(token)}</bdi> by
          ${parts.length === 1 ? 'each layer' : 'each part of each layer'}</span
        >
      </h2>
      <lens-matrix
        .picture=${picture}
        label="Steps of ${readable(token)} by layer"
        .describe=${(row: number, column: number) =>
          `${parts.length === 1 ? '' : `${picture.rows[row] ?? ''} of `}layer ${column}${
            parts.length === 1 && row === 1 ? ', unchanged' : ''
          }: ${say(row, column)}`}
        @cell=${(event: CustomEvent<{ column: number } | null>) =>
          (this.layer = event.detail === null || event.detail.column < 0 ? null : event.detail.column)}
      ></lens-matrix>
      <div class="readout">
        ${
          layer === null
            ? nothing
            : html`layer ${layer}:
              ${parts.map(
                (part, row) =>
                  html`${row === 0 ? '' : ', '}${part === 'layer' ? '' : `${part} `}<strong
                      >${say(row, layer)}</strong
                    >`,
              )}${
                before === undefined
                  ? ''
                  : `; unchanged ${parts.map((_, row) => say(parts.length + row, layer)).join(', ')}`
              }`
        }
      </div>`;
  }

  private states({ states, target, before }: ShownLens): TemplateResult {
    return html`<h2><span class="title">States</span><span class="what">first words after each part</span></h2>
      <div class="table" tabindex="0" role="region" aria-label="What the model would say after each part">
        <table>
          <thead>
            <tr>
              <th>after</th>
              <th class="says"><span class="visually-hidden">first words</span></th>
              <th title="Entropy of the whole distribution, in nats">H</th>
            </tr>
          </thead>
          <tbody>
            ${states.map(
              (state, index) =>
                html`<tr class=${state.part === 'attention' ? '' : 'layer-end'}>
                  <td title=${placeWords(state)}>${placeLabel(state)}</td>
                  <td
                    class="says"
                    title=${state.predictions.map(({ token, prob }) => `${token} ${probability(prob)}`).join('\n')}
                  >
                    ${state.predictions.map(
                      ({ id, token, prob }, place) =>
                        html`<span class="prediction ${id === target.id ? 'answer' : ''}"
                            ><bdi class="token">${readable(token)}</bdi>
                            <span class="number">${probability(prob)}</span></span
                          >${place === 0 ? was(before?.states[index]?.predictions[0], state.predictions[0]) : nothing}`,
                    )}
                  </td>
                  <td title="${precise(state.entropy)} nats">${nats(state.entropy)}</td>
                </tr>`,
            )}
          </tbody>
        </table>
      </div>`;
  }

  override picture(): Picture | null {
    const { result, look } = this;
    if (result === null) return null;
    const shown = result.watched.slice(0, MOST_LINES);
    const stepped = shown.find(({ id }) => id === look.steps) ?? shown[0];
    const chart = chartOf(result, shown, look.chart, this.beforeOf(stepped));
    return {
      title: `${result.model}: ${look.chart === 'rank' ? 'ranks' : 'log p'} after each part, token ${result.target.position}: ${shown.map(({ token }) => readable(token)).join(', ')}`,
      ...{ width: PICTURE_WIDTH, height: chartHeight + 20 * Math.ceil(shown.length / 4) },
      draw: (surface, theme) => {
        drawChart(surface, chart, PICTURE_WIDTH, null, theme);
        shown.forEach(({ token }, index) =>
          surface.text(10 + (index % 4) * 150, chartHeight + 10 + 20 * Math.floor(index / 4), `● ${readable(token)}`, {
            color: theme.categories[index % theme.categories.length] ?? theme.foreground,
          }),
        );
      },
      notes: [headText(result), ...result.notes],
      table: {
        columns: ['after', ...shown.map(({ token }) => token)],
        rows: result.states.map((state, index) => [placeLabel(state), ...shown.map(({ ranks }) => ranks[index] ?? '')]),
      },
    };
  }
}

/** What the unchanged model would have said first, where that is another word. */
const was = (before: Prediction | undefined, now: Prediction | undefined): TemplateResult | typeof nothing =>
  before === undefined || before.id === now?.id
    ? nothing
    : html`<span class="prediction quiet"
        >was <bdi class="token">${readable(before.token)}</bdi>
        <span class="number">${probability(before.prob)}</span></span
      >`;

/** Ranks stand on a scale of powers of ten, the first on top. `before`: one of the words in the unchanged model. */
export function chartOf(
  { states }: Pick<LogitLens, 'states'>,
  shown: readonly WatchedToken[],
  chart: 'rank' | 'logprob',
  before?: WatchedToken,
): ChartPicture {
  const last = states.length - 1;
  const lines = [...shown, ...(before === undefined ? [] : [before])];
  return {
    series: lines.map(({ token, ranks, logprobs }, index) => ({
      label: index < shown.length ? readable(token) : `${readable(token)}, unchanged model`,
      values: chart === 'rank' ? Array.from(ranks, (rank) => -Math.log10(rank)) : Array.from(logprobs),
    })),
    format: chart === 'rank' ? (value) => count(Math.round(10 ** -value)) : (value) => signed(value, 1),
    columns: states.map((state, index) => ({
      label:
        state.part === 'input'
          ? 'in'
          : state.part === 'ffn' && (state.layer % 2 === 1 || index === last || last < 20)
            ? String(state.layer)
            : '',
      title: placeWords(state),
    })),
  };
}
