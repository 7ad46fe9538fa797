/** Vectors as places in two or three dimensions. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { UMAP } from 'umap-js';
import type { RunContext } from '../../session/languageModel';
import { throwIfCancelled } from '../forward';
import { seededRandom } from '../random';
import { cosine, rowAt, rowCount, type Rows } from './maths';
import { principalComponents, type Components } from './pca';

const NEIGHBOURS = 15;
/** UMAP says nothing of fewer points. */
export const LEAST_POINTS = 5;

/**
 * UMAP (McInnes et al. 2018) by umap-js, with the distance 1 − cosine, seeded. It is slow, and lets other requests in between its steps.
 */
export async function umapPlaces(
  rows: Rows,
  axes: 2 | 3,
  seed: number,
  { signal, progress }: RunContext,
): Promise<Components> {
  const n = rowCount(rows);
  const umap = new UMAP({
    nComponents: axes,
    nNeighbors: Math.min(NEIGHBOURS, n - 1),
    random: seededRandom(seed),
    // Equal vectors, and those without a direction, are at the distance 0 and 1.
    distanceFn: (a, b) => {
      const likeness = cosine(a, b);
      return Number.isNaN(likeness) ? 1 : Math.max(0, 1 - likeness);
    },
  });
  progress({ message: `Neighbours of ${n} points`, fraction: 0 });
  await nextTurn();
  throwIfCancelled(signal);
  const epochs = umap.initializeFit(Array.from({ length: n }, (_, row) => Array.from(rowAt(rows, row))));
  for (let epoch = 0; epoch < epochs; epoch++) {
    umap.step();
    if (epoch % 10 > 0) continue;
    progress({ message: `UMAP of ${n} points`, fraction: epoch / epochs });
    await nextTurn();
    throwIfCancelled(signal);
  }
  return { scores: Float32Array.from(umap.getEmbedding().flat()), explained: [] };
}

export async function places(
  rows: Rows,
  projection: 'pca' | 'umap',
  axes: 2 | 3,
  seed: number,
  context: RunContext,
): Promise<Components> {
  if (projection === 'umap' && rowCount(rows) >= LEAST_POINTS) return umapPlaces(rows, axes, seed, context);
  return principalComponents(rows, axes);
}
