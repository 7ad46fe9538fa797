/** The learned mix of layers against PyTorch (scripts/reference/mix.py). */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { accuracyOf, fitMix, type LayeredData } from '../../extension/engine/analysis/embeddings/mixFit';

const expected = JSON.parse(readFileSync('test/fixtures/embeddings/mix.json', 'utf8')) as {
  classes: number;
  width: number;
  steps: number;
  rate: number;
  decay: number;
  layers: number[][];
  labels: number[];
  weights: number[];
  gamma: number;
  loss: number;
  accuracy: number;
};

describe('the mix of layers', () => {
  const { classes, width, labels, steps, rate, decay } = expected;
  const data: LayeredData = {
    layers: expected.layers.map((layer) => Float32Array.from(layer)),
    width,
    labels: Int32Array.from(labels),
  };
  const { signal } = new AbortController();

  it('has the weights, γ and loss of PyTorch’s run', async () => {
    const fitted = await fitMix(data, classes, { steps, rate, decay }, signal);
    fitted.weights.forEach((weight, layer) =>
      assert.ok(Math.abs(weight - (expected.weights[layer] ?? NaN)) <= 1e-4, fitted.weights.join(' ')),
    );
    assert.ok(Math.abs(fitted.gamma - expected.gamma) <= 1e-3, `${fitted.gamma}`);
    assert.ok(Math.abs(fitted.loss - expected.loss) <= 1e-4, `${fitted.loss}`);
    assert.equal(accuracyOf(data, fitted), expected.accuracy);
    // The layer that tells the label has most of it.
    assert.equal(fitted.weights.indexOf(Math.max(...fitted.weights)), 2);
  });

  it('of one layer is a classifier, and stops when it is cancelled', async () => {
    const one = { ...data, layers: data.layers.slice(2, 3) };
    const fitted = await fitMix(one, classes, { steps: 100, rate, decay }, signal);
    assert.deepEqual([fitted.weights, fitted.gamma], [[1], 1]);
    assert.ok(accuracyOf(one, fitted) > 0.6);
    await assert.rejects(fitMix(one, classes, { steps: 100, rate, decay }, AbortSignal.abort()), /Cancelled/u);
  });
});
