/** How unlike heads are: Σ over tokens of the Jensen–Shannon divergence of their rows (Clark et al. 2019, head_distances.py). */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { throwIfCancelled } from '../forward';
import type { Patterned } from './batches';
import type { DocumentPattern } from './statistics';

const SMOOTHING = 1e-3;

/** −Σ x log x over all cells. */
function entropyOf(cells: Float32Array): number {
  let sum = 0;
  for (let index = 0; index < cells.length; index++) {
    const value = cells[index] as number;
    sum -= value * Math.log(value);
  }
  return sum;
}

/** −Σ m log m of the mean m of both. */
function entropyOfMean(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let index = 0; index < a.length; index++) {
    const value = 0.5 * ((a[index] as number) + (b[index] as number));
    sum -= value * Math.log(value);
  }
  return sum;
}

/**
 * Adds one text's JS(a,b) = H((a+b)/2) − (H(a)+H(b))/2, summed over rows smoothed as .999·a + .001/n, to `sums` [L·H, L·H]. The
 * entropies of the heads are computed once; what remains is one logarithm a cell and pair of heads. Between heads a cancel is heard.
 */
export async function addDistances(
  sums: Float64Array,
  blocks: Patterned<unknown>['blocks'],
  length: number,
  heads: number,
  signal: AbortSignal,
): Promise<void> {
  const size = Math.sqrt(sums.length);
  const smooth = new Map<number, Float32Array>();
  for (const { layer, pattern } of blocks)
    for (let head = 0; head < pattern.heads; head++) smooth.set(layer * heads + head, smoothed(pattern, head, length));
  const known = [...smooth].map(([index, cells]) => ({ index, cells, entropy: entropyOf(cells) }));
  for (const [place, a] of known.entries()) {
    for (const b of known.slice(place + 1)) {
      // Rounding can take the divergence of equal heads a little below zero.
      const divergence = Math.max(0, entropyOfMean(a.cells, b.cells) - 0.5 * (a.entropy + b.entropy));
      for (const cell of [a.index * size + b.index, b.index * size + a.index])
        sums[cell] = (sums[cell] as number) + divergence;
    }
    await nextTurn();
    throwIfCancelled(signal);
  }
}

function smoothed({ data, stride }: DocumentPattern, head: number, length: number): Float32Array {
  const cells = new Float32Array(length * length);
  for (let row = 0; row < length; row++)
    for (let column = 0; column < length; column++)
      cells[row * length + column] =
        (1 - SMOOTHING) * (data[(head * stride + row) * stride + column] as number) + SMOOTHING / length;
  return cells;
}
