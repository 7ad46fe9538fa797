/** Numbers as bars, one a layer or a bin; where that means something, one can be chosen, and let go again. */
import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { CanvasElement, type Extent, type Viewport } from '../common/canvasElement';
import { cssOf, type Palette } from '../common/colors';
import { cursorCell, moved, type Cell } from '../common/gridCursor';
import type { Surface } from '../common/surface';

export interface BarsPicture {
  /** Null where there is none. */
  values: readonly (number | null)[];
  /** Below the bar; the last wins where there is no room for all. */
  label: (index: number) => string;
  say: (index: number) => string;
  /** What the numbers are. */
  what: string;
}

const HEIGHT = 76;
const BOTTOM = 16;
const TOP = 4;
const MOST_WIDTH = 40;

const slot = (count: number, width: number): number => Math.min(MOST_WIDTH, width / Math.max(1, count));

export const barsExtent = ({ values }: BarsPicture, room: number): Extent => ({
  width: Math.ceil(slot(values.length, room) * values.length),
  height: HEIGHT,
});

/** Below zero where a number is. `chosen`, `near`: indices. */
export function drawBars(
  surface: Surface,
  { values, label }: BarsPicture,
  width: number,
  { chosen, near }: { chosen: number | null; near: number | null },
  theme: Palette,
): void {
  const wide = slot(values.length, width);
  const numbers = values.filter((value) => value !== null);
  const [high, low] = [Math.max(0, ...numbers), Math.min(0, ...numbers)];
  const room = HEIGHT - BOTTOM - TOP;
  const scale = room / (high - low || 1);
  const zero = TOP + high * scale;
  const longest = values.reduce<number>((most, _, index) => Math.max(most, label(index).length), 1);
  const step = Math.max(1, Math.ceil((4 + 6 * longest) / wide));
  values.forEach((value, index) => {
    const x = index * wide;
    const strong = index === chosen || index === near;
    if (strong)
      surface.rect(x, 0, wide, HEIGHT, index === chosen ? theme.selection : theme.border, index === chosen ? 0.6 : 0.4);
    if (value !== null) {
      const height = Math.max(1, Math.abs(value) * scale);
      const top = value < 0 ? zero : zero - height;
      const [left, bar] = [x + Math.min(2, wide / 6), Math.max(1, wide - Math.min(4, wide / 3))];
      surface.rect(left, top, bar, height, cssOf(value < 0 ? theme.negative : theme.magnitude));
      if (theme.contrast) surface.frame(left, top, bar, height, theme.border);
    }
    if (index === chosen) surface.frame(x + 0.5, 0.5, wide - 1, HEIGHT - 1, theme.focus);
    if (index % step === 0)
      surface.text(x + wide / 2, HEIGHT - BOTTOM / 2, label(index), {
        ...{ size: 10, align: 'center' },
        ...(strong ? { bold: true } : { color: theme.quiet }),
      });
  });
  surface.rect(0, Math.round(zero), wide * values.length, 1, theme.quiet);
}

/** Fires `choose` with an index, or null when the chosen one is let go. */
@customElement('lens-bars')
export class Bars extends CanvasElement {
  static override styles = [
    CanvasElement.styles,
    css`
      :host([choosable]) .scroller {
        cursor: pointer;
      }
    `,
  ];
  @property({ attribute: false }) picture: BarsPicture = { values: [], label: String, say: String, what: '' };
  @property({ attribute: false }) chosen: number | null = null;
  @property({ type: Boolean, reflect: true }) choosable = false;
  @property() label = '';
  @state() private cursor: Cell = { row: 0, column: 0 };
  @state() private hover: number | null = null;
  @state() private focused = false;

  override render(): TemplateResult | typeof nothing {
    const { length } = this.picture.values;
    if (length === 0) return nothing;
    const { near, cursor, chosen } = this;
    return html`<div
        class="scroller"
        role="grid"
        tabindex="0"
        aria-label=${this.label}
        aria-rowcount="1"
        aria-colcount=${length}
        aria-activedescendant="cell"
        @focus=${() => (this.focused = true)}
        @blur=${() => (this.focused = false)}
        @keydown=${this.onKey}
        @pointermove=${(event: PointerEvent) => (this.hover = this.under(event))}
        @pointerleave=${() => (this.hover = null)}
        @click=${(event: MouseEvent) => this.choose(this.under(event))}
      >
        ${this.canvas()}${cursorCell(cursor, this.say(cursor.column), cursor.column === chosen)}
      </div>
      <div class="number quiet">${this.say(near ?? chosen)}</div>`;
  }

  private get near(): number | null {
    return this.hover ?? (this.focused ? this.cursor.column : null);
  }

  private say(index: number | null): string {
    const { say, what } = this.picture;
    return index === null ? what : say(index);
  }

  private under(event: MouseEvent): number | null {
    const { length } = this.picture.values;
    const index = Math.floor(this.pointOf(event).x / slot(length, this.clientWidth));
    return index >= 0 && index < length ? index : null;
  }

  private choose(index: number | null): void {
    if (index === null || !this.choosable) return;
    this.cursor = { row: 0, column: index };
    this.dispatchEvent(new CustomEvent('choose', { detail: index === this.chosen ? null : index }));
  }

  private onKey(event: KeyboardEvent): void {
    if (event.key === 'Enter' || event.key === ' ') this.choose(this.cursor.column);
    else if (event.key === 'Escape' && this.chosen !== null)
      this.dispatchEvent(new CustomEvent('choose', { detail: null }));
    else {
      const next = moved(event, this.cursor, 1, this.picture.values.length);
      if (next === undefined) return;
      this.cursor = next;
      this.hover = null;
    }
    event.preventDefault();
  }

  protected override extent(room: number): Extent {
    return barsExtent(this.picture, room);
  }

  protected override draw(surface: Surface, _viewport: Viewport, theme: Palette): void {
    drawBars(surface, this.picture, this.clientWidth, { chosen: this.chosen, near: this.near }, theme);
  }
}
