/** Relations with their numbers, and P@1 drawn with its interval beside always giving the commonest answer. */
import { css, html, LitElement, nothing, svg, type SVGTemplateResult, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { count, precise, signed, visible } from '../../extension/protocol/format';
import type { ProbesSummary, Range, RelationLine } from '../../extension/protocol/probesView';
import { base } from '../common/styles';
import { probeTableStyles } from './tableStyles';

const percent = (share: number): string => (100 * share).toFixed(1);
const interval = ({ low, high }: Range): string => `95 %: ${percent(low)} to ${percent(high)}`;

interface Column {
  label: string;
  title: string;
  order: (line: RelationLine) => number | string;
}
const COLUMNS: Column[] = [
  { label: 'relation', title: 'In the order of the run', order: () => 0 },
  { label: 'n', title: 'Ranked facts', order: ({ n }) => -n },
  { label: 'P@1', title: 'Share of facts whose answer is first, in percent', order: ({ p1 }) => -p1 },
  { label: 'P@10', title: 'Share of facts whose answer is among the first ten, in percent', order: ({ p10 }) => -p10 },
  { label: 'MRR', title: 'Mean of 1/rank', order: ({ mrr }) => -mrr },
  { label: 'log p', title: 'Mean log-probability of the answers', order: ({ meanLogprob }) => -meanLogprob },
  { label: 'maj.', title: 'P@1 of always giving the commonest answer, in percent', order: ({ majority }) => -majority },
];

@customElement('lens-relation-table')
export class RelationTable extends LitElement {
  static override styles = [
    base,
    probeTableStyles,
    css`
      :host {
        display: block;
        container-type: inline-size;
      }
      td.chart {
        width: 30%;
        min-width: 90px;
      }
      svg {
        display: block;
        width: 100%;
        height: 14px;
        overflow: visible;
      }
      .bar {
        fill: var(--vscode-charts-blue);
        stroke: var(--vscode-contrastBorder, transparent);
        opacity: 0.75;
      }
      .range {
        stroke: var(--vscode-foreground);
        stroke-width: 1.5;
        vector-effect: non-scaling-stroke;
      }
      .majority {
        stroke: var(--vscode-charts-orange);
        stroke-width: 2;
        vector-effect: non-scaling-stroke;
      }
      .key {
        display: inline-block;
        width: 10px;
        height: 10px;
        vertical-align: -1px;
      }
      .total td {
        border-top: 1px solid var(--vscode-contrastBorder, var(--vscode-widget-border, var(--vscode-panel-border)));
        font-weight: 600;
      }
      td.more {
        padding: 0 0 4px 12px;
        text-align: left;
        white-space: normal;
      }
      @container (max-width: 520px) {
        .chart,
        :is(th, td):nth-child(8) {
          display: none;
        }
      }
      @container (max-width: 400px) {
        :is(th, td):is(:nth-child(6), :nth-child(7)) {
          display: none;
        }
      }
    `,
  ];
  @property({ attribute: false }) summary: ProbesSummary | null = null;
  @state() private sort = 0;
  @state() private descending = false;

  override render(): TemplateResult | typeof nothing {
    const { summary } = this;
    if (summary === null) return nothing;
    const { order } = COLUMNS[this.sort] as Column;
    const lines = [...summary.relations].sort((a, b) => {
      const [x, y] = [order(a), order(b)];
      return (x < y ? -1 : x > y ? 1 : 0) * (this.descending ? -1 : 1);
    });
    const { macro } = summary;
    return html`<p class="quiet">
        Ranked among the ${summary.ranking}. Bars: P@1; line: its 95 % bootstrap interval; tick: always the commonest
        answer.
      </p>
      <div class="table" tabindex="0" role="region" aria-label="Relations">
        <table>
          <thead>
            <tr>
              ${COLUMNS.slice(0, 1).map((column, index) => this.heading(column, index))}
              <th class="chart"><span class="visually-hidden">P@1 drawn</span></th>
              ${COLUMNS.slice(1).map((column, index) => this.heading(column, index + 1))}
            </tr>
          </thead>
          <tbody>
            ${lines.map((line) => this.line(line))}
            ${
              summary.relations.filter(({ n }) => n > 0).length < 2
                ? nothing
                : html`<tr class="total">
                    <td>mean of relations</td>
                    <td class="chart">${chart(macro, null)}</td>
                    <td></td>
                    <td title=${interval(macro.intervals.p1)}>${percent(macro.p1)}</td>
                    <td title=${interval(macro.intervals.p10)}>${percent(macro.p10)}</td>
                    <td>${macro.mrr.toFixed(3)}</td>
                    <td></td>
                    <td></td>
                  </tr>`
            }
          </tbody>
        </table>
      </div>
      ${summary.notes.map((note) => html`<p class="quiet">${note}</p>`)}`;
  }

  private heading({ label, title }: Column, index: number): TemplateResult {
    const own = this.sort === index;
    return html`<th title=${title} aria-sort=${own ? (this.descending ? 'descending' : 'ascending') : 'none'}>
      <button
        @click=${() => {
          this.descending = own && !this.descending;
          this.sort = index;
        }}
      >
        ${label}${own ? (this.descending ? ' ▴' : ' ▾') : ''}
      </button>
    </th>`;
  }

  private line(line: RelationLine): TemplateResult {
    const { relation, template, n, p1, p10, mrr, intervals, meanLogprob, majority, details } = line;
    const numbers =
      n === 0
        ? html`<td>–</td>
            <td>–</td>
            <td>–</td>
            <td>–</td>
            <td>–</td>`
        : html`<td title="${precise(p1)}, ${interval(intervals.p1)}">${percent(p1)}</td>
            <td title="${precise(p10)}, ${interval(intervals.p10)}">${percent(p10)}</td>
            <td title="${precise(mrr)}, 95 %: ${intervals.mrr.low.toFixed(3)} to ${intervals.mrr.high.toFixed(3)}">
              ${mrr.toFixed(3)}
            </td>
            <td title=${precise(meanLogprob)}>${signed(meanLogprob)}</td>
            <td title=${precise(majority)}>${percent(majority)}</td>`;
    return html`<tr>
        <td title=${template}>${visible(relation)}</td>
        <td class="chart">${n === 0 ? nothing : chart(line, majority)}</td>
        <td>${count(n)}</td>
        ${numbers}
      </tr>
      ${
        details.length === 0
          ? nothing
          : html`<tr>
              <td class="more quiet" colspan="8">${details.map((detail) => html`<div>${visible(detail)}</div>`)}</td>
            </tr>`
      }`;
  }
}

/** 0 to 100 %. */
function chart({ p1, intervals }: Pick<RelationLine, 'p1' | 'intervals'>, majority: number | null): TemplateResult {
  const at = (share: number): string => (100 * share).toFixed(2);
  const tick = (share: number, name: string): SVGTemplateResult =>
    svg`<line class=${name} x1=${at(share)} x2=${at(share)} y1="1" y2="13"></line>`;
  const label = `${percent(p1)} %, ${interval(intervals.p1)}${majority === null ? '' : `, majority ${percent(majority)} %`}`;
  return html`<svg role="img" aria-label=${label} viewBox="0 0 100 14" preserveAspectRatio="none">
    <title>${label}</title>
    ${svg`<rect class="bar" y="3" height="8" width=${at(p1)}></rect>
      <line class="range" x1=${at(intervals.p1.low)} x2=${at(intervals.p1.high)} y1="7" y2="7"></line>`}
    ${majority === null ? nothing : tick(majority, 'majority')}
  </svg>`;
}
