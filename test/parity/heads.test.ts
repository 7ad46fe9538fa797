/**
 * Heads of Google's float32 BERT-base-uncased, for those who have it as ONNX: set ONNX_LENS_BERT_UNCASED_F32 to its folder. Against
 * figures in print (Clark et al. 2019; Kobayashi et al. 2021) and against Python (scripts/reference/heads.py).
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { Engine } from '../../extension/engine/engine';
import { quiet } from '../support/fakeModel';
import { extraData } from '../support/fixtures';

/** Blocks 1 to 12 (authors' code). */
const EXPANSION = [0.901, 0.74, 0.632, 0.679, 0.911, 0.989, 0.919, 0.905, 0.948, 0.913, 0.932, 1.051];
/** Mean attention to [SEP] on Wikipedia, read off a figure. */
const TO_SEPARATORS = [0.025, 0.05, 0.075, 0.21, 0.491, 0.55, 0.535, 0.574, 0.574, 0.478, 0.061, 0.069];
const FAR = 0.1;

interface Row {
  relation: string;
  n: number;
  head: string;
  direction: string;
  accuracy: number;
  baseline: number;
  offset: number;
  right: number[];
}

describe('heads of float32 BERT-base-uncased', function () {
  this.timeout(900_000);
  const engine = new Engine(
    () => undefined,
    () => undefined,
  );
  const folder = process.env['ONNX_LENS_BERT_UNCASED_F32'];
  const model = { id: 'bert-base-uncased-float32', folder: resolve(folder ?? '.') };
  const treebank = extraData('data/edge/ud_ewt/en_ewt-ud-dev.conllu.gz');
  const skip = (why: string): void => void process.stderr.write(`      skipped: ${why}\n`);
  before(function () {
    if (folder !== undefined) return;
    skip('ONNX_LENS_BERT_UNCASED_F32 names no folder with the float32 model');
    this.skip();
  });
  after(() => engine.dispose());

  it('expand as printed', async () => {
    const { expansion, ov, qk, notes } = await engine.handle('headWeights', { model }, quiet());
    assert.deepEqual(notes, []);
    EXPANSION.forEach((wanted, block) =>
      assert.ok(Math.abs((expansion[block] as number) - wanted) <= 0.002, `block ${block}: ${expansion[block]}`),
    );
    for (const norms of [ov, qk]) assert.ok(norms.length === 144 && norms.every((norm) => norm > 0));
  });

  it('look at separators and at next tokens as printed', async function () {
    const file = extraData('data/prose/wikitext2_raw/wiki.valid.raw');
    if (file === null) {
      skip('there is no WikiText-2 in ONNX_LENS_TEST_DATA');
      this.skip();
    }
    const { state, blocks, statistics } = await engine.handle(
      'headCorpus',
      { model, sources: [{ name: 'wikitext', file }], packing: { kind: 'pairs', tokens: 128 }, limit: 100 },
      quiet(),
    );
    assert.deepEqual([state.documents, state.tokens], [100, 12_800]);
    TO_SEPARATORS.forEach((wanted, block) =>
      assert.ok(
        Math.abs((blocks.separator[block] as number) - wanted) < 0.06,
        `block ${block}: ${blocks.separator[block]}`,
      ),
    );
    assert.ok((statistics.next[2 * 12] as number) > 0.9, 'L2H0');
    assert.equal(statistics.types[2 * 12], 'next token');
  });

  it('follow relations on 50 sentences exactly as in Python', async function () {
    if (treebank === null) {
      skip('there is no UD EWT in ONNX_LENS_TEST_DATA');
      this.skip();
    }
    const { sentences, table: wanted } = JSON.parse(
      readFileSync('test/fixtures/heads/bert-base-uncased-ewt.json', 'utf8'),
    ) as { sentences: number; table: Row[] };
    const text = gunzipSync(readFileSync(treebank)).toString('utf8');
    const { state, table } = await engine.handle(
      'headRelations',
      { model, sources: [{ name: 'ewt', text }], limit: sentences },
      quiet(),
    );
    const rows = table.map(({ relation, n, best, baseline }) => ({
      ...{ relation, n, head: `L${best.layer}H${best.head}`, direction: best.direction, accuracy: best.accuracy },
      ...{ baseline: baseline.accuracy, offset: baseline.offset },
    }));
    assert.deepEqual(
      rows,
      wanted.map(({ right: _, ...row }) => row),
    );
    for (const { relation, right } of state.relations)
      assert.deepEqual([...right], wanted.find((row) => row.relation === relation)?.right, relation);
  });

  it('include one far above the best offset for each of five relations of UD EWT', async function () {
    if (treebank === null) {
      skip('there is no UD EWT in ONNX_LENS_TEST_DATA');
      this.skip();
    }
    const text = gunzipSync(readFileSync(treebank)).toString('utf8');
    const { table } = await engine.handle('headRelations', { model, sources: [{ name: 'ewt', text }] }, quiet());
    for (const relation of ['det', 'obj', 'aux', 'amod', 'nmod:poss']) {
      const row = table.find((each) => each.relation === relation);
      assert.ok(row !== undefined && row.best.accuracy > row.baseline.accuracy + FAR, relation);
    }
  });
});
