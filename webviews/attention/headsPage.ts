/** All layers × heads at a glance: what each does on this text. */
import { css, html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { AttentionOverview, HeadRef } from '../../extension/protocol/attention';
import type { AttentionLook } from '../../extension/protocol/attentionView';
import { headName, nats, scaleText, visible } from '../../extension/protocol/format';
import { palette } from '../common/colors';
import { shapeIcon } from '../common/shapes';
import { exportedMultiples, type Multiple, type MultiplesPicture, type Tiles } from '../common/smallMultiples';
import '../common/smallMultiples';
import type { Picture } from '../common/pictureFiles';
import { sameHead, scaleOf, shortType, sortedHeads, STATISTICS, typeIndex, TYPES, typeText, typeValue } from './heads';
import { Page } from './page';

const SORTS: { name: AttentionLook['sort']; label: string }[] = [
  { name: 'layer', label: 'layer' },
  { name: 'type', label: 'type' },
  { name: 'entropy', label: 'entropy' },
  { name: 'importance', label: 'importance' },
];

type Overview = Omit<AttentionOverview, 'thumbnails'>;

@customElement('lens-heads-page')
export class HeadsPage extends Page {
  static override styles = [
    Page.styles,
    css`
      .types {
        display: flex;
        flex-wrap: wrap;
        gap: 2px 4px;
        margin: 4px 0 6px;
      }
      .types button {
        display: inline-flex;
        align-items: center;
        gap: 4px;
        height: 20px;
        padding: 0 6px 0 4px;
        border-radius: 10px;
        border-color: var(--vscode-contrastBorder, var(--vscode-widget-border, var(--vscode-panel-border)));
      }
      .types .number {
        color: var(--vscode-descriptionForeground);
      }
      [aria-pressed='true'] .number {
        color: inherit;
      }
      .readout {
        min-height: 40px;
        margin: 6px 0 2px;
      }
      .name {
        font-weight: 600;
      }
    `,
  ];
  @property({ attribute: false }) tiles: Tiles | null = null;
  /** [L·H], where it was asked which heads matter. */
  @property({ attribute: false }) importance: Float32Array | null = null;
  @state() private near: number | null = null;
  private drawn: MultiplesPicture = { items: [], tiles: null, columns: null };

  override willUpdate(changed: PropertyValues): void {
    if (changed.size === 1 && changed.has('near')) return;
    const { overview } = this.state;
    if (overview !== null) this.drawn = this.multiples(overview);
  }

  override render(): TemplateResult | typeof nothing {
    const { overview } = this.state;
    if (overview === null) return nothing;
    const { statistics, layers, heads, missing } = overview;
    const counts = TYPES.map(
      (type) => statistics.types.filter((each, index) => each === type && !this.isMissing(index)).length,
    );
    return html`<div class="row controls">
        <label
          >Sort by
          <select
            @change=${(event: Event) =>
              this.host.look({ sort: (event.target as HTMLSelectElement).value as AttentionLook['sort'] })}
          >
            ${SORTS.map(
              ({ name, label }) =>
                html`<option
                  value=${name}
                  ?selected=${name === this.look.sort}
                  ?disabled=${name === 'importance' && this.importance === null}
                >
                  ${label}
                </option>`,
            )}
          </select></label
        >
        <span>${layers} × ${heads} heads</span>
      </div>
      <div class="types" role="group" aria-label="Only heads of a type">
        ${TYPES.map((type, index) =>
          counts[index] === 0
            ? nothing
            : html`<button
                aria-pressed=${String(this.look.type === type)}
                title="${type}: ${counts[index]} heads"
                @click=${() => this.host.look({ type: this.look.type === type ? null : type })}
              >
                ${shapeIcon(index, palette().categories[index] ?? '')} ${type}
                <span class="number">${counts[index]}</span>
              </button>`,
        )}
      </div>
      ${missing.map(
        ({ layer, why }) =>
          html`<p class="warning">
            <lens-icon name="warning"></lens-icon> Block ${layer} cannot be read: ${visible(why)}
          </p>`,
      )}
      <div class="readout">${this.readout(overview)}</div>
      <lens-small-multiples
        .picture=${this.drawn}
        label="Heads: Enter opens one, Space adds it, Delete switches it off"
        @point=${(event: CustomEvent<number | null>) => (this.near = event.detail)}
        @choose=${(event: CustomEvent<{ index: number; add: boolean }>) => this.open(event.detail)}
        @toggle=${(event: CustomEvent<number>) => this.toggle(event.detail)}
      ></lens-small-multiples>
      ${this.table(overview)}`;
  }

  private isMissing(index: number): boolean {
    const { overview } = this.state;
    return overview?.missing.some(({ layer }) => layer === Math.floor(index / overview.heads)) ?? false;
  }

  private refOf(index: number): HeadRef {
    const heads = this.state.overview?.heads ?? 1;
    return { layer: Math.floor(index / heads), head: index % heads };
  }

  private multiples(overview: Overview): MultiplesPicture {
    const { statistics, heads } = overview;
    const { sort, type } = this.look;
    const order = sortedHeads(overview, sort, this.importance);
    const items = order.map((tile): Multiple => {
      const ref = this.refOf(tile);
      const scale = scaleOf(this.state.interventions, ref);
      const missing = this.isMissing(tile);
      const does = missing ? 'cannot be read' : typeText(statistics, tile);
      const numbers = missing ? '' : `, entropy ${nats(statistics.entropy[tile] ?? NaN)}`;
      return {
        tile,
        name: headName(ref),
        caption: missing ? '–' : shortType(statistics, tile),
        value: missing ? '–' : typeValue(statistics, tile),
        description: `${headName(ref)}, ${does}${numbers}${scale === 1 ? '' : `, ${scaleText(scale)}`}`,
        category: typeIndex(statistics.types[tile] ?? 'mixed'),
        scale,
        missing,
        selected: this.look.heads.some((each) => sameHead(each, ref)),
        faded: type !== null && statistics.types[tile] !== type,
      };
    });
    const inLayers = sort === 'layer';
    return {
      items: inLayers ? items : items.filter(({ faded }) => !faded),
      tiles: this.tiles,
      columns: inLayers ? heads : null,
    };
  }

  private readout({ statistics }: Overview): TemplateResult {
    const item = this.near === null ? undefined : this.drawn.items[this.near];
    if (item === undefined)
      return html`<span class="quiet"
        >Click opens a head, Ctrl+click adds one, Alt+click switches one off. Rows of a picture are queries, columns
        keys.</span
      >`;
    if (item.missing) return html`<span class="name">${item.name}</span> cannot be read`;
    const importance = this.importance?.[item.tile];
    return html`<span class="name">${item.name}</span> ${typeText(statistics, item.tile)}
      ${item.scale === 1 ? nothing : html`<span class="warning">${scaleText(item.scale)}</span>`}
      <div class="quiet number">
        ${STATISTICS.map(({ label, value }) => `${label} ${value(statistics, item.tile)}`).join(' · ')}${
          importance === undefined ? '' : ` · importance ${importance.toFixed(2)}`
        }
      </div>`;
  }

  private open({ index, add }: { index: number; add: boolean }): void {
    const tile = this.drawn.items[index]?.tile;
    if (tile === undefined) return;
    const ref = this.refOf(tile);
    const { heads } = this.look;
    if (add) {
      const without = heads.filter((each) => !sameHead(each, ref));
      this.host.look({ heads: without.length < heads.length ? without : [...heads, ref], layer: ref.layer });
    } else this.host.look({ page: 'head', layer: ref.layer, heads: [ref] });
  }

  private toggle(index: number): void {
    const item = this.drawn.items[index];
    if (item === undefined || item.missing) return;
    this.host.ask('intervene', { ...this.refOf(item.tile), scale: item.scale === 0 ? 1 : 0 });
  }

  @state() private listed = false;

  private table(overview: Overview): TemplateResult {
    const { statistics } = overview;
    return html`<details @toggle=${(event: Event) => (this.listed = (event.target as HTMLDetailsElement).open)}>
      <summary>The same as a table</summary>
      ${
        this.listed
          ? html`<div class="table" tabindex="0" role="region" aria-label="Heads as a table">
              <table>
                <thead>
                  <tr>
                    <th>head</th>
                    <th>type</th>
                    ${STATISTICS.map(({ label }) => html`<th>${label}</th>`)}
                  </tr>
                </thead>
                <tbody>
                  ${this.drawn.items.map(
                    ({ tile, name, missing }, index) =>
                      html`<tr>
                        <td>
                          <button class="link" @click=${() => this.open({ index, add: false })}>${name}</button>
                        </td>
                        <td>${missing ? 'cannot be read' : statistics.types[tile]}</td>
                        ${STATISTICS.map(
                          ({ value, exact }) =>
                            html`<td title=${exact(statistics, tile)}>${missing ? '–' : value(statistics, tile)}</td>`,
                        )}
                      </tr>`,
                  )}
                </tbody>
              </table>
            </div>`
          : nothing
      }
    </details>`;
  }

  override picture(): Picture | null {
    const { overview } = this.state;
    if (overview === null || this.tiles === null) return null;
    const { layout, draw } = exportedMultiples(this.drawn);
    const { statistics } = overview;
    return {
      title: `Attention heads of ${overview.model}`,
      width: layout.width,
      height: layout.height,
      draw,
      notes: [
        'Each picture is a head: rows are queries, columns keys, the colour is the attention weight.',
        ...overview.notes,
      ],
      table: {
        columns: ['head', 'type', ...STATISTICS.map(({ label }) => label)],
        rows: this.drawn.items.map(({ tile, name }) => [
          name,
          statistics.types[tile] ?? '',
          ...STATISTICS.map(({ exact }) => exact(statistics, tile)),
        ]),
      },
    };
  }
}
