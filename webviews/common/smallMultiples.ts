/** Many small pictures on one canvas, in rows and columns or one after the other. Arrow keys move, Enter opens, Delete switches off. */
import { css, html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { CanvasElement, type Extent, type Viewport } from './canvasElement';
import { magnitudeRamp, palette, type Palette } from './colors';
import { cursorCell, moved, type Cell } from './gridCursor';
import { shapeAt } from './shapes';
import type { Surface } from './surface';

export interface Multiple {
  /** Which of the pictures. */
  tile: number;
  name: string;
  /** What it is and how strong, and the number alone. */
  caption: string;
  value: string;
  /** For the screen reader. */
  description: string;
  category: number;
  /** ×0 is off; 1 unchanged. */
  scale: number;
  selected: boolean;
  /** Not among those that are looked for. */
  faded: boolean;
  /** Cannot be read. */
  missing: boolean;
}

/** [n,size,size], 0…255. */
export interface Tiles {
  size: number;
  data: Uint8Array;
}

export interface MultiplesPicture {
  items: readonly Multiple[];
  tiles: Tiles | null;
  /** How many in a row, with labels at rows and columns; null: as many as there is room for. */
  columns: number | null;
}

export interface MultiplesLayout extends Extent {
  left: number;
  top: number;
  tile: number;
  pitchX: number;
  pitchY: number;
  columns: number;
  caption: number;
}

const SMALLEST = 8;
const LARGEST = 64;
const FLOWING = 56;
const CAPTION_FROM = 30;
/** Narrower ones have the number alone. */
const WHOLE_CAPTION_FROM = 62;
const CAPTION = 13;

export function multiplesLayout({ items, columns }: MultiplesPicture, room: number): MultiplesLayout {
  const [left, top] = columns === null ? [1, 1] : [20, 16];
  const across = columns ?? Math.max(1, Math.floor((room - left) / (FLOWING + 4)));
  const pitch = (room - left) / across;
  const gap = pitch >= 30 ? 4 : 2;
  const tile = Math.max(SMALLEST, Math.min(LARGEST, Math.floor(pitch - gap)));
  const caption = tile >= CAPTION_FROM || columns === null ? CAPTION * (columns === null ? 2 : 1) : 0;
  // Captions may be wider than pictures.
  const pitchX = caption === 0 ? tile + gap : Math.max(tile + gap, Math.min(Math.floor(pitch), tile + 12));
  const pitchY = tile + gap + caption;
  return {
    ...{ left, top, tile, caption, columns: across, pitchX, pitchY },
    width: left + across * pitchX,
    height: top + Math.ceil(items.length / across) * pitchY + 2,
  };
}

/** For each of `to` places the first of the `from` places that it covers, and the one behind the last. */
const covered = (from: number, to: number): { start: number; end: number }[] =>
  Array.from({ length: to }, (_, at) => {
    const start = Math.floor((at * from) / to);
    return { start, end: Math.max(start + 1, Math.floor(((at + 1) * from) / to)) };
  });

/** A picture at another size: each pixel the largest of those it covers, so that a thin line stays. */
function resample(
  { size, data }: Tiles,
  tile: number,
  into: Uint32Array,
  start: number,
  stride: number,
  places: readonly { start: number; end: number }[],
  ramp: Uint32Array,
): void {
  const source = tile * size * size;
  let line = start;
  for (const rows of places) {
    let at = line;
    for (const columns of places) {
      let most = 0;
      for (let row = rows.start; row < rows.end; row++) {
        const from = source + row * size;
        for (let column = columns.start; column < columns.end; column++) {
          const level = data[from + column]!;
          if (level > most) most = level;
        }
      }
      into[at++] = ramp[most]!;
    }
    line += stride;
  }
}

/** All pictures as one, without what stands between them; nothing before they are there. */
export function multiplesPixels(
  { items, tiles }: MultiplesPicture,
  layout: MultiplesLayout,
  sharpness: number,
  theme: Palette,
): { data: Uint32Array; columns: number } {
  const columns = Math.ceil(layout.width * sharpness);
  if (tiles === null) return { data: new Uint32Array(0), columns };
  const data = new Uint32Array(columns * Math.ceil(layout.height * sharpness));
  const ramp = magnitudeRamp(theme);
  const places = covered(tiles.size, Math.round(layout.tile * sharpness));
  items.forEach(({ tile, missing }, index) => {
    if (missing) return;
    const { x, y } = placeOf(index, layout);
    resample(tiles, tile, data, Math.round(y * sharpness) * columns + Math.round(x * sharpness), columns, places, ramp);
  });
  return { data, columns };
}

const placeOf = (index: number, { left, top, columns, pitchX, pitchY }: MultiplesLayout): { x: number; y: number } => ({
  x: left + (index % columns) * pitchX,
  y: top + Math.floor(index / columns) * pitchY,
});

export function drawMultiples(
  surface: Surface,
  picture: MultiplesPicture,
  layout: MultiplesLayout,
  image: { data: Uint32Array; columns: number },
  marks: { cursor: number | null; hover: number | null; offset: { left: number; top: number } },
  theme: Palette,
): void {
  const { offset } = marks;
  const { left, top, tile, pitchX, pitchY, columns } = layout;
  const background = `rgb(${theme.background.join(', ')})`;
  surface.pixels(-offset.left, -offset.top, layout.width, layout.height, image.data, image.columns);
  if (picture.columns !== null) {
    const label = { size: 10, color: theme.quiet };
    for (let column = 0; column < columns; column++)
      surface.text(left + column * pitchX + tile / 2 - offset.left, 8 - offset.top, String(column), {
        ...label,
        align: 'center',
      });
    for (let row = 0; row * columns < picture.items.length; row++)
      surface.text(left - 5 - offset.left, top + row * pitchY + tile / 2 - offset.top, String(row), {
        ...label,
        align: 'right',
      });
  }
  picture.items.forEach((item, index) => {
    const place = placeOf(index, layout);
    const [x, y] = [place.x - offset.left, place.y - offset.top];
    if (item.missing) surface.path([x, y, x + tile, y + tile], theme.quiet, { dash: [2, 2] });
    if (item.faded) surface.rect(x, y, tile, tile, background, 0.85);
    // Around the picture: its outermost pixels are the first and last tokens.
    surface.frame(x - 0.5, y - 0.5, tile + 1, tile + 1, theme.border);
    const alpha = item.faded ? 0.35 : 1;
    const color = theme.categories[item.category % theme.categories.length] ?? theme.quiet;
    const radius = Math.min(4.5, tile / 7);
    if (!item.missing && !item.faded && layout.caption === 0 && tile >= 16)
      surface.polygon(shapeAt(item.category, x + tile - radius - 1, y + radius + 1, radius), color, background);
    if (layout.caption > 0) {
      const line = y + tile + 8;
      const short = tile >= WHOLE_CAPTION_FROM ? item.caption : item.value;
      if (!item.missing) surface.polygon(shapeAt(item.category, x + 4, line, 4), item.faded ? theme.border : color);
      const look = { size: 10, color: theme.quiet, alpha };
      surface.clipped(x, y + tile, pitchX - 1, layout.caption, () => {
        surface.text(x + 11, line, picture.columns === null ? item.name : short, look);
        if (picture.columns === null) surface.text(x, line + CAPTION, item.caption, look);
      });
    }
    if (item.scale !== 1) {
      if (item.scale === 0) surface.path([x, y + tile, x + tile, y], theme.categories[4] ?? theme.focus, { width: 2 });
      else surface.text(x + 2, y + 7, `×${item.scale}`, { size: 10, bold: true });
      surface.frame(x + 1, y + 1, tile - 2, tile - 2, theme.categories[4] ?? theme.focus, { width: 2, dash: [3, 2] });
    }
    if (item.selected) surface.frame(x - 1, y - 1, tile + 2, tile + 2, theme.focus, { width: 2 });
    if (index === marks.hover) surface.frame(x - 0.5, y - 0.5, tile + 1, tile + 1, theme.foreground);
    if (index === marks.cursor)
      surface.frame(x - 1, y - 1, tile + 2, tile + 2, theme.focus, { width: 2, dash: [3, 2] });
  });
}

/** Fires `point` (index or null), `choose` ({ index, add }), `toggle` (index). */
@customElement('lens-small-multiples')
export class SmallMultiples extends CanvasElement {
  static override styles = [
    CanvasElement.styles,
    css`
      .scroller {
        cursor: pointer;
      }
    `,
  ];
  @property({ attribute: false }) picture: MultiplesPicture = { items: [], tiles: null, columns: null };
  @property() label = '';
  @state() private cursor = 0;
  @state() private focused = false;
  /** How many in a row, as last drawn. */
  @state() private across = 1;
  private hover: number | null = null;
  private image: { data: Uint32Array; columns: number; key: string; theme: Palette } | undefined;

  override willUpdate(changed: PropertyValues<this>): void {
    if (!changed.has('picture')) return;
    this.cursor = Math.min(this.cursor, Math.max(0, this.picture.items.length - 1));
    this.image = undefined;
  }

  override render(): TemplateResult | typeof nothing {
    const { items, columns } = this.picture;
    const item = items[this.cursor];
    if (item === undefined) return nothing;
    const across = columns ?? this.across;
    return html`<div
      class="scroller"
      role="grid"
      tabindex="0"
      aria-label=${this.label}
      aria-rowcount=${Math.ceil(items.length / across)}
      aria-colcount=${across}
      aria-multiselectable="true"
      aria-activedescendant="cell"
      @focus=${() => this.focus_(true)}
      @blur=${() => this.focus_(false)}
      @keydown=${this.onKey}
      @pointermove=${(event: PointerEvent) => this.point(this.under(event))}
      @pointerleave=${() => this.point(null)}
      @click=${this.onClick}
      @scroll=${() => this.invalidate()}
    >
      ${this.canvas()}${cursorCell(this.cell(this.cursor, across), item.description, item.selected)}
    </div>`;
  }

  protected override get tallest(): number {
    return Infinity;
  }

  protected override extent(room: number): Extent {
    return multiplesLayout(this.picture, room);
  }

  protected override draw(surface: Surface, viewport: Viewport, theme: Palette): void {
    const layout = multiplesLayout(this.picture, this.clientWidth);
    this.across = layout.columns;
    const sharpness = Math.min(2, Math.ceil(window.devicePixelRatio));
    const key = `${layout.width} ${layout.height} ${sharpness}`;
    if (this.image?.key !== key || this.image.theme !== theme)
      this.image = { ...multiplesPixels(this.picture, layout, sharpness, theme), key, theme };
    const marks = { cursor: this.focused ? this.cursor : null, hover: this.hover, offset: viewport };
    drawMultiples(surface, this.picture, layout, this.image, marks, theme);
  }

  private cell(index: number, across: number): Cell {
    return { row: Math.floor(index / across), column: index % across };
  }

  private focus_(on: boolean): void {
    this.focused = on;
    this.tell(on ? this.cursor : null);
  }

  private tell(index: number | null): void {
    this.dispatchEvent(new CustomEvent('point', { detail: index }));
  }

  private point(index: number | null): void {
    if (index === this.hover) return;
    this.hover = index;
    this.tell(index ?? (this.focused ? this.cursor : null));
    this.invalidate();
  }

  private under(event: MouseEvent): number | null {
    const layout = multiplesLayout(this.picture, this.clientWidth);
    const { x, y } = this.pointOf(event);
    const column = Math.floor((x + (this.scroller?.scrollLeft ?? 0) - layout.left) / layout.pitchX);
    const row = Math.floor((y - layout.top) / layout.pitchY);
    const index = row * layout.columns + column;
    const there = column >= 0 && column < layout.columns && row >= 0 && index < this.picture.items.length;
    return there ? index : null;
  }

  private onClick(event: MouseEvent): void {
    const index = this.under(event);
    if (index === null) return;
    this.cursor = index;
    if (event.altKey) this.toggle(index);
    else this.choose(index, event.ctrlKey || event.metaKey || event.shiftKey);
  }

  private choose(index: number, add: boolean): void {
    this.dispatchEvent(new CustomEvent('choose', { detail: { index, add } }));
  }

  private toggle(index: number): void {
    this.dispatchEvent(new CustomEvent('toggle', { detail: index }));
  }

  private onKey(event: KeyboardEvent): void {
    const { items } = this.picture;
    const across = multiplesLayout(this.picture, this.clientWidth).columns;
    if (event.key === 'Delete' || (event.key === 'Enter' && event.altKey)) this.toggle(this.cursor);
    else if (event.key === 'Enter' || event.key === ' ')
      this.choose(this.cursor, event.key === ' ' || event.ctrlKey || event.metaKey || event.shiftKey);
    else {
      const next = moved(event, this.cell(this.cursor, across), Math.ceil(items.length / across), across);
      if (next === undefined) return;
      this.cursor = Math.min(items.length - 1, next.row * across + next.column);
      this.hover = null;
      this.tell(this.cursor);
      this.show(this.cursor);
    }
    event.preventDefault();
  }

  /** The page scrolls, where the grid is higher than it. */
  private show(index: number): void {
    const layout = multiplesLayout(this.picture, this.clientWidth);
    const top = this.getBoundingClientRect().top + placeOf(index, layout).y;
    if (top < 0) window.scrollBy(0, top - 4);
    else if (top + layout.pitchY > window.innerHeight) window.scrollBy(0, top + layout.pitchY - window.innerHeight + 4);
  }
}

/** As it is exported: wide enough for captions. */
export function exportedMultiples(picture: MultiplesPicture): {
  layout: MultiplesLayout;
  draw: (surface: Surface) => void;
} {
  const layout = multiplesLayout(picture, 24 + (picture.columns ?? 12) * (LARGEST + 4));
  return {
    layout,
    draw: (surface) => {
      const theme = palette();
      const marks = { cursor: null, hover: null, offset: { left: 0, top: 0 } };
      drawMultiples(surface, picture, layout, multiplesPixels(picture, layout, 2, theme), marks, theme);
    },
  };
}
