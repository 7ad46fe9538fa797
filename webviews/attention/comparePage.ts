/** Two pictures in the same place with the same scale, and their difference. */
import { css, html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { AttentionMaps, HeadRef } from '../../extension/protocol/attention';
import type { AttentionComparison, AttentionState } from '../../extension/protocol/attentionView';
import { difference, headName, precise, probability, shortened, visible } from '../../extension/protocol/format';
import { palette } from '../common/colors';
import type { Cell } from '../common/gridCursor';
import '../common/matrix';
import { drawMatrix, matrixLayout, type MatrixPicture } from '../common/matrixPicture';
import { lowered } from '../common/surface';
import type { Picture } from '../common/pictureFiles';
import './headPicker';
import { dividers } from './heads';
import { Page } from './page';

const LABEL = 12;

interface Drawn {
  titles: string[];
  pictures: MatrixPicture[];
}

@customElement('lens-compare-page')
export class ComparePage extends Page {
  static override styles = [
    Page.styles,
    css`
      .kinds {
        display: flex;
        flex-wrap: wrap;
        gap: 4px;
        margin: 4px 0;
      }
      .kinds button {
        height: auto;
        min-height: 22px;
        text-align: left;
      }
      .matrices {
        display: grid;
        grid-template-columns: repeat(auto-fit, minmax(min(100%, 270px), 1fr));
        gap: 10px 20px;
      }
      figure {
        margin: 0;
        min-width: 0;
      }
      figcaption {
        font-weight: 600;
        overflow-wrap: anywhere;
      }
      .readout {
        min-height: 38px;
      }
      .token {
        display: inline-block;
        vertical-align: bottom;
      }
    `,
  ];
  @property({ attribute: false }) comparison: AttentionComparison | null = null;
  @state() private near: { cell: Cell; at: number } | null = null;
  @state() private zoom = 1;
  @state() private pan: { left: number; top: number } | null = null;
  @state() private other: HeadRef | null = null;
  private drawn: Drawn | null = null;

  override willUpdate(changed: PropertyValues<this>): void {
    if (!changed.has('comparison')) return;
    this.drawn = this.comparison === null ? null : drawnOf(this.comparison);
    this.near = null;
  }

  override render(): TemplateResult | typeof nothing {
    const { overview, comparable } = this.state;
    if (overview === null) return nothing;
    const heads = comparable.find(({ kind }) => kind === 'heads');
    return html`<div class="kinds" role="group" aria-label="Compare with">
        ${comparable.filter(({ kind }) => kind !== 'heads').map((each) => this.kind(each))}
        <button
          class="bordered"
          title="Keep this text, to compare it with the next"
          @click=${() => this.host.ask('keepForComparison', null)}
        >
          Keep for Comparison
        </button>
        ${
          this.comparison === null
            ? nothing
            : html`<button class="bordered" @click=${() => this.host.ask('compare', null)}>Stop Comparing</button>`
        }
      </div>
      ${
        heads?.enabled === true
          ? html`<div class="row controls">
              <span>${visible(heads.label)}</span>
              <lens-head-picker
                single
                .layers=${overview.layers}
                .headCount=${overview.heads}
                .layer=${this.other?.layer ?? this.look.layer}
                .heads=${this.other === null ? [] : [this.other]}
                label="The other head"
                @heads=${(event: CustomEvent<{ layer: number; heads: HeadRef[] }>) => this.withHead(event.detail)}
              ></lens-head-picker>
            </div>`
          : nothing
      }
      ${
        this.comparison === null || this.drawn === null
          ? html`<p class="quiet">Choose what to compare the picture of ${this.selection()} with.</p>`
          : this.pictures(this.comparison, this.drawn)
      }`;
  }

  private selection(): string {
    const { heads, layer } = this.look;
    return heads.length === 0 ? `layer ${layer}` : heads.map(headName).join(', ');
  }

  private kind({ kind, label, detail, enabled }: AttentionState['comparable'][number]): TemplateResult {
    const [first, second] = this.comparison?.labels ?? [];
    const chosen = this.comparison?.kind === kind && (kind !== 'models' || [first, second].includes(label));
    return html`<button
      class="bordered ${enabled ? '' : 'off'}"
      title=${visible(detail)}
      aria-pressed=${String(chosen)}
      aria-disabled=${String(!enabled)}
      @click=${() => {
        if (enabled) this.host.ask('compare', kind === 'models' ? { kind, other: label } : { kind });
      }}
    >
      ${visible(label)}
    </button>`;
  }

  private withHead({ layer, heads }: { layer: number; heads: HeadRef[] }): void {
    const other = { layer, head: heads[0]?.head ?? 0 };
    this.other = other;
    this.host.ask('compare', { kind: 'heads', other });
  }

  private pictures(comparison: AttentionComparison, drawn: Drawn): TemplateResult {
    const { aligned, maps } = comparison;
    return html`${
        aligned
          ? nothing
          : html`<p class="warning">
              <lens-icon name="warning"></lens-icon> No difference is drawn: the rows and columns of the two are not the
              same (${maps[0].units.length} and ${maps[1].units.length} of them).
            </p>`
      }
      <div class="readout">${this.readout(comparison)}</div>
      <div class="matrices">
        ${drawn.pictures.map((picture, at) => {
          const linked = aligned && this.near !== null && this.near.at !== at ? this.near.cell : null;
          return html`<figure>
            <figcaption>${visible(drawn.titles[at] ?? '')}</figcaption>
            <lens-matrix
              .picture=${picture}
              .zoom=${this.zoom}
              .pan=${this.pan}
              .linked=${linked}
              .describe=${(row: number, column: number) => this.say(comparison, at, { row, column })}
              label=${visible(drawn.titles[at] ?? '')}
              @zoom=${(event: CustomEvent<number>) => (this.zoom = event.detail)}
              @pan=${(event: CustomEvent<{ left: number; top: number }>) => (this.pan = event.detail)}
              @cell=${(event: CustomEvent<Cell | null>) =>
                (this.near = event.detail === null ? null : { cell: event.detail, at })}
            ></lens-matrix>
          </figure>`;
        })}
      </div>
      ${[...new Set(maps.map(({ note }) => note))].map((note) => html`<p class="quiet">${visible(note)}</p>`)}`;
  }

  private valuesAt({ maps, aligned }: AttentionComparison, at: number, { row, column }: Cell): (number | null)[] {
    return maps.map(({ data, units }, index) =>
      aligned || index === at ? (data[row * units.length + column] ?? NaN) : null,
    );
  }

  private readout(comparison: AttentionComparison): TemplateResult {
    const { near } = this;
    if (near === null || near.cell.row < 0 || near.cell.column < 0)
      return html`<span class="quiet"
        >The scale is the same in both; in the difference red is less, blue is more, and the background is zero.</span
      >`;
    const [before, after] = this.valuesAt(comparison, near.at, near.cell);
    const { units } = comparison.maps[near.at === 1 ? 1 : 0];
    const token = (index: number): TemplateResult =>
      html`<bdi class="token">${visible(units[index]?.label ?? '')}</bdi>`;
    return html`${token(near.cell.row)} → ${token(near.cell.column)}
      <div>
        ${before == null ? nothing : html`<span title=${precise(before)}>${probability(before)}</span>`}
        ${before != null && after != null ? '→' : nothing}
        ${after == null ? nothing : html`<span title=${precise(after)}>${probability(after)}</span>`}
        ${before != null && after != null ? html`<strong title=${precise(after - before)}>${difference(after - before)}</strong>` : nothing}
      </div>`;
  }

  private say(comparison: AttentionComparison, at: number, cell: Cell): string {
    const [before, after] = this.valuesAt(comparison, at, cell);
    const { units } = comparison.maps[at === 1 ? 1 : 0];
    const values = [before, after].flatMap((value) => (value == null ? [] : [probability(value)])).join(' and ');
    const change = before != null && after != null ? `, difference ${difference(after - before)}` : '';
    return `${visible(units[cell.row]?.label ?? '')} to ${visible(units[cell.column]?.label ?? '')}: ${values}${change}`;
  }

  override picture(): Picture | null {
    const { drawn, comparison } = this;
    if (drawn === null || comparison === null) return null;
    const layouts = drawn.pictures.map((picture) =>
      matrixLayout(picture, 160 + 20 * picture.columns.length, 1, palette()),
    );
    const name = ({ units }: AttentionMaps, index: number): string => `${index} ${units[index]?.label ?? ''}`;
    return {
      title: `${comparison.labels[0]} and ${comparison.labels[1]}`,
      width: Math.max(...layouts.map(({ width }) => width)),
      height: layouts.reduce((sum, { height }) => sum + height + 30, 0),
      draw: (surface, theme) => {
        let y = 0;
        drawn.pictures.forEach((picture, at) => {
          const layout = layouts[at]!;
          surface.text(0, y + 11, drawn.titles[at] ?? '', { bold: true, size: 12 });
          const viewport = { left: 0, top: 0, width: layout.width, height: layout.height };
          drawMatrix(
            lowered(surface, y + 22),
            picture,
            layout,
            viewport,
            { cursor: null, hover: null, only: null, target: null },
            theme,
          );
          y += layout.height + 30;
        });
      },
      notes: comparison.maps.map(({ note }) => note),
      table: {
        columns: ['picture', 'from', 'to', 'weight (of at least .005; the CSV export has all)'],
        rows: comparison.maps.flatMap((maps, at) =>
          maps.units.flatMap((_, row) =>
            maps.units.flatMap((__, column) => {
              const value = maps.data[row * maps.units.length + column] ?? 0;
              return value < 0.005 ? [] : [[comparison.labels[at] ?? '', name(maps, row), name(maps, column), value]];
            }),
          ),
        ),
      },
    };
  }
}

/** The first map of each; with the same units their difference too. */
function drawnOf({ labels, maps, aligned }: AttentionComparison): Drawn {
  const most = (values: Float32Array): number => values.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  const [first, second] = maps.map(({ data, units }) => data.subarray(0, units.length ** 2)) as [
    Float32Array,
    Float32Array,
  ];
  const full = maps.every(({ rowsSumToOne }) => rowsSumToOne) ? 1 : Math.max(1e-9, most(first), most(second));
  const labelled = (map: AttentionMaps): Pick<MatrixPicture, 'rows' | 'columns' | 'dividers'> => {
    const names = map.units.map(({ label }) => shortened(label, LABEL));
    return { rows: names, columns: names, dividers: dividers(map.units) };
  };
  const pictures: MatrixPicture[] = [first, second].map((values, at) => ({
    ...labelled(maps[at === 0 ? 0 : 1]),
    ...{ values, ramp: 'magnitude', full, format: probability },
  }));
  if (!aligned) return { titles: [...labels], pictures };
  const change = second.map((value, at) => value - first[at]!);
  const scale = Math.max(1e-9, most(change));
  return {
    titles: [...labels, `difference (full colour: ±${probability(scale)})`],
    pictures: [
      ...pictures,
      { ...labelled(maps[0]), values: change, ramp: 'difference', full: scale, format: difference },
    ],
  };
}
