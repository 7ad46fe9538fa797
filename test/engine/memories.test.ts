/** Memories of feed-forward networks: the identities that hold in every model, and what PyTorch says of three. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { quantisesActivations } from '../../extension/engine/analysis/attention/changedRuns';
import { intervene } from '../../extension/engine/analysis/ffn/intervene';
import { memories } from '../../extension/engine/analysis/ffn/memories';
import { endsOf, scoresOf, scoresOfNothing } from '../../extension/engine/analysis/ffn/valueWords';
import { behindFfn, type Block } from '../../extension/engine/anatomy/blocks';
import { hasHalfFloats } from '../../extension/engine/anatomy/subject';
import { openModel, type OrtModel } from '../../extension/engine/session/ortModel';
import { TraceCache } from '../../extension/engine/session/traceCache';
import { LensError, type LensErrorCode } from '../../extension/protocol/errors';
import type { MemoriesParams, Memories } from '../../extension/protocol/ffn';
import { quiet } from '../support/fakeModel';
import { BUNDLED, fixture, fixtureNames, reference, SETTINGS } from '../support/fixtures';

type Params = Omit<MemoriesParams, 'model'>;
type Rest<F extends (first: never, ...rest: never[]) => unknown> = F extends (first: never, ...rest: infer R) => unknown
  ? R
  : never;

const open = (name: string): Promise<OrtModel> => openModel(fixture(name), SETTINGS, () => undefined, 'later');
const fails = (code: LensErrorCode) => (thrown: unknown) => thrown instanceof LensError && thrown.code === code;
const textOf = (name: string): string => (reference(name).meta.cases[0]?.text as [string])[0];
const ask = (model: OrtModel, params: Partial<Params> & { text: string }): Promise<Memories> =>
  memories(model, { by: 'norm', topK: 10_000, words: 0, candidates: 0, ...params }, quiet());

describe('memories', function () {
  this.timeout(60_000);

  for (const name of fixtureNames)
    it(`${name}: values times activations are what the network writes, and a neuron off takes its own away`, async () => {
      const { meta, tensors } = reference(name);
      const model = await open(name);
      try {
        const { blocks, subject, norms } = await model.anatomy();
        const { ids, segments } = model.tokenizer.encode(textOf(name));
        const row = { ids, segments };
        const tolerance = 5 * (meta.tolerance.internal ?? meta.tolerance.default);
        for (const layer of [0, meta.layers - 1]) {
          const [post, out] = [`blocks.${layer}.mlp.hook_post`, `blocks.${layer}.hook_mlp_out`];
          const plain = await model.trace([row], [post, out]);
          const [m, written] = [plain.get(post)?.data as Float32Array, plain.get(out)?.data as Float32Array];
          const values = await model.weight(`blocks.${layer}.mlp.W_out`);
          const bias = await model.weight(`blocks.${layer}.mlp.b_out`);
          const [width, ffn] = [meta.d_model, meta.d_ffn];
          // Some put a norm between the network and the stream.
          const isDirect = behindFfn(subject, norms, blocks[layer] as Block) === 'nothing';
          assert.equal(isDirect, name !== 'gemma3-ts');
          const pytorch = tensors.get(`a/${post}`)?.data as Float32Array;
          for (let token = 0; token < ids.length; token++)
            for (let at = 0; at < width && isDirect; at++) {
              let sum = bias.data[at] as number;
              for (let neuron = 0; neuron < ffn; neuron++)
                sum += (m[token * ffn + neuron] as number) * (values.data[neuron * width + at] as number);
              assert.ok(Math.abs(sum - (written[token * width + at] as number)) < tolerance);
            }
          const token = 1;
          for (const neuron of [3, ffn - 1]) {
            assert.ok(
              Math.abs((m[token * ffn + neuron] as number) - (pytorch[token * ffn + neuron] as number)) < tolerance,
            );
            const scale = { dims: [1, ids.length, ffn], data: new Float32Array(ids.length * ffn).fill(1) };
            scale.data[token * ffn + neuron] = 0;
            const off = (await model.trace([row], [out], [{ hook: post, scale }])).get(out)?.data as Float32Array;
            for (let at = 0; at < off.length && isDirect; at++) {
              const own = Math.floor(at / width) === token;
              const change = own
                ? -(m[token * ffn + neuron] as number) * (values.data[neuron * width + (at % width)] as number)
                : 0;
              assert.ok(
                Math.abs((off[at] as number) - (written[at] as number) - change) < tolerance,
                `${layer}.${neuron}`,
              );
            }
          }
        }
      } finally {
        await model.release();
      }
    });

  for (const name of ['bert', 'gpt2', 'llama'])
    it(`${name}: what each adds to a logit, and what is said without it, are PyTorch's`, async () => {
      const { targets } = JSON.parse(readFileSync(join(fixture(name).folder, 'memories.json'), 'utf8')) as {
        targets: { position: number; token: number; logit: number[][]; zero: number[][] }[];
      };
      const model = await open(name);
      try {
        const [target] = targets;
        assert.ok(target !== undefined);
        const { position, token } = target;
        const asked = { text: textOf(name), position, token };
        const { memories: all, layers } = await ask(model, { ...asked, by: 'logit' });
        assert.equal(all.length, target.logit.length * (target.logit[0] as number[]).length);
        const largest = Math.max(...target.logit.flat().map(Math.abs));
        for (const { layer, neuron, logit } of all)
          assert.ok(
            Math.abs((logit as number) - (target.logit[layer]?.[neuron] as number)) < 2e-3 * largest,
            `${layer}.${neuron}: ${logit}, not ${target.logit[layer]?.[neuron]}`,
          );
        for (const [index, memory] of all.entries())
          if (index > 0) assert.ok(Math.abs(memory.logit as number) <= Math.abs(all[index - 1]?.logit as number));
        for (const { layer, logit } of layers) {
          const sum = (target.logit[layer] as number[]).reduce((total, each) => total + each, 0);
          assert.ok(Math.abs((logit as number) - sum) < 5e-3 * Math.max(1, largest), `layer ${layer}`);
        }
        const ablated = await ask(model, { ...asked, by: 'ablation', candidates: 10_000 });
        assert.equal(ablated.memories.length, all.length);
        for (const { layer, neuron, ablation } of ablated.memories)
          assert.ok(
            Math.abs((ablation as number) - (target.zero[layer]?.[neuron] as number)) < 2e-5,
            `${layer}.${neuron}`,
          );
      } finally {
        await model.release();
      }
    });

  for (const name of fixtureNames)
    it(`${name}: switched off above its layer, a memory does what it does when it is gated inside`, async function () {
      const model = await open(name);
      try {
        const { kind } = model.info;
        if (kind !== 'masked' && kind !== 'causal') this.skip();
        const { meta } = reference(name);
        const asked = { text: textOf(name), by: 'ablation', candidates: 4, topK: 4 } as const;
        const anatomy = await model.anatomy();
        const blocks = new Set<number>();
        const watched = new TraceCache().over(model);
        const counted = {
          ...watched,
          runBlock: (layer: number, ...rest: Rest<OrtModel['runBlock']>) => {
            blocks.add(layer);
            return watched.runBlock(layer, ...rest);
          },
          runBlockAt: (layer: number, ...rest: Rest<OrtModel['runBlockAt']>) => {
            blocks.add(layer);
            return watched.runBlockAt(layer, ...rest);
          },
        };
        const isExact = !quantisesActivations(anatomy) && !hasHalfFloats(anatomy.subject);
        // What batches of other shapes differ by where activations are rounded; else the last digits of logits.
        const tolerance = isExact ? 1e-5 * Math.max(1, meta.tolerance.default / 1e-4) : 5 * meta.tolerance.default;
        for (const layer of [0, meta.layers - 1]) {
          blocks.clear();
          const { memories: found, target } = await memories(counted, { ...asked, words: 0, layers: [layer] }, quiet());
          const isDirect = behindFfn(anatomy.subject, anatomy.norms, anatomy.blocks[layer] as Block) === 'nothing';
          if (isExact && isDirect) assert.equal(Math.min(...blocks), Math.min(layer + 1, meta.layers - 1));
          for (const { neuron, ablation } of found) {
            const { before, after } = await intervene(
              model,
              {
                ...{ text: asked.text, topK: 1 },
                target: { position: target.position, token: target.id as number },
                changes: [{ layer, neuron, scale: 0, position: target.read }],
              },
              quiet(),
            );
            const gated = after.logprob - before.logprob;
            assert.ok(
              Math.abs((ablation as number) - gated) < tolerance,
              `${layer}.${neuron}: ${ablation}, not ${gated}`,
            );
          }
        }
      } finally {
        await model.release();
      }
    });

  it('the bundled model: values have the lengths and words that numpy computes from the dequantised weights', async () => {
    const { values } = JSON.parse(readFileSync('test/fixtures/bert-base-cased/values.json', 'utf8')) as {
      values: { layer: number; neuron: number; norm: number; top: [number, number][]; bottom: [number, number][] }[];
    };
    assert.equal(values.length, 20);
    const opened = await openModel(BUNDLED, SETTINGS, () => undefined, 'later');
    try {
      const model = new TraceCache().over(opened);
      const { memories: all } = await memories(
        model,
        { text: 'The capital of France is [MASK].', by: 'norm', topK: 12 * 3072, words: 0, candidates: 0 },
        quiet(),
      );
      for (const { layer, neuron, norm, top, bottom } of values) {
        const own = all.find((each) => each.layer === layer && each.neuron === neuron);
        assert.ok(Math.abs((own?.norm as number) - Math.abs(own?.activation as number) * norm) < 1e-4);
        const { data, dims } = await model.weight(`blocks.${layer}.mlp.W_out`);
        const width = dims[1] as number;
        const nothing = await scoresOfNothing(model, width);
        const { scores } = await scoresOf(model, data.slice(neuron * width, (neuron + 1) * width), width, nothing);
        const ends = endsOf(model.tokenizer, scores, 10);
        for (const [found, expected] of [
          [ends.promoted, top],
          [ends.suppressed, bottom],
        ] as const)
          for (const [index, [id, score]] of expected.entries()) {
            assert.ok(Math.abs((found[index]?.score as number) - score) < 1e-4);
            assert.equal(found[index]?.id, id);
          }
      }
    } finally {
      await opened.release();
    }
  });

  it('what is in force before counts, and layers can be chosen', async () => {
    const model = await open('bert');
    const text = textOf('bert');
    try {
      const plain = await ask(model, { text, layers: [2], topK: 80 });
      assert.ok(plain.memories.every(({ layer }) => layer === 2));
      assert.deepEqual(
        plain.layers.map(({ layer }) => layer),
        [2],
      );
      const [first] = plain.memories;
      assert.ok(first !== undefined);
      const off = await ask(model, {
        ...{ text, layers: [2], topK: 80 },
        interventions: [{ layer: 2, neuron: first.neuron, scale: 0, position: plain.target.read }],
      });
      assert.equal(off.memories.find(({ neuron }) => neuron === first.neuron)?.activation, 0);
    } finally {
      await model.release();
    }
  });

  it('an encoder has memories but no words; what is not there is refused', async () => {
    const encoder = await open('t5enc-dyn');
    try {
      const { memories: found, target, method } = await ask(encoder, { text: 'some words', position: 1, words: 3 });
      assert.deepEqual([target.id, target.logprob, method.words], [null, null, '']);
      assert.ok(found.every(({ logit, promoted }) => logit === null && promoted.length === 0));
      await assert.rejects(ask(encoder, { text: 'some words', position: 1, by: 'logit' }), fails('no-lm-head'));
    } finally {
      await encoder.release();
    }
    const model = await open('bert');
    const text = textOf('bert');
    try {
      for (const wrong of [{ position: 99 }, { token: 1e6 }, { layers: [3] }, { text: 'no mask' }, { text: '' }])
        await assert.rejects(ask(model, { text, ...wrong }), fails('bad-input'));
    } finally {
      await model.release();
    }
  });
});
