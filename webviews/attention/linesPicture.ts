/** Two columns of tokens and the lines between them: from the queries on the left to the keys on the right. Pure. */
import type { Extent, Viewport } from '../common/canvasElement';
import { DASHES, opacityOf, type Palette } from '../common/colors';
import { textWidth, type Surface } from '../common/surface';
import { probability } from '../../extension/protocol/format';
import { isShown, type Visibility } from './visibility';

export interface LinesPicture {
  labels: readonly string[];
  special: readonly boolean[];
  /** One matrix [W,W] each, with what of it is drawn; the full colour stands for `full`. */
  maps: readonly { label: string; matrix: Float32Array; visibility: Visibility }[];
  full: number;
  dividers: readonly number[];
}

/** Whose lines alone are drawn. */
export interface Focus {
  side: 'from' | 'to';
  index: number;
}

export interface LinesLayout extends Extent {
  row: number;
  top: number;
  leftEdge: number;
  rightEdge: number;
}

const ROW = 19;
const LABEL_HEIGHT = 12;
const TOP = 18;
const BUCKETS = 24;
/** Room for the weights beside the keys. */
const NUMBERS = 34;

export function linesLayout({ labels }: LinesPicture, room: number, zoom: number, theme: Palette): LinesLayout {
  const row = Math.max(3, Math.min(40, ROW * zoom));
  const size = { mono: true, size: 12 };
  const widest = labels.reduce((most, label) => Math.max(most, textWidth(label, size, theme)), 0);
  const label = Math.min(Math.max(72, Math.ceil(widest) + 14), Math.max(72, room * 0.3));
  const width = Math.min(room, 620);
  return {
    row,
    top: TOP,
    leftEdge: label,
    rightEdge: width - label - NUMBERS,
    width,
    height: TOP + labels.length * row + 4,
  };
}

const yOf = (index: number, { row, top }: LinesLayout, viewport: Pick<Viewport, 'top'>): number =>
  top + (index + 0.5) * row - viewport.top;

export function focusAt(
  layout: LinesLayout,
  { labels }: LinesPicture,
  viewport: Pick<Viewport, 'top'>,
  { x, y }: { x: number; y: number },
): Focus | null {
  const index = Math.floor((y + viewport.top - layout.top) / layout.row);
  if (y < layout.top || index < 0 || index >= labels.length) return null;
  if (x <= layout.leftEdge) return { side: 'from', index };
  return x >= layout.rightEdge ? { side: 'to', index } : null;
}

export function drawLines(
  surface: Surface,
  picture: LinesPicture,
  layout: LinesLayout,
  viewport: Viewport,
  { focus, cursor }: { focus: Focus | null; cursor: Focus | null },
  theme: Palette,
): void {
  const { labels, maps, full } = picture;
  const count = labels.length;
  const first = Math.max(0, Math.floor((viewport.top - layout.top) / layout.row));
  const last = Math.min(count, Math.ceil((viewport.top + viewport.height) / layout.row));
  const [x1, x2] = [layout.leftEdge + 2, layout.rightEdge - 2];
  const middle = { top: layout.top, height: viewport.height - layout.top };
  const colorOf = (map: number): string => theme.categories[map % theme.categories.length] ?? theme.foreground;

  surface.clipped(0, middle.top, viewport.width, middle.height, () => {
    maps.forEach(({ matrix, visibility }, map) => {
      const buckets: number[][] = Array.from({ length: BUCKETS + 1 }, () => []);
      const add = (row: number, column: number): void => {
        const value = matrix[row * count + column]!;
        if (!isShown(visibility, row, column, value)) return;
        const bucket = Math.round(opacityOf(value / full) * BUCKETS);
        if (bucket > 0) buckets[bucket]!.push(x1, yOf(row, layout, viewport), x2, yOf(column, layout, viewport));
      };
      if (focus?.side === 'to') for (let row = 0; row < count; row++) add(row, focus.index);
      else {
        const [from, to] = focus === null ? [first, last] : [focus.index, focus.index + 1];
        for (let row = from; row < to; row++) for (let column = 0; column < count; column++) add(row, column);
      }
      buckets.forEach((ends, bucket) => {
        if (ends.length === 0) return;
        const alpha = bucket / BUCKETS;
        surface.curves(ends, colorOf(map), {
          alpha,
          width: 0.8 + 1.7 * alpha,
          dash: DASHES[map % DASHES.length] ?? [],
        });
      });
    });

    const step = Math.max(1, Math.ceil(LABEL_HEIGHT / layout.row));
    const half = Math.min(layout.row, 18) / 2;
    for (const at of picture.dividers) {
      const y = yOf(at, layout, viewport) - layout.row / 2;
      surface.rect(0, y - 0.5, layout.leftEdge, 1, theme.quiet);
      surface.rect(layout.rightEdge, y - 0.5, viewport.width - layout.rightEdge, 1, theme.quiet);
    }
    for (let index = first; index < last; index++) {
      const y = yOf(index, layout, viewport);
      for (const side of ['from', 'to'] as const) {
        const self = focus?.side === side && focus.index === index;
        const marked = self || (cursor?.side === side && cursor.index === index);
        const values =
          focus === null || focus.side === side
            ? []
            : maps.map(({ matrix, visibility }) => {
                const [row, column] = side === 'to' ? [focus.index, index] : [index, focus.index];
                const value = matrix[row * count + column]!;
                return isShown(visibility, row, column, value) ? value : 0;
              });
        const [edge, width] =
          side === 'from' ? [0, layout.leftEdge] : [layout.rightEdge, viewport.width - layout.rightEdge - NUMBERS];
        values.forEach((value, map) => {
          if (value <= 0) return;
          const part = width / values.length;
          surface.rect(edge + map * part, y - half, part, 2 * half, colorOf(map), 0.75 * opacityOf(value / full));
        });
        if (self) surface.rect(edge, y - half, width, 2 * half, theme.selection);
        if (cursor?.side === side && cursor.index === index)
          surface.frame(edge + 1, y - half + 1, width - 2, 2 * half - 2, theme.focus, { width: 1.5 });
        const strong = Math.max(0, ...values);
        if (index % step === 0 || marked || strong >= 0.1 * full) {
          const quiet = picture.special[index] === true && !marked;
          // Over a selection its own foreground is readable, in high contrast too.
          const color = self ? theme.selectionForeground : quiet ? theme.quiet : theme.foreground;
          const look = { mono: true, size: 12, bold: marked, color } as const;
          surface.clipped(edge, y - layout.row, width, 2 * layout.row, () =>
            side === 'from'
              ? surface.text(layout.leftEdge - 6, y, labels[index] ?? '', { ...look, align: 'right' })
              : surface.text(layout.rightEdge + 6, y, labels[index] ?? '', look),
          );
          // Of several heads a number would not say whose it is; the read-out does.
          if (maps.length === 1 && strong >= 0.005 * full && layout.row >= LABEL_HEIGHT - 2 && side === 'to')
            surface.text(viewport.width - 2, y, probability(strong), { size: 11, align: 'right' });
        }
      }
    }
  });
  const head = { size: 10, color: theme.quiet } as const;
  surface.text(layout.leftEdge - 6, 8, 'from (query)', { ...head, align: 'right' });
  surface.text(layout.rightEdge + 6, 8, 'to (key)', head);
}
