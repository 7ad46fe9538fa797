/** How a matrix is drawn: where its cells and labels are, and the part of it that a viewport shows. Pure. */
import { differenceRamp, magnitudeRamp, type Palette } from './colors';
import type { Cell } from './gridCursor';
import { textWidth, type Surface, type TextLook } from './surface';
import type { Extent, Viewport } from './canvasElement';

export interface MatrixPicture {
  rows: readonly string[];
  columns: readonly string[];
  /** rows × columns; NaN where there is no number. */
  values: Float32Array;
  ramp: 'magnitude' | 'difference';
  /** The value of the full colour; of each row by itself where there are several. */
  full: number | readonly number[];
  /** False: not drawn, as below a threshold. */
  shows?: ((row: number, column: number) => boolean) | undefined;
  /** Lines before these rows and columns. */
  dividers?: readonly number[];
  /** As written into cells where there is room. */
  format: (value: number) => string;
  /** Cells are wider than high: all rows have this height. */
  rowHeight?: number;
  /** At least this wide. */
  columnWidth?: number;
  /** Written into the cells in place of numbers, cut to their width [rows × columns]. */
  words?: readonly string[];
}

/** What is marked in it. */
export interface MatrixMarks {
  cursor: Cell | null;
  hover: Cell | null;
  /** This row, or this column, has a frame. */
  target: { row: number } | { column: number } | null;
  /** All but this row, or this column, are dimmed. */
  only: { row: number } | { column: number } | null;
}

export interface MatrixLayout extends Extent {
  left: number;
  top: number;
  cellWidth: number;
  cellHeight: number;
  turn: -45 | -90;
}

const LABEL: TextLook = { mono: true, size: 11 };
const LABEL_HEIGHT = 12;
const LARGEST_FIT = 34;
/** From here on cells have gaps, and then numbers. */
const GAP_FROM = 7;
const NUMBER_FROM = 30;
/** Labels at 45° need room to the right of the last column. */
const TURN_FROM = 380;
const SINE = Math.SQRT1_2;

const widths = new WeakMap<readonly string[], { font: string; width: number }>();
function labelsWidth(labels: readonly string[], theme: Palette): number {
  const known = widths.get(labels);
  if (known?.font === theme.mono) return known.width;
  const width = labels.reduce((most, label) => Math.max(most, textWidth(label, LABEL, theme)), 0);
  widths.set(labels, { font: theme.mono, width });
  return width;
}

/** Fitted into the room, times `zoom`. */
export function matrixLayout(picture: MatrixPicture, room: number, zoom: number, theme: Palette): MatrixLayout {
  const { rows, columns, rowHeight } = picture;
  const left = Math.ceil(labelsWidth(rows, theme)) + 8;
  const above = labelsWidth(columns, theme);
  const turn = room >= TURN_FROM && above > 16 ? -45 : -90;
  const flat = above <= 16 && (room - left) / columns.length > above + 3;
  const over = turn === -45 ? Math.ceil(above * SINE) : 2;
  const fit = Math.min(LARGEST_FIT, (room - left - over) / Math.max(1, columns.length));
  const fitted = rowHeight === undefined ? fit : (room - left - over) / Math.max(1, columns.length);
  const scaled = Math.max(picture.columnWidth ?? 1, fitted * zoom);
  const cellWidth = scaled >= 3 ? Math.floor(scaled) : scaled;
  const cellHeight = rowHeight ?? cellWidth;
  const top = Math.ceil(flat ? LABEL_HEIGHT + 4 : turn === -45 ? above * SINE + LABEL_HEIGHT : above + 8);
  return {
    ...{ left, top, cellWidth, cellHeight, turn },
    width: Math.ceil(left + columns.length * cellWidth + over),
    height: Math.ceil(top + rows.length * cellHeight + 2),
  };
}

/** The cell at a point of the viewport; null beside the cells. A point on a label is a whole row or column: −1 stands for all. */
export function cellAt(
  { left, top, cellWidth, cellHeight }: MatrixLayout,
  { rows, columns }: MatrixPicture,
  viewport: Pick<Viewport, 'left' | 'top'>,
  { x, y }: { x: number; y: number },
): Cell | null {
  const column = x < left ? -1 : Math.floor((x - left + viewport.left) / cellWidth);
  const row = y < top ? -1 : Math.floor((y - top + viewport.top) / cellHeight);
  return (row < 0 && column < 0) || row >= rows.length || column >= columns.length ? null : { row, column };
}

/** Text on the full colours: black or white, whichever is farther. */
const onFull = ({ magnitude: [red, green, blue] }: Palette): string =>
  0.3 * red + 0.59 * green + 0.11 * blue > 120 ? '#000000' : '#ffffff';

let ramps: { theme: Palette; magnitude: Uint32Array; difference: Uint32Array } | undefined;
function rampOf(ramp: MatrixPicture['ramp'], theme: Palette): Uint32Array {
  if (ramps?.theme !== theme) ramps = { theme, magnitude: magnitudeRamp(theme), difference: differenceRamp(theme) };
  return ramps[ramp];
}

const WORD: TextLook = { mono: true, size: 11 };

/** As much of it as has room. */
function fitted(word: string, room: number, theme: Palette): string {
  if (textWidth(word, WORD, theme) <= room) return word;
  const characters = Array.from(word);
  const most = Math.floor(room / textWidth('m', WORD, theme)) - 1;
  return `${characters.slice(0, Math.max(1, most)).join('')}…`;
}

/** Numbers of the ramp: 0…255, or −255…255 moved by 255. */
function levelOf(value: number, full: number, ramp: MatrixPicture['ramp']): number {
  const level = Math.round((255 * value) / (full || 1));
  return ramp === 'magnitude' ? Math.max(0, Math.min(255, level)) : Math.max(-255, Math.min(255, level)) + 255;
}

export function drawMatrix(
  surface: Surface,
  picture: MatrixPicture,
  layout: MatrixLayout,
  viewport: Viewport,
  marks: MatrixMarks,
  theme: Palette,
): void {
  const { rows, columns, values } = picture;
  const { left, top, cellWidth, cellHeight } = layout;
  const first = { row: Math.floor(viewport.top / cellHeight), column: Math.floor(viewport.left / cellWidth) };
  const last = {
    row: Math.min(rows.length, Math.ceil((viewport.top + viewport.height - top) / cellHeight)),
    column: Math.min(columns.length, Math.ceil((viewport.left + viewport.width - left) / cellWidth)),
  };
  const xOf = (column: number): number => left + column * cellWidth - viewport.left;
  const yOf = (row: number): number => top + row * cellHeight - viewport.top;
  const inside = { width: viewport.width - left, height: viewport.height - top };
  const right = xOf(columns.length);
  const bottom = yOf(rows.length);
  const fullOf = (row: number): number => (typeof picture.full === 'number' ? picture.full : picture.full[row]!);

  surface.clipped(left, top, inside.width, inside.height, () => {
    const [wide, high] = [last.column - first.column, last.row - first.row];
    if (wide <= 0 || high <= 0) return;
    const ramp = rampOf(picture.ramp, theme);
    const pixels = new Uint32Array(wide * high);
    const nothing = ramp[levelOf(0, 1, picture.ramp)]!;
    for (let row = first.row, at = 0; row < last.row; row++) {
      const full = fullOf(row);
      for (let column = first.column; column < last.column; column++, at++) {
        const value = values[row * columns.length + column]!;
        const drawn = !Number.isNaN(value) && (picture.shows?.(row, column) ?? true);
        pixels[at] = drawn ? ramp[levelOf(value, full, picture.ramp)]! : nothing;
      }
    }
    surface.pixels(xOf(first.column), yOf(first.row), wide * cellWidth, high * cellHeight, pixels, wide);
    if (Math.min(cellWidth, cellHeight) >= GAP_FROM) {
      const lines = theme.contrast ? 0.35 : 0.8;
      for (let row = first.row; row <= last.row; row++)
        surface.rect(xOf(first.column), yOf(row) - 0.5, wide * cellWidth, 1, theme.border, lines);
      for (let column = first.column; column <= last.column; column++)
        surface.rect(xOf(column) - 0.5, yOf(first.row), 1, high * cellHeight, theme.border, lines);
    }
    if (cellWidth >= NUMBER_FROM && cellHeight >= 14) {
      for (let row = first.row; row < last.row; row++)
        for (let column = first.column; column < last.column; column++) {
          const value = values[row * columns.length + column]!;
          if (Number.isNaN(value) || !(picture.shows?.(row, column) ?? true)) continue;
          const strong = Math.abs(value) / (fullOf(row) || 1) > 0.35;
          const look = { size: 10, align: 'center', color: strong ? onFull(theme) : theme.foreground } as const;
          const word = picture.words?.[row * columns.length + column];
          const text = word === undefined ? picture.format(value) : fitted(word, cellWidth - 6, theme);
          const own = word === undefined ? look : { ...look, ...WORD };
          surface.text(xOf(column) + cellWidth / 2, yOf(row) + cellHeight / 2, text, own);
        }
    }
    dim(surface, marks.only, { left, top, right, bottom }, xOf, yOf, layout, theme);
    for (const at of picture.dividers ?? []) {
      surface.rect(xOf(at) - 1, top, 2, Math.max(0, bottom - top), theme.quiet);
      surface.rect(left, yOf(at) - 1, Math.max(0, right - left), 2, theme.quiet);
    }
    const aim = marks.target;
    if (aim !== null && 'row' in aim)
      surface.frame(left + 1, yOf(aim.row), right - left - 2, cellHeight, theme.focus, { width: 2 });
    if (aim !== null && 'column' in aim)
      surface.frame(xOf(aim.column), top + 1, cellWidth, bottom - top - 2, theme.focus, { width: 2 });
    surface.frame(left + 0.5, top + 0.5, right - left - 1, bottom - top - 1, theme.border);
    for (const [cell, width] of [[marks.hover, 1] as const, [marks.cursor, 2] as const]) {
      if (cell === null || cell.row < 0 || cell.column < 0) continue;
      const [w, h] = [Math.max(cellWidth, 4), Math.max(cellHeight, 4)];
      surface.frame(xOf(cell.column), yOf(cell.row), w, h, width === 2 ? theme.focus : theme.foreground, { width });
    }
  });

  const near = marks.hover ?? marks.cursor;
  const background = (x: number, y: number, width: number, height: number): void =>
    surface.rect(x, y, width, height, `rgb(${theme.background.join(', ')})`);
  surface.clipped(0, top - LABEL_HEIGHT / 2, left, inside.height + LABEL_HEIGHT / 2, () => {
    const label = (row: number, strong: boolean): void => {
      const y = yOf(row) + cellHeight / 2;
      if (strong && cellHeight < LABEL_HEIGHT) background(0, y - 7, left - 4, 14);
      const look = { ...LABEL, align: 'right', bold: strong, color: strong ? theme.foreground : theme.quiet } as const;
      surface.text(left - 5, y, rows[row] ?? '', look);
    };
    const step = Math.max(1, Math.ceil((LABEL_HEIGHT - 1) / cellHeight));
    for (let row = first.row - (first.row % step); row < last.row; row += step)
      if (row !== near?.row) label(row, false);
    if (near !== null && near.row >= 0) label(near.row, true);
  });
  const flat = top <= LABEL_HEIGHT + 4;
  surface.clipped(left - 6, 0, viewport.width - left + 6, top, () => {
    const label = (column: number, strong: boolean): void => {
      const x = xOf(column) + cellWidth / 2;
      if (strong && cellWidth < LABEL_HEIGHT && layout.turn === -90) background(x - 7, 0, 14, top - 3);
      const look = { ...LABEL, bold: strong, color: strong ? theme.foreground : theme.quiet };
      if (flat) surface.text(x, top - 9, columns[column] ?? '', { ...look, align: 'center' });
      else surface.text(x, top - 6, columns[column] ?? '', { ...look, turn: layout.turn });
    };
    const spacing = layout.turn === -45 ? LABEL_HEIGHT / SINE : LABEL_HEIGHT;
    const step = flat ? 1 : Math.max(1, Math.ceil((spacing - 2) / cellWidth));
    const from = Math.max(0, first.column - (first.column % step));
    for (let column = from; column < last.column; column += step) if (column !== near?.column) label(column, false);
    if (near !== null && near.column >= 0) label(near.column, true);
  });
}

function dim(
  surface: Surface,
  only: MatrixMarks['only'],
  box: { left: number; top: number; right: number; bottom: number },
  xOf: (column: number) => number,
  yOf: (row: number) => number,
  { cellWidth, cellHeight }: MatrixLayout,
  theme: Palette,
): void {
  if (only === null) return;
  const veil = `rgb(${theme.background.join(', ')})`;
  const rect = (x1: number, y1: number, x2: number, y2: number): void => {
    if (x2 > x1 && y2 > y1) surface.rect(x1, y1, x2 - x1, y2 - y1, veil, 0.8);
  };
  if ('row' in only) {
    const y = yOf(only.row);
    rect(box.left, box.top, box.right, y);
    rect(box.left, y + cellHeight, box.right, box.bottom);
  } else {
    const x = xOf(only.column);
    rect(box.left, box.top, x, box.bottom);
    rect(x + cellWidth, box.top, box.right, box.bottom);
  }
}
