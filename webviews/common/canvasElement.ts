/**
 * A drawing in a scrolled box: the canvas is as large as what can be seen and stays there, so that only that is drawn, however large
 * the whole is. It draws again after a change of its properties, its size, the theme, or the place it is scrolled to.
 */
import { css, html, LitElement, type CSSResultGroup, type TemplateResult } from 'lit';
import { onThemeChange, palette, type Palette } from './colors';
import { CanvasSurface, type Surface } from './surface';
import { base } from './styles';

export interface Extent {
  width: number;
  height: number;
}

/** What of the whole is seen. */
export interface Viewport extends Extent {
  left: number;
  top: number;
}

export abstract class CanvasElement extends LitElement {
  static override styles: CSSResultGroup = [
    base,
    css`
      :host {
        display: block;
        min-width: 0;
      }
      .scroller {
        position: relative;
        overflow: auto;
        max-width: 100%;
      }
      .scroller:focus-visible {
        outline-offset: 0;
      }
      canvas {
        position: sticky;
        top: 0;
        left: 0;
        display: block;
      }
    `,
  ];
  /** When the last drawing was done (`performance.now()`): for benchmarks. */
  paintedAt = 0;
  private frame: number | undefined;
  private resize: ResizeObserver | undefined;
  private unsubscribe: (() => void) | undefined;
  private knownWidth = -1;

  /** Size of the whole drawing where there is so much room for its width. */
  protected abstract extent(room: number, theme: Palette): Extent;
  /** Draws what the viewport shows; the surface's origin is the viewport's corner. */
  protected abstract draw(surface: Surface, viewport: Viewport, theme: Palette): void;
  /** The tallest that the box may become. */
  protected get tallest(): number {
    return Math.max(240, Math.round(window.innerHeight * 0.75));
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.unsubscribe = onThemeChange(() => this.invalidate());
    this.resize = new ResizeObserver(() => {
      if (this.clientWidth !== this.knownWidth) this.invalidate();
    });
    this.resize.observe(this);
  }

  override disconnectedCallback(): void {
    this.unsubscribe?.();
    this.resize?.disconnect();
    if (this.frame !== undefined) cancelAnimationFrame(this.frame);
    this.frame = undefined;
    super.disconnectedCallback();
  }

  override focus(options?: FocusOptions): void {
    this.scroller?.focus(options);
  }

  override updated(): void {
    this.invalidate();
  }

  /** The canvas in its box; attributes and events of the box are the element's own. */
  protected readonly canvas = (): TemplateResult =>
    html`<div class="extent"><canvas aria-hidden="true"></canvas></div>`;

  protected get scroller(): HTMLElement | null {
    return this.renderRoot.querySelector<HTMLElement>('.scroller');
  }

  /** Draws before the next frame. */
  protected invalidate(): void {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.paint();
    });
  }

  /** Where of the whole drawing a pointer is. */
  protected pointOf(event: MouseEvent): { x: number; y: number } {
    const { scroller } = this;
    const { left, top } = scroller?.getBoundingClientRect() ?? { left: 0, top: 0 };
    return {
      x: event.clientX - left - (scroller?.clientLeft ?? 0),
      y: event.clientY - top - (scroller?.clientTop ?? 0),
    };
  }

  private paint(): void {
    const { scroller } = this;
    const canvas = this.renderRoot.querySelector('canvas');
    const context = canvas?.getContext('2d');
    if (scroller === null || canvas == null || context == null || this.clientWidth === 0) return;
    const theme = palette();
    this.knownWidth = this.clientWidth;
    const whole = this.extent(this.clientWidth, theme);
    const box = canvas.parentElement as HTMLElement;
    // A bar at the bottom takes its height from what is seen.
    const bar = whole.width > this.clientWidth ? 12 : 0;
    scroller.style.height = `${Math.min(whole.height + bar, this.tallest)}px`;
    box.style.width = `${whole.width}px`;
    box.style.height = `${whole.height}px`;
    const width = Math.min(scroller.clientWidth, Math.max(whole.width, 1));
    const height = Math.min(scroller.clientHeight, Math.max(whole.height, 1));
    const ratio = window.devicePixelRatio;
    const [pixelWidth, pixelHeight] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== pixelWidth || canvas.height !== pixelHeight) {
      canvas.width = pixelWidth;
      canvas.height = pixelHeight;
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const viewport = { left: scroller.scrollLeft, top: scroller.scrollTop, width, height };
    this.draw(new CanvasSurface(context, theme), viewport, theme);
    this.paintedAt = performance.now();
  }
}
