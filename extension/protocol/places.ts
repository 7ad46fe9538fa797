/** Places in texts that were read from files: the one way from an offset of a text to a line and column of its file, on both sides. Pure. */

/** Where a line of a text begins: its number in the file, from 1, the column there, and the offset in the text. */
export interface LineBegin {
  line: number;
  column: number;
  at: number;
}

/** Line (from 1) and column (from 0, UTF-16) of a place in a text. */
export function placeIn({ lines }: { lines: readonly LineBegin[] }, offset: number): { line: number; column: number } {
  const own = lines.findLast(({ at }) => at <= offset) ?? { line: 1, column: 0, at: 0 };
  return { line: own.line, column: own.column + offset - own.at };
}
