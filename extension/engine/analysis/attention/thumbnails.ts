/** Small pictures of patterns. */

/** Cells of a thumbnail's side, at most. */
const MOST = 64;

export const thumbnailSize = (length: number): number => Math.min(length, MOST);

/**
 * Patterns [H,T,T] as [H,size,size] into `target` from `offset` on: 0…255 for 0…1, each cell the largest of the weights that fall into
 * it, so that a single strong link is still seen in a long text.
 */
export function drawThumbnails(
  target: Uint8Array,
  offset: number,
  pattern: Float32Array,
  heads: number,
  length: number,
): void {
  const size = thumbnailSize(length);
  const cellOf = Int32Array.from({ length }, (_, index) => Math.floor((index * size) / length));
  const largest = new Float32Array(size);
  for (let head = 0; head < heads; head++) {
    let query = 0;
    for (let row = 0; row < size; row++) {
      largest.fill(0);
      for (; query < length && cellOf[query] === row; query++) {
        const from = (head * length + query) * length;
        for (let key = 0; key < length; key++) {
          const cell = cellOf[key] as number;
          const weight = pattern[from + key] as number;
          if (weight > (largest[cell] as number)) largest[cell] = weight;
        }
      }
      const to = offset + (head * size + row) * size;
      for (let cell = 0; cell < size; cell++)
        target[to + cell] = Math.round(255 * Math.min(1, largest[cell] as number));
    }
  }
}
