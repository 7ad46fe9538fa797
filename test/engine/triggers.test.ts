/** Triggers and similar memories: PyTorch's activations in every fixture, and what PyTorch and NumPy find in a corpus. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { similarMemories } from '../../extension/engine/analysis/ffn/similarMemories';
import { triggers } from '../../extension/engine/analysis/ffn/triggers';
import { mergeTriggersStates, triggersResult } from '../../extension/engine/analysis/ffn/triggersState';
import { openModel, type OrtModel } from '../../extension/engine/session/ortModel';
import { LensError, type LensErrorCode } from '../../extension/protocol/errors';
import {
  ACTIVE_THRESHOLD,
  type TriggersParams,
  type TriggersResult,
  type TriggersState,
} from '../../extension/protocol/ffn';
import { quiet } from '../support/fakeModel';
import { BUNDLED, fixture, fixtureNames, reference, SETTINGS } from '../support/fixtures';

type Params = Omit<TriggersParams, 'model'>;

const open = (name: string): Promise<OrtModel> => openModel(fixture(name), SETTINGS, () => undefined, 'later');
const fails = (code: LensErrorCode) => (thrown: unknown) => thrown instanceof LensError && thrown.code === code;
const CORPUS = { name: 'corpus.tsv', file: resolve('test/fixtures/ffn/corpus.tsv') };
const scan = (model: OrtModel, params: Partial<Params> & Pick<Params, 'neurons'>): Promise<TriggersResult> =>
  triggers(model, { sources: [CORPUS], topK: 3, threshold: ACTIVE_THRESHOLD, ...params }, quiet());
/** As a file holds it. */
const saved = (state: TriggersState): TriggersState =>
  JSON.parse(
    JSON.stringify(state, (_key, value: unknown) =>
      ArrayBuffer.isView(value) ? Array.from(value as unknown as ArrayLike<number>) : value,
    ),
  ) as TriggersState;
const close = (found: number, expected: number, tolerance: number, what: string): void =>
  assert.ok(Math.abs(found - expected) < tolerance, `${what}: ${found}, not ${expected}`);

interface Expected {
  threshold: number;
  triggers: {
    layer: number;
    neuron: number;
    largest: [number, number, number][];
    smallest: [number, number, number][];
    tokens: number;
    min: number;
    max: number;
    mean: number;
    deviation: number;
    positive: number;
    active: number;
    width: number;
    first: number;
    counts: number[];
  }[];
  similar: {
    layer: number;
    neuron: number;
    keys: [number, number, number][];
    values: [number, number, number][];
    keyValue: number;
  }[];
}
const expected = (): Expected => JSON.parse(readFileSync('test/fixtures/ffn/bert-base-cased.json', 'utf8')) as Expected;

describe('triggers', function () {
  this.timeout(120_000);

  for (const name of fixtureNames)
    it(`${name}: activations of the asked neurons are PyTorch's, at every token`, async () => {
      const { meta, tensors } = reference(name);
      const [text] = meta.cases[0]?.text as [string];
      const tolerance = 5 * (meta.tolerance.internal ?? meta.tolerance.default);
      const model = await open(name);
      try {
        const neurons = [0, meta.layers - 1].flatMap((layer) => [
          { layer, neuron: meta.d_ffn - 1 },
          { layer, neuron: 3 },
        ]);
        const { neurons: found, state } = await scan(model, { neurons, sources: [{ name: 'a.tsv', text }] });
        assert.equal(state.sentences, 1);
        for (const [index, { layer, neuron, largest, smallest, distribution }] of found.entries()) {
          assert.deepEqual({ layer, neuron }, neurons[index]);
          const [first] = largest;
          assert.ok(first !== undefined);
          const pytorch = tensors.get(`a/blocks.${layer}.mlp.hook_post`)?.data as Float32Array;
          assert.equal(first.activations.length, pytorch.length / meta.d_ffn);
          first.activations.forEach((m, token) => {
            close(m, pytorch[token * meta.d_ffn + neuron] as number, tolerance, `${layer}.${neuron} at ${token}`);
          });
          const content = [...first.activations].filter((_, token) => first.tokens[token]?.range !== null);
          assert.equal(first.activation, Math.max(...content));
          assert.equal(smallest[0]?.activation, Math.min(...content));
          assert.deepEqual(first.range, first.tokens[first.token]?.range);
          assert.equal(distribution.tokens, content.length);
          assert.deepEqual([distribution.min, distribution.max], [smallest[0]?.activation, first.activation]);
        }
      } finally {
        await model.release();
      }
    });

  it('the bundled model: texts, tokens and distributions are those of PyTorch and NumPy', async () => {
    const { threshold, triggers: all } = expected();
    const model = await openModel(BUNDLED, SETTINGS, () => undefined, 'later');
    try {
      const { neurons } = await scan(model, {
        neurons: all.map(({ layer, neuron }) => ({ layer, neuron })),
        threshold,
      });
      for (const [index, own] of neurons.entries()) {
        const other = all[index] as Expected['triggers'][number];
        const name = `${other.layer}.${other.neuron}`;
        for (const end of ['largest', 'smallest'] as const) {
          assert.deepEqual(
            own[end].map((text) => [text.index, text.token]),
            other[end].map(([text, token]) => [text, token]),
            name,
          );
          for (const [rank, text] of own[end].entries()) {
            close(text.activation, other[end][rank]?.[2] as number, 1e-3, name);
            assert.equal(text.line, text.index + 1);
            assert.equal(text.column, text.range.start);
          }
        }
        const { distribution } = own;
        for (const what of ['min', 'max', 'mean', 'deviation'] as const)
          close(distribution[what], other[what], 1e-3, `${name} ${what}`);
        // An activation beside the edge may be rounded to the other side.
        for (const what of ['positive', 'active'] as const)
          close(distribution[what], other[what], 1.5 / other.tokens, `${name} ${what}`);
        assert.equal(distribution.tokens, other.tokens);
        const { width, first, counts } = distribution.histogram;
        const bins = new Float64Array(other.counts.length);
        counts.forEach((count, bin) => {
          const at = Math.floor(((first + bin) * width) / other.width) - other.first;
          bins[at] = (bins[at] as number) + count;
        });
        bins.forEach((count, bin) => close(count, other.counts[bin] as number, 1.5, `${name} bin ${bin}`));
      }
    } finally {
      await model.release();
    }
  });

  it('shards, and a scan that was stopped and goes on, find what one scan finds', async () => {
    const model = await open('bert');
    const neurons = [
      { layer: 1, neuron: 5 },
      { layer: 2, neuron: 70 },
    ];
    const sources = [CORPUS, { name: 'more.md', text: 'One line.\nAnother one. And a third.\n\n\nThe end.' }];
    const without = ({ state, neurons: found }: TriggersResult): unknown => [
      { ...state, done: [], neurons: state.neurons.map(({ sums: _, ...each }) => each) },
      found.map(({ distribution: { mean, deviation, ...rest }, ...each }) => {
        // Sums depend on the order in the last digits.
        return [each, rest, mean.toFixed(5), deviation.toFixed(5)];
      }),
    ];
    try {
      const whole = await scan(model, { neurons, sources });
      assert.equal(whole.state.sentences, 40);
      assert.deepEqual(whole.state.done, [{ index: 0, of: 1, next: 40 }]);
      const parts: TriggersState[] = [];
      for (const index of [2, 0, 1])
        parts.push((await scan(model, { neurons, sources, shard: { index, of: 3 } })).state);
      const merged = parts.map(saved).reduce(mergeTriggersStates);
      assert.deepEqual(without(triggersResult(merged, 0)), without(whole));
      assert.throws(() => mergeTriggersStates(merged, parts[0] as TriggersState), fails('bad-input'));

      const begun = await scan(model, { neurons, sources, limit: 17 });
      assert.deepEqual(begun.state.done, [{ index: 0, of: 1, next: 17 }]);
      const rest = await scan(model, { neurons, sources, resume: saved(begun.state) });
      assert.deepEqual(without(rest), without(whole));
      // Done already.
      const again = await scan(model, { neurons, sources, resume: saved(rest.state) });
      assert.deepEqual(without(again), without(whole));
      // Of a shard of its own nothing is left; of another one that overlaps, nobody can say.
      await assert.rejects(
        scan(model, { neurons, sources, shard: { index: 0, of: 2 }, resume: begun.state }),
        fails('bad-input'),
      );

      const others: Partial<Params>[] = [
        { topK: 4 },
        { threshold: 1 },
        { neurons: [...neurons].reverse() },
        { sources: [CORPUS] },
      ];
      for (const other of others)
        await assert.rejects(scan(model, { neurons, sources, ...other, resume: begun.state }), fails('bad-input'));
      for (const damage of [
        { done: [{ index: 3, of: 2, next: 1 }] },
        { neurons: [{}] },
        { tokens: -1 },
        { skipped: null },
        { neurons: begun.state.neurons.map((each) => ({ ...each, histogram: { exponent: 1 } })) },
      ])
        await assert.rejects(
          scan(model, { neurons, sources, resume: { ...begun.state, ...damage } as unknown as TriggersState }),
          fails('bad-input'),
        );
    } finally {
      await model.release();
    }
  });

  it('tells what it left out, hears a cancel, and refuses what is not there', async () => {
    const model = await open('bert');
    const neurons = [{ layer: 0, neuron: 0 }];
    try {
      const { state } = await scan(model, {
        neurons,
        sources: [{ name: 'gone.txt', file: '/nowhere/gone.txt' }, CORPUS],
      });
      assert.deepEqual(state.skipped, [{ name: 'gone.txt', why: 'there is no such file' }]);
      const wrong: (Partial<Params> & Pick<Params, 'neurons'>)[] = [
        { neurons: [] },
        { neurons: [...neurons, ...neurons] },
        { neurons: [{ layer: 3, neuron: 0 }] },
        { neurons: [{ layer: 0, neuron: 80 }] },
        { neurons, sources: [] },
        { neurons, sources: [{ name: 'blank.txt', text: ' \n\n' }] },
      ];
      for (const params of wrong) await assert.rejects(scan(model, params), fails('bad-input'));
      const controller = new AbortController();
      controller.abort();
      await assert.rejects(
        triggers(
          model,
          { neurons, sources: [CORPUS], topK: 1, threshold: 0 },
          { signal: controller.signal, progress: () => undefined },
        ),
        fails('cancelled'),
      );
    } finally {
      await model.release();
    }
  });
});

describe('similar memories', function () {
  this.timeout(120_000);

  it('the bundled model: the nearest keys and values are NumPy’s', async () => {
    const model = await openModel(BUNDLED, SETTINGS, () => undefined, 'later');
    try {
      for (const { layer, neuron, keys, values, keyValue } of expected().similar) {
        const found = await similarMemories(model, { layer, neuron, topK: 5 }, quiet());
        assert.equal(found.linear, null);
        close(found.keyValue as number, keyValue, 1e-5, 'key and value');
        for (const [own, other] of [
          [found.keys, keys],
          [found.values, values],
        ] as const) {
          assert.deepEqual(
            own?.map((each) => [each.layer, each.neuron]),
            other.map(([l, n]) => [l, n]),
          );
          own?.forEach(({ cosine }, rank) => close(cosine, other[rank]?.[2] as number, 1e-5, `${layer}.${neuron}`));
        }
      }
    } finally {
      await model.release();
    }
  });

  it('a gated network has two factors, and layers that share their weights the same memories', async () => {
    const [llama, albert] = [await open('llama'), await open('albert')];
    try {
      const gated = await similarMemories(llama, { layer: 1, neuron: 4, topK: 3 }, quiet());
      const [gate, up, down] = await Promise.all(
        ['W_gate', 'W_in', 'W_out'].map((name) => llama.weight(`blocks.1.mlp.${name}`)),
      );
      const column = ({ dims, data }: { dims: readonly number[]; data: Float32Array }, at: number): number[] =>
        Array.from({ length: dims[0] as number }, (_, row) => data[row * (dims[1] as number) + at] as number);
      const cosine = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
        let [ab, aa, bb] = [0, 0, 0];
        for (let at = 0; at < a.length; at++) {
          ab += (a[at] as number) * (b[at] as number);
          aa += (a[at] as number) ** 2;
          bb += (b[at] as number) ** 2;
        }
        return ab / Math.sqrt(aa * bb);
      };
      assert.ok(gate !== undefined && up !== undefined && down !== undefined);
      for (const [list, weight] of [
        [gated.keys, gate],
        [gated.linear, up],
      ] as const) {
        const own = list?.find((each) => each.layer === 1);
        if (own !== undefined) close(own.cosine, cosine(column(weight, 4), column(weight, own.neuron)), 1e-5, 'gated');
      }
      const width = down.dims[1] as number;
      const value = down.data.slice(4 * width, 5 * width);
      close(gated.keyValue as number, cosine(column(gate, 4), value), 1e-5, 'key and value');

      const { keys, values } = await similarMemories(albert, { layer: 1, neuron: 4, topK: 2 }, quiet());
      for (const list of [keys, values]) {
        assert.deepEqual(
          list?.map(({ layer, neuron }) => [layer, neuron]),
          [
            [0, 4],
            [2, 4],
          ],
        );
        for (const { cosine: own } of list ?? []) close(own, 1, 1e-6, 'the same');
      }
      await assert.rejects(similarMemories(llama, { layer: 0, neuron: 1e5, topK: 1 }, quiet()), fails('bad-input'));
    } finally {
      await llama.release();
      await albert.release();
    }
  });
});
