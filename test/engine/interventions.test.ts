/** Gates: open ones change nothing, and what they do to a run follows from what they are. (PyTorch's results: verify.test.ts.) */
import assert from 'node:assert/strict';
import { describeModel } from '../../extension/engine/session/describe';
import type { Activation, Intervention } from '../../extension/engine/session/internals';
import { Tracer } from '../../extension/engine/session/tracer';
import { LensError } from '../../extension/protocol/errors';
import { fixture, SETTINGS } from '../support/fixtures';

/** Post-norm, pre-norm on flattened rows, grouped heads, a fused graph, float16, fused products in one. */
const NAMES = [
  'bert',
  'gpt2',
  'llama',
  'bert-ort-fused',
  'bert-fp16',
  'llama-gqa-packed',
  'deberta-v2-ts',
  'bert-einsum',
];
const IDS = [Int32Array.of(2, 9, 17, 33, 5, 3), Int32Array.of(2, 40, 8, 21, 12, 3)];
const rows = (...ids: Int32Array[]): { ids: Int32Array }[] => ids.map((each) => ({ ids: each }));

async function open(name: string): Promise<Tracer> {
  return new Tracer(await describeModel(fixture(name)), SETTINGS);
}

function worst(a: Activation, b: Activation): number {
  assert.deepEqual(a.dims, b.dims);
  return a.data.reduce((most, value, index) => Math.max(most, Math.abs(value - (b.data[index] as number))), 0);
}

const LOGITS = 'unembed.logits';
/** float16 results move in steps. */
const tolerance = (name: string): number => (name === 'bert-fp16' ? 2e-2 : 2e-5);

describe('interventions', function () {
  this.timeout(60_000);

  for (const name of NAMES)
    describe(name, () => {
      let tracer: Tracer;
      let plain: Activation;
      const logits = async (ids: Int32Array[], changes: Intervention[]): Promise<Activation> =>
        (await tracer.trace(rows(...ids), [LOGITS], changes)).get(LOGITS) as Activation;
      before(async () => {
        tracer = await open(name);
        plain = await logits([IDS[0] as Int32Array], []);
      });
      after(() => tracer.release());

      it('open gates at every hook that can be changed leave the logits as they are', async () => {
        const { hooks, layers } = await tracer.anatomy();
        const kinds = ['hook_resid_pre', 'attn.hook_z', 'mlp.hook_post', 'hook_attn_out', 'hook_mlp_out'];
        const changes = Array.from({ length: layers }, (_, layer) => kinds.map((kind) => `blocks.${layer}.${kind}`))
          .flat()
          .map((hook): Intervention => {
            const layout = hooks.sites.get(hook)?.layout;
            assert.equal(layout?.kind, 'tokens');
            const rest = layout?.kind === 'tokens' ? layout.rest.length : 0;
            return { hook, scale: { dims: new Array<number>(2 + rest).fill(1), data: Float32Array.of(1) } };
          });
        // Fused norms taken apart round otherwise in the last place; graphs without them are the same bit by bit.
        const scale = Math.max(1, ...plain.data.map(Math.abs));
        assert.ok(worst(await logits([IDS[0] as Int32Array], changes), plain) <= 1e-6 * scale);
      });

      it('a head without its pattern is a head without its output', async () => {
        const { heads, subject, hooks } = await tracer.anatomy();
        const pattern = 'blocks.1.attn.hook_pattern';
        if (subject.values.get(hooks.sites.get(pattern)?.value ?? '')?.dims.length !== 4)
          return assert.rejects(
            logits(
              [IDS[0] as Int32Array],
              [{ hook: pattern, scale: { dims: [1, 1, 1, 1], data: Float32Array.of(0) } }],
            ),
            (thrown) => thrown instanceof LensError && thrown.code === 'model-unsupported',
          );
        const off = Float32Array.from({ length: heads ?? 0 }, (_, head) => Number(head !== 2));
        const byPattern = await logits(
          [IDS[0] as Int32Array],
          [{ hook: pattern, scale: { dims: [1, off.length, 1, 1], data: off } }],
        );
        const byOutput = await logits(
          [IDS[0] as Int32Array],
          [{ hook: 'blocks.1.attn.hook_z', scale: { dims: [1, 1, off.length, 1], data: off } }],
        );
        assert.ok(worst(byPattern, byOutput) <= tolerance(name));
        assert.ok(worst(byOutput, plain) > 1e-3);
      });

      it('the stream of another text, put in its place, gives that text’s logits', async () => {
        const hook = 'blocks.2.hook_resid_pre';
        const [first, second] = IDS as [Int32Array, Int32Array];
        const other = await tracer.trace(rows(second), [hook, LOGITS]);
        const changed = await logits(
          [first],
          [{ hook, scale: { dims: [1, 1, 1], data: Float32Array.of(0) }, offset: other.get(hook) as Activation }],
        );
        assert.ok(worst(changed, other.get(LOGITS) as Activation) <= tolerance(name));
      });

      it('each row of a batch has its own', async () => {
        const { ffnWidth } = await tracer.anatomy();
        const hook = 'blocks.0.mlp.hook_post';
        const width = ffnWidth ?? 0;
        const neuron = (index: number): Float32Array =>
          Float32Array.from({ length: width }, (_, at) => (at === index ? 3 : 1));
        const ids = IDS[0] as Int32Array;
        const both = new Float32Array([...neuron(4), ...neuron(7)]);
        const together = await logits([ids, ids], [{ hook, scale: { dims: [2, 1, width], data: both } }]);
        const alone = [];
        for (const index of [4, 7])
          alone.push(await logits([ids], [{ hook, scale: { dims: [1, 1, width], data: neuron(index) } }]));
        const joined = Float32Array.from(alone.flatMap(({ data }) => [...data]));
        assert.ok(worst(together, { dims: together.dims, data: joined }) <= tolerance(name));
      });

      it('refuses what does not fit, and two at one place', async () => {
        const hook = 'blocks.0.hook_resid_pre';
        const wrong: Intervention = { hook, scale: { dims: [1, 1, 5], data: new Float32Array(5) } };
        const right: Intervention = { hook, scale: { dims: [1, 1, 1], data: Float32Array.of(2) } };
        for (const changes of [[wrong], [right, right]])
          await assert.rejects(
            logits([IDS[0] as Int32Array], changes),
            (thrown) => thrown instanceof LensError && thrown.code === 'bad-input',
          );
      });
    });
});
