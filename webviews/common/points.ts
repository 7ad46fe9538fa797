/** Points on a canvas: the pointer or the keyboard's cursor is at one of them. */
import { state } from 'lit/decorators.js';
import { CanvasElement } from './canvasElement';

/** How far the pointer may be from a point. */
const REACH = 14;

/** Fires `point` (index or null) and `choose` (index). */
export abstract class PointsElement extends CanvasElement {
  @state() protected cursor = 0;
  @state() protected hover: number | null = null;
  @state() protected focused = false;

  /** The point that stands out. */
  protected get near(): number | null {
    return this.hover ?? (this.focused ? this.cursor : null);
  }

  protected setFocus(on: boolean): void {
    this.focused = on;
    this.tell();
  }

  /** Moves the cursor, as the keyboard does. */
  protected moveTo(index: number): void {
    this.cursor = index;
    this.hover = null;
    this.tell();
  }

  protected point(index: number | null): void {
    if (index === this.hover) return;
    this.hover = index;
    this.tell();
  }

  protected choose(index: number | null): void {
    if (index !== null) this.dispatchEvent(new CustomEvent('choose', { detail: index }));
  }

  /** The nearest of the points that were drawn (x y of each); null when none is near. */
  protected under(event: MouseEvent, drawn: Float32Array): number | null {
    const { x, y } = this.pointOf(event);
    let best = REACH;
    let found: number | null = null;
    for (let at = 0; at < drawn.length; at += 2) {
      const distance = Math.hypot((drawn[at] as number) - x, (drawn[at + 1] as number) - y);
      if (distance < best) [best, found] = [distance, at / 2];
    }
    return found;
  }

  private tell(): void {
    this.dispatchEvent(new CustomEvent('point', { detail: this.near }));
  }
}
