/** Groups of values that write alike and of memories that fire together: what must hold of any, and what the numbers are of. */
import assert from 'node:assert/strict';
import { memoryGroups } from '../../extension/engine/analysis/ffn/memoryGroups';
import { valueClusters } from '../../extension/engine/analysis/ffn/valueClusters';
import { valueWords } from '../../extension/engine/analysis/ffn/valueSearch';
import { openModel, type OrtModel } from '../../extension/engine/session/ortModel';
import { rowProducts } from '../../extension/engine/session/rowProducts';
import { LensError, type LensErrorCode } from '../../extension/protocol/errors';
import { ACTIVE_THRESHOLD, type ValueClusters, type ValueClustersParams } from '../../extension/protocol/ffn';
import { quiet } from '../support/fakeModel';
import { fixture, reference, SETTINGS } from '../support/fixtures';

const open = (name: string): Promise<OrtModel> => openModel(fixture(name), SETTINGS, () => undefined, 'later');
const fails = (code: LensErrorCode) => (thrown: unknown) => thrown instanceof LensError && thrown.code === code;
const clusters = (model: OrtModel, params: Partial<ValueClustersParams>): Promise<ValueClusters> =>
  valueClusters(model, rowProducts, { clusters: 5, words: 3, members: 10_000, seed: 1, ...params }, quiet());

describe('clusters of values', function () {
  this.timeout(60_000);

  for (const name of ['bert', 'llama', 'bert-ts-qdq', 'albert'])
    it(`${name}: every value is nearest to its own centre, the mean direction of its cluster`, async () => {
      const { meta } = reference(name);
      const model = await open(name);
      try {
        const { clusters: found, values, cohesion, notes } = await clusters(model, {});
        assert.deepEqual([values, notes], [meta.layers * meta.d_ffn, []]);
        assert.equal(
          found.reduce((sum, { size }) => sum + size, 0),
          values,
        );
        const weights = await Promise.all(
          Array.from({ length: meta.layers }, (_, layer) => model.weight(`blocks.${layer}.mlp.W_out`)),
        );
        const unit = (vector: ArrayLike<number>): number[] => {
          const length = Math.hypot(...Array.from(vector));
          return Array.from(vector, (each) => each / length);
        };
        const direction = ({ layer, neuron }: { layer: number; neuron: number }): number[] =>
          unit(weights[layer]?.data.slice(neuron * meta.d_model, (neuron + 1) * meta.d_model) ?? []);
        const dot = (a: readonly number[], b: readonly number[]): number =>
          a.reduce((sum, each, at) => sum + each * (b[at] as number), 0);
        const centres = found.map(({ members }) =>
          unit(
            members
              .map(direction)
              .reduce(
                (sum, each) => sum.map((value, at) => value + (each[at] as number)),
                Array<number>(meta.d_model).fill(0),
              ),
          ),
        );
        let total = 0;
        for (const [index, { members, size, cohesion: own, layers }] of found.entries()) {
          assert.equal(members.length, size);
          assert.ok(index === 0 || size <= (found[index - 1]?.size as number));
          const cosines = members.map((member) => {
            const all = centres.map((centre) => dot(direction(member), centre));
            assert.ok((all[index] as number) >= Math.max(...all) - 1e-5);
            assert.ok(Math.abs((all[index] as number) - member.cosine) < 1e-5);
            return all[index] as number;
          });
          assert.ok(Math.abs(cosines.reduce((sum, each) => sum + each, 0) / size - own) < 1e-5);
          total += own * size;
          assert.deepEqual(
            [...layers],
            layers.length === 0
              ? []
              : Array.from(layers, (_, layer) => members.filter((each) => each.layer === layer).length),
          );
        }
        assert.ok(Math.abs(total / values - cohesion) < 1e-5);
        assert.ok((await clusters(model, { clusters: 12 })).cohesion > cohesion);
        assert.deepEqual(
          (await clusters(model, {})).clusters.map(({ size }) => size),
          found.map(({ size }) => size),
        );
      } finally {
        await model.release();
      }
    });

  it('a cluster of one value has its words, and layers can be chosen', async () => {
    const model = await open('gpt2');
    try {
      const { clusters: found, values } = await clusters(model, { layers: [1], clusters: 60, words: 4 });
      assert.equal(values, 80);
      const alone = found.find(({ size }) => size === 1);
      const [member] = alone?.members ?? [];
      assert.ok(alone !== undefined && member !== undefined);
      assert.equal(member.layer, 1);
      const words = await valueWords(model, { ...member, words: 4 });
      // W_U v does not turn with the length of v.
      assert.deepEqual(
        [alone.promoted, alone.suppressed].map((list) => list.map(({ id }) => id)),
        [words.promoted, words.suppressed].map((list) => list.map(({ id }) => id)),
      );
      await assert.rejects(clusters(model, { layers: [1], clusters: 81 }), fails('bad-input'));
      await assert.rejects(clusters(model, { layers: [9] }), fails('bad-input'));
    } finally {
      await model.release();
    }
  });

  it('an encoder has clusters without words', async () => {
    const model = await open('t5enc-dyn');
    try {
      const { clusters: found } = await clusters(model, {});
      assert.ok(found.length > 1 && found.every(({ promoted }) => promoted.length === 0));
    } finally {
      await model.release();
    }
  });
});

describe('groups of memories', function () {
  this.timeout(60_000);

  it('are of PyTorch’s activations: together they make up what was factorised, up to the error', async () => {
    for (const name of ['bert', 'llama', 'gpt2']) {
      const { meta, tensors } = reference(name);
      const [text] = meta.cases[0]?.text as [string];
      const model = await open(name);
      try {
        const params = { text, groups: 3, members: 10_000, seed: 2 };
        const { groups, tokens, error } = await memoryGroups(model, params, quiet());
        let [off, size] = [0, 0];
        for (let layer = 0; layer < meta.layers; layer++) {
          const m = tensors.get(`a/blocks.${layer}.mlp.hook_post`)?.data as Float32Array;
          for (let neuron = 0; neuron < meta.d_ffn; neuron++) {
            const fired = tokens.map(({ special }, token) =>
              special ? 0 : Math.max(0, m[token * meta.d_ffn + neuron] as number),
            );
            if (!fired.some((each) => each > ACTIVE_THRESHOLD)) continue;
            const weights = groups.map(
              ({ members }) =>
                members.find((member) => member.layer === layer && member.neuron === neuron)?.weight ?? 0,
            );
            fired.forEach((each, token) => {
              const made = groups.reduce(
                (sum, group, at) => sum + (weights[at] as number) * (group.tokens[token] as number),
                0,
              );
              off += (each - made) ** 2;
              size += each ** 2;
            });
          }
        }
        assert.ok(Math.abs(Math.sqrt(off / size) - error) < 1e-3, `${name}: ${Math.sqrt(off / size)}, not ${error}`);
        assert.ok(Math.abs(groups.reduce((sum, { share }) => sum + share, 0) - 1) < 1e-6);
        for (const { tokens: own, layers, members } of groups) {
          assert.ok(Math.abs(Math.max(...own) - 1) < 1e-6);
          assert.ok(Math.abs(layers.reduce((sum, each) => sum + each, 0) - 1) < 1e-5);
          assert.ok(members.every(({ weight }, at) => at === 0 || weight <= (members[at - 1]?.weight as number)));
        }
      } finally {
        await model.release();
      }
    }
  });

  it('take chosen layers and what is in force, and refuse what cannot be told apart', async () => {
    const model = await open('bert');
    const { meta } = reference('bert');
    const [text] = meta.cases[0]?.text as [string];
    const params = { text, groups: 2, members: 5, seed: 0 };
    try {
      const { groups } = await memoryGroups(model, { ...params, layers: [1] }, quiet());
      assert.ok(groups.every(({ members }) => members.every(({ layer }) => layer === 1)));
      const [first] = groups[0]?.members ?? [];
      assert.ok(first !== undefined);
      const off = [{ layer: first.layer, neuron: first.neuron, scale: 0 }];
      const without = await memoryGroups(model, { ...params, layers: [1], interventions: off }, quiet());
      assert.ok(without.groups.every(({ members }) => members.every(({ neuron }) => neuron !== first.neuron)));
      for (const wrong of [{ groups: 99 }, { layers: [7] }, { text: '' }])
        await assert.rejects(memoryGroups(model, { ...params, ...wrong }, quiet()), fails('bad-input'));
    } finally {
      await model.release();
    }
  });
});
