/** Thousands of points in two or three dimensions. The pointer or the arrow keys read one; dragging turns a picture of three dimensions. */
import { css, html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { Extent, Viewport } from '../common/canvasElement';
import { channels, type Palette } from '../common/colors';
import { PointsElement } from '../common/points';
import { shapeAt } from '../common/shapes';
import { textWidth, type Surface } from '../common/surface';

export interface CloudPicture {
  /** [n,axes]. */
  places: Float32Array;
  axes: 2 | 3;
  /** Colour and shape of each. */
  category: (index: number) => number;
  label: (index: number) => string;
  /** Labels stand beside the points, as many as have room. */
  named?: boolean;
}

const EDGE = 14;
const RADIUS = 4;
/** More points are drawn as small squares into one picture, which is many times as fast. */
const MOST_SHAPES = 2_000;
const SQUARE = 3;
const NAME_SIZE = 10;
const NAME_GAP = 8;
const TURN_PER_PIXEL = 0.01;
/** From one layer to the next. */
const MOVE_MS = 450;

/** Fires `point` (index or null) and `choose` (index). */
@customElement('lens-point-cloud')
export class PointCloud extends PointsElement {
  static override styles = [
    PointsElement.styles,
    css`
      .scroller {
        cursor: pointer;
        touch-action: none;
      }
    `,
  ];
  @property({ attribute: false }) picture: CloudPicture | null = null;
  @property() label = '';
  /** How a picture of three dimensions is turned, in radians. */
  @state() private turn = { yaw: 0.6, pitch: 0.4 };
  private drag: { x: number; y: number; moved: boolean } | null = null;
  /** Where points come from while they move to new places. */
  private origin: Float32Array | null = null;
  private movedAt = 0;
  /** x y of each point as it was drawn. */
  private drawn: Float32Array = new Float32Array(0);

  override willUpdate(changed: PropertyValues<this>): void {
    if (!changed.has('picture')) return;
    const old = changed.get('picture');
    const { picture } = this;
    const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
    this.origin =
      !still &&
      old != null &&
      picture !== null &&
      old.axes === picture.axes &&
      old.places.length === picture.places.length
        ? unitPlaces(old)
        : null;
    this.movedAt = performance.now();
    this.hover = null;
    this.cursor = Math.min(this.cursor, Math.max(0, countOf(picture) - 1));
  }

  override render(): TemplateResult | typeof nothing {
    const { picture } = this;
    if (picture === null || picture.places.length === 0) return nothing;
    return html`<div
      class="scroller"
      role="application"
      tabindex="0"
      aria-label="${this.label}. ${picture.label(this.cursor)}"
      @focus=${() => this.setFocus(true)}
      @blur=${() => this.setFocus(false)}
      @keydown=${(event: KeyboardEvent) => this.onKey(event, countOf(picture))}
      @pointerdown=${(event: PointerEvent) => this.onDown(event, picture)}
      @pointermove=${(event: PointerEvent) => this.onMove(event, picture)}
      @pointerup=${() => this.onUp()}
      @pointerleave=${() => this.point(null)}
    >
      ${this.canvas()}
    </div>`;
  }

  protected override extent(room: number): Extent {
    const width = Math.min(room, 720);
    return { width, height: Math.round(width * 0.75) };
  }

  protected override draw(surface: Surface, { width, height }: Viewport, theme: Palette): void {
    const { picture } = this;
    if (picture === null) return;
    const share = this.origin === null ? 1 : Math.min(1, (performance.now() - this.movedAt) / MOVE_MS);
    const to = unitPlaces(picture);
    const places = share < 1 && this.origin !== null ? between(this.origin, to, share) : to;
    if (share < 1) this.invalidate();
    else this.origin = null;
    this.drawn = drawCloud(surface, picture, places, { width, height }, this.turn, this.near, theme);
  }

  private onDown(event: PointerEvent, { axes }: CloudPicture): void {
    if (axes === 3) (event.currentTarget as HTMLElement).setPointerCapture(event.pointerId);
    this.drag = { x: event.clientX, y: event.clientY, moved: false };
  }

  private onMove(event: PointerEvent, { axes }: CloudPicture): void {
    const { drag } = this;
    if (drag === null || axes === 2) {
      this.point(this.under(event, this.drawn));
      return;
    }
    const [x, y] = [event.clientX - drag.x, event.clientY - drag.y];
    if (!drag.moved && Math.hypot(x, y) < 3) return;
    this.drag = { x: event.clientX, y: event.clientY, moved: true };
    this.turn = {
      yaw: this.turn.yaw + x * TURN_PER_PIXEL,
      pitch: Math.min(1.5, Math.max(-1.5, this.turn.pitch + y * TURN_PER_PIXEL)),
    };
  }

  private onUp(): void {
    const turned = this.drag?.moved === true;
    this.drag = null;
    if (!turned) this.choose(this.hover);
  }

  private onKey(event: KeyboardEvent, count: number): void {
    const steps: Record<string, number> = {
      ...{ ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 },
      ...{ PageDown: 10, PageUp: -10, Home: -count, End: count },
    };
    const step = steps[event.key];
    if (event.key === 'Enter' || event.key === ' ') this.choose(this.cursor);
    else if (step === undefined) return;
    else this.moveTo(Math.min(count - 1, Math.max(0, this.cursor + step)));
    event.preventDefault();
  }
}

const countOf = (picture: CloudPicture | null): number => (picture === null ? 0 : picture.places.length / picture.axes);

/** Around 0, the farthest place at a distance of 1: distances are what is read, so all axes have one scale. */
const scaled = new WeakMap<Float32Array, Float32Array>();
function unitPlaces({ places, axes }: CloudPicture): Float32Array {
  const known = scaled.get(places);
  if (known !== undefined) return known;
  const low = new Float64Array(axes).fill(Infinity);
  const high = new Float64Array(axes).fill(-Infinity);
  for (let at = 0; at < places.length; at++) {
    const axis = at % axes;
    low[axis] = Math.min(low[axis] as number, places[at] as number);
    high[axis] = Math.max(high[axis] as number, places[at] as number);
  }
  let reach = 0;
  for (let axis = 0; axis < axes; axis++) reach = Math.max(reach, ((high[axis] as number) - (low[axis] as number)) / 2);
  const result = places.map((value, at) => {
    const axis = at % axes;
    return reach === 0 ? 0 : (value - ((low[axis] as number) + (high[axis] as number)) / 2) / reach;
  });
  scaled.set(places, result);
  return result;
}

const between = (from: Float32Array, to: Float32Array, share: number): Float32Array => {
  const eased = share * share * (3 - 2 * share);
  return to.map((value, at) => (from[at] as number) + eased * (value - (from[at] as number)));
};

/** Gives x y of each point. */
function drawCloud(
  surface: Surface,
  picture: CloudPicture,
  places: Float32Array,
  { width, height }: Extent,
  { yaw, pitch }: { yaw: number; pitch: number },
  near: number | null,
  theme: Palette,
): Float32Array {
  const { axes, category, label } = picture;
  const background = `rgb(${theme.background.join(', ')})`;
  surface.rect(0, 0, width, height, background);
  surface.frame(0.5, 0.5, width - 1, height - 1, theme.border);
  const count = places.length / axes;
  const reach = axes === 2 ? Math.min(width, height) / 2 - EDGE : (Math.min(width, height) / 2 - EDGE) / 1.3;
  // In two dimensions the wider side is used.
  const stretch =
    axes === 2
      ? Math.min(
          (width / 2 - EDGE) / Math.max(1e-9, widest(places, 0)),
          (height / 2 - EDGE) / Math.max(1e-9, widest(places, 1)),
        )
      : reach;
  const [sinY, cosY, sinP, cosP] = [Math.sin(yaw), Math.cos(yaw), Math.sin(pitch), Math.cos(pitch)];
  const drawn = new Float32Array(2 * count);
  const order: number[] = [];
  const depth = axes === 3 ? new Float32Array(count) : null;
  for (let index = 0; index < count; index++) {
    const [x, y, z] = [
      places[index * axes] as number,
      places[index * axes + 1] as number,
      axes === 3 ? (places[index * axes + 2] as number) : 0,
    ];
    const right = axes === 3 ? x * cosY + z * sinY : x;
    const back = axes === 3 ? z * cosY - x * sinY : 0;
    const up = axes === 3 ? y * cosP - back * sinP : y;
    if (depth !== null) depth[index] = back * cosP + y * sinP;
    drawn[2 * index] = width / 2 + right * stretch;
    drawn[2 * index + 1] = height / 2 - up * stretch;
    order.push(index);
  }
  // What is farther is drawn first.
  if (depth !== null) order.sort((a, b) => (depth[b] as number) - (depth[a] as number));
  const { categories } = theme;
  const colour = (index: number): string => categories[category(index) % categories.length] ?? theme.foreground;
  const shape = (index: number, radius: number, stroke: string): void =>
    surface.polygon(
      shapeAt(category(index), drawn[2 * index] as number, drawn[2 * index + 1] as number, radius),
      colour(index),
      stroke,
    );
  if (count <= MOST_SHAPES) for (const index of order) shape(index, RADIUS, background);
  else drawSquares(surface, drawn, order, category, { width, height }, theme);
  if (picture.named === true) drawNames(surface, drawn, label, near, width, theme);
  if (near !== null && near < count) {
    shape(near, RADIUS + 3, theme.foreground);
    const [x, y] = [drawn[2 * near] as number, drawn[2 * near + 1] as number];
    const onLeft = x > width / 2;
    surface.text(onLeft ? x - 12 : x + 12, y, label(near), { size: 11, bold: true, align: onLeft ? 'right' : 'left' });
  }
  return drawn;
}

/** Largest distance from the middle along an axis of two. */
function widest(places: Float32Array, axis: 0 | 1): number {
  let most = 0;
  for (let at = axis; at < places.length; at += 2) most = Math.max(most, Math.abs(places[at] as number));
  return most;
}

/** Names beside points; one that would cover another is left out, and is read by pointing. */
function drawNames(
  surface: Surface,
  drawn: Float32Array,
  label: (index: number) => string,
  near: number | null,
  width: number,
  theme: Palette,
): void {
  const taken: { left: number; right: number; y: number }[] = [];
  for (let index = 0; 2 * index < drawn.length; index++) {
    if (index === near) continue;
    const [x, y] = [drawn[2 * index] as number, drawn[2 * index + 1] as number];
    const size = textWidth(label(index), { size: NAME_SIZE }, theme);
    const onLeft = x + NAME_GAP + size > width;
    const left = onLeft ? x - NAME_GAP - size : x + NAME_GAP;
    const right = left + size;
    if (
      left < 0 ||
      taken.some((other) => left < other.right && right > other.left && Math.abs(y - other.y) < NAME_SIZE)
    )
      continue;
    taken.push({ left, right, y });
    surface.text(left, y, label(index), { size: NAME_SIZE, color: theme.quiet });
  }
}

/** All points as squares of their colours. */
function drawSquares(
  surface: Surface,
  drawn: Float32Array,
  order: readonly number[],
  category: (index: number) => number,
  { width, height }: Extent,
  theme: Palette,
): void {
  const columns = Math.max(1, Math.floor(width) - 2);
  const rows = Math.max(1, Math.floor(height) - 2);
  const pixels = new Uint32Array(columns * rows);
  const colours = theme.categories.map((colour) => {
    const [red, green, blue] = channels(colour, theme.background);
    // As the bytes of a picture stand in memory: red first.
    return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
  });
  for (const index of order) {
    const colour = colours[category(index) % colours.length] ?? 0;
    const left = Math.round(drawn[2 * index] as number) - 2;
    const top = Math.round(drawn[2 * index + 1] as number) - 2;
    for (let y = Math.max(0, top); y < Math.min(rows, top + SQUARE); y++)
      for (let x = Math.max(0, left); x < Math.min(columns, left + SQUARE); x++) pixels[y * columns + x] = colour;
  }
  surface.pixels(1, 1, columns, rows, pixels, columns);
}
