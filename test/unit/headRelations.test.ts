/** Heads against treebanks, and heads against each other, on patterns that are computed by hand. */
import assert from 'node:assert/strict';
import { addDistances } from '../../extension/engine/analysis/attention/distances';
import { headRelations, questionsOf } from '../../extension/engine/analysis/attention/relations';
import { relationExamples } from '../../extension/engine/analysis/attention/relationExamples';
import { mergeRelationsStates, relationsResult } from '../../extension/engine/analysis/attention/relationState';
import { classicalScaling } from '../../extension/engine/analysis/attention/scaling';
import { piecesOf, strongest, wordWeight } from '../../extension/engine/analysis/attention/wordMaps';
import { seededRandom } from '../../extension/engine/analysis/random';
import type { HeadRelationsParams, HeadRelationsResult, HeadRelationsState } from '../../extension/protocol/attention';
import { LensError } from '../../extension/protocol/errors';
import { FakeAttention } from '../support/fakeAttention';
import { FakeTokenizer, quiet } from '../support/fakeModel';

const isBad = (thrown: unknown): boolean => thrown instanceof LensError && thrown.code === 'bad-input';
const range = (start: number, end: number): { start: number; end: number } => ({ start, end });

describe('patterns between words', () => {
  it('take pieces for the word in which they begin', () => {
    const words = [range(0, 3), range(3, 6), range(6, 10), range(11, 13), range(11, 13)].map((each) => ({
      range: each,
    }));
    const tokens = [null, range(0, 6), range(6, 8), range(8, 10), range(11, 12), range(12, 13), null];
    assert.deepEqual(piecesOf(tokens, words), [[1], [], [2, 3], [4, 5], []]);
  });

  // Rows sum to one; tokens: [CLS] a b1 b2 c [SEP].
  const data = Float32Array.from(
    [
      [0.9, 0.02, 0.02, 0.02, 0.02, 0.02],
      [0.1, 0.5, 0.1, 0.1, 0.15, 0.05],
      [0.0, 0.2, 0.3, 0.3, 0.1, 0.1],
      [0.0, 0.4, 0.3, 0.1, 0.1, 0.1],
      [0.2, 0.25, 0.25, 0.1, 0.1, 0.1],
      [0.5, 0.1, 0.1, 0.1, 0.1, 0.1],
    ].flat(),
  );
  const pattern = { data, heads: 1, stride: 6 };
  const pieces = [[1], [2, 3], [4]];

  it('sum over the pieces that are looked at, and average over those that look', () => {
    const close = (actual: number, wanted: number): void => assert.ok(Math.abs(actual - wanted) < 1e-6, `${actual}`);
    close(wordWeight(pattern, 0, [1], [2, 3]), 0.2);
    close(wordWeight(pattern, 0, [2, 3], [1]), 0.3);
    close(wordWeight(pattern, 0, [2, 3], [2, 3]), 0.5);
  });

  it('leave out special tokens and the word itself; the first of equal words is taken', () => {
    const { rows, columns } = strongest(pattern, 0, pieces);
    assert.deepEqual([...rows], [1, 0, 1]);
    assert.deepEqual([...columns], [1, 2, 0]);
    const even = { data: new Float32Array(36).fill(1 / 6), heads: 1, stride: 6 };
    assert.deepEqual([...strongest(even, 0, [[1], [2], [3]]).rows], [1, 0, 0]);
    assert.deepEqual([...strongest(pattern, 0, [[1], [], [4]]).rows], [2, -1, 0]);
    assert.deepEqual([...strongest(pattern, 0, [[1]]).columns], [-1]);
  });
});

const row = (line: string): string => {
  const [id, form, head = '_', relation = '_', misc = '_'] = line.split(' ');
  return [id, form, '_', '_', '_', '_', head, relation, '_', misc].join('\t');
};
const sentence = (...lines: string[]): string => `${lines.map(row).join('\n')}\n\n`;

/** Head 0 looks at the next token, head 1 at the one before, head 2 at the first. */
const newModel = (): FakeAttention =>
  new FakeAttention(new FakeTokenizer(), 1, 3, (_ids, _layer, head, query, key) =>
    key === [query + 1, query - 1, 1][head] ? 100 : 1 + key / 100,
  );
const TREEBANK =
  sentence('1 The 2 det', '2 cat 3 nsubj', '3 saw 0 root', '4 a 5 det', '5 dog 3 obj', '6 . 3 punct') +
  sentence('1 The 3 det', '2 big 3 amod', '3 ox 4 nsubj:pass', '4 seen 0 root', '5 _ _ _');
const ask = (more: Partial<HeadRelationsParams> = {}): Promise<HeadRelationsResult> =>
  headRelations(newModel(), { sources: [{ name: 't.conllu', text: TREEBANK }], ...more }, quiet());

describe('heads and relations', () => {
  it('counts right answers in both directions, and of fixed offsets', async () => {
    const { table, state } = await ask();
    const rows = Object.fromEntries(
      table.map(({ relation, n, best, baseline }) => [
        relation,
        [n, best.head, best.direction, best.accuracy, baseline.offset, baseline.accuracy],
      ]),
    );
    assert.deepEqual(rows, {
      // The next token is right for “The cat” and “a dog”, not for “The big ox”.
      all: [7, 0, 'dependent→head', 5 / 7, 1, 5 / 7],
      det: [3, 0, 'dependent→head', 2 / 3, 1, 2 / 3],
      amod: [1, 0, 'dependent→head', 1, 1, 1],
      nsubj: [1, 0, 'dependent→head', 1, 1, 1],
      'nsubj:pass': [1, 0, 'dependent→head', 1, 1, 1],
      obj: [1, 0, 'dependent→head', 0, -2, 1],
    });
    assert.deepEqual([state.sentences, state.words], [2, 11]);
    assert.deepEqual(state.skipped, [
      { name: 't.conllu', why: 'line 12: word 5 has no head; its relation is left out' },
    ]);
    const nsubj = state.relations.find(({ relation }) => relation === 'nsubj');
    // [dependent→head, head→dependent] × heads: the head’s own “before” makes it the strongest entry of the subject’s column.
    assert.deepEqual([...(nsubj?.right ?? [])], [1, 0, 0, 0, 1, 0]);
  });

  it('has “’s” answer for a possessor, as the authors do', () => {
    const words = [
      { form: 'Bob', relation: 'poss', head: 2 },
      { form: "'s", relation: 'possessive', head: 0 },
      { form: 'car', relation: 'root', head: -1 },
      { form: 'his', relation: 'poss', head: 2 },
    ].map((word) => ({ ...word, range: range(0, 0), upos: '_', misc: '_' }));
    const asked = questionsOf(words, [[0], [1], [2], [3]]);
    assert.deepEqual(
      asked.map(({ word, asked: by }) => [word, by]),
      [
        [0, 1],
        [1, 1],
        [3, 3],
      ],
    );
    assert.deepEqual(
      questionsOf(words, [[0], [1], [], [3]]).map(({ word }) => word),
      [1],
    );
  });

  it('adds up from shards', async () => {
    const whole = await ask();
    const states = [];
    for (const index of [0, 1]) states.push((await ask({ shard: { index, of: 2 } })).state);
    const saved = JSON.parse(
      JSON.stringify(states, (_key, value: unknown) =>
        ArrayBuffer.isView(value) ? Array.from(value as Int32Array) : value,
      ),
    ) as HeadRelationsState[];
    const merged = saved.reduce(mergeRelationsStates);
    assert.deepEqual(relationsResult(merged, 0).table, whole.table);
    const [first] = states as [HeadRelationsState];
    assert.throws(() => mergeRelationsStates(first, first), isBad);
    assert.deepEqual((await ask({ resume: first })).table, whole.table);
    await assert.rejects(ask({ resume: { ...first, heads: 4 } }), isBad);
  });

  it('leaves out sentences that are too long, and says so', async () => {
    const long = sentence(
      ...Array.from(
        { length: 70 },
        (_, index) => `${index + 1} w ${index === 0 ? 0 : 1} ${index === 0 ? 'root' : 'dep'}`,
      ),
    );
    const { state } = await ask({ sources: [{ name: 'x', text: long + TREEBANK }] });
    assert.deepEqual(state.done, [2, 1]);
    assert.match(state.skipped[0]?.why ?? '', /^line 1: the sentence has 72 tokens; the model takes 64 at most/);
    assert.equal((await ask({ limit: 1 })).state.sentences, 1);
  });

  it('shows the sentences behind a cell', async () => {
    const params = { sources: [{ name: 't.conllu', text: TREEBANK }], layer: 0, head: 0, most: 2 };
    const { examples } = await relationExamples(
      newModel(),
      { ...params, relation: 'det', direction: 'dependent→head' },
      quiet(),
    );
    assert.deepEqual(
      examples.map(({ line, text, from, expected, predicted }) => [line, text, from, expected, predicted]),
      [
        [1, 'The cat saw a dog .', 0, 1, 1],
        [1, 'The cat saw a dog .', 3, 4, 4],
      ],
    );
    assert.ok((examples[0]?.weight ?? 0) > 0.9);
    const before = await relationExamples(
      newModel(),
      { ...params, relation: 'obj', direction: 'head→dependent' },
      quiet(),
    );
    assert.deepEqual(
      before.examples.map(({ predicted, expected }) => [predicted, expected]),
      [[3, 2]],
    );
    await assert.rejects(
      relationExamples(newModel(), { ...params, head: 3, relation: 'det', direction: 'dependent→head' }, quiet()),
      isBad,
    );
  });

  it('asks mentions for the mention before that a head looks at most', async () => {
    const text =
      sentence('1 Ann 2 nsubj Entity=(1-a)', '2 met 0 root', '3 Bob 2 obj Entity=(2-a)', '4 Cy 3 conj Entity=(3-a)') +
      sentence('1 She 2 nsubj Entity=(1-a)', '2 saw 0 root', '3 Cy 2 obj Entity=(3-a)');
    const { coreference } = await ask({ sources: [{ name: 'x', text }] });
    // Head 2 looks at Ann: right for “She”, wrong for “Cy”; the others look at the mention just before.
    assert.equal(coreference?.n, 2);
    assert.equal(coreference.nearest, 0);
    assert.deepEqual(coreference.best[0], { layer: 0, head: 2, accuracy: 0.5 });
  });
});

describe('distances between heads', () => {
  const n = 4;
  const random = seededRandom(5);
  const rows = (): number[] => {
    const values = Array.from({ length: n }, () => random() ** 3);
    const sum = values.reduce((a, b) => a + b, 0);
    return values.map((value) => value / sum);
  };
  const heads = Array.from({ length: 3 }, () => Array.from({ length: n }, rows));

  it('are Jensen–Shannon divergences of rows, summed', async () => {
    // A stride of 5: what stands at padding counts for nothing.
    const data = new Float32Array(3 * 25).fill(7);
    heads.forEach((head, index) => head.forEach((line, query) => data.set(line, index * 25 + query * 5)));
    const sums = new Float64Array(9);
    await addDistances(
      sums,
      [{ layer: 0, pattern: { data, heads: 3, stride: 5 } }],
      n,
      3,
      new AbortController().signal,
    );
    const divergence = (p: readonly number[], q: readonly number[]): number =>
      p.reduce((sum, x, index) => {
        const [a, b] = [0.999 * x + 0.001 / n, 0.999 * (q[index] as number) + 0.001 / n];
        return sum + (a * Math.log((2 * a) / (a + b)) + b * Math.log((2 * b) / (a + b))) / 2;
      }, 0);
    heads.forEach((first, a) =>
      heads.forEach((second, b) => {
        const wanted = first.reduce((sum, line, query) => sum + divergence(line, second[query] as number[]), 0);
        assert.ok(Math.abs((sums[3 * a + b] as number) - wanted) < 1e-5);
      }),
    );
  });

  it('give places whose distances they are, the same ones each time', () => {
    for (let trial = 0; trial < 8; trial++) {
      const points = Array.from({ length: 12 }, () => [random() - 0.5, 3 * random()] as const);
      const distance = (a: number, b: number, at: (index: number) => readonly [number, number]): number =>
        Math.hypot(at(a)[0] - at(b)[0], at(a)[1] - at(b)[1]);
      const count = points.length;
      const given = Float64Array.from({ length: count * count }, (_, cell) =>
        distance(Math.floor(cell / count), cell % count, (index) => points[index] as readonly [number, number]),
      );
      const places = classicalScaling(given, count);
      const placed = (index: number): [number, number] => [
        places[2 * index] as number,
        places[2 * index + 1] as number,
      ];
      given.forEach((wanted, cell) =>
        assert.ok(Math.abs(distance(Math.floor(cell / count), cell % count, placed) - wanted) < 1e-5),
      );
      // The wider axis first, the largest entry of each positive.
      const along = (axis: number): number[] => points.map((_, index) => placed(index)[axis] as number);
      const spread = (axis: number): number => along(axis).reduce((sum, value) => sum + value * value, 0);
      assert.ok(spread(0) > spread(1));
      for (const axis of [0, 1]) assert.equal(Math.max(...along(axis)), Math.max(...along(axis).map(Math.abs)));
    }
    assert.deepEqual([...classicalScaling(Float64Array.of(0), 1)], [0, 0]);
  });
});
