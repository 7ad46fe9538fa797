import assert from 'node:assert/strict';
import { Distribution, logSumExp } from '../../extension/engine/analysis/distribution';
import { topK } from '../../extension/engine/session/topK';
import { seededRandom } from '../../extension/engine/analysis/random';
import { logSoftmax } from '../support/fakeModel';

describe('distribution', () => {
  it('gives log-probabilities, entropy and ranks that can be computed by hand', () => {
    const distribution = new Distribution(Float32Array.from([Math.log(4), 0, Math.log(2), 0]));
    [1 / 2, 1 / 8, 1 / 4, 1 / 8].forEach((p, id) => {
      assert.ok(Math.abs(distribution.logprob(id) - Math.log(p)) < 1e-7);
    });
    assert.ok(Math.abs(distribution.entropy() - 1.75 * Math.log(2)) < 1e-7);
    assert.deepEqual(
      [0, 1, 2, 3].map((id) => distribution.rank(id)),
      [1, 3, 2, 4],
    );
    assert.deepEqual(distribution.top(4), [0, 2, 1, 3]);
  });

  it('is stable for huge logits, and takes minus infinity as impossible', () => {
    const distribution = new Distribution(Float32Array.from([1e5, 1e5, -Infinity, -1e5]));
    assert.equal(distribution.logprob(0), -Math.log(2));
    assert.equal(distribution.logprob(2), -Infinity);
    assert.ok(Math.abs(distribution.entropy() - Math.log(2)) < 1e-12);
    assert.equal(logSumExp([-Infinity, -Infinity]), -Infinity);
  });

  it('sums in double precision', () => {
    // In float32 the sum of so many small terms stands still.
    const logits = new Float32Array(2_000_000);
    assert.ok(Math.abs(logSumExp(logits) - Math.log(2_000_000)) < 1e-12);
  });

  it('agrees with a full sort for any k, ties by lower id', () => {
    const random = seededRandom(7);
    for (let round = 0; round < 200; round++) {
      const length = 1 + Math.floor(random() * 40);
      // Few different values, so that ties are common.
      const logits = Float32Array.from({ length }, () => Math.floor(random() * 6));
      const sorted = [...logits.keys()].sort((a, b) => (logits[b] as number) - (logits[a] as number) || a - b);
      for (const k of [0, 1, 3, length, length + 5]) assert.deepEqual(topK(logits, k), sorted.slice(0, k));
      const even = (id: number): boolean => id % 2 === 0;
      assert.deepEqual(topK(logits, 4, even), sorted.filter(even).slice(0, 4));
      const distribution = new Distribution(logits);
      sorted.forEach((id, index) => assert.equal(distribution.rank(id), index + 1));
      const reference = logSoftmax([...logits]);
      reference.forEach((logprob, id) => assert.ok(Math.abs(distribution.logprob(id) - logprob) < 1e-6));
    }
  });
});
