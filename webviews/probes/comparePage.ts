/** Two runs over the same facts: what the second one has gained and lost. */
import { css, html, LitElement, nothing, svg, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { count, precise, visible } from '../../extension/protocol/format';
import type { ComparisonLine, ProbesComparison } from '../../extension/protocol/probesView';
import { base } from '../common/styles';
import { probeTableStyles } from './tableStyles';

/** Changes shown at first. */
const SOME = 200;
const percent = (share: number): string => (100 * share).toFixed(1);
const significance = (p: number): string => (p < 1e-4 ? p.toExponential(1).replace('-', '−') : p.toFixed(4));

/** Fires `choose` with the index of a fact in the run that is looked at. */
@customElement('lens-probe-comparison')
export class ProbeComparison extends LitElement {
  static override styles = [
    base,
    probeTableStyles,
    css`
      :host {
        display: block;
        container-type: inline-size;
      }
      svg {
        display: block;
        width: 100%;
        min-width: 60px;
        height: 12px;
      }
      td.chart {
        width: 30%;
      }
      .gained {
        fill: var(--vscode-charts-green);
        color: var(--vscode-charts-green);
      }
      .lost {
        fill: var(--vscode-charts-red);
        color: var(--vscode-charts-red);
      }
      .zero {
        stroke: var(--vscode-descriptionForeground);
        vector-effect: non-scaling-stroke;
      }
      .total td {
        border-top: 1px solid var(--vscode-contrastBorder, var(--vscode-widget-border, var(--vscode-panel-border)));
        font-weight: 600;
      }
      ul {
        margin: 4px -14px;
        padding: 0;
        list-style: none;
      }
      li button {
        display: flex;
        gap: 8px;
        width: 100%;
        height: 22px;
        padding: 0 14px;
        border-radius: 0;
        text-align: left;
      }
      li .text {
        flex: 1;
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: nowrap;
      }
      @container (max-width: 560px) {
        .chart,
        .same {
          display: none;
        }
      }
      @container (max-width: 380px) {
        .n {
          display: none;
        }
      }
    `,
  ];
  @property({ attribute: false }) comparison: ProbesComparison | null = null;
  @state() private shown = SOME;

  override render(): TemplateResult | typeof nothing {
    const { comparison } = this;
    if (comparison === null) return nothing;
    const { first, second, relations, all, unpaired, changes } = comparison;
    const most = Math.max(1, ...relations.map(({ gained, lost }) => Math.max(gained, lost)));
    return html`<p>
        <span class="quiet">A</span> ${visible(first)}<br /><span class="quiet">B</span> ${visible(second)}
      </p>
      ${
        all.n === 0
          ? html`<p>These runs have no fact in common that is ranked in both.</p>`
          : html`<div class="table" tabindex="0" role="region" aria-label="Comparison by relation">
                <table>
                  <thead>
                    <tr>
                      <th>relation</th>
                      <th class="chart">lost | gained</th>
                      <th class="n" title="Facts ranked in both runs">n</th>
                      <th title="P@1 of A, in percent">A %</th>
                      <th title="P@1 of B, in percent">B %</th>
                      <th title="Right in B only">gained</th>
                      <th title="Right in A only">lost</th>
                      <th class="same" title="Right in both, wrong in both">same</th>
                      <th title="McNemar’s exact test, two-sided">p</th>
                    </tr>
                  </thead>
                  <tbody>
                    ${relations.map((line) => this.line(line, most, ''))}
                    ${this.line({ relation: 'all facts', ...all }, null, 'total')}
                  </tbody>
                </table>
              </div>
              ${
                unpaired === 0
                  ? nothing
                  : html`<p class="quiet">
                      ${count(unpaired)} fact${unpaired === 1 ? ' is' : 's are'} ranked in one of the runs only.
                    </p>`
              }
              <h2><span class="title">Changes</span><span class="what">${count(changes.length)}</span></h2>
              <ul>
                ${changes.slice(0, this.shown).map(
                  ({ relation, subject, answers, change, index }) =>
                    html`<li>
                      <button
                        title="${relation}: ${subject} → ${answers.join(' | ')}"
                        @click=${() => this.dispatchEvent(new CustomEvent('choose', { detail: index }))}
                      >
                        <span class=${change}>${change === 'gained' ? '+' : '−'}</span
                        ><span class="visually-hidden">${change}</span>
                        <span class="text"
                          >${visible(subject)} → ${visible(answers.join(' | '))}
                          <span class="quiet">${visible(relation)}</span></span
                        >
                      </button>
                    </li>`,
                )}
              </ul>
              ${
                changes.length <= this.shown
                  ? nothing
                  : html`<button class="bordered" @click=${() => (this.shown += SOME)}>Show More</button>`
              }`
      }`;
  }

  private line(line: ComparisonLine, most: number | null, look: string): TemplateResult {
    const { relation, n, first, second, gained, lost, right, wrong, p } = line;
    const width = (facts: number): string => ((50 * facts) / (most ?? 1)).toFixed(2);
    const label = `${lost} lost, ${gained} gained`;
    return html`<tr class=${look}>
      <td title=${relation}>${visible(relation)}</td>
      <td class="chart">
        ${
          most === null
            ? nothing
            : html`<svg role="img" aria-label=${label} viewBox="0 0 100 12" preserveAspectRatio="none">
                <title>${label}</title>
                ${svg`<rect class="lost" x=${(50 - Number(width(lost))).toFixed(2)} y="2" height="8" width=${width(lost)}></rect>
                  <rect class="gained" x="50" y="2" height="8" width=${width(gained)}></rect>
                  <line class="zero" x1="50" x2="50" y1="0" y2="12"></line>`}
              </svg>`
        }
      </td>
      <td class="n">${count(n)}</td>
      <td title=${precise(first)}>${percent(first)}</td>
      <td title=${precise(second)}>${percent(second)}</td>
      <td>${count(gained)}</td>
      <td>${count(lost)}</td>
      <td class="same" title="${right} right in both, ${wrong} wrong in both">${count(right + wrong)}</td>
      <td title=${precise(p)}>${significance(p)}</td>
    </tr>`;
  }
}
