/** Fill-mask on the bundled model against PyTorch's lists, and on a tiny causal model against PyTorch's logits. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { FillMaskParams, FillMaskResult } from '../../extension/protocol/engine';
import { suiteEngine } from '../support/engine';
import { logSoftmax, quiet } from '../support/fakeModel';
import { BUNDLED, fixture, reference } from '../support/fixtures';

interface Expected {
  fill_mask: {
    text: string;
    masks: { position: number; predictions: { id: number; token: string; logprob: number }[] }[];
  }[];
  pseudo_log_likelihood: { text: string; tokens: string[]; logprobs: number[]; pll: number }[];
}
const expected = JSON.parse(readFileSync('test/fixtures/bert-base-cased/expected.json', 'utf8')) as Expected;
const TOLERANCE = 1e-3;

const close = (actual: number | undefined, wanted: number, what = ''): void => {
  assert.ok(actual !== undefined && Math.abs(actual - wanted) <= TOLERANCE, `${what}: ${actual}, expected ${wanted}`);
};

describe('fill-mask', function () {
  this.timeout(120_000);
  const engine = suiteEngine();
  const ask = (params: Partial<FillMaskParams> & { text: string }): Promise<FillMaskResult> =>
    engine.handle('fillMask', { model: BUNDLED, targets: [], topK: 10, ...params }, quiet());
  const select = (text: string, part: string): { range: { start: number; end: number } } => {
    const start = text.indexOf(part);
    return { range: { start, end: start + part.length } };
  };

  it('gives the reference lists, ids in order', async () => {
    assert.equal(expected.fill_mask.length, 30);
    for (const { text, masks } of expected.fill_mask) {
      const result = await ask({ text });
      assert.equal(result.kind, 'masked');
      assert.deepEqual(
        result.masks.map(({ position, predictions }) => ({ position, ids: predictions.map(({ id }) => id) })),
        masks.map(({ position, predictions }) => ({ position, ids: predictions.map(({ id }) => id) })),
        text,
      );
      masks.forEach(({ predictions }, mask) =>
        predictions.forEach(({ token, logprob }, rank) => {
          const prediction = result.masks[mask]?.predictions[rank];
          assert.equal(prediction?.token, token);
          close(prediction.logprob, logprob, `${text} ${token}`);
          close(prediction.prob, Math.exp(logprob));
        }),
      );
      assert.ok(result.masks.every(({ actual }) => actual === null));
    }
  });

  it('masks a selected word as the placeholder in its place, and knows the word that stood there', async () => {
    const [first] = expected.fill_mask;
    assert.ok(first !== undefined);
    const [, second] = first.masks[0]?.predictions ?? [];
    assert.ok(second !== undefined);
    const text = first.text.replace('[MASK]', second.token);
    // White space at the ends of a selection is not masked.
    const result = await ask({ text, targets: [select(text, ` ${second.token} `)] });
    const [mask] = result.masks;
    assert.equal(mask?.actual?.token, second.token);
    assert.equal(mask.actual.rank, 2);
    close(mask.actual.logprob, second.logprob);
    close(result.actualLogprob ?? NaN, second.logprob);
    assert.deepEqual(result.targets, [
      { range: select(text, second.token).range, text: second.token, masks: 1, maskIndices: [0], fit: 'tokens' },
    ]);
    assert.deepEqual(result.tokens[mask.position], {
      index: mask.position,
      id: 103,
      token: '[MASK]',
      range: select(text, second.token).range,
      special: false,
      mask: 0,
    });
    assert.ok(mask.entropy > 0 && mask.entropy < Math.log(result.vocabSize));
  });

  it('scores candidates of one token by the same numbers, with their ranks', async () => {
    const [first] = expected.fill_mask;
    const predictions = first?.masks[0]?.predictions ?? [];
    const { candidates } = await ask({
      text: first?.text ?? '',
      candidates: predictions.map(({ token }) => token).reverse(),
    });
    candidates.reverse().forEach(({ text, tokens, logprob, rank }, index) => {
      assert.deepEqual(tokens, [text]);
      assert.equal(rank, index + 1);
      close(logprob, predictions[index]?.logprob ?? NaN, text);
    });
    close(
      candidates.reduce((sum, { share }) => sum + share, 0),
      1,
    );
  });

  it('scores candidates of several tokens, and what really stands there, by pseudo-log-likelihood', async () => {
    for (const { text, tokens, pll, logprobs } of expected.pseudo_log_likelihood) {
      const { candidates } = await ask({ text: '[MASK]', candidates: [text] });
      assert.deepEqual(candidates[0]?.tokens, tokens);
      close(candidates[0].logprob, pll, text);
      close(candidates[0].meanLogprob, pll / tokens.length, text);
      if (tokens.length > 8) continue; // too many for a joint fill
      const result = await ask({ text, targets: [select(text, text)], joint: { beam: 2 } });
      close(result.actualLogprob ?? NaN, pll, text);
      assert.ok(
        (result.joint[0]?.logprob ?? -Infinity) >= (result.joint.find((fill) => fill.independent)?.logprob ?? 0),
      );
      assert.ok(logprobs.length === result.masks.length);
    }
  });

  it('fills a cut word, and says what the model saw', async () => {
    const text = 'Paris is the capital of France.';
    const result = await ask({ text, targets: [select(text, 'ital')] });
    const [target] = result.targets;
    assert.equal(target?.fit, 'text');
    assert.match(target.note ?? '', /starts inside the token capital; the model sees cap\[MASK\]\./u);
    assert.equal(result.masks[0]?.actual, null);
    assert.equal(result.actualLogprob, null);
    // The same as the placeholder written there.
    const written = await ask({ text: 'Paris is the cap[MASK] of France.' });
    assert.deepEqual(
      result.masks[0]?.predictions.map(({ id }) => id),
      written.masks[0]?.predictions.map(({ id }) => id),
    );
    const [, middle] = [...result.tokens.entries()].find(([, { token }]) => token === 'France') ?? [];
    assert.deepEqual(middle?.range, select(text, 'France').range);
  });

  it('keeps the order of several targets, and puts their joint fill together by target', async () => {
    const text = 'The cat sat on the mat.';
    const targets = [select(text, 'mat'), select(text, 'cat sat')];
    const { targets: results, masks, joint } = await ask({ text, targets, joint: { beam: 3 } });
    assert.deepEqual(
      results.map(({ text: part, maskIndices }) => [part, maskIndices]),
      [
        ['mat', [2]],
        ['cat sat', [0, 1]],
      ],
    );
    assert.deepEqual(
      masks.map(({ target, actual }) => [target, actual?.token]),
      [
        [1, 'cat'],
        [1, 'sat'],
        [0, 'mat'],
      ],
    );
    const [best] = joint;
    assert.deepEqual(
      best?.ids.map(({ length }) => length),
      [1, 2],
    );
    assert.equal(best.texts[1]?.split(' ').length, 2);
  });

  it('takes another number of masks, without the rank of what stood there', async () => {
    const text = 'The cat sat on the mat.';
    const result = await ask({ text, targets: [{ ...select(text, 'cat'), masks: 3 }], joint: { beam: 3 } });
    assert.equal(result.masks.length, 3);
    assert.ok(result.masks.every(({ actual }) => actual === null));
    assert.match(result.targets[0]?.note ?? '', /1 token/u);
    assert.equal(result.tokens.length, 8 + 1 + 2);
    assert.equal(result.joint[0]?.tokens[0]?.length, 3);
  });

  it('cuts a long text around the selection, and says so', async () => {
    const text = `${'one two three four '.repeat(300)}Paris is the capital of France. ${'five six seven '.repeat(300)}`;
    const result = await ask({ text, targets: [select(text, 'capital')] });
    assert.ok(result.window.tokens <= 512 && result.window.tokens > 480);
    assert.deepEqual([result.window.truncatedStart, result.window.truncatedEnd], [true, true]);
    assert.equal(result.tokens.length, result.window.tokens);
    assert.equal(result.masks[0]?.actual?.token, 'capital');
    assert.equal(result.masks[0].actual.rank, 1);
    for (const { range, token, mask } of result.tokens)
      if (range !== null && mask === null) assert.equal(text.slice(range.start, range.end), token.replace('##', ''));
  });

  it('refuses what makes no sense', async () => {
    const text = 'The cat sat.';
    const bad: Partial<FillMaskParams>[] = [
      { targets: [] },
      { targets: [{ range: { start: 3, end: 4 } }] },
      { targets: [{ range: { start: 4, end: 4 } }] },
      { targets: [{ range: { start: 4, end: 99 } }] },
      { targets: [{ range: { start: 0, end: 7 } }, { range: { start: 4, end: 11 } }] },
      { targets: [{ range: { start: 4, end: 7 }, masks: 0 }] },
      { targets: [{ range: { start: 4, end: 7 }, masks: 1.5 }] },
      { targets: [{ range: { start: -1, end: 7 } }] },
      { targets: [{ range: { start: NaN, end: 7 } }] },
      { targets: [select(text, 'cat')], topK: 0 },
      { targets: [select(text, 'cat')], topK: Infinity },
      { targets: [select(text, 'cat')], candidates: [' '] },
      { targets: [select(text, 'cat')], candidates: ['dog [MASK]'] },
      { targets: [select(text, 'cat')], joint: { beam: 0 } },
      { targets: null as never },
      { text: 7 as never },
      { text: 'x'.repeat(10 * 2 ** 20 + 1), targets: [select(text, 'cat')] },
      { model: { id: 'x', folder: 'relative' } },
      { model: { ...BUNDLED, file: '../../etc/passwd' } },
    ];
    for (const params of bad)
      await assert.rejects(
        ask({ text, ...params }),
        { name: 'LensError', code: 'bad-input' },
        JSON.stringify(params).slice(0, 200),
      );
  });

  describe('with a causal model', () => {
    const model = fixture('gpt2');
    const { meta, tensors } = reference('gpt2');
    const [example] = meta.cases;
    const text = example?.text[0] as string;
    const ids = example?.input_ids[0] ?? [];
    const logits = tensors.get('a/unembed.logits');
    /** Log-probability that PyTorch gives to the token at `position`, from those before it. */
    const wanted = (position: number, id = ids[position] as number): number => {
      const start = (position - 1) * meta.vocab;
      return logSoftmax([...(logits?.data.subarray(start, start + meta.vocab) ?? [])])[id] as number;
    };

    it('gives the next-token distribution before each token of the selection', async () => {
      const { tokens } = await engine.handle('tokens', { model, text }, quiet());
      assert.deepEqual(
        tokens.map(({ id }) => id),
        ids,
      );
      const first = 3;
      const last = 5;
      const range = { start: tokens[first]?.range?.start ?? 0, end: tokens[last]?.range?.end ?? 0 };
      const result = await ask({ model, text, targets: [{ range }], topK: 400, joint: { beam: 3 } });
      assert.equal(result.kind, 'causal');
      assert.equal(result.masks.length, 3);
      let sum = 0;
      result.masks.forEach(({ position, actual, predictions }, index) => {
        assert.equal(position, first + index);
        assert.equal(actual?.id, ids[position]);
        close(actual?.logprob, wanted(position));
        sum += wanted(position);
        for (const { id, logprob } of predictions) close(logprob, wanted(position, id));
      });
      close(result.actualLogprob ?? NaN, sum);
      assert.equal(result.tokens.length, last + 1, 'nothing to the right of the selection');
      assert.ok(
        (result.joint[0]?.logprob ?? -Infinity) >= (result.joint.find(({ independent }) => independent)?.logprob ?? 0),
      );
      assert.ok((result.joint[0]?.logprob ?? -Infinity) >= sum);
    });

    it('takes [MASK] as a place where the next token is predicted', async () => {
      const { tokens } = await engine.handle('tokens', { model, text }, quiet());
      const place = tokens.findIndex(({ token }, index) => index > 2 && token.startsWith('Ġ'));
      const start = tokens[place]?.range?.start ?? 0;
      const result = await ask({ model, text: `${text.slice(0, start)}[MASK] and more`, topK: 5 });
      assert.deepEqual(result.targets[0]?.range, { start, end: start + 6 });
      assert.equal(result.masks.length, 1);
      for (const { id, logprob } of result.masks[0]?.predictions ?? []) close(logprob, wanted(place, id));
      const [candidate] = (
        await ask({ model, text: `${text.slice(0, start)}[MASK]`, candidates: [tokens[place]?.token.slice(1) ?? ''] })
      ).candidates;
      close(candidate?.logprob, wanted(place));
    });

    it('refuses the first word of a text: there is nothing to predict it from', async () => {
      await assert.rejects(ask({ model, text, targets: [{ range: { start: 0, end: 1 } }] }), { code: 'bad-input' });
      const llama = fixture('llama');
      // With a start token there is something.
      const result = await ask({ model: llama, text: 'The house', targets: [{ range: { start: 0, end: 3 } }] });
      assert.equal(result.masks[0]?.position, 1);
    });
  });

  it('knows models that predict nothing', async () => {
    await assert.rejects(ask({ model: fixture('bert-classifier'), text: 'a [MASK]' }), { code: 'no-lm-head' });
  });

  it('uses the mask token of the model for [MASK]', async () => {
    const model = fixture('roberta');
    const [own, common] = await Promise.all(
      ['<mask>', '[MASK]'].map((mask) => ask({ model, text: `The old ${mask} was here.` })),
    );
    assert.deepEqual(
      own?.masks.map(({ predictions }) => predictions.map(({ id, logprob }) => [id, logprob])),
      common?.masks.map(({ predictions }) => predictions.map(({ id, logprob }) => [id, logprob])),
    );
    assert.deepEqual(
      own?.tokens.map(({ id }) => id),
      common?.tokens.map(({ id }) => id),
    );
    assert.equal(common?.targets[0]?.fit, 'tokens');
  });
});
