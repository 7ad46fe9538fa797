/**
 * Mixing ratios of Google's float32 BERT-base-uncased (Kobayashi et al. 2021, table of means), for those who have it as ONNX: set
 * ONNX_LENS_BERT_UNCASED_F32 to its folder. Their documents were Wikipedia's; ours are of WikiText-2, so that a few points may lie between.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { seededRandom } from '../../extension/engine/analysis/random';
import { Engine } from '../../extension/engine/engine';
import type { AttentionMethod } from '../../extension/protocol/attention';
import type { TextRange } from '../../extension/protocol/engine';
import { quiet } from '../support/fakeModel';
import { extraData } from '../support/fixtures';

const DOCUMENTS = 8;
const LAYERS = 12;
/** Of the tokens, as in the authors' runs. */
const MASKED = 0.12;
/** In percent. */
const PUBLISHED: readonly [AttentionMethod, mean: number, tolerance: number][] = [
  ['weight', 96.41, 2],
  ['norm', 85.28, 4],
  ['norm-residual', 22.25, 3],
  ['norm-layernorm', 18.75, 3],
];
/** Of the last by block, ±1 read off a figure. */
const BY_BLOCK = [24, 20, 19, 21, 19, 20, 20, 20, 17, 19, 15, 11];

describe('published mixing ratios of float32 BERT-base-uncased', function () {
  this.timeout(1_800_000);
  const engine = new Engine(
    () => undefined,
    () => undefined,
  );
  const folder = process.env['ONNX_LENS_BERT_UNCASED_F32'];
  const file = extraData('data/prose/wikitext2_raw/wiki.valid.raw');
  before(function () {
    if (folder !== undefined && file !== null) return;
    process.stderr.write(
      '      skipped: ONNX_LENS_BERT_UNCASED_F32 names no folder, or there is no WikiText-2 in $ONNX_LENS_TEST_DATA\n',
    );
    this.skip();
  });
  after(() => engine.dispose());

  it('come out on paragraphs of WikiText-2', async () => {
    const model = { id: 'bert-base-uncased-float32', folder: resolve(folder ?? '.') };
    const random = seededRandom(1);
    const paragraphs = readFileSync(file ?? '', 'utf8')
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line.length > 400 && line.length < 600);
    const sums = new Map(PUBLISHED.map(([method]) => [method, new Float64Array(LAYERS)]));
    const texts = paragraphs
      .filter((_, index) => index % Math.floor(paragraphs.length / DOCUMENTS) === 0)
      .slice(0, DOCUMENTS);
    for (const text of texts) {
      const { tokens } = await engine.handle('tokens', { model, text }, quiet());
      const masked = tokens.flatMap(({ range }): TextRange[] => (range !== null && random() < MASKED ? [range] : []));
      for (const [method, means] of sums)
        for (let layer = 0; layer < LAYERS; layer++) {
          const { mixing } = await engine.handle(
            'attentionMaps',
            {
              ...{ model, text, masked, layer, heads: [], method, combine: 'each', words: false },
              specials: 'show',
            },
            quiet(),
          );
          means[layer] = (means[layer] as number) + (100 * (mixing ?? NaN)) / texts.length;
        }
    }
    for (const [method, published, tolerance] of PUBLISHED) {
      const means = sums.get(method) as Float64Array;
      const mean = means.reduce((sum, each) => sum + each, 0) / LAYERS;
      process.stderr.write(`      ${method}: ${mean.toFixed(2)} % (published ${published})\n`);
      assert.ok(Math.abs(mean - published) <= tolerance, `${method}: ${mean}, published ${published}`);
    }
    const last = sums.get('norm-layernorm') as Float64Array;
    process.stderr.write(`      by block: ${Array.from(last, (each) => each.toFixed(1)).join(' ')}\n`);
    BY_BLOCK.forEach((published, layer) => {
      assert.ok(
        Math.abs((last[layer] as number) - published) <= 4,
        `block ${layer}: ${last[layer]}, published ${published}`,
      );
    });
  });
});
