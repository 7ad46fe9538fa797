/** Parts of hooks equal those of the whole, and a batch in several runs equals the batch. */
import assert from 'node:assert/strict';
import type { Site } from '../../extension/engine/anatomy/hooks';
import { describeModel } from '../../extension/engine/session/describe';
import type { Activation, Intervention, Part, Trace } from '../../extension/engine/session/internals';
import { planReads } from '../../extension/engine/session/parts';
import { Tracer } from '../../extension/engine/session/tracer';
import { LensError } from '../../extension/protocol/errors';
import { fixture, SETTINGS } from '../support/fixtures';

/** Post-norm, fused columns on flattened rows, grouped heads, fused operators, float16, 3-D attention, Einsum, interleaved heads. */
const NAMES = [
  'bert',
  'gpt2',
  'llama',
  'bert-ort-fused',
  'bert-fp16',
  'deberta-v2-ts',
  'bert-einsum',
  'gpt-neox-ts',
  'llama-gqa-packed',
];
const ROWS = [
  [2, 9, 17, 33, 5, 3],
  [2, 40, 3],
  [2, 8, 21, 12, 3],
].map((ids) => ({ ids: Int32Array.from(ids) }));
const PARTS: readonly Part[] = [
  { heads: [1] },
  { positions: [4, 0, 2] },
  { heads: [1, 0], positions: [3] },
  { mean: 'heads' },
  { heads: [1, 0], positions: [1, 5], mean: 'heads' },
  { top: 3 },
  { top: 3, end: 'smallest' },
  { heads: [1], positions: [4, 0], top: 2 },
  { mean: 'heads', top: 100 },
];

const get = (trace: Trace, hook: string): Activation => trace.get(hook) as Activation;

/** By the definition, element by element; `top` by sorting all. */
function expected(activation: Activation, isPairs: boolean, part: Part): Activation {
  const { top, end } = part;
  const sign = end === 'smallest' ? -1 : 1;
  const all = elements(activation, isPairs, part);
  if (top === undefined) return all;
  const size = all.dims.at(-1) as number;
  const rows = Array.from({ length: all.data.length / size }, (_, row) =>
    [...all.data.subarray(row * size, (row + 1) * size)].sort((one, other) => sign * (other - one)).slice(0, top),
  );
  return { dims: [...all.dims.slice(0, -1), Math.min(size, top)], data: Float32Array.from(rows.flat()) };
}

/** Each of the largest stands where its index says, and no two are the same. */
function assertPlaces({ data, indices = new Int32Array(0), dims }: Activation, all: Activation, title: string): void {
  assert.equal(indices.length, data.length, title);
  const [count, size] = [dims.at(-1) as number, all.dims.at(-1) as number];
  for (let row = 0; row * count < data.length; row++) {
    const own = indices.subarray(row * count, (row + 1) * count);
    assert.equal(new Set(own).size, count, `${title}: different places`);
    const there = Float32Array.from(own, (index) => all.data[row * size + index] as number);
    assertClose(
      { dims: [count], data: data.subarray(row * count, (row + 1) * count) },
      { dims: [count], data: there },
      title,
      2e-3,
    );
  }
}

function elements({ dims, data }: Activation, isPairs: boolean, { heads, positions, mean }: Part): Activation {
  const [headAxis, tokenAxis] = isPairs ? [1, 2] : [2, 1];
  const all = (axis: number): number[] => Array.from({ length: dims[axis] ?? 1 }, (_, index) => index);
  const axes = dims.map((_, axis) =>
    axis === headAxis && heads !== undefined
      ? heads
      : axis === tokenAxis && positions !== undefined
        ? positions
        : all(axis),
  );
  const at = (indices: readonly number[]): number =>
    data[indices.reduce((flat, index, axis) => flat * (dims[axis] as number) + index, 0)] as number;
  const visit = (axis: number, indices: number[]): number[] => {
    const own = axes[axis];
    if (own === undefined) return [at(indices)];
    if (axis !== headAxis || mean === undefined) return own.flatMap((index) => visit(axis + 1, [...indices, index]));
    const each = own.map((index) => visit(axis + 1, [...indices, index]));
    return (each[0] as number[]).map(
      (_, place) => each.reduce((sum, list) => sum + (list[place] as number), 0) / own.length,
    );
  };
  return {
    dims: axes.map((own, axis) => (axis === headAxis && mean !== undefined ? 1 : own.length)),
    data: Float32Array.from(visit(0, [])),
  };
}

function assertClose(actual: Activation, wanted: Activation, title: string, tolerance = 1e-6): void {
  assert.deepEqual([...actual.dims], [...wanted.dims], title);
  const scale = wanted.data.reduce(
    (most, value) => (Math.abs(value) < 1e30 ? Math.max(most, Math.abs(value)) : most),
    1,
  );
  wanted.data.forEach((value, index) => {
    const difference = Math.abs(value - (actual.data[index] as number));
    assert.ok(
      value < -1e29 || difference <= tolerance * scale,
      `${title} [${index}]: ${actual.data[index]}, not ${value}`,
    );
  });
}

describe('parts of hooks', function () {
  this.timeout(60_000);

  for (const name of NAMES)
    it(`${name}: heads, positions and means are those of the whole`, async () => {
      const tracer = new Tracer(await describeModel(fixture(name)), SETTINGS);
      try {
        const { hooks } = await tracer.anatomy();
        const inside = [...hooks.sites].filter(([hook]) => /^(blocks\.1\.|unembed|hook_embed)/.test(hook));
        const names = inside.map(([hook]) => hook);
        const whole = await tracer.trace(ROWS, names);
        for (const part of PARTS) {
          const able = inside.filter(
            ([, { layout }]) =>
              layout.kind === 'pairs' ||
              (layout.kind === 'tokens' && (layout.rest.length === 2 || (part.heads ?? part.mean) === undefined)),
          );
          const parts = new Map(able.map(([hook]) => [hook, part]));
          const trace = await tracer.trace(ROWS, names, [], { parts });
          for (const [hook, { layout }] of able)
            assertClose(
              get(trace, hook),
              expected(get(whole, hook), layout.kind === 'pairs', part),
              `${hook} ${JSON.stringify(part)}`,
              // A mean of 16-bit numbers is taken in float32.
              name === 'bert-fp16' ? 2e-3 : 2e-6,
            );
          if (part.top === undefined) continue;
          for (const [hook, { layout }] of able)
            assertPlaces(
              get(trace, hook),
              elements(get(whole, hook), layout.kind === 'pairs', part),
              `${hook} ${JSON.stringify(part)}`,
            );
        }
        const stream = 'blocks.1.hook_resid_pre';
        for (const part of [{ heads: [0] }, { positions: [6] }, { positions: [-1] }, { top: 0 }] as Part[])
          await assert.rejects(
            tracer.trace(ROWS, [stream], [], { parts: new Map([[stream, part]]) }),
            (thrown) => thrown instanceof LensError && thrown.code === 'bad-input',
          );
      } finally {
        await tracer.release();
      }
    });

  it('the largest are found inside the graph where its tensors have the axes for it', async () => {
    const { anatomy } = await describeModel(fixture('bert'));
    const ofGraph = (hook: string): boolean => {
      const sites = new Map([[hook, anatomy.hooks.sites.get(hook) as Site]]);
      return planReads(anatomy.subject, sites, new Map([[hook, { top: 3 }]]))[0]?.plan?.pick.end === 'largest';
    };
    for (const hook of ['unembed.logits', 'blocks.0.attn.hook_pattern', 'blocks.0.mlp.hook_post'])
      assert.ok(ofGraph(hook), hook);
  });

  it('two parts of one tensor are each their own', async () => {
    const tracer = new Tracer(await describeModel(fixture('gpt2')), SETTINGS);
    const [after, before] = ['blocks.0.hook_resid_post', 'blocks.1.hook_resid_pre'] as const;
    const parts = new Map([
      [after, { positions: [1] }],
      [before, { positions: [4] }],
    ]);
    const whole = get(await tracer.trace(ROWS, [before]), before);
    const trace = await tracer.trace(ROWS, [after, before], [], { parts });
    assertClose(get(trace, after), expected(whole, false, { positions: [1] }), after);
    assertClose(get(trace, before), expected(whole, false, { positions: [4] }), before);
    await tracer.release();
  });
});

describe('batches', function () {
  this.timeout(60_000);

  for (const name of ['bert', 'gpt2', 'bert-classifier'])
    it(`${name}: a batch in runs of one row is the batch, with interventions and from a block on`, async () => {
      const description = await describeModel(fixture(name));
      const [whole, single] = [new Tracer(description, SETTINGS), new Tracer(description, SETTINGS, 1)];
      try {
        const { hooks, heads } = await whole.anatomy();
        const count = heads as number;
        const names = [...hooks.sites.keys()].filter((hook) => !hook.startsWith('present'));
        // Another head off in each row, and another part of the pattern of each.
        const off: Intervention = {
          hook: 'blocks.1.attn.hook_z',
          scale: {
            dims: [3, 1, count, 1],
            data: Float32Array.from({ length: 3 * count }, (_, at) => Number(at % count !== Math.floor(at / count))),
          },
        };
        const edges: Intervention = {
          hook: 'blocks.2.attn.hook_pattern',
          scale: { dims: [3, 1, 6, 6], data: Float32Array.from({ length: 108 }, (_, at) => (at % 7) / 7) },
        };
        const compare = (one: Trace, other: Trace): void => {
          for (const hook of names) {
            const { dims, data } = get(one, hook);
            const wanted = get(other, hook);
            assert.deepEqual([...dims], [...wanted.dims], hook);
            for (const [row, { ids }] of ROWS.entries()) {
              const isPairs = hooks.sites.get(hook)?.layout.kind === 'pairs';
              const isTokens = dims.length > 2;
              const tokens = isTokens ? ids.length : 1;
              const first = (activation: Activation): number[] => {
                const part = { positions: Array.from({ length: tokens }, (_, index) => index) };
                const size = activation.data.length / ROWS.length;
                const own = {
                  dims: [1, ...dims.slice(1)],
                  data: activation.data.subarray(row * size, (row + 1) * size),
                };
                const cut = isTokens ? expected(own, isPairs, part) : own;
                // Keys that are padding are masked, in runs of their own they are not there.
                return [...cut.data].filter((_, index) => !isPairs || index % 6 < tokens);
              };
              const actual = first({ dims, data });
              first(wanted).forEach((value, index) => {
                const difference = Math.abs(value - (actual[index] as number));
                assert.ok(difference < 2e-5 || value < -1e29, `${hook} row ${row} [${index}] ${difference}`);
              });
            }
          }
        };
        compare(await single.trace(ROWS, names, [off, edges]), await whole.trace(ROWS, names, [off, edges]));
        const pattern = 'blocks.1.attn.hook_pattern';
        const parts = new Map([[pattern, { heads: [1], positions: [4] }]]);
        const [one, all] = [single, whole].map((tracer) => tracer.trace(ROWS, [pattern], [off], { parts }));
        const [own, theirs] = [get((await one) as Trace, pattern), get((await all) as Trace, pattern)];
        assert.deepEqual([...own.dims], [3, 1, 1, 6]);
        // Of the first text, the only one with a fifth token that is no padding.
        assertClose(
          { dims: [6], data: own.data.subarray(0, 6) },
          { dims: [6], data: theirs.data.subarray(0, 6) },
          pattern,
          2e-5,
        );
        const largest = { parts: new Map([[pattern, { top: 2 }]]) };
        const apart = get(await single.trace(ROWS, [pattern], [], largest), pattern);
        const together = get(await whole.trace(ROWS, [pattern], [], largest), pattern);
        assert.deepEqual([...(apart.indices ?? [])].slice(0, 24), [...(together.indices ?? [])].slice(0, 24));
        assertClose(apart, { dims: [3, count, 6, 2], data: apart.data }, pattern);
        // The second text ends after three tokens.
        assert.equal(apart.indices?.at(count * 6 * 2 + 3 * 2), -1);
        const two: Intervention = {
          hook: 'blocks.1.attn.hook_z',
          scale: { dims: [2, 1, 1, 1], data: Float32Array.of(1, 0) },
        };
        await assert.rejects(
          single.trace(ROWS, names, [two]),
          (thrown) => thrown instanceof LensError && thrown.code === 'bad-input',
        );
        const resid = get(await whole.trace(ROWS, ['blocks.1.hook_resid_pre']), 'blocks.1.hook_resid_pre');
        compare(
          await single.traceFrom(1, resid, ROWS, names, [off]),
          await whole.traceFrom(1, resid, ROWS, names, [off]),
        );
      } finally {
        await whole.release();
        await single.release();
      }
    });
});
