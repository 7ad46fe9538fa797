/** Contextuality against NumPy, pair by pair (scripts/reference/contextuality.py), and what is done with bad files. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { contextuality, measureContextuality } from '../../extension/engine/analysis/embeddings/contextuality';
import {
  contextualityResult,
  mergeContextuality,
  readContextuality,
} from '../../extension/engine/analysis/embeddings/contextualityState';
import { requireAllShards } from '../../extension/engine/analysis/corpora/scan';
import type { Embedder } from '../../extension/engine/analysis/embeddings/embed';
import { occurrences } from '../../extension/engine/analysis/embeddings/occurrences';
import type { Trace } from '../../extension/engine/session/internals';
import type { ContextualityParams, ContextualityState, OccurrencesParams } from '../../extension/protocol/embeddings';
import { LensError } from '../../extension/protocol/errors';
import { FakeModel, FakeTokenizer, quiet } from '../support/fakeModel';

interface Part {
  sentences: string[][];
  /** [layer][sentence] of [T,D]. */
  hidden: number[][][];
}
const expected = JSON.parse(readFileSync('test/fixtures/embeddings/contextuality.json', 'utf8')) as {
  width: number;
  least: number;
  long: Part & { layers: { self: number; intra: number; explainable: number }[] };
  short: Part & { anisotropy: number[]; baseline: number[]; cka: number[][] };
};
const HOOKS = ['blocks.0.hook_resid_pre', 'blocks.1.hook_resid_pre', 'blocks.1.hook_normalized_resid_post'];

/** Gives the vectors of the sentences in the order in which they come. */
function fake({ sentences, hidden }: Part): Embedder {
  // The same ids, whichever sentence comes first.
  const tokenizer = new FakeTokenizer({ words: ['ab', 'cd', 'ef', 'gh', 'ij'] });
  const model = new FakeModel(tokenizer, () => []);
  model.info.hiddenSize = expected.width;
  const known = sentences.map((words) => [...tokenizer.encode(words.join(' ')).ids].join(' '));
  const used = new Set<number>();
  return {
    info: model.info,
    tokenizer,
    anatomy: async () =>
      ({
        layers: 2,
        subject: { model: { graph: { nodes: [] } } },
        hooks: { sites: new Map(HOOKS.map((hook) => [hook, {}])), missing: new Map() },
      }) as unknown as Awaited<ReturnType<Embedder['anatomy']>>,
    weight: () => Promise.reject(new Error('not asked')),
    trace: async (rows, hooks): Promise<Trace> => {
      const longest = Math.max(...rows.map(({ ids }) => ids.length));
      const which = rows.map(({ ids }) => {
        const found = known.findIndex((key, index) => key === [...ids].join(' ') && !used.has(index));
        used.add(found);
        return found;
      });
      return new Map(
        hooks.map((hook) => {
          const layer = hidden[HOOKS.indexOf(hook)] as number[][];
          const data = new Float32Array(rows.length * longest * expected.width);
          which.forEach((sentence, row) => data.set(layer[sentence] as number[], row * longest * expected.width));
          return [hook, { dims: [rows.length, longest, expected.width], data }];
        }),
      );
    },
  };
}

const source = ({ sentences }: Part): ContextualityParams['sources'] => [
  { name: 'a.tsv', text: sentences.map((words) => words.join(' ')).join('\n') },
];
const close = (actual: number | undefined, wanted: number): void =>
  assert.ok(Math.abs((actual ?? NaN) - wanted) <= 1e-5, `${actual}, not ${wanted}`);

describe('contextuality', () => {
  const options = { limit: 1000, leastContexts: expected.least, samples: 1000, seed: 0 };

  it('self-similarity, intra-sentence similarity and explainable variance are NumPy’s', async () => {
    const { long } = expected;
    const result = await contextuality(fake(long), { sources: source(long), ...options }, quiet());
    assert.equal(result.sentences, long.sentences.length);
    assert.equal(result.tokens, long.sentences.flat().length);
    result.layers.forEach((layer, index) => {
      close(layer.selfSimilarity, long.layers[index]?.self ?? NaN);
      close(layer.intraSentence, long.layers[index]?.intra ?? NaN);
      close(layer.explainable, long.layers[index]?.explainable ?? NaN);
    });
  });

  it('anisotropy and CKA are NumPy’s', async () => {
    const { short } = expected;
    const result = await contextuality(fake(short), { sources: source(short), ...options }, quiet());
    assert.equal(result.samples, short.sentences.length);
    result.layers.forEach((layer, index) => {
      close(layer.anisotropy, short.anisotropy[index] ?? NaN);
      close(layer.explainableBaseline, short.baseline[index] ?? NaN);
      // No sentence has two tokens.
      assert.ok(Number.isNaN(layer.intraSentence));
    });
    short.cka.flat().forEach((value, at) => close(result.cka[at], value));
  });

  it('shards, merged in any order, have NumPy’s numbers too, and hold what one run holds', async () => {
    for (const part of [expected.long, expected.short]) {
      const known = { fingerprint: 'f', changes: [] };
      const one = {
        ...(await measureContextuality(fake(part), { sources: source(part), ...options }, quiet())),
        ...known,
      };
      // One model for all of them: it gives each of two equal sentences its own vectors once.
      const model = fake(part);
      const shards: ContextualityState[] = [];
      for (const index of [0, 1, 2]) {
        const params = { sources: source(part), ...options, shard: { index, of: 3 } };
        shards.push({ ...(await measureContextuality(model, params, quiet())), ...known });
      }
      assert.ok(shards.every(({ sentences }) => sentences < one.sentences && sentences > 0));
      const [a, b, c] = shards as [ContextualityState, ContextualityState, ContextualityState];
      const merged = mergeContextuality(mergeContextuality(c, a), b);
      for (const name of ['sentences', 'tokens', 'intraSentences', 'pieces', 'counts', 'kept'] as const)
        assert.deepEqual(merged[name], one[name], name);
      for (const name of ['intra', 'sums'] as const) {
        assert.equal(merged[name].length, one[name].length);
        merged[name].forEach((value, at) => assert.ok(Math.abs(value - (one[name][at] ?? NaN)) < 1e-12, name));
      }
      const result = await contextualityResult(merged, quiet());
      result.layers.forEach((layer, index) => {
        if (part === expected.short) {
          close(layer.anisotropy, expected.short.anisotropy[index] ?? NaN);
          return;
        }
        close(layer.selfSimilarity, expected.long.layers[index]?.self ?? NaN);
        close(layer.intraSentence, expected.long.layers[index]?.intra ?? NaN);
        close(layer.explainable, expected.long.layers[index]?.explainable ?? NaN);
      });
      if (part === expected.short) expected.short.cka.flat().forEach((value, at) => close(result.cka[at], value));
    }
  });

  it('shards of other work are refused, and files that hold no state', async () => {
    const { long } = expected;
    const shard = async (index: number): Promise<ContextualityState> => {
      const params = { sources: source(long), ...options, shard: { index, of: 2 } };
      return { ...(await measureContextuality(fake(long), params, quiet())), fingerprint: 'f', changes: [] };
    };
    const one = await shard(0);
    const bad =
      (what: RegExp) =>
      (thrown: unknown): boolean =>
        thrown instanceof LensError && thrown.code === 'bad-input' && what.test(thrown.message);
    const other = await shard(1);
    for (const [change, what] of [
      [{ model: 'b', fingerprint: 'g' }, /its model is b, and this is/u],
      [{ fingerprint: 'g' }, /with other files/u],
      [{ changes: [{ layer: 0, head: 0, scale: 0 }] }, /other heads or neurons/u],
      [{ corpus: '' }, /of other texts/u],
      [{ leastContexts: 3 }, /its number of contexts is 3, and this is 5/u],
      [{ samples: 7 }, /its number of samples is 7, and this is 1000/u],
      [{ seed: 1 }, /its seed is 1, and this is 0/u],
      [{ layers: [0, 1] }, /its layers are others/u],
      [{ done: one.done }, /would count twice/u],
    ] as [Partial<ContextualityState>, RegExp][])
      assert.throws(() => mergeContextuality(one, { ...other, ...change }), bad(what), String(what));
    assert.equal(
      mergeContextuality(await shard(0), { ...other, model: 'b' }).model,
      one.model,
      'the same files, elsewhere',
    );
    assert.deepEqual(readContextuality(other), other);
    for (const [change, what] of [
      [{ sums: other.sums.subarray(1) }, /“sums” is no list of \d+ numbers/u],
      [{ occurrences: undefined }, /“occurrences” is no list/u],
      [{ counts: Float32Array.from(other.counts) }, /“counts” is no list/u],
      [{ kept: other.kept.map((rows) => rows + 1) }, /“kept” is more than there is/u],
      [{ baseline: other.baseline.subarray(1) }, /“baseline” has no whole rows/u],
      [{ intra: other.intra.map(() => Infinity) }, /“intra” is no list of 3 numbers/u],
      [{ width: -1 }, /“width” is no whole number/u],
      [{ done: [{ index: 3, of: 2, next: 0 }] }, /a shard that cannot be/u],
    ] as [object, RegExp][])
      assert.throws(() => readContextuality({ ...other, ...change }), bad(what), String(what));
    for (const [shards, what] of [
      [['1/3'], /are not all: 0\/3, 2\/3 are missing/u],
      [['0/2', '1/4'], /hold only 75\.0 % of the sentences/u],
      [['1/2', '0/4', '2/4'], null],
    ] as const) {
      const check = (): void =>
        requireAllShards(
          shards.map((each) => {
            const [index = 0, of = 1] = each.split('/').map(Number);
            return { index, of, next: 9 };
          }),
        );
      if (what === null) check();
      else assert.throws(check, bad(what));
    }
  });

  it('keeps the first fifty occurrences of a piece, whichever shard has them', async () => {
    const sentences = Array.from({ length: 40 }, (_, at) => (at % 3 === 0 ? ['ab', 'cd', 'ab'] : ['ab', 'ef']));
    // Each token of a sentence has a vector of its own.
    const vectors = sentences.map((words, at) =>
      Array.from({ length: (words.length + 2) * expected.width }, (_, place) =>
        Math.fround(Math.sin(100 * at + place)),
      ),
    );
    const part: Part = { sentences, hidden: [vectors, vectors, vectors] };
    const params = { sources: source(part), ...options };
    // Equal sentences get their vectors in the order in which they are run: one after the other, and in each shard its own ones.
    const own = (index: number, of: number): Embedder => {
      const mine = sentences.map((_, at) => at).filter((at) => at % of === index);
      const pick = <T>(all: T[]): T[] => mine.map((at) => all[at] as T);
      return fake({ sentences: pick(sentences), hidden: part.hidden.map(pick) });
    };
    const one = await measureContextuality(own(0, 1), params, quiet());
    const ab = one.kept.indexOf(50);
    assert.deepEqual([one.counts[ab], one.kept.length], [54, 3]);
    const shard = async (index: number): Promise<ContextualityState> => ({
      ...(await measureContextuality(own(index, 2), { ...params, shard: { index, of: 2 } }, quiet())),
      ...{ fingerprint: '', changes: [] },
    });
    const merged = mergeContextuality(await shard(1), await shard(0));
    assert.deepEqual(merged.occurrences, one.occurrences);
    // In the order of the corpus, whatever the order of the runs is.
    const from = one.kept.subarray(0, ab).reduce((sum, rows) => sum + rows, 0) * expected.width;
    const wanted = sentences
      .flatMap((words, at) =>
        words.flatMap((word, token) =>
          word === 'ab' ? [vectors[at]?.slice((token + 1) * expected.width, (token + 2) * expected.width) ?? []] : [],
        ),
      )
      .slice(0, 50)
      .flat();
    assert.deepEqual([...one.occurrences.subarray(from, from + wanted.length)], wanted);
  });

  it('refuses a model whose layers are not known', async () => {
    const model = fake(expected.short);
    model.anatomy = async () =>
      ({ layers: 0, hooks: { sites: new Map([['last_hidden_state', {}]]), missing: new Map() } }) as unknown as Awaited<
        ReturnType<Embedder['anatomy']>
      >;
    await assert.rejects(
      contextuality(model, { sources: source(expected.short), ...options }, quiet()),
      (thrown) => thrown instanceof LensError && thrown.code === 'model-unsupported',
    );
  });

  it('says what it could not read, and that there is nothing', async () => {
    const { short } = expected;
    const sources = [{ name: 'gone.txt', file: '/there/is/no/such/file.txt' }];
    await assert.rejects(
      contextuality(fake(short), { sources, ...options }, quiet()),
      (thrown) =>
        thrown instanceof LensError &&
        thrown.message.includes('no sentence in 1 text (gone.txt: there is no such file)'),
    );
    const result = await contextuality(fake(short), { sources: [...sources, ...source(short)], ...options }, quiet());
    assert.deepEqual(result.skipped, [{ name: 'gone.txt', why: 'there is no such file' }]);
  });
});

describe('occurrences', () => {
  const options: Omit<OccurrencesParams, 'model' | 'word' | 'sources'> = {
    ...{ most: 100, layers: [0, 2], projection: 'pca', axes: 2, clusters: 2, seed: 0 },
  };
  const { long } = expected;

  it('are found as whole words with their places, sentences and labels', async () => {
    const text = 'Ab cd.\nabc ab\n\n  cd (AB) ef.';
    const model = fake({ sentences: [], hidden: [[], [], []] });
    model.trace = (rows, hooks) =>
      Promise.resolve(
        new Map(
          hooks.map((hook) => [
            hook,
            {
              dims: [rows.length, 9, 2],
              data: Float32Array.from({ length: rows.length * 18 }, (_, at) => 1 + (at % 5)),
            },
          ]),
        ),
      );
    const { occurrences: found, truncated } = await occurrences(
      model,
      { word: 'ab', sources: [{ name: 'a.md', text }], ...options, layers: [1] },
      quiet(),
    );
    assert.deepEqual(
      found.map(({ line, column, sentence, range }) => [line, column, sentence, range.start]),
      [
        [1, 0, 'Ab cd.', 0],
        [2, 4, 'abc ab', 4],
        [3 + 1, 6, 'cd (AB) ef.', 4],
      ],
    );
    assert.equal(truncated, false);
    const labelled = await occurrences(
      model,
      {
        word: 'ab',
        sources: [{ name: 'a.tsv', text: 'ab one\tx\nab two\ty\nnone\tz' }],
        ...options,
        layers: [1],
        most: 1,
      },
      quiet(),
    );
    assert.deepEqual(
      labelled.occurrences.map(({ label }) => label),
      ['x'],
    );
    assert.equal(labelled.truncated, true);
  });

  it('have the vectors of their words: self-similarity is NumPy’s mean of pairs', async () => {
    const result = await occurrences(fake(long), { word: 'ab', sources: source(long), ...options }, quiet());
    const vectors = long.sentences.flatMap((words, index) =>
      words.flatMap((word, token) =>
        word === 'ab'
          ? [long.hidden[2]?.[index]?.slice((token + 1) * expected.width, (token + 2) * expected.width) ?? []]
          : [],
      ),
    );
    const cosine = (a: number[], b: number[]): number =>
      a.reduce((sum, value, at) => sum + value * (b[at] ?? 0), 0) / (Math.hypot(...a) * Math.hypot(...b));
    const all = vectors.flatMap((a, i) => vectors.flatMap((b, j) => (i === j ? [] : [cosine(a, b)])));
    assert.equal(result.occurrences.length, vectors.length);
    close(result.layers[1]?.selfSimilarity, all.reduce((a, b) => a + b) / all.length);
    assert.equal(result.layers[1]?.rand, null);
  });

  it('refuses a word that is not there', async () => {
    await assert.rejects(
      occurrences(fake(long), { word: 'zz', sources: source(long), ...options }, quiet()),
      (thrown) =>
        thrown instanceof LensError && thrown.code === 'bad-input' && thrown.message.includes('“zz” does not occur'),
    );
  });

  it('places points by UMAP, the same for the same seed', async () => {
    const ask = () =>
      occurrences(
        fake(long),
        { word: 'ab', sources: source(long), ...options, layers: [1], projection: 'umap' },
        quiet(),
      );
    const [one, two] = [await ask(), await ask()];
    assert.deepEqual(one.layers[0]?.places, two.layers[0]?.places);
    assert.equal(one.layers[0]?.places.length, 2 * one.occurrences.length);
    assert.ok(one.layers[0]?.places.every(Number.isFinite));
  });
});
