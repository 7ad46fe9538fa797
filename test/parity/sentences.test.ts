/**
 * Cosines of sentences by sentence-transformers (scripts/reference/sentences.py), for those who have all-MiniLM-L6-v2 as ONNX: set
 * ONNX_LENS_MINILM to its folder. The tokenizer file there pads and truncates to 128 tokens, which must not matter.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Engine } from '../../extension/engine/engine';
import type { Pool } from '../../extension/protocol/embeddings';
import { quiet } from '../support/fakeModel';

const TOLERANCE = 1e-5;
const WIDTH = 384;
/** Longer texts are cut by the folder’s word, not by the model. */
const LONG = 1_000;

describe('sentences of all-MiniLM-L6-v2', function () {
  this.timeout(300_000);
  const engine = new Engine(
    () => undefined,
    () => undefined,
  );
  const given = process.env['ONNX_LENS_MINILM'];
  const pairs = JSON.parse(readFileSync('test/fixtures/embeddings/sentences.json', 'utf8')) as {
    pair: [string, string];
    cosine: number;
  }[];
  before(function () {
    if (given !== undefined) return;
    process.stderr.write('      skipped: ONNX_LENS_MINILM names no folder with the model\n');
    this.skip();
  });
  after(() => engine.dispose());

  async function compare(folder: string, pool: Pool, most: number): Promise<void> {
    const chosen = pairs.filter(({ pair }) => pair.every((text) => text.length < most));
    const { vectors } = await engine.handle(
      'embed',
      { model: { id: 'minilm', folder }, texts: chosen.flatMap(({ pair }) => pair), layers: [], pool },
      quiet(),
    );
    const data = vectors[0]?.data as Float32Array;
    const vector = (row: number): Float32Array => data.subarray(row * WIDTH, (row + 1) * WIDTH);
    const dot = (a: Float32Array, b: Float32Array): number =>
      a.reduce((sum, value, at) => sum + value * (b[at] as number), 0);
    chosen.forEach(({ pair, cosine }, index) => {
      const [a, b] = [vector(2 * index), vector(2 * index + 1)];
      const own = dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
      assert.ok(Math.abs(own - cosine) <= TOLERANCE, `${pair.join(' | ').slice(0, 80)}: ${own}, expected ${cosine}`);
    });
  }

  it('have the cosines of sentence-transformers', async () => {
    assert.equal(pairs.length, 20);
    await compare(resolve(given ?? '.'), 'mean', LONG);
  });

  it('have them when the folder itself says how to pool, and where to cut', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'lens-minilm-'));
    try {
      for (const name of readdirSync(given ?? '.')) symlinkSync(join(resolve(given ?? '.'), name), join(folder, name));
      const write = (name: string, value: unknown): void => writeFileSync(join(folder, name), JSON.stringify(value));
      mkdirSync(join(folder, '1_Pooling'));
      write(
        'modules.json',
        ['Transformer', 'Pooling', 'Normalize'].map((type, idx) => ({
          ...{ idx, name: `${idx}`, path: type === 'Transformer' ? '' : `${idx}_${type}` },
          type: `sentence_transformers.models.${type}`,
        })),
      );
      write('1_Pooling/config.json', { word_embedding_dimension: WIDTH, pooling_mode_mean_tokens: true });
      write('sentence_bert_config.json', { max_seq_length: 256, do_lower_case: false });
      await compare(folder, 'own', Infinity);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
