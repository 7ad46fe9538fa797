/** How one query's row of weights comes about, number by number, and what the head then writes into the residual stream. */
import { css, html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { AttentionSteps, HeadRef } from '../../extension/protocol/attention';
import { headName, precise, probability, readable, signed, visible } from '../../extension/protocol/format';
import { palette } from '../common/colors';
import type { Cell } from '../common/gridCursor';
import '../common/matrix';
import { drawMatrix, matrixLayout, type MatrixPicture } from '../common/matrixPicture';
import type { Picture } from '../common/pictureFiles';
import './headPicker';
import { Page } from './page';

interface Column {
  label: string;
  title: string;
  /** Null where the model does not show it. */
  values: Float32Array | null;
  format: (value: number) => string;
}

const number = (value: number): string => (value === -Infinity ? '−∞' : signed(value));
const length = (value: number): string => value.toFixed(2);
const STRIPS = ['q', 'k', 'q × k'];

/** The row's way from left to right. [T] each. */
function columnsOf(steps: AttentionSteps): Column[] {
  const { products, scale, bias, scores, pattern, valueNorms, weightedNorms, writtenNorms } = steps;
  const scaled = products === null || scale === null ? null : products.map((value) => value * scale);
  return [
    { label: 'q·k', title: 'Product of query and key', values: products, format: number },
    { label: '× scale', title: `q·k times ${scale ?? 'a scale that is not known'}`, values: scaled, format: number },
    { label: '+ bias', title: 'Position bias and mask', values: bias, format: number },
    { label: 'score', title: 'What goes into the softmax', values: scores, format: number },
    { label: 'weight', title: 'α: softmax over the keys', values: pattern, format: probability },
    { label: '‖v‖', title: 'Length of the value vector', values: valueNorms, format: length },
    { label: 'α‖v‖', title: 'The value, weighted', values: weightedNorms, format: length },
    {
      label: '‖αvW_O‖',
      title: 'What the key writes into the residual stream, as a length',
      values: writtenNorms,
      format: length,
    },
  ];
}

@customElement('lens-steps-page')
export class StepsPage extends Page {
  static override styles = [
    Page.styles,
    css`
      td:first-child,
      th:first-child {
        position: sticky;
        left: 0;
        background: var(--vscode-sideBar-background, var(--vscode-editor-background));
      }
      thead th:first-child {
        z-index: 2;
      }
      td button.link {
        color: inherit;
      }
      td.weight {
        font-weight: 600;
      }
      dl {
        display: grid;
        grid-template-columns: repeat(auto-fill, minmax(118px, 1fr));
        gap: 4px 14px;
        margin: 4px 0;
      }
      dt {
        font-size: 11px;
        color: var(--vscode-descriptionForeground);
      }
      dd {
        margin: 0;
        font-variant-numeric: tabular-nums;
      }
      h2 .token {
        max-width: 110px;
        text-transform: none;
      }
    `,
  ];
  @property({ attribute: false }) steps: AttentionSteps | null = null;
  /** Index of the key whose dimensions are shown. */
  @state() private key = 0;
  @state() private order: 'text' | 'weight' = 'text';
  @state() private near: Cell | null = null;

  override willUpdate(changed: PropertyValues<this>): void {
    const { steps } = this;
    if (!changed.has('steps') || steps === null) return;
    this.key = steps.pattern.indexOf(steps.pattern.reduce((a, b) => Math.max(a, b), 0));
    this.near = null;
  }

  override render(): TemplateResult | typeof nothing {
    const { overview } = this.state;
    if (overview === null) return nothing;
    const { steps, look } = this;
    return html`<lens-head-picker
        single
        .layers=${overview.layers}
        .headCount=${overview.heads}
        .layer=${look.layer}
        .heads=${look.heads.slice(0, 1)}
        label="Head of the layer"
        @heads=${(event: CustomEvent<{ layer: number; heads: HeadRef[] }>) => this.host.look(event.detail)}
      ></lens-head-picker>
      ${
        steps === null
          ? look.target === null
            ? html`<p class="quiet">Choose a token above: it is the query whose row is taken apart.</p>`
            : nothing
          : this.content(steps)
      }`;
  }

  private content(steps: AttentionSteps): TemplateResult {
    const columns = columnsOf(steps);
    const rows = Array.from({ length: steps.pattern.length }, (_, key) => key);
    if (this.order === 'weight') rows.sort((a, b) => steps.pattern[b]! - steps.pattern[a]! || a - b);
    return html`<p>
        ${headName(steps)}, query ${this.token(steps, steps.query)} <span class="quiet">token ${steps.query}</span>
      </p>
      ${steps.notes.map((note) => html`<p class="quiet">${visible(note)}</p>`)}
      <div class="row controls spread">
        <label
          >Keys by
          <select
            @change=${(event: Event) => (this.order = (event.target as HTMLSelectElement).value as 'text' | 'weight')}
          >
            <option value="text" ?selected=${this.order === 'text'}>place</option>
            <option value="weight" ?selected=${this.order === 'weight'}>weight</option>
          </select></label
        >
        <button class="bordered" @click=${() => this.copy(steps, columns)}>Copy Numbers</button>
      </div>
      <div class="table" tabindex="0" role="region" aria-label="Keys of the query, step by step">
        <table>
          <thead>
            <tr>
              <th>key</th>
              ${columns.map(({ label, title }) => html`<th title=${title}>${label}</th>`)}
            </tr>
          </thead>
          <tbody>
            ${rows.map((key) => this.row(steps, columns, key))}
          </tbody>
        </table>
      </div>
      ${this.dimensions(steps)} ${this.written(steps)}`;
  }

  private token(steps: AttentionSteps, index: number): TemplateResult {
    return html`<bdi class="token">${this.name(steps, index)}</bdi>`;
  }

  private name({ tokens }: AttentionSteps, index: number): string {
    const token = tokens[index];
    return token === undefined ? '' : token.special ? token.token : readable(token.token);
  }

  private row(steps: AttentionSteps, columns: readonly Column[], key: number): TemplateResult {
    return html`<tr class=${key === this.key ? 'chosen' : ''}>
      <td class="token">
        <button
          class="link mono"
          aria-pressed=${String(key === this.key)}
          title="Show its dimensions, token ${key}"
          @click=${() => (this.key = key)}
        >
          <bdi>${this.name(steps, key)}</bdi>
        </button>
      </td>
      ${columns.map(({ values, format, label }) =>
        values === null
          ? html`<td class="quiet" title="not shown by this model">–</td>`
          : html`<td class=${label} title=${values[key] ?? ''}>${format(values[key] ?? NaN)}</td>`,
      )}
    </tr>`;
  }

  /** q, k and their product, dimension by dimension [3,d]; null where the model does not show them. */
  private strips({ queryVector, keyVectors }: AttentionSteps): MatrixPicture | null {
    if (queryVector === null || keyVectors === null) return null;
    const width = queryVector.length;
    const key = keyVectors.subarray(this.key * width, (this.key + 1) * width);
    const product = queryVector.map((value, at) => value * key[at]!);
    const values = new Float32Array(3 * width);
    [queryVector, key, product].forEach((row, at) => values.set(row, at * width));
    const full = [queryVector, key, product].map((row) =>
      row.reduce((most, each) => Math.max(most, Math.abs(each)), 0),
    );
    return {
      rows: STRIPS,
      columns: Array.from({ length: width }, (_, at) => (at % 8 === 0 ? String(at) : '')),
      ...{ values, ramp: 'difference', full, format: signed, rowHeight: 20 },
    };
  }

  private dimensions(steps: AttentionSteps): TemplateResult | typeof nothing {
    const picture = this.strips(steps);
    if (picture === null) return nothing;
    const width = picture.columns.length;
    const at = (row: number, column: number): number => picture.values[row * width + column] ?? NaN;
    const say = (column: number): string =>
      `dimension ${column}: q ${signed(at(0, column), 3)}, k ${signed(at(1, column), 3)}, q × k ${signed(at(2, column), 3)}`;
    const column = this.near === null || this.near.column < 0 ? null : this.near.column;
    return html`<h2>
        <span class="title">Dimensions</span
        ><span class="what">${this.token(steps, steps.query)} · ${this.token(steps, this.key)}, ${width} of them</span>
      </h2>
      <lens-matrix
        .picture=${picture}
        .describe=${(row: number, at_: number) => `${STRIPS[row] ?? ''}, ${say(at_)}`}
        label="Query, key and their product by dimension"
        @cell=${(event: CustomEvent<Cell | null>) => (this.near = event.detail)}
      ></lens-matrix>
      <div class="readout">
        ${
          column === null
            ? html`<span class="quiet">q·k is the sum of the last row: ${sumOf(picture, 2)}</span>`
            : say(column)
        }
      </div>`;
  }

  private written(steps: AttentionSteps): TemplateResult {
    const { writtenNorm, attnOutNorm, shareOfAttnOut, residPreNorm } = steps;
    const facts: [label: string, value: number | null, format: (value: number) => string][] = [
      ['written by this head', writtenNorm, length],
      ['by the whole attention', attnOutNorm, length],
      ['share of it', shareOfAttnOut, (value) => `${signed(100 * value, 1)} %`],
      ['residual stream before', residPreNorm, length],
    ];
    return html`<h2>
        <span class="title">Written</span><span class="what">into the residual stream at the query, as lengths</span>
      </h2>
      <dl>
        ${facts.map(
          ([label, value, format]) =>
            html`<div>
              <dt>${label}</dt>
              <dd title=${value === null ? 'not shown by this model' : precise(value)}>
                ${value === null ? '–' : format(value)}
              </dd>
            </div>`,
        )}
      </dl>`;
  }

  private table(steps: AttentionSteps, columns: readonly Column[]): Picture['table'] {
    return {
      columns: ['index', 'key', ...columns.map(({ label }) => label)],
      rows: Array.from(steps.pattern, (_, key) => [
        key,
        this.name(steps, key),
        ...columns.map(({ values }) => values?.[key] ?? ''),
      ]),
    };
  }

  private copy(steps: AttentionSteps, columns: readonly Column[]): void {
    const table = this.table(steps, columns);
    const text = [table.columns, ...table.rows].map((row) => row.join('\t')).join('\n');
    void navigator.clipboard.writeText(text);
  }

  override picture(): Picture | null {
    const { steps } = this;
    if (steps === null) return null;
    const columns = columnsOf(steps);
    const strips = this.strips(steps);
    const layout = strips === null ? null : matrixLayout(strips, 760, 1, palette());
    const marks = { cursor: null, hover: null, only: null, target: null };
    return {
      title: `${headName(steps)} of ${steps.model}, query ${this.name(steps, steps.query)}`,
      width: layout?.width ?? 1,
      height: layout?.height ?? 1,
      draw: (surface, theme) => {
        if (strips !== null && layout !== null)
          drawMatrix(
            surface,
            strips,
            layout,
            { left: 0, top: 0, width: layout.width, height: layout.height },
            marks,
            theme,
          );
      },
      notes: [`Dimensions of the query and the key ${this.name(steps, this.key)}.`, ...steps.notes],
      table: this.table(steps, columns),
    };
  }
}

function sumOf({ values, columns }: MatrixPicture, row: number): string {
  const part = values.subarray(row * columns.length, (row + 1) * columns.length);
  return signed(
    part.reduce((sum, value) => sum + value, 0),
    3,
  );
}
