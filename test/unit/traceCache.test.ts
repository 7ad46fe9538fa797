import assert from 'node:assert/strict';
import type { Activation, Intervention } from '../../extension/engine/session/internals';
import type { InputRow } from '../../extension/engine/session/languageModel';
import { TraceCache } from '../../extension/engine/session/traceCache';

type Model = Parameters<TraceCache['over']>[0];

/** Counts its runs; a hook is as many numbers as the run has tokens. */
function counting(failures = 0): { model: Model; runs: string[][]; weights: string[] } {
  const runs: string[][] = [];
  const weights: string[] = [];
  let failing = failures;
  const numbers = (length: number): Activation => ({
    dims: [length],
    data: new Float32Array(length).fill(runs.length),
  });
  const model = {
    trace: async (rows: readonly InputRow[], hooks: readonly string[]) => {
      runs.push([...hooks]);
      if (failing-- > 0) throw new Error('out of order');
      return new Map(hooks.map((hook) => [hook, numbers(rows[0]?.ids.length ?? 0)]));
    },
    weight: async (name: string) => {
      weights.push(name);
      return numbers(4);
    },
  };
  return { model: model as unknown as Model, runs, weights };
}
const row = (...ids: number[]): InputRow[] => [{ ids: Int32Array.from(ids) }];

describe('trace cache', () => {
  it('runs a text once for each hook, and gives the same numbers', async () => {
    const { model, runs } = counting();
    const cached = new TraceCache().over(model);
    const first = await cached.trace(row(1, 2, 3), ['a', 'b']);
    const second = await cached.trace(row(1, 2, 3), ['b', 'c']);
    assert.deepEqual(runs, [['a', 'b'], ['c']]);
    assert.equal(second.get('b'), first.get('b'));
    assert.deepEqual([...second.keys()], ['b', 'c']);
  });

  it('two who ask at once share a run', async () => {
    const { model, runs } = counting();
    const cached = new TraceCache().over(model);
    const [one, two] = await Promise.all([cached.trace(row(1), ['a']), cached.trace(row(1), ['a'])]);
    assert.deepEqual(runs, [['a']]);
    assert.equal(one.get('a'), two.get('a'));
  });

  it('tells apart ids, segments, batches, and interventions by all that they are', async () => {
    const { model, runs } = counting();
    const cached = new TraceCache().over(model);
    const scale = (...data: number[]): Activation => ({ dims: [1, 1, data.length, 1], data: Float32Array.from(data) });
    const change = (hook: string, part: Partial<Intervention>): Intervention[] => [{ hook, ...part }];
    const asked: [InputRow[], Intervention[]][] = [
      [row(1, 2), []],
      [row(2, 1), []],
      [[...row(1), ...row(2)], []],
      [[{ ids: Int32Array.of(1, 2), segments: Int32Array.of(0, 1) }], []],
      [row(1, 2), change('z', { scale: scale(0, 1) })],
      [row(1, 2), change('z', { scale: scale(1, 0) })],
      [row(1, 2), change('z', { offset: scale(0, 1) })],
      [row(1, 2), change('y', { scale: scale(0, 1) })],
      [row(1, 2), change('z', { scale: { dims: [1, 2, 1, 1], data: Float32Array.of(0, 1) } })],
    ];
    for (let round = 0; round < 2; round++)
      for (const [rows, changes] of asked) await cached.trace(rows, ['a'], changes);
    assert.equal(runs.length, asked.length);
  });

  it('forgets what was not used for longest when the room is full', async () => {
    const { model, runs } = counting();
    const cached = new TraceCache(2 * 4 * 3).over(model); // two texts of three tokens
    await cached.trace(row(1, 1, 1), ['a']);
    await cached.trace(row(2, 2, 2), ['a']);
    await cached.trace(row(1, 1, 1), ['a']);
    await cached.trace(row(3, 3, 3), ['a']);
    await cached.trace(row(1, 1, 1), ['a']);
    assert.equal(runs.length, 3);
    await cached.trace(row(2, 2, 2), ['a']);
    assert.equal(runs.length, 4);
  });

  it('does not remember a failure', async () => {
    const { model, runs } = counting(1);
    const cached = new TraceCache().over(model);
    await assert.rejects(cached.trace(row(1), ['a', 'b']));
    await cached.trace(row(1), ['a', 'b']);
    assert.equal(runs.length, 2);
  });

  it('reads a weight once', async () => {
    const { model, weights } = counting();
    const cached = new TraceCache().over(model);
    assert.equal(await cached.weight('W'), await cached.weight('W'));
    assert.deepEqual(weights, ['W']);
  });
});
