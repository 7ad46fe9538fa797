/** Runs that begin at a block: with the stream of a plain run they give the numbers of a plain run, whatever the tokens below. */
import assert from 'node:assert/strict';
import { describeModel } from '../../extension/engine/session/describe';
import type { Activation, Intervention, Trace } from '../../extension/engine/session/internals';
import { Tracer } from '../../extension/engine/session/tracer';
import { LensError } from '../../extension/protocol/errors';
import { fixture, fixtureNames, SETTINGS } from '../support/fixtures';

const IDS = [Int32Array.of(2, 9, 17, 33, 5, 3), Int32Array.of(2, 40, 8, 21, 12, 3)] as const;
const row = (ids: Int32Array): { ids: Int32Array } => ({ ids });
/** Of each tensor's largest number. */
const TOLERANCE = 1e-6;
/** 16-bit activations move in steps where the runtime fuses the rest otherwise. */
const ROUGH: Readonly<Record<string, number>> = { 'bert-fp16': 2e-3 };

const get = (trace: Trace, hook: string): Activation => trace.get(hook) as Activation;

function assertSame(actual: Trace, expected: Trace, tolerance: number): void {
  assert.deepEqual([...actual.keys()], [...expected.keys()]);
  for (const [hook, { dims, data }] of expected) {
    const other = get(actual, hook);
    assert.deepEqual(other.dims, dims, hook);
    const scale = data.reduce((most, value) => (Math.abs(value) < 1e30 ? Math.max(most, Math.abs(value)) : most), 1e-9);
    const bad = data.findIndex((value, index) => {
      const difference = Math.abs(value - (other.data[index] as number));
      return !(difference <= tolerance * scale || value === other.data[index]);
    });
    assert.equal(bad, -1, `${hook}: ${other.data[bad]}, not ${data[bad]}`);
  }
}

describe('runs from a block on', function () {
  this.timeout(60_000);

  for (const name of fixtureNames)
    it(`${name}: equal the plain run in every hook above, with and without interventions`, async () => {
      const tracer = new Tracer(await describeModel(fixture(name)), SETTINGS);
      const tolerance = ROUGH[name] ?? TOLERANCE;
      try {
        const { hooks, layers, heads } = await tracer.anatomy();
        const layer = layers - 1;
        const start = `blocks.${layer}.hook_resid_pre`;
        const above = [...hooks.sites.keys()].filter(
          (hook) => !hook.startsWith('blocks.') || hook.startsWith(`blocks.${layer}.`),
        );
        const wanted = above.filter((hook) => hook !== 'hook_embed' && !hook.startsWith('present'));
        const plain = await tracer.trace([row(IDS[0])], wanted);
        // The other text's tokens: nothing below the block may reach a result.
        assertSame(await tracer.traceFrom(layer, get(plain, start), [row(IDS[1])], wanted), plain, tolerance);
        const off: Intervention = {
          hook: `blocks.${layer}.attn.hook_z`,
          scale: {
            dims: [1, 1, heads as number, 1],
            data: Float32Array.from({ length: heads as number }, (_, head) => Number(head !== 1)),
          },
        };
        const changed = await tracer.trace([row(IDS[0]), row(IDS[0])], wanted, [off]);
        const resumed = await tracer.traceFrom(layer, get(plain, start), [row(IDS[1]), row(IDS[1])], wanted, [off]);
        assertSame(resumed, changed, tolerance);
      } finally {
        await tracer.release();
      }
    });

  it('begin at the embeddings, and refuse a block that is not there and a stream that does not fit', async () => {
    const tracer = new Tracer(await describeModel(fixture('gpt2')), SETTINGS);
    try {
      const plain = await tracer.trace([row(IDS[0])], ['hook_embed', 'unembed.logits']);
      const again = await tracer.traceFrom(
        0,
        get(plain, 'hook_embed'),
        [row(IDS[1])],
        ['hook_embed', 'unembed.logits'],
      );
      assertSame(again, plain, TOLERANCE);
      await assert.rejects(
        tracer.traceFrom(3, get(plain, 'hook_embed'), [row(IDS[0])], ['unembed.logits']),
        (thrown) => thrown instanceof LensError && thrown.code === 'model-unsupported',
      );
      await assert.rejects(
        tracer.traceFrom(0, { dims: [1, 6, 3], data: new Float32Array(18) }, [row(IDS[0])], ['unembed.logits']),
        (thrown) => thrown instanceof LensError && thrown.code === 'bad-input',
      );
    } finally {
      await tracer.release();
    }
  });

  for (const lowMemory of [false, true])
    it(`begin at one block after the other, with sessions that come and go${lowMemory ? ' (low memory)' : ''}`, async () => {
      const tracer = new Tracer(await describeModel(fixture('bert')), { ...SETTINGS, lowMemory });
      try {
        const streams = [0, 1, 2].map((layer) => `blocks.${layer}.hook_resid_pre`);
        const plain = await tracer.trace([row(IDS[0])], [...streams, 'unembed.logits']);
        for (const layer of [0, 1, 2, 1, 0, 2]) {
          const resid = get(plain, streams[layer] as string);
          const resumed = await tracer.traceFrom(layer, resid, [row(IDS[1])], ['unembed.logits']);
          assertSame(resumed, new Map([['unembed.logits', get(plain, 'unembed.logits')]]), TOLERANCE);
        }
      } finally {
        await tracer.release();
      }
    });
});
