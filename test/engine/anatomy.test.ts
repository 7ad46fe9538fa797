/** What is said of a model's inside against what its maker's config says. */
import assert from 'node:assert/strict';
import { describeModel } from '../../extension/engine/session/describe';
import { BUNDLED, fixture, fixtureNames, reference } from '../support/fixtures';

const KINDS = { mlm: 'masked', pretraining: 'masked', clm: 'causal', cls: 'classifier', encoder: 'encoder' } as const;

describe('anatomy', () => {
  for (const name of fixtureNames)
    it(`${name}: is what its config says, and misses nothing`, async () => {
      const { meta } = reference(name);
      const { info } = await describeModel(fixture(name));
      const { anatomy } = info;
      assert.deepEqual(
        {
          kind: info.kind,
          layers: anatomy.layers,
          heads: anatomy.heads,
          kv_heads: anatomy.keyHeads,
          d_head: anatomy.headWidth,
          d_model: anatomy.width,
          d_ffn: anatomy.ffnWidth,
          causal: anatomy.causal,
          norm: anatomy.norm,
          rotary: anatomy.positions === 'rotary',
          gated_ffn: anatomy.gated,
          parallel_residual: anatomy.parallel,
          tied_layers: anatomy.tiedLayers,
          missing: anatomy.missing,
          problems: anatomy.problems,
        },
        {
          kind: KINDS[meta.head],
          layers: meta.layers,
          heads: meta.heads,
          kv_heads: meta.kv_heads,
          d_head: meta.d_head,
          d_model: meta.d_model,
          d_ffn: meta.d_ffn,
          causal: meta.causal,
          norm: meta.norm,
          rotary: meta.rotary,
          gated_ffn: meta.gated_ffn,
          parallel_residual: meta.parallel_residual,
          tied_layers: meta.tied_layers,
          missing: [],
          problems: [],
        },
      );
    });

  it('tells local from global attention', async () => {
    const { info } = await describeModel(fixture('modernbert'));
    assert.deepEqual(info.anatomy.windows, [null, 8, 8]); // local_attention 14: seven to each side, and itself
  });

  it('sees that the included model shares its embeddings with its head', async () => {
    const { info } = await describeModel(BUNDLED);
    assert.equal(info.anatomy.tiedEmbeddings, true);
    assert.equal(info.anatomy.positions, 'learned');
    assert.equal(info.anatomy.activation, 'gelu');
  });
});
