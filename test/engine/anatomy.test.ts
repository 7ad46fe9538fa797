/** What is said of a model's inside against what its maker's config says. */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeModel } from '../../extension/engine/session/describe';
import { Tracer } from '../../extension/engine/session/tracer';
import { encodeModel, newNode, readModel } from '../../extension/engine/onnx/model';
import { BUNDLED, fixture, fixtureNames, reference, SETTINGS } from '../support/fixtures';

const KINDS = {
  mlm: 'masked',
  pretraining: 'masked',
  clm: 'causal',
  cls: 'classifier',
  tok: 'classifier',
  encoder: 'encoder',
} as const;

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

  it('keeps the attention of blocks whose feed-forward network has an unknown form, and says what is missing', async () => {
    const { folder } = fixture('bert');
    const changed = mkdtempSync(join(tmpdir(), 'onnx-lens-anatomy-'));
    try {
      cpSync(folder, changed, { recursive: true });
      renameSync(join(changed, 'model.onnx'), join(changed, 'weights.bin'));
      const model = readModel(join(folder, 'model.onnx'));
      const nodes = model.graph.nodes.map((node) =>
        node.opType === 'Erf' ? newNode('Sin', node.inputs, node.outputs) : node,
      );
      writeFileSync(
        join(changed, 'model.onnx'),
        encodeModel({ ...model, graph: { ...model.graph, nodes } }, 'weights.bin'),
      );
      const tracer = new Tracer(await describeModel({ id: 'changed', folder: changed }), SETTINGS);
      const { hooks, layers, heads, norm } = await tracer.anatomy();
      assert.deepEqual([layers, heads, norm], [3, 4, 'post']);
      const pattern = 'blocks.0.attn.hook_pattern';
      const trace = await tracer.trace([{ ids: Int32Array.of(2, 9, 17, 3) }], [pattern, 'blocks.2.attn.hook_z']);
      assert.deepEqual(trace.get(pattern)?.dims, [1, 4, 4, 4]);
      for (const hook of ['mlp.hook_pre', 'mlp.hook_post', 'hook_mlp_out', 'hook_resid_post'])
        assert.match(hooks.missing.get(`blocks.1.${hook}`) ?? '', /feed-forward network was not found/);
      await tracer.release();
    } finally {
      rmSync(changed, { recursive: true, force: true });
    }
  });
});
