/** Pictures of attention against PyTorch's patterns, rollouts and norms, and by what must hold of any. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Engine } from '../../extension/engine/engine';
import { openModel } from '../../extension/engine/session/ortModel';
import type { AttentionMaps, AttentionMethod, AttentionSelection, HeadRef } from '../../extension/protocol/attention';
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

/** scripts/fixtures/contributions.py wrote them. */
interface Contributions {
  blocks: Record<'weight' | 'norm' | 'norm-residual' | 'norm-layernorm', { norms?: number[]; mixing: number }>[];
}

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

  it('bert: norms of a layer, with the stream and through the LayerNorm, and their mixing ratios are NumPy’s', async () => {
    const { folder } = fixture('bert');
    const { blocks } = JSON.parse(readFileSync(join(folder, 'contributions.json'), 'utf8')) as Contributions;
    const text = reference('bert').meta.cases.find(({ id }) => id === 'a')?.text[0];
    assert.ok(typeof text === 'string' && blocks.length === 3);
    for (const [layer, block] of blocks.entries())
      for (const method of ['weight', 'norm', 'norm-residual', 'norm-layernorm'] as const) {
        const { norms, mixing } = block[method];
        const maps = await engine.handle(
          'attentionMaps',
          { model: fixture('bert'), text, ...LAYER, layer, method },
          quiet(),
        );
        assert.ok(Math.abs((maps.mixing ?? NaN) - mixing) <= 1e-5, `${method}: ${maps.mixing}, expected ${mixing}`);
        if (norms !== undefined) assert.ok(worst(maps.data, Float32Array.from(norms)) <= 1e-5, method);
      }
  });

  it('rollout and flow of single heads: their mean is the layer’s rollout, and at the bottom they are half of the weights', async () => {
    const text = 'the house was on the hill';
    const heads = (layer: number): HeadRef[] => Array.from({ length: 4 }, (_, head) => ({ layer, head }));
    const ask = (selection: Partial<AttentionSelection>): Promise<AttentionMaps> =>
      engine.handle('attentionMaps', { model: fixture('bert'), text, ...LAYER, ...selection }, quiet());
    for (const layer of [0, 2]) {
      const mean = await ask({ layer, heads: heads(layer), method: 'rollout', combine: 'mean' });
      const one = await ask({ layer, heads: heads(layer).slice(0, 1), method: 'rollout' });
      const whole = await ask({ layer, method: 'rollout' });
      assert.ok(worst(mean.data, whole.data) <= 1e-6);
      assert.ok(worst(one.data, whole.data) > 1e-3);
    }
    const weights = await ask({ heads: heads(0) });
    const size = weights.units.length;
    const expected = weights.data.map(
      (weight, at) => (weight + Number(Math.floor(at / size) % size === at % size)) / 2,
    );
    assert.ok(worst((await ask({ heads: heads(0), method: 'flow' })).data, expected) <= 1e-6);
  });

  it('an intervention changes what its head gives in this block by that factor', async () => {
    const text = 'the house was on the hill';
    const ask = (method: AttentionMethod, scale: number, place: { position?: number } = {}): Promise<AttentionMaps> =>
      engine.handle(
        'attentionMaps',
        {
          ...{ model: fixture('bert'), text, ...LAYER, layer: 1, heads: [{ layer: 1, head: 2 }], method },
          interventions: [{ layer: 1, head: 2, scale, ...place }],
        },
        quiet(),
      );
    for (const method of ['value', 'norm'] as const) {
      const [plain, doubled] = [await ask(method, 1), await ask(method, -2)];
      assert.ok(
        worst(
          doubled.data,
          plain.data.map((norm) => 2 * norm),
        ) <= 1e-5,
      );
      // At one token: what that one gets, and no other.
      const size = plain.units.length;
      const placed = plain.data.map((norm, at) => (Math.floor(at / size) === 3 ? 2 * norm : norm));
      assert.ok(worst((await ask(method, -2, { position: 3 })).data, placed) <= 1e-5);
    }
    assert.deepEqual((await ask('weight', 0)).data, (await ask('weight', 1)).data);
  });

  it('several heads as one picture', async () => {
    const text = 'the house was on the hill';
    const heads = [
      { layer: 0, head: 1 },
      { layer: 2, head: 3 },
    ];
    const ask = (combine: AttentionSelection['combine']): Promise<AttentionMaps> =>
      engine.handle('attentionMaps', { model: fixture('bert'), text, ...LAYER, heads, combine }, quiet());
    const [each, mean, max] = [await ask('each'), await ask('mean'), await ask('max')];
    const size = mean.data.length;
    assert.deepEqual(
      each.maps.map(({ label }) => label),
      ['L0H1', 'L2H3'],
    );
    assert.deepEqual([mean.maps.length, mean.rowsSumToOne, max.rowsSumToOne], [1, true, false]);
    for (let at = 0; at < size; at++) {
      const [one, two] = [each.data[at] as number, each.data[size + at] as number];
      assert.ok(Math.abs((mean.data[at] as number) - (one + two) / 2) <= 1e-6);
      assert.equal(max.data[at], Math.max(one, two));
    }
  });

  it('looks at another head, method or query of a text without running the model again', async () => {
    let runs = 0;
    const counting = new Engine(
      () => undefined,
      () => undefined,
      async (...args) => {
        const model = await openModel(...args);
        const trace = model.trace.bind(model);
        model.trace = (...asked) => {
          runs++;
          return trace(...asked);
        };
        return model;
      },
    );
    try {
      const input = { model: fixture('bert'), text: 'the house was on the hill' };
      const map = (selection: Partial<AttentionSelection>): Promise<AttentionMaps> =>
        counting.handle('attentionMaps', { ...input, ...LAYER, ...selection }, quiet());
      await counting.handle('attention', input, quiet());
      assert.equal(runs, 1);
      await map({ layer: 2, heads: [{ layer: 1, head: 3 }] });
      await map({ layer: 2, method: 'rollout' });
      assert.equal(runs, 1);
      const first = await map({ layer: 0, method: 'norm' });
      await map({ layer: 1, heads: [{ layer: 1, head: 0 }], method: 'value', words: true });
      assert.deepEqual((await map({ layer: 0, method: 'norm' })).data, first.data);
      assert.equal(runs, 2);
      const steps = { ...input, layer: 1, head: 2 };
      for (const query of [1, 2]) await counting.handle('attentionSteps', { ...steps, query }, quiet());
      assert.equal(runs, 3);
      // Another text, and the same with a head switched off, are other runs.
      await map({ interventions: [{ layer: 0, head: 0, scale: 0 }] } as Partial<AttentionSelection>);
      assert.equal(runs, 4);
      // A model that was unloaded is asked again.
      await counting.handle('unload', { model: input.model }, quiet());
      await counting.handle('attention', input, quiet());
      assert.equal(runs, 5);
    } finally {
      await counting.dispose();
    }
  });

  it('says what a model or text does not have', async () => {
    const ask = (name: string, selection: Partial<AttentionSelection>, text = 'the house'): Promise<AttentionMaps> =>
      engine.handle('attentionMaps', { model: fixture(name), text, ...LAYER, ...selection }, quiet());
    const fails =
      (code: string, message: RegExp) =>
      (thrown: unknown): boolean =>
        thrown instanceof LensError && thrown.code === code && message.test(thrown.message);
    await assert.rejects(ask('bert', { layer: 3 }), fails('bad-input', /layers 0 to 2/));
    await assert.rejects(ask('bert', { heads: [{ layer: 0, head: 4 }] }), fails('bad-input', /heads 0 to 3/));
    await assert.rejects(ask('bert', { specials: 'hide' }, ''), fails('bad-input', /only special tokens/));
    await assert.rejects(ask('gpt2', {}, ''), fails('bad-input', /empty/));
    await assert.rejects(ask('gpt2', { method: 'norm-layernorm' }), fails('model-unsupported', /norms stand before/));
    await assert.rejects(ask('gemma3-ts', { method: 'norm-residual' }), fails('model-unsupported', /normalised/));
    const long = 'the house was on the hill '.repeat(200);
    const { window, tokens } = await ask('bert', {}, long);
    assert.ok(window.truncatedEnd && tokens.length <= 64);
  });
});
