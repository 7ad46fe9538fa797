/** The model as its parts: nothing is lost or counted twice, and the counts are those of the architecture. */
import assert from 'node:assert/strict';
import { anatomyOf } from '../../extension/engine/session/describe';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ModelAnatomy, ModelPart, ModelRef } from '../../extension/protocol/engine';
import { BUNDLED, fixture, fixtureNames } from '../support/fixtures';

const flat = (parts: readonly ModelPart[]): ModelPart[] => parts.flatMap((part) => [part, ...flat(part.children)]);
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const part = ({ parts }: ModelAnatomy, id: string): ModelPart => {
  const found = flat(parts).find((each) => each.id === id);
  assert.ok(found, `${id} is missing`);
  return found;
};
const config = ({ folder }: ModelRef): Record<string, number> =>
  JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as Record<string, number>;

/** Attention, feed-forward network and two norms, all with biases: BERT and GPT-2 alike. */
const blockWithBiases = (D: number, F: number): number => 4 * D ** 2 + 4 * D + 2 * D * F + F + D + 4 * D;

describe('parts of a model', () => {
  for (const ref of [BUNDLED, ...fixtureNames.map(fixture)])
    it(`of ${ref.id} add up to the whole, with every node, tensor and hook in one of them`, async () => {
      const anatomy = await anatomyOf(ref);
      const { info, parts, nodes } = anatomy;
      const all = flat(parts);
      assert.equal(sum(parts.map(({ parameters }) => parameters)), info.parameters);
      assert.equal(sum(parts.map(({ bytes }) => bytes)), info.bytes);
      for (const { id, parameters, bytes, weights, constants, children } of all.filter(({ id }) => id !== 'graph')) {
        assert.equal(sum([...weights, ...children].map((each) => each.parameters)), parameters, id);
        assert.equal(sum([...weights, constants, ...children].map((each) => each.bytes)), bytes, id);
        assert.ok(bytes >= 0, id);
      }
      const counted = all.flatMap(({ weights }) =>
        weights.filter(({ sharedWith }) => sharedWith === null).map(({ name }) => name),
      );
      assert.equal(new Set(counted).size, counted.length, 'a weight is counted twice');
      assert.equal(new Set(all.map(({ id }) => id)).size, all.length, 'an id stands twice');
      assert.deepEqual(
        [...new Set(all.flatMap((each) => each.nodes))].sort((a, b) => a - b),
        nodes.map((_, index) => index),
      );
      assert.deepEqual(
        all.flatMap(({ hooks }) => hooks.map(({ name }) => name)).sort(),
        [...info.anatomy.hooks].sort(),
      );
      assert.equal(all.find(({ id }) => id === 'rest')?.parameters ?? 0, 0, 'weights in no part');
    });

  for (const name of ['bert', 'bert-dynamo', 'bert-external', 'bert-fp16', 'bert-int8', 'bert-opset23', 'bert-einsum'])
    it(`count the weights of ${name} as its config does`, async () => {
      const anatomy = await anatomyOf(fixture(name));
      const { hidden_size: D = 0, intermediate_size: F = 0, num_hidden_layers: L = 0, ...rest } = config(fixture(name));
      const { vocab_size: V = 0, max_position_embeddings: P = 0, type_vocab_size: types = 0 } = rest;
      assert.equal(part(anatomy, 'embed').parameters, (V + P + types + 2) * D);
      for (let layer = 0; layer < L; layer++)
        assert.equal(part(anatomy, `blocks.${layer}`).parameters, blockWithBiases(D, F));
      assert.equal(part(anatomy, 'blocks.0.attn').parameters, 4 * D ** 2 + 4 * D);
      assert.equal(part(anatomy, 'blocks.0.mlp').parameters, 2 * D * F + F + D);
      assert.equal(part(anatomy, 'unembed.transform').parameters, D ** 2 + 3 * D);
    });

  it('count a matrix of packed 4-bit blocks as the matrix', async () => {
    const { hidden_size: D = 0, intermediate_size: F = 0 } = config(fixture('bert-ts-nb4b16z'));
    const anatomy = await anatomyOf(fixture('bert-ts-nb4b16z'));
    assert.equal(part(anatomy, 'blocks.0').parameters, blockWithBiases(D, F));
    assert.deepEqual(part(anatomy, 'blocks.0.attn.q').storage, ['4-bit blocks of 16', 'float32']);
  });

  it('count gpt2: one matrix for query, key and value', async () => {
    const { n_embd: D = 0, n_inner, n_layer: L = 0, vocab_size: V = 0, n_positions: P = 0 } = config(fixture('gpt2'));
    const anatomy = await anatomyOf(fixture('gpt2'));
    const block = blockWithBiases(D, n_inner ?? 4 * D);
    assert.equal(part(anatomy, 'blocks.1.attn.qkv').parameters, 3 * D ** 2 + 3 * D);
    assert.equal(part(anatomy, 'blocks.1').parameters, block);
    // The export stores the table again, transposed, for the head.
    assert.equal(anatomy.info.parameters, 2 * V * D + P * D + L * block + 2 * D);
  });

  it('count llama: grouped keys and values, a gated network, no table of angles', async () => {
    const {
      hidden_size: D = 0,
      intermediate_size: F = 0,
      num_hidden_layers: L = 0,
      ...rest
    } = config(fixture('llama'));
    const { num_attention_heads: H = 0, num_key_value_heads: K = 0, head_dim: d = 0, vocab_size: V = 0 } = rest;
    const anatomy = await anatomyOf(fixture('llama'));
    const block = 2 * D * H * d + 2 * D * K * d + 3 * D * F + 2 * D;
    assert.equal(part(anatomy, 'blocks.2').parameters, block);
    assert.equal(part(anatomy, 'blocks.2.attn.k').parameters, D * K * d);
    assert.equal(anatomy.info.parameters, 2 * V * D + L * block + D);
  });

  it('count the included BERT as BertForPreTraining, the shared table once', async () => {
    const [V, D, F, L] = [28996, 768, 3072, 12];
    const anatomy = await anatomyOf(BUNDLED);
    const embeddings = (V + 512 + 2 + 2) * D;
    const head = D ** 2 + D + 2 * D + V;
    const pooler = D ** 2 + D;
    assert.equal(anatomy.info.parameters, embeddings + L * blockWithBiases(D, F) + head + pooler + 2 * D + 2);
    assert.equal(part(anatomy, 'unembed').parameters, head);
    const table = part(anatomy, 'unembed.matrix').weights.find(({ sharedWith }) => sharedWith !== null);
    assert.equal(table?.sharedWith, 'embed.word');
    assert.deepEqual(part(anatomy, 'blocks.0.attn.q').storage, ['int8 per channel', 'float32']);
  });

  it('show fused operators as the nodes of the file', async () => {
    const anatomy = await anatomyOf(fixture('bert-ort-fused'));
    const opTypes = part(anatomy, 'blocks.0.attn.core').nodes.map((index) => anatomy.nodes[index]?.opType);
    assert.deepEqual(opTypes, ['Attention']);
    const { nodes } = await anatomyOf(fixture('bert'));
    const softmax = nodes.find(({ opType }) => opType === 'Softmax');
    assert.deepEqual(softmax?.outputs[0]?.shape, ['B', 4, 'T', 'T']);
  });

  it('put the norms where they stand, also those of branches and of queries and keys', async () => {
    const ids = (await anatomyOf(fixture('gemma3-ts'))).parts.flatMap((each) => flat([each])).map(({ id }) => id);
    for (const id of ['ln1', 'attn.q_norm', 'attn.k_norm', 'ln1_post', 'ln2', 'ln2_post'])
      assert.ok(ids.includes(`blocks.1.${id}`), id);
  });
});
