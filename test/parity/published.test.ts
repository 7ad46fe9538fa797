/**
 * Published figures of Google's float32 BERT-base-cased, for those who have it as ONNX: set ONNX_LENS_BERT_F32 to its folder.
 * Sources: the model card of bert-base-cased, the LAMA repository, and awslabs/mlm-scoring.
 */
import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { Engine } from '../../extension/engine/engine';
import { quiet } from '../support/fakeModel';

const TOLERANCE = 1e-3;

const close = (actual: number | undefined, wanted: number): void => {
  assert.ok(actual !== undefined && Math.abs(actual - wanted) <= TOLERANCE, `${actual}, published ${wanted}`);
};

describe('published figures of float32 BERT-base-cased', function () {
  this.timeout(120_000);
  const engine = new Engine(
    () => undefined,
    () => undefined,
  );
  const folder = process.env['ONNX_LENS_BERT_F32'];
  const model = { id: 'bert-base-cased-float32', folder: resolve(folder ?? '.') };
  before(function () {
    if (folder !== undefined) return;
    process.stderr.write('      skipped: ONNX_LENS_BERT_F32 names no folder with the float32 model\n');
    this.skip();
  });
  after(() => engine.dispose());

  it("fills “Hello I'm a [MASK] model.” as the model card says", async () => {
    const { masks } = await engine.handle(
      'fillMask',
      { model, text: "Hello I'm a [MASK] model.", targets: [], topK: 5 },
      quiet(),
    );
    const published: [number, string, number][] = [
      [4633, 'fashion', 0.09019],
      [1207, 'new', 0.0635],
      [2581, 'male', 0.06228],
      [1848, 'professional', 0.04417],
      [7688, 'super', 0.03326],
    ];
    published.forEach(([id, token, prob], rank) => {
      const prediction = masks[0]?.predictions[rank];
      assert.deepEqual([prediction?.id, prediction?.token], [id, token]);
      close(prediction?.prob, prob);
    });
  });

  it('fills “The cat is on the [MASK].” as LAMA does', async () => {
    const { masks } = await engine.handle(
      'fillMask',
      { model, text: 'The cat is on the [MASK].', targets: [], topK: 6 },
      quiet(),
    );
    const published: [string, number][] = [
      ['phone', -2.345],
      ['floor', -2.63],
      ['ground', -2.968],
      ['couch', -3.387],
      ['move', -3.649],
      ['roof', -3.651],
    ];
    published.forEach(([token, logprob], rank) => {
      assert.equal(masks[0]?.predictions[rank]?.token, token);
      close(masks[0]?.predictions[rank]?.logprob, logprob);
    });
  });

  it('scores “Hello world!” as mlm-scoring does', async () => {
    const { tokens, logprobs, total } = await engine.handle('score', { model, text: 'Hello world!' }, quiet());
    assert.deepEqual(tokens, ['Hello', 'world', '!']);
    [-6.12674, -5.50177, -0.7825].forEach((logprob, index) => close(logprobs[index], logprob));
    close(total, -12.411);
  });
});
