/** Measures of vectors against NumPy, SciPy and scikit-learn (scripts/reference/embedding_statistics.py). */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { clusterRows, silhouette } from '../../extension/engine/analysis/embeddings/clusters';
import {
  adjustedRandIndex,
  centredKernel,
  cosine,
  cosineMatrix,
  gram,
  linearCka,
  pearson,
  ranks,
  spearman,
  unit,
} from '../../extension/engine/analysis/embeddings/maths';
import { firstShare, principalComponents } from '../../extension/engine/analysis/embeddings/pca';
import { seededRandom } from '../../extension/engine/analysis/random';

interface Expected {
  x: number[];
  y: number[];
  cka: number;
  ties: number[];
  more: number[];
  pearson: number;
  spearman: number;
  ranks: number[];
  pca: Record<string, { width: number; rows: number[]; scores: number[]; explained: number[] }>;
  firstShare: number;
  partitions: [number[], number[]];
  rand: number;
  labels: number[];
  silhouette: number;
}
const expected = JSON.parse(readFileSync('test/fixtures/embeddings/statistics.json', 'utf8')) as Expected;
const rows = (width: number, data: readonly number[]): { width: number; data: Float32Array } => ({
  width,
  data: Float32Array.from(data),
});
const close = (actual: number, wanted: number, tolerance = 1e-6): void => {
  assert.ok(Math.abs(actual - wanted) <= tolerance, `${actual}, not ${wanted}`);
};

describe('measures of vectors', () => {
  it('correlations are SciPy’s, with ties', () => {
    close(pearson(expected.ties, expected.more), expected.pearson, 1e-12);
    close(spearman(expected.ties, expected.more), expected.spearman, 1e-12);
    assert.deepEqual(Array.from(ranks(expected.ties)), expected.ranks);
    assert.ok(Number.isNaN(pearson([1, 1, 1], [1, 2, 3])));
  });

  it('linear CKA is NumPy’s', () => {
    const kernel = (width: number, data: readonly number[]): Float64Array => centredKernel(gram(rows(width, data)));
    const [x, y] = [kernel(7, expected.x), kernel(5, expected.y)];
    close(linearCka(x, y), expected.cka);
    close(linearCka(x, x), 1);
    // It does not change when all is turned, scaled and moved.
    close(
      linearCka(
        x,
        kernel(
          7,
          expected.x.map((value) => 3 * value + 1),
        ),
      ),
      1,
      1e-5,
    );
  });

  for (const [name, { width, rows: data, scores, explained }] of Object.entries(expected.pca))
    it(`principal components are scikit-learn’s up to sign: ${name}`, () => {
      const found = principalComponents(rows(width, data), 3);
      for (let axis = 0; axis < 3; axis++) {
        close(found.explained[axis] as number, explained[axis] as number);
        const own = Array.from(found.scores).filter((_, at) => at % 3 === axis);
        const wanted = scores.filter((_, at) => at % 3 === axis);
        const sign = Math.sign(own.reduce((sum, value, at) => sum + value * (wanted[at] as number), 0));
        own.forEach((value, at) => close(sign * value, wanted[at] as number, 1e-4));
        const largest = own.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most));
        assert.ok(largest > 0);
      }
    });

  it('principal components of rows that are all the same, and of one row, are nothing', () => {
    for (const data of [
      [1, 2, 1, 2, 1, 2],
      [1, 2],
    ])
      assert.ok(principalComponents(rows(2, data), 3).scores.every((value) => value === 0));
  });

  it('the first share of variance is that of the singular values', () => {
    close(firstShare(rows(7, expected.x)), expected.firstShare);
    close(firstShare(rows(2, [1, 2, 2, 4, -3, -6])), 1);
  });

  it('rows that stand there often, or are 0, do not change shares of variance', () => {
    const few = expected.x.slice(0, 4 * 7);
    const copies = (times: number): number[] => Array.from({ length: times }, () => few).flat();
    for (const times of [5, 10, 40]) close(firstShare(rows(7, copies(times))), firstShare(rows(7, few)), 1e-9);
    close(firstShare(rows(7, [...few, ...new Array<number>(7 * 30).fill(0)])), firstShare(rows(7, few)), 1e-9);
    close(firstShare(rows(7, [...expected.x, ...expected.x])), expected.firstShare);
    // Three directions at right angles, 15, 10 and 5 times.
    const directions = [
      [1, 2, 2],
      [2, 1, -2],
      [2, -2, 1],
    ];
    const often = directions.flatMap((direction, at) => Array.from({ length: 15 - 5 * at }, () => direction)).flat();
    close(firstShare(rows(3, often)), 0.5, 1e-9);
    const found = principalComponents(rows(7, copies(10)), 3);
    principalComponents(rows(7, few), 3).explained.forEach((share, axis) => {
      close(found.explained[axis] as number, share, 1e-9);
    });
  });

  it('the adjusted Rand index and the silhouette are scikit-learn’s', () => {
    close(adjustedRandIndex(...expected.partitions), expected.rand, 1e-12);
    assert.equal(adjustedRandIndex([0, 0, 1, 1], ['b', 'b', 'a', 'a']), 1);
    assert.equal(adjustedRandIndex([0, 0, 0, 0], ['b', 'b', 'a', 'a']), 0);
    const units = Array.from({ length: 30 }, (_, row) => unit(expected.x.slice(7 * row, 7 * row + 7)));
    close(silhouette(units, Int32Array.from(expected.labels), seededRandom(0)), expected.silhouette, 1e-9);
  });

  it('cosines', () => {
    close(cosine([1, 2, 3], [2, 4, 6]), 1);
    assert.deepEqual(Array.from(cosineMatrix(rows(2, [1, 0, 0, 2, 3, 0]))), [1, 0, 1, 0, 1, 0, 1, 0, 1]);
    assert.ok(Number.isNaN(cosine([0, 0], [1, 0])));
  });

  it('clusters what lies together, the same for the same seed, and as many as there are', () => {
    const random = seededRandom(3);
    const centres = [
      [5, 0, 0],
      [0, 5, 0],
      [0, 0, 5],
    ];
    const truth = Array.from({ length: 60 }, (_, at) => (at < 30 ? 0 : at < 50 ? 1 : 2));
    const data = truth.flatMap((label) => (centres[label] as number[]).map((value) => value + random() - 0.5));
    const auto = clusterRows(rows(3, data), { most: 6 }, 1);
    assert.equal(auto.clusters, 3);
    assert.deepEqual(Array.from(auto.labels), truth);
    assert.ok(auto.silhouette > 0.8);
    assert.deepEqual(clusterRows(rows(3, data), { most: 6 }, 1), auto);
    assert.equal(clusterRows(rows(3, data), 2, 1).clusters, 2);
    // One vector everywhere, as the static row of a word is.
    const same = clusterRows(
      rows(
        3,
        truth.flatMap(() => [1, 2, 3]),
      ),
      { most: 4 },
      1,
    );
    assert.equal(adjustedRandIndex(Array.from(same.labels), truth), 0);
    assert.equal(clusterRows(rows(3, [1, 2, 3]), { most: 4 }, 1).clusters, 1);
  });
});
