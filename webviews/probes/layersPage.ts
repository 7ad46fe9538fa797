/** Where in the model facts appear: the answers' ranks after each layer, read through the model's own head. */
import { css, html, LitElement, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { count, precise, signed, visible } from '../../extension/protocol/format';
import type { ProbesSummary, RelationLine } from '../../extension/protocol/probesView';
import '../common/lineChart';
import type { ChartPicture } from '../common/lineChart';
import { base } from '../common/styles';
import { probeTableStyles } from './tableStyles';

type Layer = NonNullable<RelationLine['layers']>[number];
type Measure = 'p1' | 'mrr' | 'meanLogprob';
const MEASURES: Record<Measure, { label: string; format: (value: number) => string }> = {
  p1: { label: 'P@1 %', format: (value) => (100 * value).toFixed(1) },
  mrr: { label: 'MRR', format: (value) => value.toFixed(2) },
  meanLogprob: { label: 'mean log p', format: (value) => signed(value) },
};
/** Lines that can be told from each other. */
const MOST_LINES = 8;

/** Fires `ask`: the run is to be made again, by layer. */
@customElement('lens-probe-layers')
export class ProbeLayers extends LitElement {
  static override styles = [
    base,
    probeTableStyles,
    css`
      :host {
        display: block;
      }
      .controls {
        margin: 4px 0;
      }
      .controls label {
        display: flex;
        align-items: center;
        gap: 6px;
      }
    `,
  ];
  @property({ attribute: false }) summary: ProbesSummary | null = null;
  @property({ type: Boolean }) repeatable = false;
  @state() private measure: Measure = 'p1';

  override render(): TemplateResult | typeof nothing {
    const { summary, measure } = this;
    if (summary === null) return nothing;
    const lines = summary.relations.flatMap(({ relation, layers }) => (layers === null ? [] : [{ relation, layers }]));
    if (lines.length === 0)
      return html`<p>The rank of each answer after each layer, as the model’s own head would read it there.</p>
        ${
          this.repeatable
            ? html`<button class="bordered" @click=${() => this.dispatchEvent(new CustomEvent('ask'))}>
                Ask by Layer
              </button>`
            : html`<p class="quiet">This run was not asked by layer; run its file again for that.</p>`
        }`;
    const means =
      lines.length < 2 ? [] : [{ relation: 'mean of relations', layers: meanOf(lines.map((each) => each.layers)) }];
    const all = [...means, ...lines];
    const { label, format } = MEASURES[measure];
    const picture: ChartPicture = {
      series: all
        .slice(0, MOST_LINES)
        .map(({ relation, layers }) => ({ label: relation, values: layers.map((each) => each[measure]) })),
      format,
    };
    return html`<div class="row controls">
        <label
          ><span class="quiet">Show</span>
          <select
            aria-label="Number"
            @change=${(event: Event) => (this.measure = (event.target as HTMLSelectElement).value as Measure)}
          >
            ${Object.entries(MEASURES).map(
              ([name, each]) => html`<option value=${name} ?selected=${name === measure}>${each.label}</option>`,
            )}
          </select></label
        >
      </div>
      <p class="quiet">
        0 is the input of the first layer, ${(lines[0]?.layers.length ?? 1) - 1} the end of the
        last${all.length > MOST_LINES ? `; lines of ${MOST_LINES}, all of them in the table` : ''}.
      </p>
      <lens-line-chart .picture=${picture} label="${label} by layer"></lens-line-chart>
      <div class="table" tabindex="0" role="region" aria-label="${label} by layer, as a table">
        <table>
          <thead>
            <tr>
              <th>${label}</th>
              ${lines[0]?.layers.map((_, layer) => html`<th>${layer}</th>`)}
              <th>n</th>
            </tr>
          </thead>
          <tbody>
            ${all.map(
              ({ relation, layers }) =>
                html`<tr>
                  <td title=${relation}>${visible(relation)}</td>
                  ${layers.map((each) => html`<td title=${precise(each[measure])}>${format(each[measure])}</td>`)}
                  <td>${count(layers[0]?.n ?? 0)}</td>
                </tr>`,
            )}
          </tbody>
        </table>
      </div>`;
  }
}

/** Unweighted; n is the sum. */
function meanOf(relations: readonly (readonly Layer[])[]): Layer[] {
  return (relations[0] ?? []).map((_, layer) => {
    const own = relations.map((layers) => layers[layer] as Layer);
    const mean = (valueOf: (each: Layer) => number): number =>
      own.reduce((sum, each) => sum + valueOf(each), 0) / own.length;
    return {
      n: own.reduce((sum, { n }) => sum + n, 0),
      p1: mean(({ p1 }) => p1),
      mrr: mean(({ mrr }) => mrr),
      meanLogprob: mean(({ meanLogprob }) => meanLogprob),
    };
  });
}
