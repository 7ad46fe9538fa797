/**
 * A heat map of any size. Labels stay while it scrolls; Ctrl and the wheel, + − and 0 zoom; the pointer or the arrow keys read a cell,
 * a label reads its whole row or column.
 */
import { css, html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { CanvasElement, type Extent, type Viewport } from './canvasElement';
import { palette, type Palette } from './colors';
import { cursorCell, moved, type Cell } from './gridCursor';
import {
  cellAt,
  drawMatrix,
  matrixLayout,
  type MatrixLayout,
  type MatrixMarks,
  type MatrixPicture,
} from './matrixPicture';
import type { Surface } from './surface';

const ZOOM_STEP = 1.25;
const MOST_ZOOM = 64;

/** Fires `cell` (a cell, −1 for the whole row or column, or null), `choose` (a cell, and whether with Alt), `zoom`, `pan`. */
@customElement('lens-matrix')
export class Matrix extends CanvasElement {
  static override styles = [
    CanvasElement.styles,
    css`
      .scroller {
        cursor: crosshair;
      }
    `,
  ];
  @property({ attribute: false }) picture: MatrixPicture | null = null;
  @property() label = '';
  /** What the screen reader says of a cell. */
  @property({ attribute: false }) describe: (row: number, column: number) => string = () => '';
  /** A row or column with a frame. */
  @property({ attribute: false }) target: MatrixMarks['target'] = null;
  /** Of pictures that are read together: the cell under the pointer in any of them. */
  @property({ attribute: false }) linked: Cell | null = null;
  @property({ type: Number }) zoom = 1;
  @property({ attribute: false }) pan: { left: number; top: number } | null = null;
  @state() private cursor: Cell = { row: 0, column: 0 };
  @state() private focused = false;
  private hover: Cell | null = null;

  override willUpdate(changed: PropertyValues<this>): void {
    const { picture } = this;
    if (!changed.has('picture') || picture === null) return;
    const row = Math.min(this.cursor.row, Math.max(0, picture.rows.length - 1));
    const column = Math.min(this.cursor.column, Math.max(0, picture.columns.length - 1));
    if (row !== this.cursor.row || column !== this.cursor.column) this.cursor = { row, column };
    this.hover = null;
  }

  override updated(changed?: PropertyValues<this>): void {
    super.updated();
    const { pan, scroller } = this;
    if (!changed?.has('pan') || pan === null || scroller === null || scroller.matches(':hover, :focus')) return;
    scroller.scrollLeft = pan.left;
    scroller.scrollTop = pan.top;
  }

  override render(): TemplateResult | typeof nothing {
    const { picture, cursor } = this;
    if (picture === null || picture.rows.length === 0) return nothing;
    return html`<div
      class="scroller"
      role="grid"
      tabindex="0"
      aria-label=${this.label}
      aria-rowcount=${picture.rows.length}
      aria-colcount=${picture.columns.length}
      aria-activedescendant="cell"
      @focus=${() => this.focus_(true)}
      @blur=${() => this.focus_(false)}
      @keydown=${this.onKey}
      @wheel=${this.onWheel}
      @pointermove=${this.onMove}
      @pointerleave=${() => this.point(null)}
      @click=${this.onClick}
      @scroll=${this.onScroll}
    >
      ${this.canvas()}${cursorCell(cursor, this.describe(cursor.row, cursor.column))}
    </div>`;
  }

  protected override extent(room: number, theme: Palette): Extent {
    return this.layout(room, theme);
  }

  protected override draw(surface: Surface, viewport: Viewport, theme: Palette): void {
    if (this.picture === null) return;
    const marks = {
      cursor: this.focused ? this.cursor : null,
      hover: this.hover ?? this.linked,
      only: onlyOf(this.hover),
      target: this.target,
    };
    drawMatrix(surface, this.picture, this.layout(this.clientWidth, theme), viewport, marks, theme);
  }

  private layout(room: number, theme: Palette): MatrixLayout {
    return matrixLayout(this.picture as MatrixPicture, room, this.zoom, theme);
  }

  private focus_(on: boolean): void {
    this.focused = on;
    this.tell(on ? this.cursor : null);
  }

  private tell(cell: Cell | null): void {
    this.dispatchEvent(new CustomEvent('cell', { detail: cell }));
  }

  private point(cell: Cell | null): void {
    if (cell?.row === this.hover?.row && cell?.column === this.hover?.column) return;
    this.hover = cell;
    this.tell(cell ?? (this.focused ? this.cursor : null));
    this.invalidate();
  }

  private under(event: MouseEvent): Cell | null {
    const { picture, scroller } = this;
    if (picture === null || scroller === null) return null;
    const viewport = { left: scroller.scrollLeft, top: scroller.scrollTop };
    return cellAt(this.layout(this.clientWidth, palette()), picture, viewport, this.pointOf(event));
  }

  private readonly onMove = (event: PointerEvent): void => this.point(this.under(event));

  private readonly onScroll = (): void => {
    this.invalidate();
    const { scroller } = this;
    if (scroller?.matches(':hover, :focus') !== true) return;
    this.dispatchEvent(new CustomEvent('pan', { detail: { left: scroller.scrollLeft, top: scroller.scrollTop } }));
  };

  private onClick(event: MouseEvent): void {
    const cell = this.under(event);
    if (cell === null) return;
    if (cell.row >= 0 && cell.column >= 0) this.cursor = cell;
    this.choose(cell, event.altKey);
  }

  private choose(cell: Cell, alt: boolean): void {
    this.dispatchEvent(new CustomEvent('choose', { detail: { ...cell, alt } }));
  }

  private onKey(event: KeyboardEvent): void {
    const { picture } = this;
    if (picture === null) return;
    if (event.key === '+' || event.key === '=') this.zoomTo(this.zoom * ZOOM_STEP);
    else if (event.key === '-') this.zoomTo(this.zoom / ZOOM_STEP);
    else if (event.key === '0') this.zoomTo(1);
    else if (event.key === 'Enter') this.choose(this.cursor, event.altKey);
    else {
      const next = moved(event, this.cursor, picture.rows.length, picture.columns.length);
      if (next === undefined) return;
      this.cursor = next;
      this.hover = null;
      this.tell(next);
      this.reveal(next);
    }
    event.preventDefault();
  }

  private readonly onWheel = (event: WheelEvent): void => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    this.zoomTo(this.zoom * (event.deltaY < 0 ? ZOOM_STEP : 1 / ZOOM_STEP), this.pointOf(event));
  };

  /** What is under the pointer, or at the cursor, stays where it is. */
  private zoomTo(zoom: number, at?: { x: number; y: number }): void {
    const { scroller } = this;
    const next = Math.min(MOST_ZOOM, Math.max(1, zoom));
    if (scroller === null || next === this.zoom) return;
    const before = this.layout(this.clientWidth, palette());
    const column =
      at === undefined ? this.cursor.column : (at.x - before.left + scroller.scrollLeft) / before.cellWidth;
    const row = at === undefined ? this.cursor.row : (at.y - before.top + scroller.scrollTop) / before.cellHeight;
    this.zoom = next;
    this.dispatchEvent(new CustomEvent('zoom', { detail: next }));
    requestAnimationFrame(() => {
      const after = this.layout(this.clientWidth, palette());
      if (at === undefined) this.reveal({ row, column });
      else {
        scroller.scrollLeft = column * after.cellWidth + after.left - at.x;
        scroller.scrollTop = row * after.cellHeight + after.top - at.y;
      }
    });
  }

  private reveal({ row, column }: Cell): void {
    const { scroller } = this;
    if (scroller === null) return;
    const { left, top, cellWidth, cellHeight } = this.layout(this.clientWidth, palette());
    const bring = (from: number, size: number, scroll: number, room: number): number =>
      from < scroll ? from : from + size > scroll + room ? from + size - room : scroll;
    scroller.scrollLeft = bring(column * cellWidth, cellWidth, scroller.scrollLeft, scroller.clientWidth - left - 2);
    scroller.scrollTop = bring(row * cellHeight, cellHeight, scroller.scrollTop, scroller.clientHeight - top - 2);
  }
}

/** A label under the pointer shows its row or column only. */
const onlyOf = (cell: Cell | null): MatrixMarks['only'] =>
  cell === null || (cell.row >= 0 && cell.column >= 0)
    ? null
    : cell.row < 0
      ? { column: cell.column }
      : { row: cell.row };
