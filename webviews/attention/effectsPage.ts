/** Which heads matter for the prediction at the target, and what the weights alone say of heads. */
import { css, html, nothing, svg, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { AblationResult, HeadEffect, HeadWeights } from '../../extension/protocol/attention';
import type { Prediction } from '../../extension/protocol/engine';
import { difference, headName, precise, probability, readable, signed, visible } from '../../extension/protocol/format';
import '../common/barList';
import type { BarRow } from '../common/barList';
import { palette } from '../common/colors';
import type { Cell } from '../common/gridCursor';
import '../common/lineChart';
import '../common/matrix';
import { drawMatrix, matrixLayout, type MatrixPicture } from '../common/matrixPicture';
import type { Picture } from '../common/pictureFiles';
import { Page } from './page';

export interface Effects {
  effects: AblationResult | null;
  together: AblationResult | null;
  weights: HeadWeights | null;
}

type Measure = 'zero' | 'mean' | 'importance';
const MEASURES: Record<Measure, { label: string; title: string }> = {
  zero: { label: 'Δ off', title: 'Change of log P when the head’s output is zero' },
  mean: { label: 'Δ mean', title: 'Change of log P when the output is its mean over the text' },
  importance: {
    label: 'imp.',
    title: 'Importance: |∂L/∂ξ| by central difference, per block of length 1 (Michel et al. 2019)',
  },
};
const FIRST_ROWS = 12;
const PREDICTIONS = 5;

@customElement('lens-effects-page')
export class EffectsPage extends Page {
  static override styles = [
    Page.styles,
    css`
      .ask {
        row-gap: 4px;
      }
      td svg {
        display: block;
        width: 100%;
        min-width: 34px;
        height: 9px;
      }
      td.bar {
        width: 40%;
      }
      rect.less {
        fill: var(--vscode-charts-red);
      }
      rect.more {
        fill: var(--vscode-charts-blue);
      }
      rect {
        stroke: var(--vscode-contrastBorder, transparent);
      }
      line {
        stroke: var(--vscode-descriptionForeground);
      }
      .sides {
        display: grid;
        grid-template-columns: repeat(auto-fit, minmax(min(100%, 220px), 1fr));
        gap: 0 40px;
      }
      .becomes {
        max-width: 76px;
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
  @property({ attribute: false }) effects: Effects | null = null;
  @state() private withMean = true;
  @state() private withImportance = true;
  @state() private measure: Measure = 'zero';
  @state() private all = false;
  @state() private near: { cell: Cell; what: string } | null = null;

  override render(): TemplateResult | typeof nothing {
    if (this.state.overview === null) return nothing;
    const result = this.effects?.effects ?? null;
    return html`<div class="row controls ask">
        <button
          class="bordered"
          @click=${() => this.host.ask('ablate', { mean: this.withMean, importance: this.withImportance })}
        >
          Which Heads Matter Here
        </button>
        <label
          ><input
            type="checkbox"
            .checked=${this.withMean}
            @change=${(event: Event) => (this.withMean = (event.target as HTMLInputElement).checked)}
          />
          mean ablation</label
        >
        <label
          ><input
            type="checkbox"
            .checked=${this.withImportance}
            @change=${(event: Event) => (this.withImportance = (event.target as HTMLInputElement).checked)}
          />
          importance</label
        >
      </div>
      ${this.together()}
      ${
        result === null
          ? html`<p class="quiet">
              Every head is switched off by itself, and log P of the likeliest token at the target is measured again.
              The target is the token marked above.
            </p>`
          : this.ranking(result)
      }
      ${this.weights(this.effects?.weights ?? null)}`;
  }

  /** Before and after all interventions together. */
  private together(): TemplateResult | typeof nothing {
    const result = this.effects?.together ?? null;
    if (result?.after == null) return nothing;
    const { before, after, target } = result;
    const scale = Math.max(...[before, after].map(({ predictions }) => predictions[0]?.prob ?? 0));
    return html`<h2>
        <span class="title">With the interventions</span
        ><span class="what"
          >log P(<bdi>${readable(target.token)}</bdi>) ${signed(before.logprob)} → ${signed(after.logprob)},
          ${difference(after.logprob - before.logprob)}</span
        >
      </h2>
      <div class="sides">
        ${this.predictions('before', before.predictions, scale)} ${this.predictions('after', after.predictions, scale)}
      </div>`;
  }

  private predictions(name: string, predictions: readonly Prediction[], scale: number): TemplateResult {
    const rows = predictions.slice(0, PREDICTIONS).map(({ token, text, prob, logprob }): BarRow => ({
      label: visible(text.trim() === '' ? token : text.trim()),
      fraction: prob / (scale || 1),
      numbers: [probability(prob), signed(logprob)],
      title: `${token}: probability ${prob}, log-probability ${logprob}`,
    }));
    return html`<section aria-label=${name}>
      <p class="quiet">${name}</p>
      <lens-bar-list .rows=${rows} .columns=${['p', 'log p']} label="Predictions ${name}"></lens-bar-list>
    </section>`;
  }

  private measured(effect: HeadEffect): number {
    return effect[this.measure] ?? 0;
  }

  private ranking(result: AblationResult): TemplateResult {
    const { before, target, effects } = result;
    const rows = [...effects].sort((a, b) => Math.abs(this.measured(b)) - Math.abs(this.measured(a)));
    const most = Math.abs(rows[0] === undefined ? 0 : this.measured(rows[0])) || 1;
    const shown = this.all ? rows : rows.slice(0, FIRST_ROWS);
    const has = (measure: Measure): boolean => effects.some((effect) => effect[measure] !== null);
    const measures = (Object.keys(MEASURES) as Measure[]).filter(has);
    const changed = effects.filter(({ changedTo }) => changedTo !== null).length;
    return html`<h2>
        <span class="title">Effect of each head</span
        ><span class="what"
          >on log P(<bdi>${readable(target.token)}</bdi>) at token ${target.position}, ${signed(before.logprob)}
          now</span
        >
      </h2>
      ${result.notes.map((note) => html`<p class="quiet">${visible(note)}</p>`)}
      <p class="quiet">
        ${changed === 0 ? 'No head alone changes the first choice.' : `${changed} of ${effects.length} heads change the first choice.`}
      </p>
      <div class="columns">
        <div>
          <div class="table" tabindex="0" role="region" aria-label="Heads by their effect">
            <table>
              <thead>
                <tr>
                  <th>head</th>
                  <th><span class="visually-hidden">effect as a bar</span></th>
                  ${measures.map(
                    (measure) =>
                      html`<th
                        aria-sort=${this.measure === measure ? 'descending' : 'none'}
                        title=${MEASURES[measure].title}
                      >
                        <button @click=${() => (this.measure = measure)}>
                          ${MEASURES[measure].label}${this.measure === measure ? ' ▾' : ''}
                        </button>
                      </th>`,
                  )}
                  <th>becomes</th>
                </tr>
              </thead>
              <tbody>
                ${shown.map((effect) => this.row(effect, measures, most))}
              </tbody>
            </table>
          </div>
          ${
            rows.length <= FIRST_ROWS
              ? nothing
              : html`<button class="link" @click=${() => (this.all = !this.all)}>
                  ${this.all ? 'Fewer' : `All ${rows.length} heads`}
                </button>`
          }
        </div>
        <div>${this.map(effects)}</div>
      </div>`;
  }

  private row(effect: HeadEffect, measures: readonly Measure[], most: number): TemplateResult {
    const value = this.measured(effect);
    const width = (50 * Math.abs(value)) / most;
    const one = this.measure === 'importance';
    const [x, size] = one ? [0, 2 * width] : [value < 0 ? 50 - width : 50, width];
    return html`<tr>
      <td><button class="link" @click=${() => this.open(effect.layer, effect.head)}>${headName(effect)}</button></td>
      <td class="bar">
        <svg aria-hidden="true" preserveAspectRatio="none" viewBox="0 0 100 10">
          ${svg`<rect class=${value < 0 ? 'less' : 'more'} x=${x.toFixed(2)} width=${Math.max(0.5, size).toFixed(2)} height="10"></rect>`}
          ${one ? nothing : svg`<line x1="50" x2="50" y1="0" y2="10" vector-effect="non-scaling-stroke"></line>`}
        </svg>
      </td>
      ${measures.map((measure) => {
        const number = effect[measure];
        return html`<td title=${number === null ? 'not asked for' : precise(number)}>
          ${number === null ? '–' : measure === 'importance' ? number.toFixed(2) : difference(number)}
        </td>`;
      })}
      <td class="token becomes" title=${effect.changedTo?.token ?? ''}>
        <bdi>${effect.changedTo === null ? '' : readable(effect.changedTo.token)}</bdi>
      </td>
    </tr>`;
  }

  private open(layer: number, head: number): void {
    this.host.look({ page: 'head', layer, heads: [{ layer, head }] });
  }

  /** Effects by layer and head [L,H]. */
  private effectPicture(effects: readonly HeadEffect[]): MatrixPicture {
    const { layers = 0, heads = 0 } = this.state.overview ?? {};
    const values = new Float32Array(layers * heads).fill(NaN);
    for (const effect of effects) values[effect.layer * heads + effect.head] = effect[this.measure] ?? NaN;
    return headsPicture(values, heads, this.measure === 'importance' ? 'magnitude' : 'difference');
  }

  private map(effects: readonly HeadEffect[]): TemplateResult {
    return this.headMap(`${MEASURES[this.measure].label} by layer and head`, this.effectPicture(effects), (value) =>
      this.measure === 'importance' ? value.toFixed(2) : difference(value),
    );
  }

  private headMap(title: string, picture: MatrixPicture, format: (value: number) => string): TemplateResult {
    const heads = picture.columns.length;
    const say = ({ row, column }: Cell): string => {
      const value = picture.values[row * heads + column] ?? NaN;
      return `${headName({ layer: row, head: column })} ${Number.isNaN(value) ? 'not known' : format(value)}`;
    };
    const near =
      this.near?.what === title && this.near.cell.row >= 0 && this.near.cell.column >= 0 ? this.near.cell : null;
    return html`<p class="quiet">${title}: rows are layers; Enter opens a head</p>
      <lens-matrix
        .picture=${picture}
        .describe=${(row: number, column: number) => say({ row, column })}
        label="${title}: rows are layers"
        @cell=${(event: CustomEvent<Cell | null>) =>
          (this.near = event.detail === null ? null : { cell: event.detail, what: title })}
        @choose=${(event: CustomEvent<Cell>) => {
          if (event.detail.row >= 0 && event.detail.column >= 0) this.open(event.detail.row, event.detail.column);
        }}
      ></lens-matrix>
      <div class="readout">${near === null ? '' : say(near)}</div>`;
  }

  private weights(weights: HeadWeights | null): TemplateResult | typeof nothing {
    if (weights === null) return nothing;
    const format = (value: number): string => value.toFixed(2);
    return html`<h2><span class="title">From the weights alone</span></h2>
      ${weights.notes.map((note) => html`<p class="quiet">${visible(note)}</p>`)}
      <p class="quiet">Expansion rate of each block: ‖W_V W_O‖ with biases (Kobayashi et al. 2021)</p>
      <lens-line-chart
        .picture=${{ series: [{ label: 'expansion rate', values: weights.expansion }], format: (value: number) => value.toFixed(3), reference: 1 }}
        label="Expansion rate by layer"
      ></lens-line-chart>
      <div class="columns">
        <div>${this.headMap('‖W_V W_O‖', headsPicture(weights.ov, weights.heads, 'magnitude'), format)}</div>
        <div>${this.headMap('‖W_Q W_Kᵀ‖', headsPicture(weights.qk, weights.heads, 'magnitude'), format)}</div>
      </div>`;
  }

  override picture(): Picture | null {
    const result = this.effects?.effects ?? null;
    if (result === null) return null;
    const picture = this.effectPicture(result.effects);
    const layout = matrixLayout(picture, 40 + 26 * picture.columns.length, 1, palette());
    const viewport = { left: 0, top: 0, width: layout.width, height: layout.height };
    return {
      title: `Effect of heads of ${result.model} on log P(${result.target.token}) at token ${result.target.position}`,
      width: layout.width,
      height: layout.height,
      draw: (surface, theme) =>
        drawMatrix(surface, picture, layout, viewport, { cursor: null, hover: null, only: null, target: null }, theme),
      notes: [`${MEASURES[this.measure].title}. Rows are layers, columns heads.`, ...result.notes],
      table: {
        columns: ['head', 'delta log P, zero', 'delta log P, mean', 'gradient', 'importance', 'becomes'],
        rows: result.effects.map((effect) => [
          headName(effect),
          effect.zero,
          effect.mean ?? '',
          effect.gradient ?? '',
          effect.importance ?? '',
          effect.changedTo?.token ?? '',
        ]),
      },
    };
  }
}

/** A number a head [L,H] as a map of layers and heads. */
function headsPicture(values: Float32Array, heads: number, ramp: MatrixPicture['ramp']): MatrixPicture {
  const full = values.reduce((most, value) => (Number.isNaN(value) ? most : Math.max(most, Math.abs(value))), 0);
  const names = (length: number): string[] => Array.from({ length }, (_, index) => String(index));
  return {
    ...{ rows: names(values.length / Math.max(1, heads)), columns: names(heads), values, ramp, full: full || 1 },
    format: (value) => value.toFixed(2),
  };
}
