/**
 * The keyboard's and the screen reader's side of a drawn grid: the box that has the focus is the grid, and of its cells the one at the
 * cursor is there to be read, with its place among all of them.
 */
import { html, type TemplateResult } from 'lit';

export interface Cell {
  row: number;
  column: number;
}

const within = (value: number, length: number): number => Math.max(0, Math.min(length - 1, value));

/** Where a key leads, with Ctrl to the ends; undefined for other keys. Pure. */
export function moved(
  { key, ctrlKey }: Pick<KeyboardEvent, 'key' | 'ctrlKey'>,
  { row, column }: Cell,
  rows: number,
  columns: number,
): Cell | undefined {
  const far = ctrlKey ? Infinity : 1;
  const to = {
    ArrowUp: { row: row - far, column },
    ArrowDown: { row: row + far, column },
    ArrowLeft: { row, column: column - far },
    ArrowRight: { row, column: column + far },
    PageUp: { row: row - 10, column },
    PageDown: { row: row + 10, column },
    Home: ctrlKey ? { row: 0, column: 0 } : { row, column: 0 },
    End: ctrlKey ? { row: rows - 1, column: columns - 1 } : { row, column: columns - 1 },
  }[key];
  return to && { row: within(to.row, rows), column: within(to.column, columns) };
}

/** For inside of an element with role `grid`. */
export const cursorCell = ({ row, column }: Cell, text: string, selected = false): TemplateResult =>
  html`<div class="visually-hidden" role="row" aria-rowindex=${row + 1}>
    <div id="cell" role="gridcell" aria-colindex=${column + 1} aria-selected=${String(selected)}>${text}</div>
  </div>`;
