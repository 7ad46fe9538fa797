/**
 * Contextuality of Google's float32 BERT-base-cased beside the authors' numbers (Ethayarajh 2019), for those who have it as ONNX: set
 * ONNX_LENS_BERT_F32 to its folder. Their sentences were of STS; ours are of the English Web Treebank, so that only the shape is the same.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { Engine } from '../../extension/engine/engine';
import { quiet } from '../support/fakeModel';
import { extraData } from '../support/fixtures';

const SENTENCES = 600;
const TOLERANCE = 0.08;
const ANISOTROPY = [0.105, 0.168, 0.219, 0.245, 0.327, 0.377, 0.42, 0.398, 0.399, 0.484, 0.561, 0.675, 0.477];
const SELF = [0.954, 0.921, 0.871, 0.823, 0.798, 0.781, 0.765, 0.744, 0.731, 0.754, 0.782, 0.839, 0.755];

describe('contextuality of float32 BERT-base-cased', function () {
  this.timeout(900_000);
  const engine = new Engine(
    () => undefined,
    () => undefined,
  );
  const folder = process.env['ONNX_LENS_BERT_F32'];
  const file = extraData('data/edge/ud_ewt/en_ewt-ud-dev.conllu.gz');
  before(function () {
    if (folder !== undefined && file !== null) return;
    process.stderr.write(
      '      skipped: ONNX_LENS_BERT_F32 names no folder, or there is no treebank in $ONNX_LENS_TEST_DATA\n',
    );
    this.skip();
  });
  after(() => engine.dispose());

  it('has the shape of the published one: anisotropy rises to layer 11 and falls, self-similarity less it falls', async () => {
    const text = gunzipSync(readFileSync(file ?? '')).toString('utf8');
    const { layers } = await engine.handle(
      'contextuality',
      {
        model: { id: 'bert-base-cased-float32', folder: resolve(folder ?? '.') },
        sources: [{ name: 'ewt.conllu', text }],
        ...{ limit: SENTENCES, leastContexts: 5, samples: 1000, seed: 0 },
      },
      quiet(),
    );
    const rounded = (values: number[]): string => values.map((value) => value.toFixed(3)).join(' ');
    const anisotropy = layers.map((layer) => layer.anisotropy);
    process.stderr.write(`      anisotropy ${rounded(anisotropy)}\n`);
    layers.forEach(({ layer, selfSimilarity }) => {
      const [own, published] = [anisotropy[layer] ?? NaN, ANISOTROPY[layer] ?? NaN];
      assert.ok(Math.abs(own - published) < TOLERANCE, `anisotropy at ${layer}: ${own}, published ${published}`);
      const self = SELF[layer] ?? NaN;
      assert.ok(
        Math.abs(selfSimilarity - self) < TOLERANCE,
        `self-similarity at ${layer}: ${selfSimilarity}, published ${self}`,
      );
    });
    assert.equal(anisotropy.indexOf(Math.max(...anisotropy)), 11);
    const adjusted = layers.map((layer) => layer.selfSimilarity - layer.anisotropy);
    for (let layer = 1; layer <= 11; layer++)
      assert.ok((adjusted[layer] ?? NaN) < (adjusted[layer - 1] ?? NaN) + 0.01, `adjusted: ${rounded(adjusted)}`);
  });
});
