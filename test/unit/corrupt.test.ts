import assert from 'node:assert/strict';
import { chooseCorruption, chosenCount, groupsOf } from '../../extension/engine/analysis/corrupt';
import { seededRandom } from '../../extension/engine/analysis/random';

const MASK = 103;
const VOCABULARY = 1000;

function run(length: number, seed: number): ReturnType<typeof chooseCorruption> {
  // Every id is 500, so that a kept token is known by it.
  const ids = new Int32Array(length).fill(500);
  const groups = Array.from({ length: length - 2 }, (_, index) => [index + 1]);
  return chooseCorruption({ ids, groups, maskId: MASK, vocabSize: VOCABULARY }, seededRandom(seed));
}

describe("BERT's corruption", () => {
  it('chooses min(20, max(1, round(0.15 n))) tokens, halves to even', () => {
    // Python: [min(20, max(1, int(round(n * 0.15)))) for n in …]
    const expected: [number, number][] = [
      [3, 1],
      [9, 1],
      [10, 2],
      [16, 2],
      [17, 3],
      [30, 4],
      [50, 8],
      [70, 10],
      [128, 19],
      [133, 20],
      [512, 20],
    ];
    for (const [length, count] of expected) {
      assert.equal(chosenCount(length), count, `n = ${length}`);
      assert.equal(run(length, 1).length, Math.min(count, length - 2));
    }
  });

  it('masks 80 %, keeps 10 % and replaces 10 %, within 1 %', () => {
    const counts = { mask: 0, keep: 0, random: 0 };
    let sum = 0;
    for (let seed = 0; seed < 3000; seed++)
      for (const { action, id } of run(128, seed)) {
        counts[action]++;
        if (action === 'mask') assert.equal(id, MASK);
        if (action === 'keep') assert.equal(id, 500);
        if (action === 'random') {
          assert.ok(Number.isInteger(id) && id >= 0 && id < VOCABULARY);
          sum += id;
        }
      }
    const total = counts.mask + counts.keep + counts.random;
    assert.equal(total, 3000 * 19);
    assert.ok(Math.abs(counts.mask / total - 0.8) < 0.01, `mask ${counts.mask / total}`);
    assert.ok(Math.abs(counts.keep / total - 0.1) < 0.01, `keep ${counts.keep / total}`);
    assert.ok(Math.abs(counts.random / total - 0.1) < 0.01, `random ${counts.random / total}`);
    // Uniform over the vocabulary: the mean is its middle, within four standard errors.
    assert.ok(Math.abs(sum / counts.random - 499.5) < (4 * 289) / Math.sqrt(counts.random));
  });

  it('chooses every position equally often', () => {
    const hits = new Float64Array(22);
    for (let seed = 0; seed < 8000; seed++)
      for (const { position } of run(22, seed)) hits[position] = (hits[position] ?? 0) + 1;
    assert.equal(hits[0], 0);
    assert.equal(hits[21], 0);
    const share = chosenCount(22) / 20;
    for (let position = 1; position < 21; position++) assert.ok(Math.abs((hits[position] ?? 0) / 8000 - share) < 0.02);
  });

  it('is the same for the same seed, and another for another', () => {
    assert.deepEqual(run(128, 42), run(128, 42));
    assert.notDeepEqual(run(128, 42), run(128, 43));
  });

  it('chooses whole words, at most as many pieces as wanted', () => {
    const tokenizer = { continuesWord: (id: number) => id >= 200 };
    //          CLS  a   b  ##b ##b  c  ##c  d  SEP
    const ids = [101, 1, 2, 200, 201, 3, 202, 4, 102];
    const special = [1, 0, 0, 0, 0, 0, 0, 0, 1];
    const groups = groupsOf(ids, special, tokenizer, true);
    assert.deepEqual(groups, [[1], [2, 3, 4], [5, 6], [7]]);
    assert.deepEqual(
      groupsOf(ids, special, tokenizer, false),
      [1, 2, 3, 4, 5, 6, 7].map((position) => [position]),
    );
    // 40 tokens: 6 are wanted.
    const many = Array.from({ length: 13 }, (_, word) => [3 * word + 1, 3 * word + 2, 3 * word + 3]).filter(
      (word) => (word[2] ?? 0) < 39,
    );
    for (let seed = 0; seed < 100; seed++) {
      const chosen = chooseCorruption(
        { ids: new Int32Array(40), groups: many, maskId: MASK, vocabSize: VOCABULARY },
        seededRandom(seed),
      ).map(({ position }) => position);
      assert.equal(chosen.length, 6);
      for (const word of many) {
        const inside = word.filter((position) => chosen.includes(position)).length;
        assert.ok(inside === 0 || inside === 3);
      }
    }
  });

  it('chooses something even where every word is longer than wanted', () => {
    const input = {
      ids: new Int32Array(7),
      groups: [
        [1, 2, 3],
        [4, 5],
      ],
      maskId: MASK,
      vocabSize: VOCABULARY,
    };
    assert.deepEqual(
      chooseCorruption(input, seededRandom(1)).map(({ position }) => position),
      [4, 5],
    );
  });
});
