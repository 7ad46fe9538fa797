/** One head, or several: lines or a matrix, and what of it is looked at. */
import { css, html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { AttentionMaps, AttentionMethod, HeadRef } from '../../extension/protocol/attention';
import type { AttentionLook, PairFilter } from '../../extension/protocol/attentionView';
import { headName, precise, probability, shortened, visible } from '../../extension/protocol/format';
import { isNeuronScale } from '../../extension/protocol/interventions';
import { palette, type Palette } from '../common/colors';
import type { CanvasElement } from '../common/canvasElement';
import type { Cell } from '../common/gridCursor';
import '../common/matrix';
import { drawMatrix, matrixLayout, type MatrixMarks, type MatrixPicture } from '../common/matrixPicture';
import { shapeIcon } from '../common/shapes';
import { lowered } from '../common/surface';
import type { Picture } from '../common/pictureFiles';
import './headPicker';
import { headColor } from './headPicker';
import { dividers, scaleOf, typeIndex, typeText } from './heads';
import './lines';
import { drawLines, linesLayout, type Focus, type LinesPicture } from './linesPicture';
import { Page } from './page';
import { isShown, strongest, visibilityOf, type Visibility } from './visibility';

const METHODS: { name: AttentionMethod; label: string; title: string }[] = [
  { name: 'weight', label: 'weights', title: 'α: the attention weights' },
  { name: 'value', label: 'weights × ‖v‖', title: 'α·‖v‖: weights times the length of the value vectors' },
  { name: 'norm', label: 'norm', title: '‖α v W_O‖: what is written, as a length (Kobayashi et al. 2020)' },
  {
    name: 'norm-residual',
    label: 'norm + residual',
    title: 'The norm with the residual stream (Kobayashi et al. 2021)',
  },
  { name: 'norm-layernorm', label: 'norm + residual + LN', title: 'The norm after LayerNorm (Kobayashi et al. 2021)' },
  { name: 'rollout', label: 'rollout', title: 'Down to the input, through all layers (Abnar & Zuidema 2020)' },
  { name: 'flow', label: 'flow', title: 'Maximum flow down to the input (Abnar & Zuidema 2020)' },
];
/** Those that are at most 1. */
const PARTS: readonly AttentionMethod[] = ['weight', 'rollout', 'flow'];
const FILTERS: PairFilter[] = ['all', 'A→A', 'A→B', 'B→A', 'B→B'];
const COMBINE: { name: AttentionLook['combine']; label: string }[] = [
  { name: 'each', label: 'each' },
  { name: 'mean', label: 'mean' },
  { name: 'max', label: 'maximum' },
];
const SPECIALS: { name: AttentionLook['specials']; label: string }[] = [
  { name: 'show', label: 'shown' },
  { name: 'hide', label: 'hidden' },
  { name: 'renormalise', label: 'hidden, Σ = 1' },
];
const SCALES = [0, 0.5, 1, 2, 4];
/** Longer labels are cut; the read-out has them whole. */
const LABEL = 14;
/** A table in a file with more cells than this lists the strongest weights of each row instead. */
const WHOLE_TABLE = 16_384;
const STRONGEST = 10;

interface Drawn {
  maps: AttentionMaps;
  labels: string[];
  matrices: Float32Array[];
  visibilities: Visibility[];
  pictures: MatrixPicture[];
  lines: LinesPicture;
}

@customElement('lens-head-page')
export class HeadPage extends Page {
  static override styles = [
    Page.styles,
    css`
      .matrices {
        display: grid;
        grid-template-columns: repeat(auto-fit, minmax(min(100%, 330px), 1fr));
        gap: 8px 20px;
      }
      .matrices.one {
        grid-template-columns: minmax(0, 1fr);
      }
      figure {
        margin: 0;
        min-width: 0;
      }
      figcaption {
        font-weight: 600;
      }
      .readout {
        display: grid;
        margin: 6px 0 2px;
      }
      .readout > * {
        grid-area: 1 / 1;
        min-width: 0;
      }
      .readout > * > div {
        height: 20px;
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: nowrap;
      }
      .place {
        visibility: hidden;
      }
      .controls > label > select {
        max-width: 146px;
      }
      .token {
        display: inline-block;
        vertical-align: bottom;
      }
      output {
        min-width: 34px;
        font-variant-numeric: tabular-nums;
      }
    `,
  ];
  @property({ attribute: false }) maps: AttentionMaps | null = null;
  @state() private zoom = { lines: 1, matrix: 1 };
  @state() private pan: { left: number; top: number } | null = null;
  @state() private near: { cell: Cell; map: number } | { focus: Focus } | null = null;
  private drawn: Drawn | null = null;

  constructor() {
    super();
    this.addEventListener('keydown', (event) => {
      const target = event.composedPath()[0];
      const typing = target instanceof HTMLInputElement || target instanceof HTMLSelectElement;
      if (event.key !== 'm' || event.ctrlKey || event.metaKey || event.altKey || typing) return;
      this.switchDrawing();
    });
  }

  /** The drawing that had the focus is gone: the other one takes it. */
  private refocus = false;

  /** Lines or matrix. */
  private switchDrawing(): void {
    this.refocus = true;
    this.host.look({ drawing: this.look.drawing === 'lines' ? 'matrix' : 'lines' });
  }

  override updated(changed: PropertyValues<this>): void {
    if (!this.refocus || !changed.has('look')) return;
    this.refocus = false;
    const drawing = this.renderRoot.querySelector<CanvasElement>('lens-matrix, lens-attention-lines');
    void drawing?.updateComplete.then(() => drawing.focus());
  }

  override willUpdate(changed: PropertyValues<this>): void {
    if (!changed.has('maps') && !changed.has('look')) return;
    const before = changed.get('look');
    const same =
      !changed.has('maps') &&
      before?.filter === this.look.filter &&
      before.threshold.kind === this.look.threshold.kind &&
      before.threshold.value === this.look.threshold.value;
    if (same) return;
    this.drawn = this.maps === null ? null : drawnOf(this.maps, this.look, changed.has('maps') ? null : this.drawn);
    if (changed.has('maps')) this.near = null;
  }

  override render(): TemplateResult | typeof nothing {
    const { overview } = this.state;
    if (overview === null) return nothing;
    const { drawn, look } = this;
    return html`<lens-head-picker
        .layers=${overview.layers}
        .headCount=${overview.heads}
        .layer=${look.layer}
        .heads=${look.heads}
        .changed=${this.state.interventions.filter((each) => !isNeuronScale(each))}
        @heads=${(event: CustomEvent<{ layer: number; heads: HeadRef[] }>) => this.host.look(event.detail)}
      ></lens-head-picker>
      ${this.what()} ${this.controls(drawn)}
      ${
        drawn === null
          ? this.state.status === 'ready'
            ? html`<p class="quiet">No picture of this selection.</p>`
            : nothing
          : html`${this.drawing(drawn)}
              <p class="quiet">${this.sums(drawn.maps)} ${visible(drawn.maps.note)}</p>`
      }`;
  }

  /** The head in words, and how strong it is. */
  private what(): TemplateResult | typeof nothing {
    const { overview, interventions } = this.state;
    const ref = this.look.heads[0];
    if (overview === null || ref === undefined || this.look.heads.length > 1) return nothing;
    const index = ref.layer * overview.heads + ref.head;
    const missing = overview.missing.find(({ layer }) => layer === ref.layer);
    if (missing !== undefined)
      return html`<p class="warning">
        <lens-icon name="warning"></lens-icon> Block ${missing.layer} cannot be read: ${visible(missing.why)}
      </p>`;
    const scale = scaleOf(interventions, ref);
    const type = typeIndex(overview.statistics.types[index] ?? 'mixed');
    return html`<div class="row controls">
      <span
        ><strong>${headName(ref)}</strong> ${shapeIcon(type, palette().categories[type] ?? '')}
        ${typeText(overview.statistics, index)}</span
      >
      <label
        ><select
          title="Output of the head"
          aria-label="Output of ${headName(ref)}"
          @change=${(event: Event) =>
            this.host.ask('intervene', { ...ref, scale: Number((event.target as HTMLSelectElement).value) })}
        >
          ${[...new Set([...SCALES, scale])]
            .sort((a, b) => a - b)
            .map(
              (each) =>
                html`<option .value=${String(each)} ?selected=${each === scale}>
                  ${each === 0 ? 'off' : `× ${each}`}
                </option>`,
            )}
        </select></label
      >
    </div>`;
  }

  private controls(drawn: Drawn | null): TemplateResult {
    const { look } = this;
    const pair = this.state.overview?.tokens.some(({ text }) => text === 1) ?? false;
    const { threshold } = look;
    const relative = threshold.kind === 'weight' && drawn !== null && drawn.lines.full !== 1;
    return html`<div class="row controls">
        <span class="switch" role="group" aria-label="Drawing (m)">
          ${(['lines', 'matrix'] as const).map(
            (name) =>
              html`<button
                aria-pressed=${String(look.drawing === name)}
                title="${name === 'lines' ? 'Lines' : 'Matrix'} (m switches)"
                @click=${() => this.host.look({ drawing: name })}
              >
                ${name === 'lines' ? 'Lines' : 'Matrix'}
              </button>`,
          )}
        </span>
        ${select('', METHODS, look.method, (method) => this.host.look({ method }))}
        ${look.heads.length === 1 ? nothing : select('', COMBINE, look.combine, (combine) => this.host.look({ combine }))}
      </div>
      <div class="row controls">
        <label
          ><input
            type="checkbox"
            .checked=${look.words}
            @change=${(event: Event) => this.host.look({ words: (event.target as HTMLInputElement).checked })}
          />
          Words</label
        >
        ${select('[CLS] [SEP]', SPECIALS, look.specials, (specials) => this.host.look({ specials }))}
        ${
          pair
            ? select(
                'Texts',
                FILTERS.map((name) => ({ name, label: name })),
                look.filter,
                (filter) => this.host.look({ filter }),
              )
            : nothing
        }
        <label
          >Only
          <select
            aria-label="Kind of threshold"
            @change=${(event: Event) => {
              const kind = (event.target as HTMLSelectElement).value as AttentionLook['threshold']['kind'];
              this.host.look({ threshold: { kind, value: kind === 'weight' ? 0.05 : 0.9 } });
            }}
          >
            <option value="weight" ?selected=${threshold.kind === 'weight'}>at least</option>
            <option value="mass" ?selected=${threshold.kind === 'mass'}>top of row</option>
          </select>
          <input
            type="range"
            aria-label="Threshold"
            min="0"
            max="1"
            step="0.01"
            .value=${String(threshold.value)}
            @input=${(event: Event) =>
              this.host.look({ threshold: { ...threshold, value: Number((event.target as HTMLInputElement).value) } })}
          />
          <output title=${relative ? 'of the largest' : nothing}
            >${relative ? `${Math.round(100 * threshold.value)} %` : probability(threshold.value)}</output
          ></label
        >
        ${
          look.target === null
            ? nothing
            : html`<span class="switch" role="group" aria-label="Direction from the target">
                ${(['from', 'to'] as const).map(
                  (direction) =>
                    html`<button
                      aria-pressed=${String(look.direction === direction)}
                      title=${direction === 'from' ? 'What the target attends to' : 'What attends to the target'}
                      @click=${() => this.host.look({ direction })}
                    >
                      ${direction === 'from' ? 'From target' : 'To target'}
                    </button>`,
                )}
              </span>`
        }
      </div> `;
  }

  private sums({ rowsSumToOne }: AttentionMaps): string {
    const { specials } = this.look;
    const rows = rowsSumToOne ? 'Rows sum to 1.' : 'Rows do not sum to 1.';
    if (specials === 'show') return rows;
    return specials === 'hide'
      ? `Without special tokens, not renormalised. ${rows}`
      : `Without special tokens, renormalised. ${rows}`;
  }

  private drawing(drawn: Drawn): TemplateResult {
    const { look } = this;
    const one = drawn.pictures.length === 1;
    const legend = html`<div class="legend">
      ${drawn.maps.maps.map(
        ({ label }, index) => html`<span>${shapeIcon(5, headColor(index))} ${visible(label)}</span>`,
      )}
    </div>`;
    // Hidden lines hold the place of those that are not there yet.
    const lines = drawn.matrices.length + 1;
    const readout = html`<div class="readout">
      <div class="said">${this.readout(drawn)}</div>
      <div class="place" aria-hidden="true">${Array.from({ length: lines }, () => html`<div>&nbsp;</div>`)}</div>
    </div>`;
    if (look.drawing === 'lines')
      return html`${one ? nothing : legend}${readout}<lens-attention-lines
          .picture=${drawn.lines}
          .target=${this.target(drawn)}
          .zoom=${this.zoom.lines}
          .describe=${(focus: Focus) => this.say(drawn, focus)}
          label="Lines from queries to keys: arrow keys read a token, Enter makes it the target"
          @zoom=${(event: CustomEvent<number>) => (this.zoom = { ...this.zoom, lines: event.detail })}
          @focus-token=${(event: CustomEvent<Focus | null>) =>
            (this.near = event.detail === null ? null : { focus: event.detail })}
          @choose=${(event: CustomEvent<Focus>) => this.aim(event.detail)}
        ></lens-attention-lines>`;
    const target = this.target(drawn);
    const framed = target === null ? null : target.side === 'from' ? { row: target.index } : { column: target.index };
    return html`${readout}
      <div class="matrices ${one ? 'one' : ''}">
        ${drawn.pictures.map((picture, map) => {
          const label = drawn.maps.maps[map]?.label ?? '';
          return html`<figure>
            ${one ? nothing : html`<figcaption>${visible(label)}</figcaption>`}
            <lens-matrix
              .picture=${picture}
              .target=${framed}
              .zoom=${this.zoom.matrix}
              .pan=${this.pan}
              .linked=${this.near !== null && 'cell' in this.near && this.near.map !== map ? this.near.cell : null}
              .describe=${(row: number, column: number) => this.sayCell(drawn, map, { row, column })}
              label="${visible(label)}: rows are queries, columns keys"
              @zoom=${(event: CustomEvent<number>) => (this.zoom = { ...this.zoom, matrix: event.detail })}
              @pan=${(event: CustomEvent<{ left: number; top: number }>) => (this.pan = event.detail)}
              @cell=${(event: CustomEvent<Cell | null>) =>
                (this.near = event.detail === null ? null : { cell: event.detail, map })}
              @choose=${(event: CustomEvent<Cell>) =>
                this.aim(
                  event.detail.row < 0
                    ? { side: 'to', index: event.detail.column }
                    : { side: 'from', index: event.detail.row },
                )}
            ></lens-matrix>
          </figure>`;
        })}
      </div>`;
  }

  private target({ maps }: Drawn): Focus | null {
    const { target, direction } = this.look;
    const index = target === null ? -1 : maps.units.findIndex(({ tokens }) => tokens.includes(target));
    return index < 0 ? null : { side: direction, index };
  }

  private aim(focus: Focus): void {
    const now = this.drawn === null ? null : this.target(this.drawn);
    const token = this.drawn?.maps.units[focus.index]?.tokens[0];
    if (token === undefined) return;
    const same = now?.index === focus.index && now.side === focus.side;
    this.host.look(same ? { target: null } : { target: token, direction: focus.side });
  }

  /** As many lines whatever is read, so that the picture below does not move. */
  private readout(drawn: Drawn): TemplateResult {
    const cell = this.near !== null && 'cell' in this.near ? this.near.cell : null;
    const focus = this.focusNow(drawn);
    const names = drawn.maps.maps.map(({ label }) => (drawn.matrices.length === 1 ? '' : `${visible(label)} `));
    const width = drawn.maps.units.length;
    if (cell !== null && cell.row >= 0 && cell.column >= 0)
      return html`<div>${this.token(drawn, cell.row)} → ${this.token(drawn, cell.column)}</div>
        ${drawn.matrices.map((matrix, map) => {
          const value = matrix[cell.row * width + cell.column] ?? NaN;
          return html`<div>
            ${names[map]}<strong>${probability(value)}</strong> <span class="quiet">${precise(value)}</span>
          </div>`;
        })}`;
    if (focus === null)
      return html`<div class="quiet">Point at a token to read its weights.</div>
        <div class="quiet">A click makes it the target.</div>`;
    const at = focus.side === 'from' ? { row: focus.index } : { column: focus.index };
    return html`<div>${this.token(drawn, focus.index)} ${focus.side === 'from' ? 'attends to' : 'is attended by'}</div>
      ${drawn.matrices.map(
        (matrix, map) =>
          html`<div>
            ${names[map]}${strongest(matrix, width, at, 4).map(
              ({ index, value }) =>
                html`${this.token(drawn, index)} <span title=${value}>${probability(value)}</span>&ensp;`,
            )}
          </div>`,
      )}`;
  }

  /** Whose weights are read: what is under the pointer or the cursor, or else the target. */
  private focusNow(drawn: Drawn): Focus | null {
    const { near } = this;
    if (near === null) return this.target(drawn);
    if ('focus' in near) return near.focus;
    const { row, column } = near.cell;
    return row < 0 ? { side: 'to', index: column } : { side: 'from', index: row };
  }

  private token({ maps }: Drawn, index: number): TemplateResult {
    const label = visible(maps.units[index]?.label ?? '');
    return html`<bdi class="token" title="${label}, ${index}">${label}</bdi>`;
  }

  private say(drawn: Drawn, { side, index }: Focus): string {
    const { units } = drawn.maps;
    const at = side === 'from' ? { row: index } : { column: index };
    const rest = drawn.matrices.map((matrix, map) => {
      const words = strongest(matrix, units.length, at, 3).map(
        (each) => `${visible(units[each.index]?.label ?? '')} ${probability(each.value)}`,
      );
      return `${drawn.matrices.length === 1 ? '' : `${drawn.maps.maps[map]?.label ?? ''}: `}${words.join(', ')}`;
    });
    return `${visible(units[index]?.label ?? '')} ${side === 'from' ? 'attends to' : 'is attended by'} ${rest.join('; ')}`;
  }

  private sayCell({ maps, matrices }: Drawn, map: number, { row, column }: Cell): string {
    const value = matrices[map]?.[row * maps.units.length + column] ?? NaN;
    return `${visible(maps.units[row]?.label ?? '')} to ${visible(maps.units[column]?.label ?? '')} ${probability(value)}`;
  }

  override picture(): Picture | null {
    const { drawn, look } = this;
    if (drawn === null) return null;
    const { maps } = drawn;
    const theme = palette();
    const title = `Attention of ${maps.model}: ${maps.maps.map(({ label }) => label).join(', ')}`;
    const notes = [
      `${METHODS.find(({ name }) => name === look.method)?.title ?? ''}. ${this.sums(maps)}`,
      ...this.drawnOnly(),
      maps.note,
      'A map of attention alone does not explain a prediction (Jain & Wallace 2019).',
    ];
    const size =
      look.drawing === 'lines' ? this.linesFile(drawn, theme) : matricesFile(drawn, this.target(drawn), theme);
    return { title, ...size, notes, table: tableOf(drawn) };
  }

  /** What of the numbers is left out of the drawing. */
  private drawnOnly(): string[] {
    const { threshold, filter } = this.look;
    const part = threshold.kind === 'weight' && this.drawn?.lines.full !== 1 ? ' of the largest' : '';
    const over =
      threshold.kind === 'weight'
        ? threshold.value === 0
          ? []
          : [`Drawn: what is at least ${probability(threshold.value)}${part}.`]
        : [`Drawn: the strongest of each row that together have ${probability(threshold.value)} of it.`];
    return [...over, ...(filter === 'all' ? [] : [`Drawn: ${filter} only.`])];
  }

  private linesFile(drawn: Drawn, theme: Palette): Pick<Picture, 'width' | 'height' | 'draw'> {
    const layout = linesLayout(drawn.lines, 620, 1, theme);
    const viewport = { left: 0, top: 0, width: layout.width, height: layout.height };
    const marks = { focus: this.target(drawn), cursor: null };
    return {
      width: layout.width,
      height: layout.height,
      draw: (surface, colors) => drawLines(surface, drawn.lines, layout, viewport, marks, colors),
    };
  }
}

function select<T extends string>(
  label: string,
  options: readonly { name: T; label: string; title?: string }[],
  value: T,
  choose: (name: T) => void,
): TemplateResult {
  return html`<label
    >${label}
    <select
      aria-label=${label === '' ? (options[0]?.name === 'weight' ? 'What is shown' : 'Heads as') : nothing}
      @change=${(event: Event) => choose((event.target as HTMLSelectElement).value as T)}
    >
      ${options.map(
        (option) =>
          html`<option .value=${option.name} title=${option.title ?? nothing} ?selected=${option.name === value}>
            ${option.label}
          </option>`,
      )}
    </select></label
  >`;
}

/** The numbers with what of them is drawn. With the same maps what does not depend on the look is taken over, so that a slider is fast. */
function drawnOf(maps: AttentionMaps, look: AttentionLook, before: Drawn | null): Drawn {
  const { units, data } = maps;
  const size = units.length ** 2;
  const labels = before?.labels ?? units.map(({ label }) => shortened(label, LABEL));
  const matrices = before?.matrices ?? maps.maps.map((_, map) => data.subarray(map * size, (map + 1) * size));
  // Weights have a natural full scale; other measures are shown against their largest.
  const largest = PARTS.includes(look.method)
    ? 1
    : Math.max(1e-9, before?.lines.full ?? data.reduce((a, b) => Math.max(a, b), 0));
  const relative = {
    ...look,
    threshold:
      look.threshold.kind === 'weight'
        ? { kind: 'weight' as const, value: look.threshold.value * largest }
        : look.threshold,
  };
  const visibilities = matrices.map((matrix) => visibilityOf(matrix, units, relative));
  const lineAt = dividers(units);
  return {
    ...{ maps, labels, matrices, visibilities },
    pictures: matrices.map((values, map) => ({
      ...{
        rows: labels,
        columns: labels,
        values,
        ramp: 'magnitude',
        full: largest,
        dividers: lineAt,
        format: probability,
      },
      shows: (row, column) => isShown(visibilities[map]!, row, column, values[row * units.length + column]!),
    })),
    lines: {
      labels,
      special: units.map(({ special }) => special),
      maps: matrices.map((matrix, map) => ({
        label: maps.maps[map]?.label ?? '',
        matrix,
        visibility: visibilities[map]!,
      })),
      full: largest,
      dividers: lineAt,
    },
  };
}

/** All matrices under each other. */
function matricesFile(drawn: Drawn, target: Focus | null, theme: Palette): Pick<Picture, 'width' | 'height' | 'draw'> {
  const framed: MatrixMarks['target'] =
    target === null ? null : target.side === 'from' ? { row: target.index } : { column: target.index };
  const room = Math.min(1400, 160 + 20 * drawn.labels.length);
  const layouts = drawn.pictures.map((picture) => matrixLayout(picture, room, 1, theme));
  const title = drawn.pictures.length > 1 ? 22 : 0;
  const height = layouts.reduce((sum, layout) => sum + layout.height + title + 8, 0);
  return {
    width: Math.max(...layouts.map(({ width }) => width)),
    height,
    draw: (surface, colors) => {
      let y = 0;
      drawn.pictures.forEach((picture, map) => {
        const layout = layouts[map]!;
        const below = lowered(surface, y + title);
        if (title > 0) surface.text(0, y + 11, drawn.maps.maps[map]?.label ?? '', { bold: true, size: 12 });
        const viewport = { left: 0, top: 0, width: layout.width, height: layout.height };
        drawMatrix(below, picture, layout, viewport, { cursor: null, hover: null, only: null, target: framed }, colors);
        y += layout.height + title + 8;
      });
    },
  };
}

/** Every weight; of large pictures the strongest of each row, which is said in the title of the column. */
function tableOf({ maps, matrices }: Drawn): Picture['table'] {
  const { units } = maps;
  const width = units.length;
  const name = (index: number): string => `${index} ${units[index]?.label ?? ''}`;
  if (width * width * matrices.length <= WHOLE_TABLE)
    return {
      columns: ['from \\ to', ...units.map((_, index) => name(index))],
      rows: matrices.flatMap((matrix, map) => [
        ...(matrices.length === 1 ? [] : [[maps.maps[map]?.label ?? '']]),
        ...units.map((_, row) => [name(row), ...matrix.subarray(row * width, (row + 1) * width)]),
      ]),
    };
  return {
    columns: ['picture', 'from', `to: the ${STRONGEST} strongest of each row (the CSV export has all)`, 'weight'],
    rows: matrices.flatMap((matrix, map) =>
      units.flatMap((_, row) =>
        strongest(matrix, width, { row }, STRONGEST).map(({ index, value }) => [
          maps.maps[map]?.label ?? '',
          name(row),
          name(index),
          value,
        ]),
      ),
    ),
  };
}
