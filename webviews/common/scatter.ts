/** Points in two dimensions, with a hue of one kind and a shape of another. */
import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { CanvasElement, type Extent, type Viewport } from './canvasElement';
import { channels, cssOf, mix, type Palette } from './colors';
import { cursorCell, moved, type Cell } from './gridCursor';
import { shapeAt } from './shapes';
import type { Surface } from './surface';

export interface ScatterPicture {
  /** x y of each; the points stand in rows, as the keyboard moves over them. */
  places: Float32Array;
  columns: number;
  label: (index: number) => string;
  /** Its shape. */
  category: (index: number) => number;
  /** Its hue: 0…1 from the first to the last. */
  depth: (index: number) => number;
}

const EDGE = 14;
const RADIUS = 5;

/** Early layers are orange, late ones blue: two hues that all kinds of colour vision tell apart. */
const hueOf = (depth: number, theme: Palette): string => {
  const [early, late] = [channels(theme.categories[1] ?? '', theme.background), theme.magnitude];
  return cssOf(mix(early, late, depth));
};

function scale({ places }: ScatterPicture, width: number, height: number): (index: number) => { x: number; y: number } {
  let [low, high] = [
    [Infinity, Infinity],
    [-Infinity, -Infinity],
  ] as [[number, number], [number, number]];
  for (let index = 0; index < places.length; index += 2) {
    const [x, y] = [places[index]!, places[index + 1]!];
    low = [Math.min(low[0], x), Math.min(low[1], y)];
    high = [Math.max(high[0], x), Math.max(high[1], y)];
  }
  // One scale for both: distances are what is read.
  const unit = Math.min((width - 2 * EDGE) / (high[0] - low[0] || 1), (height - 2 * EDGE) / (high[1] - low[1] || 1));
  const [cx, cy] = [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2];
  return (index) => ({
    x: width / 2 + (places[2 * index]! - cx) * unit,
    y: height / 2 - (places[2 * index + 1]! - cy) * unit,
  });
}

export function drawScatter(
  surface: Surface,
  picture: ScatterPicture,
  { width, height }: Extent,
  near: number | null,
  theme: Palette,
): void {
  const placeOf = scale(picture, width, height);
  const background = `rgb(${theme.background.join(', ')})`;
  surface.rect(0, 0, width, height, background);
  surface.frame(0.5, 0.5, width - 1, height - 1, theme.border);
  const count = picture.places.length / 2;
  const point = (index: number, radius: number, stroke: string): void => {
    const { x, y } = placeOf(index);
    surface.polygon(shapeAt(picture.category(index), x, y, radius), hueOf(picture.depth(index), theme), stroke);
  };
  for (let index = 0; index < count; index++) if (index !== near) point(index, RADIUS, background);
  if (near === null) return;
  point(near, RADIUS + 3, theme.foreground);
  const { x, y } = placeOf(near);
  const onLeft = x > width / 2;
  const look = { size: 11, bold: true, align: onLeft ? 'right' : 'left' } as const;
  surface.text(onLeft ? x - 12 : x + 12, y, picture.label(near), look);
}

/** Fires `point` (index or null) and `choose` (index). */
@customElement('lens-scatter')
export class Scatter extends CanvasElement {
  static override styles = [
    CanvasElement.styles,
    css`
      .scroller {
        cursor: pointer;
      }
    `,
  ];
  @property({ attribute: false }) picture: ScatterPicture | null = null;
  @property() label = '';
  @state() private cursor = 0;
  @state() private hover: number | null = null;
  @state() private focused = false;

  override render(): TemplateResult | typeof nothing {
    const { picture } = this;
    if (picture === null || picture.places.length === 0) return nothing;
    const count = picture.places.length / 2;
    return html`<div
      class="scroller"
      role="grid"
      tabindex="0"
      aria-label=${this.label}
      aria-rowcount=${Math.ceil(count / picture.columns)}
      aria-colcount=${picture.columns}
      aria-activedescendant="cell"
      @focus=${() => this.focus_(true)}
      @blur=${() => this.focus_(false)}
      @keydown=${(event: KeyboardEvent) => this.onKey(event, picture, count)}
      @pointermove=${(event: PointerEvent) => this.point(this.under(event, picture))}
      @pointerleave=${() => this.point(null)}
      @click=${() => this.choose(this.hover)}
    >
      ${this.canvas()}${cursorCell(this.cell(picture), picture.label(this.cursor))}
    </div>`;
  }

  protected override extent(room: number): Extent {
    const width = Math.min(room, 560);
    return { width, height: Math.round(width * 0.75) };
  }

  protected override draw(surface: Surface, { width, height }: Viewport, theme: Palette): void {
    if (this.picture === null) return;
    const near = this.hover ?? (this.focused ? this.cursor : null);
    drawScatter(surface, this.picture, { width, height }, near, theme);
  }

  private cell({ columns }: ScatterPicture): Cell {
    return { row: Math.floor(this.cursor / columns), column: this.cursor % columns };
  }

  private focus_(on: boolean): void {
    this.focused = on;
    this.tell();
  }

  private tell(): void {
    this.dispatchEvent(new CustomEvent('point', { detail: this.hover ?? (this.focused ? this.cursor : null) }));
  }

  private point(index: number | null): void {
    if (index === this.hover) return;
    this.hover = index;
    this.tell();
  }

  private choose(index: number | null): void {
    if (index !== null) this.dispatchEvent(new CustomEvent('choose', { detail: index }));
  }

  private under(event: PointerEvent, picture: ScatterPicture): number | null {
    const { width, height } = this.extent(this.clientWidth);
    const placeOf = scale(picture, width, height);
    const { x, y } = this.pointOf(event);
    let best = 14;
    let found: number | null = null;
    for (let index = 0; index < picture.places.length / 2; index++) {
      const place = placeOf(index);
      const distance = Math.hypot(place.x - x, place.y - y);
      if (distance < best) [best, found] = [distance, index];
    }
    return found;
  }

  private onKey(event: KeyboardEvent, picture: ScatterPicture, count: number): void {
    if (event.key === 'Enter' || event.key === ' ') this.choose(this.cursor);
    else {
      const next = moved(event, this.cell(picture), Math.ceil(count / picture.columns), picture.columns);
      if (next === undefined) return;
      this.cursor = Math.min(count - 1, next.row * picture.columns + next.column);
      this.hover = null;
      this.tell();
    }
    event.preventDefault();
  }
}
