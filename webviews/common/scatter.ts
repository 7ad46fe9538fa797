/** Points in two dimensions, with a hue of one kind and a shape of another. */
import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import type { Extent, Viewport } from './canvasElement';
import { channels, cssOf, mix, type Palette } from './colors';
import { cursorCell, moved, type Cell } from './gridCursor';
import { PointsElement } from './points';
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

/** Gives x y of each point. */
export function drawScatter(
  surface: Surface,
  picture: ScatterPicture,
  { width, height }: Extent,
  near: number | null,
  theme: Palette,
): Float32Array {
  const placeOf = scale(picture, width, height);
  const background = `rgb(${theme.background.join(', ')})`;
  surface.rect(0, 0, width, height, background);
  surface.frame(0.5, 0.5, width - 1, height - 1, theme.border);
  const count = picture.places.length / 2;
  const drawn = Float32Array.from(picture.places, (_, at) => {
    const { x, y } = placeOf(at >> 1);
    return at % 2 === 0 ? x : y;
  });
  const point = (index: number, radius: number, stroke: string): void => {
    const { x, y } = placeOf(index);
    surface.polygon(shapeAt(picture.category(index), x, y, radius), hueOf(picture.depth(index), theme), stroke);
  };
  for (let index = 0; index < count; index++) if (index !== near) point(index, RADIUS, background);
  if (near === null) return drawn;
  point(near, RADIUS + 3, theme.foreground);
  const { x, y } = placeOf(near);
  const onLeft = x > width / 2;
  const look = { size: 11, bold: true, align: onLeft ? 'right' : 'left' } as const;
  surface.text(onLeft ? x - 12 : x + 12, y, picture.label(near), look);
  return drawn;
}

/** Fires `point` (index or null) and `choose` (index). */
@customElement('lens-scatter')
export class Scatter extends PointsElement {
  static override styles = [
    PointsElement.styles,
    css`
      .scroller {
        cursor: pointer;
      }
    `,
  ];
  @property({ attribute: false }) picture: ScatterPicture | null = null;
  @property() label = '';
  /** x y of each point as it was drawn. */
  private drawn: Float32Array = new Float32Array(0);

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
      @focus=${() => this.setFocus(true)}
      @blur=${() => this.setFocus(false)}
      @keydown=${(event: KeyboardEvent) => this.onKey(event, picture, count)}
      @pointermove=${(event: PointerEvent) => this.point(this.under(event, this.drawn))}
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
    this.drawn = drawScatter(surface, this.picture, { width, height }, this.near, theme);
  }

  private cell({ columns }: ScatterPicture): Cell {
    return { row: Math.floor(this.cursor / columns), column: this.cursor % columns };
  }

  private onKey(event: KeyboardEvent, picture: ScatterPicture, count: number): void {
    if (event.key === 'Enter' || event.key === ' ') this.choose(this.cursor);
    else {
      const next = moved(event, this.cell(picture), Math.ceil(count / picture.columns), picture.columns);
      if (next === undefined) return;
      this.moveTo(Math.min(count - 1, next.row * picture.columns + next.column));
    }
    event.preventDefault();
  }
}
