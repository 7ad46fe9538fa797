/**
 * A real causal model against PyTorch, for those who have one as ONNX: set ONNX_LENS_CAUSAL to a folder that holds, beside the model,
 * an `expected.json` as read below.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Engine } from '../../extension/engine/engine';
import type { MaskTarget } from '../../extension/protocol/engine';
import { quiet } from '../support/fakeModel';

const TOLERANCE = 1e-3;

interface Sentence {
  text: string;
  ids: number[];
  tokens: string[];
  /** Of each token given those before it; null for the first. */
  logprobs: (number | null)[];
  /** The likeliest tokens after the one at `position`. */
  top5: { position: number; next: { id: number; token: string; logprob: number }[] }[];
}

const close = (actual: number | undefined, wanted: number, what: string): void => {
  assert.ok(actual !== undefined && Math.abs(actual - wanted) <= TOLERANCE, `${what}: ${actual}, PyTorch ${wanted}`);
};

describe('a causal model beside PyTorch', function () {
  this.timeout(120_000);
  const engine = new Engine(
    () => undefined,
    () => undefined,
  );
  const folder = process.env['ONNX_LENS_CAUSAL'];
  const model = { id: 'causal', folder: resolve(folder ?? '.') };
  let sentences: Sentence[] = [];
  before(function () {
    if (folder === undefined) {
      process.stderr.write('      skipped: ONNX_LENS_CAUSAL names no folder with a model and its expected.json\n');
      this.skip();
    }
    const file = readFileSync(join(folder, 'expected.json'), 'utf8');
    ({ sentences } = JSON.parse(file) as { sentences: Sentence[] });
    assert.ok(sentences.length > 0);
  });
  after(() => engine.dispose());

  it('divides the texts into the same tokens', async () => {
    for (const { text, ids, tokens } of sentences) {
      const result = await engine.handle('tokens', { model, text }, quiet());
      assert.deepEqual(
        result.tokens.map(({ id }) => id),
        ids,
      );
      assert.deepEqual(
        result.tokens.map(({ token }) => token),
        tokens,
      );
    }
  });

  it('scores every token', async () => {
    for (const { text, tokens, logprobs } of sentences) {
      const result = await engine.handle('score', { model, text }, quiet());
      assert.equal(result.kind, 'log-likelihood');
      const wanted = logprobs.slice(1);
      assert.deepEqual(result.tokens, tokens.slice(1));
      wanted.forEach((logprob, index) => close(result.logprobs[index], logprob ?? NaN, tokens[index + 1] ?? ''));
      const total = wanted.reduce<number>((sum, logprob) => sum + (logprob ?? NaN), 0);
      assert.ok(Math.abs(result.total - total) <= TOLERANCE * wanted.length, `${result.total}, PyTorch ${total}`);
    }
  });

  it('expects the same words next, within a text and at its end', async () => {
    for (const { text, top5 } of sentences) {
      const { tokens } = await engine.handle('tokens', { model, text }, quiet());
      for (const { position, next } of top5) {
        const range = tokens[position + 1]?.range ?? null;
        const targets: MaskTarget[] = range === null ? [] : [{ range }];
        const asked = range === null ? `${text}[MASK]` : text;
        const { masks } = await engine.handle('fillMask', { model, text: asked, targets, topK: next.length }, quiet());
        next.forEach(({ id, token, logprob }, rank) => {
          const prediction = masks[0]?.predictions[rank];
          assert.deepEqual([prediction?.id, prediction?.token], [id, token], `${text}, after token ${position}`);
          close(prediction?.logprob, logprob, token);
        });
      }
    }
  });
});
