/** Pseudo-log-likelihood and log-likelihood against PyTorch, and the division of long texts. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { score } from '../../extension/engine/analysis/score';
import type { ModelRef, Progress, ScoreResult } from '../../extension/protocol/engine';
import { suiteEngine } from '../support/engine';
import { FakeModel, FakeTokenizer, logSoftmax, quiet, type LogitRule } from '../support/fakeModel';
import { BUNDLED, fixture, reference } from '../support/fixtures';

const expected = JSON.parse(readFileSync('test/fixtures/bert-base-cased/expected.json', 'utf8')) as {
  pseudo_log_likelihood: { text: string; tokens: string[]; logprobs: number[]; pll: number }[];
};

const close = (actual: number | undefined, wanted: number, tolerance = 1e-3): void => {
  assert.ok(actual !== undefined && Math.abs(actual - wanted) <= tolerance, `${actual}, expected ${wanted}`);
};

describe('score', function () {
  this.timeout(120_000);
  const engine = suiteEngine();
  const ask = (model: ModelRef, text: string, more = {}): Promise<ScoreResult> =>
    engine.handle('score', { model, text, ...more }, quiet());

  it('gives the reference pseudo-log-likelihoods', async () => {
    for (const { text, tokens, logprobs, pll } of expected.pseudo_log_likelihood) {
      const result = await ask(BUNDLED, text);
      assert.equal(result.kind, 'pseudo-log-likelihood');
      assert.deepEqual(result.tokens, tokens);
      logprobs.forEach((logprob, index) => close(result.logprobs[index], logprob));
      close(result.total, pll);
      close(result.perplexity, Math.exp(-pll / tokens.length), 0.5);
      assert.equal(result.windows, 1);
      result.tokens.forEach((token, index) =>
        assert.equal(text.slice(result.starts[index], result.ends[index]), token.replace('##', '')),
      );
    }
  });

  it('scores only the tokens that begin in a range, in the context of the whole text', async () => {
    const [{ text, logprobs } = { text: '', logprobs: [0] }] = expected.pseudo_log_likelihood;
    const whole = await ask(BUNDLED, text);
    const start = whole.starts[1] as number;
    const part = await ask(BUNDLED, text, { range: { start, end: start + 1 } });
    assert.deepEqual(part.tokens, [whole.tokens[1]]);
    close(part.total, logprobs[1] as number);
  });

  it('gives the left-to-right log-likelihood of causal models', async () => {
    const { meta, tensors } = reference('gpt2');
    const text = meta.cases[0]?.text[0] as string;
    const ids = meta.cases[0]?.input_ids[0] ?? [];
    const logits = tensors.get('a/unembed.logits')?.data ?? new Float32Array(0);
    const result = await ask(fixture('gpt2'), text);
    assert.equal(result.kind, 'log-likelihood');
    assert.equal(result.skippedFirst, true);
    assert.deepEqual([...result.ids], ids.slice(1));
    let total = 0;
    ids.slice(1).forEach((id, index) => {
      const row = logSoftmax([...logits.subarray(index * meta.vocab, (index + 1) * meta.vocab)]);
      total += row[id] as number;
      close(result.logprobs[index], row[id] as number);
      const better = row.filter(
        (other, place) => other > (row[id] as number) || (other === row[id] && place < id),
      ).length;
      assert.ok(Math.abs((result.ranks[index] as number) - 1 - better) <= 1);
    });
    close(result.total, total);
    const started = await ask(fixture('llama'), 'The old house');
    assert.equal(started.skippedFirst, false);
    assert.equal(started.starts[0], 0);
  });

  describe('of long texts', () => {
    const words = Array.from({ length: 100 }, (_, index) => `w${index}`);
    const text = words.join(' ');
    /** Depends on the neighbours only, so that windows must not change a number. */
    const rule: LogitRule = (ids, position) =>
      Array.from({ length: 205 }, (_, id) =>
        Math.sin(id * 1.7 + (ids[position - 1] ?? 0) * 3.1 + (ids[position + 1] ?? 0)),
      );
    const leftRule: LogitRule = (ids, position) =>
      Array.from({ length: 205 }, (_, id) =>
        Math.sin(id * 1.7 + (ids[position] ?? 0) * 3.1 + (ids[position - 1] ?? 0)),
      );

    for (const [kind, logitRule] of [
      ['masked', rule],
      ['causal', leftRule],
    ] as const)
      it(`is the same in windows (${kind})`, async () => {
        const make = (maxTokens: number): FakeModel =>
          new FakeModel(new FakeTokenizer({ words, causal: kind === 'causal' }), logitRule, {
            kind,
            maxTokens,
            vocabSize: 205,
          });
        const whole = await score(make(512), { text }, quiet());
        const windowed = await score(make(20), { text }, quiet());
        assert.equal(whole.windows, 1);
        assert.ok(windowed.windows > 5);
        assert.deepEqual(windowed.starts, whole.starts);
        // In a window, the token before the first one that is scored is always there.
        windowed.logprobs.forEach((logprob, index) => close(logprob, whole.logprobs[index] ?? NaN, 1e-6));
        const range = { start: text.indexOf('w40'), end: text.indexOf('w60') };
        const part = await score(make(20), { text, range }, quiet());
        assert.deepEqual(part.tokens, words.slice(40, 60));
        part.logprobs.forEach((logprob, index) =>
          close(logprob, whole.logprobs[index + 40 - (kind === 'causal' ? 1 : 0)] ?? NaN, 1e-6),
        );
      });

    it('streams what is finished, and stops when it is cancelled', async () => {
      const make = (): FakeModel =>
        new FakeModel(new FakeTokenizer({ words }), rule, { maxTokens: 512, vocabSize: 205 });
      const seen: Progress[] = [];
      const result = await score(make(), { text }, { ...quiet(), progress: (progress) => seen.push(progress) });
      assert.ok(seen.length > 3);
      assert.deepEqual(
        seen.flatMap(({ partial }) => [...(partial?.logprobs ?? [])]),
        [...result.logprobs],
      );
      assert.equal(seen.at(-1)?.fraction, 1);
      const controller = new AbortController();
      const model = make();
      await assert.rejects(score(model, { text }, { signal: controller.signal, progress: () => controller.abort() }), {
        code: 'cancelled',
      });
      assert.equal(model.runs, 1);
    });
  });

  it('ends at once for 10 MB, and for nothing', async () => {
    const text = 'word '.repeat(2 * 2 ** 20);
    const begin = performance.now();
    await assert.rejects(ask(BUNDLED, text), { code: 'bad-input', message: /10,485,760 characters/u });
    assert.ok(performance.now() - begin < 2000);
    // A part of it can be scored.
    const part = await ask(BUNDLED, text, { range: { start: 5_000_000, end: 5_000_004 } });
    assert.deepEqual(part.tokens, ['word']);
    for (const empty of ['', ' \n']) await assert.rejects(ask(BUNDLED, empty), { code: 'bad-input' });
  });

  it('lets a hover in between', async () => {
    const order: string[] = [];
    const slow = ask(BUNDLED, 'The house is old and the sea is blue . '.repeat(6)).then(() => order.push('score'));
    await new Promise((resolve) => setTimeout(resolve, 50));
    const quick = engine
      .handle('fillMask', { model: BUNDLED, text: 'A [MASK] day.', targets: [], topK: 5 }, quiet())
      .then(() => order.push('hover'));
    await Promise.all([slow, quick]);
    assert.deepEqual(order, ['hover', 'score']);
  });
});
