import assert from 'node:assert/strict';
import { fillLeftToRight, fillTogether, MaskedSpan } from '../../extension/engine/analysis/joint';
import { seededRandom } from '../../extension/engine/analysis/random';
import { FakeModel, FakeTokenizer, logSoftmax, type LogitRule } from '../support/fakeModel';

const WORDS = ['a', 'b', 'c', 'd', 'e', 'f'];
const MASK = 3;
const FIRST_WORD = 5;
const VOCABULARY = FIRST_WORD + WORDS.length;

/** Logits that depend on the neighbours: a random table over (left neighbour, right neighbour, token). */
function neighbourRule(seed: number): LogitRule {
  const random = seededRandom(seed);
  const table = Float64Array.from({ length: VOCABULARY ** 3 }, () => 6 * random());
  return (ids, position) =>
    Array.from({ length: VOCABULARY }, (_, id) => {
      const left = ids[position - 1] ?? 0;
      const right = ids[position + 1] ?? 0;
      return table[(left * VOCABULARY + right) * VOCABULARY + id] as number;
    });
}

function pseudoLogLikelihood(
  rule: LogitRule,
  row: readonly number[],
  masks: readonly number[],
  ids: readonly number[],
): number {
  return ids.reduce((sum, id, index) => {
    const filled = [...row];
    masks.forEach((position, other) => {
      if (other !== index) filled[position] = ids[other] as number;
    });
    return sum + (logSoftmax([...rule(filled, masks[index] as number)])[id] as number);
  }, 0);
}

function allFills(length: number): number[][] {
  if (length === 0) return [[]];
  return allFills(length - 1).flatMap((fill) => WORDS.map((_, word) => [...fill, FIRST_WORD + word]));
}

const signal = new AbortController().signal;
const close = (a: number, b: number): boolean => Math.abs(a - b) < 1e-5;

describe('joint fill', () => {
  const row = [1, 6, MASK, MASK, 7, MASK, 2];
  const masks = [2, 3, 5];

  it('finds the best of all fills with a wide beam, and is never worse than the independent one with a narrow one', async () => {
    let better = 0;
    for (let seed = 0; seed < 30; seed++) {
      const rule = neighbourRule(seed);
      const model = new FakeModel(new FakeTokenizer({ words: WORDS }), rule);
      const scored = allFills(3).map((ids) => pseudoLogLikelihood(rule, row, masks, ids));
      const best = Math.max(...scored);
      const span = (): MaskedSpan => new MaskedSpan(model, Int32Array.from(row), masks, signal);
      const [wide] = await fillTogether(span(), model, 1000);
      assert.ok(wide !== undefined && close(wide.logprob, best));
      const narrow = await fillTogether(span(), model, 3);
      const independent = narrow.find((fill) => fill.independent);
      assert.ok(independent !== undefined);
      assert.ok((narrow[0]?.logprob ?? -Infinity) >= independent.logprob);
      if ((narrow[0]?.logprob ?? 0) > independent.logprob) better++;
      for (const fill of narrow) {
        assert.ok(close(fill.logprob, pseudoLogLikelihood(rule, row, masks, fill.ids)));
        assert.ok(
          close(
            fill.logprob,
            fill.logprobs.reduce((a, b) => a + b),
          ),
        );
        assert.ok(
          fill.ids.every((id) => id >= FIRST_WORD),
          'only words',
        );
      }
    }
    assert.ok(better > 0);
  });

  it('runs no row twice, and about 20 rows for three masks and a beam of 5', async () => {
    const model = new FakeModel(new FakeTokenizer({ words: WORDS }), neighbourRule(1));
    await fillTogether(new MaskedSpan(model, Int32Array.from(row), masks, signal), model, 5);
    assert.equal(new Set(model.rows.map(String)).size, model.rows.length);
    assert.ok(model.rows.length <= 25, `${model.rows.length} rows`);
    assert.ok(model.runs <= 4, `${model.runs} runs`);
  });

  it('scores left to right for causal models: the best of all fills with a wide beam', async () => {
    for (let seed = 0; seed < 20; seed++) {
      const rule: LogitRule = (ids, position) => neighbourRule(seed)([...ids.slice(0, position + 1), 0], position);
      const model = new FakeModel(new FakeTokenizer({ words: WORDS, causal: true }), rule, { kind: 'causal' });
      const holes = [2, 3, 5];
      const causalRow = [1, 6, -1, -1, 7, -1];
      const likelihood = (ids: readonly number[]): number =>
        ids.reduce((sum, id, index) => {
          const filled = [...causalRow];
          ids.forEach((other, place) => (filled[holes[place] as number] = other));
          const position = holes[index] as number;
          return sum + (logSoftmax([...rule(filled.slice(0, position), position - 1)])[id] as number);
        }, 0);
      const best = Math.max(...allFills(3).map(likelihood));
      const wide = await fillLeftToRight(model, Int32Array.from(causalRow), holes, 1000, signal);
      assert.ok(close(wide[0]?.logprob ?? 0, best));
      const narrow = await fillLeftToRight(model, Int32Array.from(causalRow), holes, 2, signal);
      const greedy = narrow.find((fill) => fill.independent);
      assert.ok(greedy !== undefined && (narrow[0]?.logprob ?? -Infinity) >= greedy.logprob);
      for (const fill of narrow) assert.ok(close(fill.logprob, likelihood(fill.ids)));
    }
  });

  it('stops between runs when it is cancelled', async () => {
    const controller = new AbortController();
    const model = new FakeModel(new FakeTokenizer({ words: WORDS }), (ids, position) => {
      controller.abort();
      return neighbourRule(1)(ids, position);
    });
    await assert.rejects(
      fillTogether(new MaskedSpan(model, Int32Array.from(row), masks, controller.signal), model, 5),
      {
        code: 'cancelled',
      },
    );
    assert.equal(model.runs, 1);
  });
});
