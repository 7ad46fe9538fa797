/** Next-sentence probabilities of the bundled model against PyTorch. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { nextSentence } from '../../extension/engine/analysis/nextSentence';
import { suiteEngine } from '../support/engine';
import { FakeModel, FakeTokenizer, quiet } from '../support/fakeModel';
import { BUNDLED, fixture } from '../support/fixtures';

const expected = JSON.parse(readFileSync('test/fixtures/bert-base-cased/expected.json', 'utf8')) as {
  next_sentence: { first: string; second: string; p_is_next: number }[];
};

describe('next sentence', function () {
  this.timeout(60_000);
  const engine = suiteEngine();

  it('gives the reference probabilities, and says that the head was refitted', async () => {
    assert.ok(expected.next_sentence.length > 0);
    for (const { first, second, p_is_next: wanted } of expected.next_sentence) {
      const { isNext, notNext, notes } = await engine.handle(
        'nextSentence',
        { model: BUNDLED, first, second },
        quiet(),
      );
      assert.ok(Math.abs(isNext - wanted) < 1e-3, `${isNext}, expected ${wanted}`);
      assert.ok(Math.abs(isNext + notNext - 1) < 1e-6);
      assert.match(notes.join(), /not Google's/u);
    }
  });

  it('takes label 0 as “is next”', async () => {
    const { isNext } = await nextSentence(new FakeModel(new FakeTokenizer(), () => []), { first: 'a', second: 'b' });
    assert.ok(Math.abs(isNext - 0.75) < 1e-6); // the fake's logits are log 3 and 0
  });

  it('shortens the longer text, at the ends that do not touch', async () => {
    const model = new FakeModel(new FakeTokenizer(), () => [], { maxTokens: 10 });
    const { tokens, notes } = await nextSentence(model, { first: 'a b c d e f g h i', second: 'x y z' });
    assert.equal(tokens, 10);
    assert.match(notes.join(), /15 tokens/u);
    const { tokenizer } = model;
    assert.deepEqual(
      model.rows[0]?.map((id) => tokenizer.token(id)),
      ['[CLS]', 'f', 'g', 'h', 'i', '[SEP]', 'x', 'y', 'z', '[SEP]'],
    );
  });

  it('refuses empty texts and models without that head', async () => {
    const { handle } = engine;
    const ask = (params: object): Promise<unknown> =>
      handle.call(engine, 'nextSentence', { model: BUNDLED, first: 'a', second: 'b', ...params }, quiet());
    await assert.rejects(ask({ second: ' ' }), { code: 'bad-input' });
    await assert.rejects(ask({ second: 3 }), { code: 'bad-input' });
    await assert.rejects(ask({ model: fixture('roberta') }), { code: 'no-nsp-head' });
  });
});
