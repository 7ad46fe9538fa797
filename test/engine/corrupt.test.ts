/** BERT's corruption through the bundled model: what the model reads, and the loss. */
import assert from 'node:assert/strict';
import type { CorruptResult } from '../../extension/protocol/engine';
import { suiteEngine } from '../support/engine';
import { quiet } from '../support/fakeModel';
import { BUNDLED, fixture } from '../support/fixtures';

const TEXT =
  'The European lobster is a species of clawed lobster from the eastern Atlantic Ocean, the Mediterranean Sea and parts of the Black Sea. ' +
  'In life, the lobsters are blue, only becoming red on cooking.';

describe('corrupt', function () {
  this.timeout(60_000);
  const engine = suiteEngine();
  const ask = (seed: number, wholeWord = false, model = BUNDLED): Promise<CorruptResult> =>
    engine.handle('corrupt', { model, text: TEXT, seed, wholeWord, topK: 3 }, quiet());

  it('shows which tokens were chosen, what replaced them, and the loss at these places only', async () => {
    const { tokens } = await engine.handle('tokens', { model: BUNDLED, text: TEXT }, quiet());
    let recovered = 0;
    const actions = new Set<string>();
    for (let seed = 0; seed < 8; seed++) {
      const result = await ask(seed);
      assert.equal(result.chosen.length, Math.round(0.15 * tokens.length));
      assert.equal(result.tokens.length, tokens.length);
      result.tokens.forEach(({ id, chosen, range }, index) => {
        const original = tokens[index];
        assert.deepEqual(range, original?.range);
        if (chosen === null) assert.equal(id, original?.id);
        else
          assert.deepEqual(
            [result.chosen[chosen]?.position, result.chosen[chosen]?.original.id],
            [index, original?.id],
          );
      });
      for (const { action, replacement, original, predictions, actual, recovered: found, position } of result.chosen) {
        actions.add(action);
        assert.equal(replacement.id, result.tokens[position]?.id);
        if (action === 'mask') assert.equal(replacement.token, '[MASK]');
        if (action === 'keep') assert.equal(replacement.id, original.id);
        assert.equal(actual.id, original.id);
        assert.equal(found, predictions[0]?.id === original.id);
        assert.equal(found, actual.rank === 1);
        if (found) recovered++;
      }
      const mean = result.chosen.reduce((sum, { actual }) => sum - actual.logprob, 0) / result.chosen.length;
      assert.ok(Math.abs(result.loss - mean) < 1e-9);
    }
    assert.deepEqual([...actions].sort(), ['keep', 'mask', 'random']);
    assert.ok(recovered > 30, `${recovered} recovered`);
  });

  it('agrees with fill-mask where all chosen tokens are masked', async () => {
    for (let seed = 0; seed < 40; seed++) {
      const result = await ask(seed);
      if (!result.chosen.every(({ action }) => action === 'mask')) continue;
      const masked = await engine.handle(
        'fillMask',
        { model: BUNDLED, text: TEXT, targets: result.chosen.map(({ range }) => ({ range })), topK: 1 },
        quiet(),
      );
      masked.masks.forEach(({ actual }, index) => {
        assert.ok(Math.abs((actual?.logprob ?? NaN) - (result.chosen[index]?.actual.logprob ?? NaN)) < 1e-4);
      });
      return;
    }
    assert.fail('no seed masks all');
  });

  it('is the same for the same seed', async () => {
    const [a, b, c] = [await ask(5, true), await ask(5, true), await ask(6, true)];
    assert.deepEqual({ ...a, elapsed: 0 }, { ...b, elapsed: 0 });
    assert.notDeepEqual(
      a.chosen.map(({ position }) => position),
      c.chosen.map(({ position }) => position),
    );
  });

  it('is for masked models only', async () => {
    await assert.rejects(ask(1, false, fixture('gpt2')), { code: 'no-mask-token' });
  });
});
