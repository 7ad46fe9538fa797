/** How a row of a pattern comes about, against PyTorch's activations of all fixtures, and by what must hold of the parts. */
import assert from 'node:assert/strict';
import { openModel, type OrtModel } from '../../extension/engine/session/ortModel';
import type { AttentionSteps } from '../../extension/protocol/attention';
import { suiteEngine } from '../support/engine';
import { quiet } from '../support/fakeModel';
import { fixture, fixtureNames, reference, SETTINGS } from '../support/fixtures';

/** q·k is multiplied with 1/√d, but for T5 (1), DeBERTa (1/√3d: content and two terms of position) and Gemma (of its config: 14). */
const scaleOf = (architecture: string, width: number): number =>
  ({ t5: 1, 'deberta-v2': 1 / Math.sqrt(3 * width), gemma3_text: 1 / Math.sqrt(14) })[architecture] ??
  1 / Math.sqrt(width);
/** Something beside the mask is added to scale · q·k. */
const ADDS_POSITION = new Set(['t5', 'deberta-v2', 'mpnet', 'bloom']);
/** … that does not depend on the text. */
const FIXED_POSITION = ['t5enc-dyn', 'mpnet-ts', 'bloom-ts'];

const LAYER = 1;
const HEAD = 2;

describe('steps of attention', function () {
  this.timeout(120_000);
  const engine = suiteEngine();
  const ask = (name: string, text: string, query: number, head = HEAD): Promise<AttentionSteps> =>
    engine.handle('attentionSteps', { model: fixture(name), text, layer: LAYER, head, query }, quiet());

  for (const name of fixtureNames) {
    const { meta, tensors } = reference(name);
    const first = meta.cases.find(({ id }) => id === 'a');
    const text = first?.text[0];
    if (first === undefined || typeof text !== 'string') continue;
    const tolerance = Math.max(meta.tolerance.default, meta.tolerance.pattern ?? 0, meta.tolerance.internal ?? 0);
    const near = (actual: ArrayLike<number> | null, expected: ArrayLike<number>, factor = 1): void => {
      assert.ok(actual !== null && actual.length === expected.length);
      const largest = Array.from(expected).reduce(
        (most, each) => (Number.isFinite(each) ? Math.max(most, Math.abs(each)) : most),
        1,
      );
      Array.from(expected).forEach((value, at) => {
        const other = actual[at] as number;
        assert.ok(
          other === value || Math.abs(other - value) <= factor * tolerance * largest,
          `${at}: ${other}, expected ${value}`,
        );
      });
    };
    const length = (first.input_ids[0] as number[]).length;
    const row = (hook: string, query: number): number[] => {
      const { data } = tensors.get(`a/blocks.${LAYER}.${hook}`) as { data: Float32Array };
      return Array.from(data.subarray((HEAD * length + query) * length, (HEAD * length + query + 1) * length));
    };

    it(`${name}: from q·k to the pattern`, async () => {
      for (const query of [0, length - 2]) {
        const steps = await ask(name, text, query);
        near(steps.pattern, row('attn.hook_pattern', query));
        near(
          steps.scores,
          row('attn.hook_attn_scores', query).map((score) => (score < -5000 ? -Infinity : score)),
        );
        assert.ok(steps.scale !== null && steps.products !== null && steps.bias !== null, steps.notes.join(' '));
        const expected = scaleOf(meta.architecture, meta.d_head);
        assert.ok(Math.abs(steps.scale / expected - 1) < 2e-3 || meta.rotary, `${steps.scale}`);
        const { scale, products, bias, queryVector, keyVectors } = steps;
        near(
          products,
          Array.from({ length }, (_, key) =>
            (queryVector as Float32Array).reduce(
              (sum, each, at) =>
                sum + each * ((keyVectors as Float32Array)[key * (queryVector as Float32Array).length + at] as number),
              0,
            ),
          ),
        );
        near(
          steps.scores,
          bias.map((each, key) => each + scale * (products[key] as number)),
        );
        if (!ADDS_POSITION.has(meta.architecture))
          near(
            bias,
            Array.from(steps.scores, (score) => (score === -Infinity ? -Infinity : 0)),
            10,
          );
        if (!meta.rotary) {
          const { data, shape } = tensors.get(`a/blocks.${LAYER}.attn.hook_q`) as {
            data: Float32Array;
            shape: number[];
          };
          const width = shape[3] as number;
          near(
            queryVector,
            data.subarray((query * meta.heads + HEAD) * width, (query * meta.heads + HEAD + 1) * width),
          );
        }
      }
    });
  }

  for (const name of FIXED_POSITION)
    it(`${name}: what position adds is the same for another text`, async () => {
      const texts = ['the house was on the hill', 'a man and a woman go'];
      const [one, two] = (await Promise.all(texts.map((text) => ask(name, text, 3)))) as [
        AttentionSteps,
        AttentionSteps,
      ];
      const shared = Math.min(one.tokens.length, two.tokens.length);
      assert.ok(shared >= 5);
      for (let key = 0; key < shared; key++) {
        const [a, b] = [one.bias?.[key] as number, two.bias?.[key] as number];
        assert.ok(a === b || Math.abs(a - b) <= 1e-4, `${key}: ${a}, ${b}`);
      }
    });

  describe('what is written', () => {
    const models = new Map<string, OrtModel>();
    after(async () => {
      for (const model of models.values()) await model.release();
    });
    for (const name of fixtureNames) {
      const { meta, tensors } = reference(name);
      const text = meta.cases.find(({ id }) => id === 'a')?.text[0];
      if (typeof text !== 'string') continue;
      it(`${name}: all heads and the bias are the attention output`, async () => {
        const model = await openModel(fixture(name), SETTINGS, () => undefined, 'later');
        models.set(name, model);
        const query = 2;
        const steps = await Promise.all(Array.from({ length: meta.heads }, (_, head) => ask(name, text, query, head)));
        const width = meta.d_model;
        const expected = (tensors.get(`a/blocks.${LAYER}.hook_attn_out`) as { data: Float32Array }).data.subarray(
          query * width,
          (query + 1) * width,
        );
        const tolerance = Math.max(meta.tolerance.default, meta.tolerance.internal ?? 0);
        const norms = tensors.get('a/norm_attention') as { data: Float32Array };
        const length = steps[0]?.tokens.length as number;
        steps.forEach(({ writtenNorms }, head) => {
          const from = ((LAYER * meta.heads + head) * length + query) * length;
          writtenNorms?.forEach((norm, key) => {
            assert.ok(Math.abs(norm - (norms.data[from + key] as number)) <= tolerance * Math.max(1, norm));
          });
        });
        // Gemma normalises the sum before it adds it: no head has a share of what is added.
        if (meta.architecture === 'gemma3_text') {
          assert.ok(steps.every(({ shareOfAttnOut }) => shareOfAttnOut === null));
          assert.match(steps[0]?.notes.join(' ') ?? '', /normalised/);
          return;
        }
        const bias = (await model.weight(`blocks.${LAYER}.attn.b_O`)).data;
        for (let at = 0; at < width; at++) {
          const sum = steps.reduce((total, { written }) => total + (written?.[at] as number), bias[at] as number);
          assert.ok(
            Math.abs(sum - (expected[at] as number)) <= 2 * tolerance * Math.max(1, Math.abs(sum)),
            `${at}: ${sum}, ${expected[at]}`,
          );
        }
        const share = steps.reduce((total, { shareOfAttnOut }) => total + (shareOfAttnOut as number), 0);
        const square = expected.reduce((total, each) => total + each * each, 0);
        const ofBias = bias.reduce((total, each, at) => total + each * (expected[at] as number), 0) / square;
        assert.ok(Math.abs(share + ofBias - 1) <= 0.02);
      });
    }
  });
});
