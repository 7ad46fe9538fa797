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
  // Cell c has the tokens from begins[c] to begins[c + 1]: those with ⌊token·size/length⌋ = c.
  const begins = Int32Array.from({ length: size + 1 }, (_, cell) => Math.ceil((cell * length) / size));
  const largest = new Float32Array(size);
  for (let head = 0; head < heads; head++)
    for (let row = 0; row < size; row++) {
      largest.fill(0);
      for (let query = begins[row] as number; query < (begins[row + 1] as number); query++) {
        const from = (head * length + query) * length;
        for (let cell = 0; cell < size; cell++) {
          let most = largest[cell] as number;
          const end = from + (begins[cell + 1] as number);
          for (let at = from + (begins[cell] as number); at < end; at++)
            if ((pattern[at] as number) > most) most = pattern[at] as number;
          largest[cell] = most;
        }
      }
      const to = offset + (head * size + row) * size;
      for (let cell = 0; cell < size; cell++)
        target[to + cell] = Math.round(255 * Math.min(1, largest[cell] as number));
    }
}
