/** Pictures of attention against PyTorch's patterns, rollouts and norms, and by what must hold of any. */
import assert from 'node:assert/strict';
import type { AttentionMaps, AttentionSelection } from '../../extension/protocol/attention';
import { LensError } from '../../extension/protocol/errors';
import { suiteEngine } from '../support/engine';
import { quiet } from '../support/fakeModel';
import { fixture, fixtureNames, reference } from '../support/fixtures';

const LAYER: AttentionSelection = {
  ...{ layer: 0, heads: [], method: 'weight', combine: 'each', words: false, specials: 'show' },
};

/** Where case a differs most from the tensor; relative to the tensor's largest number. */
function worst(data: Float32Array, expected: Float32Array): number {
  assert.equal(data.length, expected.length);
  let [most, largest] = [0, 0];
  expected.forEach((value, at) => {
    most = Math.max(most, Math.abs(value - (data[at] as number)));
    largest = Math.max(largest, Math.abs(value));
  });
  return most / Math.max(1, largest);
}
const refused = (thrown: unknown): boolean => thrown instanceof LensError && thrown.code === 'model-unsupported';

describe('attention', function () {
  this.timeout(120_000);
  const engine = suiteEngine();

  for (const name of fixtureNames) {
    const { meta, tensors } = reference(name);
    const first = meta.cases.find(({ id }) => id === 'a');
    const text = first?.text[0];
    if (first === undefined || typeof text !== 'string') continue;
    describe(name, () => {
      const tolerance = Math.max(meta.tolerance.default, meta.tolerance.pattern ?? 0, meta.tolerance.internal ?? 0);
      const tensor = (tail: string): Float32Array => {
        const found = tensors.get(`a/${tail}`);
        assert.ok(found !== undefined, tail);
        return found.data;
      };
      const ask = (selection: Partial<AttentionSelection>): Promise<AttentionMaps> =>
        engine.handle('attentionMaps', { model: fixture(name), text, ...LAYER, ...selection }, quiet());
      const allHeads = (layer: number): { layer: number; head: number }[] =>
        Array.from({ length: meta.heads }, (_, head) => ({ layer, head }));

      it('reads the text as the reference does', async () => {
        const { tokens } = await ask({});
        assert.deepEqual(
          tokens.map(({ id }) => id),
          first.input_ids[0],
        );
      });

      it('weights are PyTorch’s', async () => {
        for (let layer = 0; layer < meta.layers; layer++) {
          const { data, rowsSumToOne } = await ask({ layer, heads: allHeads(layer) });
          assert.ok(worst(data, tensor(`blocks.${layer}.attn.hook_pattern`)) <= tolerance);
          assert.equal(rowsSumToOne, true);
        }
      });

      it('the norms of what heads write are PyTorch’s', async () => {
        const expected = tensor('norm_attention');
        const size = expected.length / meta.layers;
        for (let layer = 0; layer < meta.layers; layer++) {
          const { data } = await ask({ layer, heads: allHeads(layer), method: 'norm' });
          assert.ok(worst(data, expected.subarray(layer * size, (layer + 1) * size)) <= tolerance);
        }
      });

      it('rollouts are PyTorch’s', async () => {
        const expected = tensor('rollout');
        const size = expected.length / meta.layers;
        for (let layer = 0; layer < meta.layers; layer++) {
          const { data, rowsSumToOne } = await ask({ layer, method: 'rollout' });
          assert.ok(worst(data, expected.subarray(layer * size, (layer + 1) * size)) <= tolerance);
          assert.equal(rowsSumToOne, true);
        }
      });

      it('overview: thumbnails and statistics are those of the patterns', async () => {
        const { statistics, thumbnails, missing, layers, heads } = await engine.handle(
          'attention',
          { model: fixture(name), text },
          quiet(),
        );
        assert.deepEqual([layers, heads, missing], [meta.layers, meta.heads, []]);
        const length = (first.input_ids[0] as number[]).length;
        assert.equal(thumbnails.size, length);
        for (let layer = 0; layer < layers; layer++) {
          const pattern = tensor(`blocks.${layer}.attn.hook_pattern`);
          const size = pattern.length;
          pattern.forEach((weight, at) => {
            const shown = (thumbnails.data[layer * size + at] as number) / 255;
            assert.ok(Math.abs(shown - weight) <= 0.5 / 255 + tolerance);
          });
          for (let head = 0; head < heads; head++) {
            let previous = 0;
            for (let query = 1; query < length; query++)
              previous += (pattern[(head * length + query) * length + query - 1] as number) / length;
            assert.ok(Math.abs((statistics.previous[layer * heads + head] as number) - previous) <= tolerance);
          }
        }
      });

      it('words conserve mass, and hidden special tokens take only theirs away', async () => {
        const heads = allHeads(1);
        const plain = await ask({ layer: 1, heads });
        const words = await ask({ layer: 1, heads, words: true });
        assert.ok(words.rowsSumToOne);
        const [before, after] = [plain.units.length, words.units.length];
        words.units.forEach(({ tokens: queries }, row) => {
          words.units.forEach(({ tokens: keys }, column) => {
            let sum = 0;
            for (const query of queries)
              for (const key of keys) sum += (plain.data[query * before + key] as number) / queries.length;
            assert.ok(Math.abs((words.data[row * after + column] as number) - sum) <= 1e-6);
          });
        });
        const hidden = await ask({ layer: 1, heads, specials: 'hide' });
        const kept = plain.units.flatMap(({ special }, index) => (special ? [] : [index]));
        assert.equal(hidden.units.length, kept.length);
        assert.equal(hidden.rowsSumToOne, kept.length === plain.units.length);
        kept.forEach((query, row) => {
          kept.forEach((key, column) => {
            assert.equal(hidden.data[row * kept.length + column], plain.data[query * before + key]);
          });
        });
        assert.ok((await ask({ layer: 1, heads, specials: 'renormalise' })).rowsSumToOne);
      });

      it('the norm with the stream and through the LayerNorm, where it stands after the sum', async () => {
        if (meta.norm === 'pre') {
          await assert.rejects(ask({ layer: 1, method: 'norm-layernorm' }), refused);
          return;
        }
        const { mixing } = await ask({ layer: 1, method: 'norm-layernorm' });
        assert.ok(mixing !== null && mixing > 0 && mixing < 1);
      });

      it('flow is no larger than what its ends let through', async () => {
        const { data, units } = await ask({ layer: meta.layers - 1, method: 'flow' });
        const size = units.length;
        const pattern = tensor('blocks.0.attn.hook_pattern');
        for (let key = 0; key < size; key++) {
          let into = 0.5;
          for (let row = 0; row < meta.heads * size; row++)
            into += (0.5 * (pattern[row * size + key] as number)) / meta.heads;
          for (let query = 0; query < size; query++) {
            const flow = data[query * size + key] as number;
            assert.ok(flow >= 0 && flow <= Math.min(1, into) + tolerance);
          }
        }
        const lowest = await ask({ layer: 0, method: 'flow' });
        const rolled = await ask({ layer: 0, method: 'rollout' });
        assert.ok(worst(lowest.data, rolled.data) <= 1e-6);
      });
    });
  }
});
