/** Weights by role: PyTorch's activations follow from PyTorch's activations before them and the weights that we read. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describeModel } from '../../extension/engine/session/describe';
import { Weights } from '../../extension/engine/session/weights';
import { LensError } from '../../extension/protocol/errors';
import { BUNDLED, fixture, fixtureNames, reference, SETTINGS } from '../support/fixtures';

interface Numbers {
  dims: readonly number[];
  data: Float32Array;
}

/** x [n,a] · W [a,b] + bias [b]. */
function affine(x: Float32Array, weight: Numbers, bias: Float32Array | null): Float32Array {
  const b = weight.dims.at(-1) as number;
  const a = weight.data.length / b;
  const result = new Float32Array((x.length / a) * b);
  for (let row = 0; row < x.length / a; row++)
    for (let column = 0; column < b; column++) {
      let sum = bias?.[column] ?? 0;
      for (let index = 0; index < a; index++)
        sum += (x[row * a + index] as number) * (weight.data[index * b + column] as number);
      result[row * b + column] = sum;
    }
  return result;
}

function worst(a: Float32Array, b: Float32Array): number {
  assert.equal(a.length, b.length);
  return a.reduce((most, value, index) => Math.max(most, Math.abs(value - (b[index] as number))), 0);
}

describe('weights by role', function () {
  this.timeout(60_000);

  for (const name of fixtureNames)
    it(`${name}: lead from each of PyTorch's activations to the next`, async () => {
      const { meta, tensors } = reference(name);
      const description = await describeModel(fixture(name));
      const weights = new Weights(description, SETTINGS);
      const tolerance = 5 * (meta.tolerance.internal ?? meta.tolerance.default);
      const activation = (hook: string): Float32Array => tensors.get(`a/${hook}`)?.data as Float32Array;
      for (let layer = 0; layer < meta.layers; layer++) {
        const block = `blocks.${layer}`;
        const biasOf = async (bias: string): Promise<Float32Array> => (await weights.read(`${block}.${bias}`)).data;
        const out = await weights.read(`${block}.attn.W_O`);
        assert.deepEqual(out.dims, [meta.heads, meta.d_head, meta.d_model]);
        const attention = affine(activation(`${block}.attn.hook_z`), out, await biasOf('attn.b_O'));
        // Where a norm stands between a layer's last product and the stream, the hook is behind the norm.
        const parts = description.anatomy.blocks[layer];
        if (parts?.attnOut === parts?.attention.output.output)
          assert.ok(worst(attention, activation(`${block}.hook_attn_out`)) < tolerance, 'W_O');
        const values = await weights.read(`${block}.mlp.W_out`);
        assert.deepEqual(values.dims, [meta.d_ffn, meta.d_model]);
        const ffn = affine(activation(`${block}.mlp.hook_post`), values, await biasOf('mlp.b_out'));
        if (parts?.mlpOut === parts?.ffn?.out.output)
          assert.ok(worst(ffn, activation(`${block}.hook_mlp_out`)) < tolerance, 'W_out');
        if (meta.norm !== 'post') continue;
        const keys = affine(
          activation(`${block}.hook_mlp_in`),
          await weights.read(`${block}.mlp.W_in`),
          await biasOf('mlp.b_in'),
        );
        assert.ok(worst(keys, activation(`${block}.mlp.hook_pre`)) < tolerance, 'W_in');
        for (const part of ['Q', 'K', 'V']) {
          const weight = await weights.read(`${block}.attn.W_${part}`);
          const bias = await weights.read(`${block}.attn.b_${part}`);
          assert.deepEqual(bias.dims, [meta.heads, meta.d_head]);
          const expected = activation(`${block}.attn.hook_${part.toLowerCase()}`);
          const [heads, width, inner] = [meta.heads, meta.d_head, meta.d_model];
          for (let head = 0; head < heads; head++) {
            const own = {
              dims: [inner, width],
              data: weight.data.subarray(head * inner * width, (head + 1) * inner * width),
            };
            const found = affine(
              activation(`${block}.hook_resid_pre`),
              own,
              bias.data.subarray(head * width, (head + 1) * width),
            );
            const tokens = found.length / width;
            const wanted = Float32Array.from(found, (_, index) => {
              const token = Math.floor(index / width);
              return expected[(token * heads + head) * width + (index % width)] as number;
            });
            assert.ok(worst(found, wanted) < tolerance, `W_${part}, head ${head} of ${tokens} tokens`);
          }
        }
      }
    });

  for (const name of fixtureNames.filter((each) => reference(each).meta.norm === 'post'))
    it(`${name}: the norm after attention leads from PyTorch's sum to what PyTorch's next layer reads`, async () => {
      const { meta, tensors } = reference(name);
      const weights = new Weights(await describeModel(fixture(name)), SETTINGS);
      const { d_model: width, layers } = meta;
      const layer = layers - 1;
      const read = async (part: string): Promise<Float32Array> =>
        (await weights.read(`blocks.${layer}.ln1.${part}`)).data;
      const [scale, shift, epsilon] = [await read('w'), await read('b'), await read('eps')];
      const config = JSON.parse(readFileSync(join(fixture(name).folder, 'config.json'), 'utf8')) as Record<
        string,
        number
      >;
      const stated = config['layer_norm_eps'] ?? config['layer_norm_epsilon'] ?? 1e-12;
      assert.ok(Math.abs((epsilon[0] as number) - stated) <= 1e-7 + 0.05 * stated, `${epsilon[0]}, expected ${stated}`);
      const of = (hook: string): Float32Array =>
        (tensors.get(`a/blocks.${layer}.${hook}`) as { data: Float32Array }).data;
      const normed = of('hook_resid_mid').slice();
      for (let from = 0; from < normed.length; from += width) {
        const row = normed.subarray(from, from + width);
        const mean = row.reduce((sum, each) => sum + each, 0) / width;
        const variance = row.reduce((sum, each) => sum + (each - mean) ** 2, 0) / width;
        row.forEach((each, at) => {
          row[at] =
            ((each - mean) / Math.sqrt(variance + (epsilon[0] as number))) * (scale[at] as number) +
            (shift[at] as number);
        });
      }
      assert.ok(worst(normed, of('hook_mlp_in')) <= Math.max(1e-4, meta.tolerance.internal ?? 0));
    });

  it('rows of the embedding, and the unembedding that is tied to it', async () => {
    const description = await describeModel(BUNDLED);
    const weights = new Weights(description, SETTINGS);
    const table = description.anatomy.embeddings.word as string;
    const rows = await weights.rows(table, Int32Array.of(0, 101, 28995));
    assert.deepEqual(rows.dims, [3, 768]);
    const unembedding = await weights.read('unembed.W_U');
    assert.deepEqual(unembedding.dims, [768, 28996]);
    for (const [row, id] of [0, 101, 28995].entries())
      for (let place = 0; place < 768; place++)
        assert.ok(
          Math.abs((rows.data[row * 768 + place] as number) - (unembedding.data[place * 28996 + id] as number)) < 1e-6,
        );
  });

  it('says what there is not', async () => {
    const weights = new Weights(await describeModel(fixture('bert')), SETTINGS);
    for (const [name, code] of [
      ['blocks.0.mlp.W_gate', 'model-unsupported'],
      ['blocks.9.attn.W_Q', 'model-unsupported'],
      ['blocks.0.attn.W_X', 'bad-input'],
    ] as const)
      await assert.rejects(weights.read(name), (thrown) => thrown instanceof LensError && thrown.code === code);
  });
});
