/** The lines of a head. A token under the pointer or the cursor shows its own lines with their weights; Enter makes it the target. */
import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { CanvasElement, type Extent, type Viewport } from '../common/canvasElement';
import { palette, type Palette } from '../common/colors';
import { cursorCell, moved } from '../common/gridCursor';
import type { Surface } from '../common/surface';
import { drawLines, focusAt, linesLayout, type Focus, type LinesPicture } from './linesPicture';

const ZOOM_STEP = 1.2;

/** Fires `focus-token` (a Focus or null), `choose` (a Focus), `zoom`. */
@customElement('lens-attention-lines')
export class AttentionLines extends CanvasElement {
  @property({ attribute: false }) picture: LinesPicture | null = null;
  @property() label = '';
  @property({ attribute: false }) describe: (focus: Focus) => string = () => '';
  @property({ attribute: false }) target: Focus | null = null;
  @property({ type: Number }) zoom = 1;
  @state() private cursor: Focus = { side: 'from', index: 0 };
  @state() private focused = false;
  private hover: Focus | null = null;

  override willUpdate(changed: PropertyValues<this>): void {
    const { picture, cursor } = this;
    if (!changed.has('picture') || picture === null) return;
    if (cursor.index >= picture.labels.length)
      this.cursor = { ...cursor, index: Math.max(0, picture.labels.length - 1) };
    this.hover = null;
  }

  override render(): TemplateResult | typeof nothing {
    const { picture, cursor } = this;
    if (picture === null || picture.labels.length === 0) return nothing;
    const cell = { row: cursor.index, column: cursor.side === 'from' ? 0 : 1 };
    return html`<div
      class="scroller"
      role="grid"
      tabindex="0"
      aria-label=${this.label}
      aria-rowcount=${picture.labels.length}
      aria-colcount="2"
      aria-activedescendant="cell"
      @focus=${() => this.focus_(true)}
      @blur=${() => this.focus_(false)}
      @keydown=${this.onKey}
      @wheel=${this.onWheel}
      @pointermove=${(event: PointerEvent) => this.point(this.under(event))}
      @pointerleave=${() => this.point(null)}
      @click=${(event: MouseEvent) => {
        const focus = this.under(event);
        if (focus === null) return;
        this.cursor = focus;
        this.choose(focus);
      }}
      @scroll=${() => this.invalidate()}
    >
      ${this.canvas()}${cursorCell(cell, this.describe(cursor))}
    </div>`;
  }

  protected override extent(room: number, theme: Palette): Extent {
    return linesLayout(this.picture as LinesPicture, room, this.zoom, theme);
  }

  protected override draw(surface: Surface, viewport: Viewport, theme: Palette): void {
    if (this.picture === null) return;
    const layout = linesLayout(this.picture, this.scroller?.clientWidth ?? this.clientWidth, this.zoom, theme);
    const cursor = this.focused ? this.cursor : null;
    drawLines(surface, this.picture, layout, viewport, { focus: this.hover ?? cursor ?? this.target, cursor }, theme);
  }

  private focus_(on: boolean): void {
    // The keyboard begins at the target, where there is one.
    if (on && this.target !== null && !this.matches(':hover')) this.cursor = this.target;
    this.focused = on;
    this.tell(on ? this.cursor : null);
  }

  private tell(focus: Focus | null): void {
    this.dispatchEvent(new CustomEvent('focus-token', { detail: focus }));
  }

  private point(focus: Focus | null): void {
    if (focus?.index === this.hover?.index && focus?.side === this.hover?.side) return;
    this.hover = focus;
    this.tell(focus ?? (this.focused ? this.cursor : null));
    this.invalidate();
  }

  private under(event: MouseEvent): Focus | null {
    const { picture, scroller } = this;
    if (picture === null || scroller === null) return null;
    const layout = linesLayout(picture, scroller.clientWidth, this.zoom, palette());
    return focusAt(layout, picture, { top: scroller.scrollTop }, this.pointOf(event));
  }

  private choose(focus: Focus): void {
    this.dispatchEvent(new CustomEvent('choose', { detail: focus }));
  }

  private onKey(event: KeyboardEvent): void {
    const { picture, cursor } = this;
    if (picture === null) return;
    if (event.key === '+' || event.key === '=') this.zoomTo(this.zoom * ZOOM_STEP);
    else if (event.key === '-') this.zoomTo(this.zoom / ZOOM_STEP);
    else if (event.key === '0') this.zoomTo(1);
    else if (event.key === 'Enter' || event.key === ' ') this.choose(cursor);
    else {
      const cell = { row: cursor.index, column: cursor.side === 'from' ? 0 : 1 };
      const next = moved(event, cell, picture.labels.length, 2);
      if (next === undefined) return;
      this.cursor = { side: next.column === 0 ? 'from' : 'to', index: next.row };
      this.hover = null;
      this.tell(this.cursor);
      this.reveal(next.row);
    }
    event.preventDefault();
  }

  private readonly onWheel = (event: WheelEvent): void => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    this.zoomTo(this.zoom * (event.deltaY < 0 ? ZOOM_STEP : 1 / ZOOM_STEP));
  };

  private zoomTo(zoom: number): void {
    const next = Math.min(2, Math.max(0.16, zoom));
    const middle = this.hover?.index ?? this.cursor.index;
    this.zoom = next;
    this.dispatchEvent(new CustomEvent('zoom', { detail: next }));
    requestAnimationFrame(() => this.reveal(middle));
  }

  private reveal(index: number): void {
    const { scroller, picture } = this;
    if (scroller === null || picture === null) return;
    const { row, top } = linesLayout(picture, this.clientWidth, this.zoom, palette());
    const from = index * row;
    const room = scroller.clientHeight - top;
    if (from < scroller.scrollTop) scroller.scrollTop = from;
    else if (from + row > scroller.scrollTop + room) scroller.scrollTop = from + row - room;
  }
}
