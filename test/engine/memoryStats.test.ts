/** Statistics of memories over a corpus: those of PyTorch and NumPy for one fixture, PyTorch's states for others. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { memoryStats } from '../../extension/engine/analysis/ffn/memoryStats';
import { memoryStatsResult, mergeMemoryStats } from '../../extension/engine/analysis/ffn/memoryStatsState';
import { indexFolder } from '../../extension/engine/analysis/ffn/valueIndex';
import { isCausal } from '../../extension/engine/analysis/predicted';
import { randomBelow, seededRandom } from '../../extension/engine/analysis/random';
import { fingerprint } from '../../extension/engine/session/fingerprint';
import { openModel, type OrtModel } from '../../extension/engine/session/ortModel';
import { LensError, type LensErrorCode } from '../../extension/protocol/errors';
import type { MemoryStatsParams, MemoryStatsResult, MemoryStatsState } from '../../extension/protocol/ffn';
import type { ModelRef } from '../../extension/protocol/engine';
import { quiet } from '../support/fakeModel';
import { fixture, fixtureNames, reference, SETTINGS } from '../support/fixtures';

type Params = Omit<MemoryStatsParams, 'model' | 'cache'>;

const CORPUS = { name: 'corpus.tsv', file: resolve('test/fixtures/ffn/corpus.tsv') };
const open = (ref: ModelRef): Promise<OrtModel> => openModel(ref, SETTINGS, () => undefined, 'later');
const fails = (code: LensErrorCode) => (thrown: unknown) => thrown instanceof LensError && thrown.code === code;

/** Of each layer; `saturated` also of the input. */
type Expected = Record<
  | 'positive'
  | 'active'
  | 'next'
  | 'nextByChance'
  | 'itself'
  | 'itselfByChance'
  | 'composed'
  | 'composedOfActive'
  | 'saturated'
  | 'lostByAttention'
  | 'lostByFfn',
  number[]
> & { threshold: number; seed: number; tokens: number; predictions: number };

describe('memory statistics', function () {
  this.timeout(300_000);
  let cache: string;
  before(() => {
    cache = mkdtempSync(join(tmpdir(), 'lens-stats-'));
  });
  after(() => rmSync(cache, { recursive: true, force: true }));

  const stats = async (model: OrtModel, ref: ModelRef, params: Partial<Params> = {}): Promise<MemoryStatsResult> =>
    memoryStats(
      model,
      { sources: [CORPUS], threshold: 0.3, seed: 7, ...params },
      indexFolder(cache, (await fingerprint(ref)).sha256),
      quiet(),
    );

  it('bert: shares, agreement, composition, saturation and elimination are those of PyTorch and NumPy', async () => {
    const { stats: expected } = JSON.parse(readFileSync('test/fixtures/ffn/bert.json', 'utf8')) as {
      stats: Expected;
    };
    const model = await open(fixture('bert'));
    try {
      const { state, layers, saturatedAtInput } = await stats(model, fixture('bert'), expected);
      assert.deepEqual([state.tokens, state.predictions], [expected.tokens, expected.predictions]);
      const close = (found: number, other: number | undefined, tolerance: number, what: string): void =>
        assert.ok(Math.abs(found - (other as number)) < tolerance, `${what}: ${found}, not ${other}`);
      // Of two equal scores the last digit decides: one of 80 memories, one of 36 predictions.
      const [few, one] = [1.5 / 80, 1.5 / 36];
      close(saturatedAtInput, expected.saturated[0], one, 'input');
      for (const { layer, positive, active, agreement, ...rest } of layers) {
        close(positive, expected.positive[layer], 1e-5, `positive ${layer}`);
        close(active, expected.active[layer], 1e-5, `active ${layer}`);
        for (const name of ['next', 'itself'] as const) {
          close(agreement[name], expected[name][layer], few, `${name} ${layer}`);
          close(agreement[`${name}ByChance`], expected[`${name}ByChance`][layer], 1e-5, `${name} by chance ${layer}`);
        }
        for (const name of ['composed', 'composedOfActive', 'lostByAttention', 'lostByFfn'] as const)
          close(rest[name] as number, expected[name][layer], one, `${name} ${layer}`);
        close(rest.saturated, expected.saturated[layer + 1], one, `saturated ${layer}`);
      }
    } finally {
      await model.release();
    }
  });

  for (const name of fixtureNames.filter((each) => existsSync(join(fixture(each).folder, 'lens.json'))))
    it(`${name}: what leads in each state is PyTorch's, and what it follows`, async () => {
      const { states, position } = JSON.parse(readFileSync(join(fixture(name).folder, 'lens.json'), 'utf8')) as {
        position: number;
        states: { part: string; layer: number; top: number[] }[];
      };
      const [text] = reference(name).meta.cases[0]?.text as [string];
      const model = await open(fixture(name));
      try {
        const read = isCausal(model) ? position - 1 : position;
        const { ranges, special } = model.tokenizer.encode(text);
        const content = ranges.flatMap((range, token) => (range === null || special[token] === 1 ? [] : [token]));
        const chosen = (seed: number): number | undefined => content[randomBelow(seededRandom(seed), content.length)];
        const seed = Array.from({ length: 500 }, (_, at) => at).find((at) => chosen(at) === read);
        assert.ok(seed !== undefined);
        const { layers, saturatedAtInput, state } = await stats(model, fixture(name), {
          ...{ sources: [{ name: 'a.tsv', text }], seed },
        });
        assert.equal(state.predictions, 1);
        const tops = states.map(({ top }) => top[0] as number);
        states.forEach(({ part, layer }, index) => {
          const isLost = tops[index] === tops[index - 1] ? 0 : 1;
          if (part === 'attention') assert.equal(layers[layer]?.lostByAttention, isLost, `attention ${layer}`);
          if (part === 'ffn' && states[index - 1]?.part === 'attention')
            assert.equal(layers[layer]?.lostByFfn, isLost, `FFN ${layer}`);
        });
        const ends = states.flatMap(({ part, top }) => (part === 'attention' ? [] : [top[0] as number]));
        const from = ends.findLastIndex((word) => word !== ends.at(-1)) + 1;
        assert.deepEqual(
          [saturatedAtInput, ...layers.map(({ saturated }) => saturated)],
          ends.map((_, index) => (index === from ? 1 : 0)),
        );
      } finally {
        await model.release();
      }
    });

  it('shards, and work that was stopped and goes on, find what one run finds', async () => {
    const ref = fixture('gpt2');
    const model = await open(ref);
    // The same token begins several sentences, where it fires as much: rounding decides which of them is the top trigger.
    const plain = ({
      positive,
      active,
      largest,
      done: _,
      itself: __,
      next: ___,
      ...rest
    }: MemoryStatsState): unknown => {
      return [rest, [...positive, ...active].map((sum) => sum.toFixed(4)), [...largest].map((m) => m.toFixed(4))];
    };
    try {
      const whole = await stats(model, ref);
      const parts: MemoryStatsState[] = [];
      for (const index of [1, 0, 2]) parts.push((await stats(model, ref, { shard: { index, of: 3 } })).state);
      const merged = parts.reduce(mergeMemoryStats);
      assert.deepEqual(plain(merged), plain(whole.state));
      assert.deepEqual(memoryStatsResult(merged, 0).layers.length, whole.layers.length);
      assert.throws(() => mergeMemoryStats(merged, parts[1] as MemoryStatsState), fails('bad-input'));
      const begun = await stats(model, ref, { limit: 11 });
      const rest = await stats(model, ref, { resume: begun.state });
      assert.deepEqual(plain(rest.state), plain(whole.state));
      for (const other of [{ seed: 8 }, { threshold: 1 }, { sources: [{ name: 'b.txt', text: 'B.' }] }])
        await assert.rejects(stats(model, ref, { ...other, resume: begun.state }), fails('bad-input'));
      await assert.rejects(
        stats(model, ref, { resume: { ...begun.state, largest: new Float32Array(3) } }),
        fails('bad-input'),
      );
    } finally {
      await model.release();
    }
  });

  it('refuses models without words, and a corpus without sentences', async () => {
    const [encoder, bert] = [fixture('t5enc-dyn'), fixture('bert')];
    const [without, model] = [await open(encoder), await open(bert)];
    try {
      await assert.rejects(stats(without, encoder), fails('no-lm-head'));
      await assert.rejects(stats(model, bert, { sources: [{ name: 'a.txt', text: '\n' }] }), fails('bad-input'));
    } finally {
      await without.release();
      await model.release();
    }
  });
});
