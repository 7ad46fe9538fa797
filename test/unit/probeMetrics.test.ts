/** From ranks to numbers, beside scipy and by hand. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { compareRuns } from '../../extension/cloze/compare';
import { majority, pararel, rankMetrics, summarise, type AnsweredFact } from '../../extension/cloze/metrics';
import type { Run, RunHeader } from '../../extension/cloze/runFile';
import { bootstrapMeans, mcnemar, percentile } from '../../extension/cloze/statistics';
import { seededRandom } from '../../extension/engine/analysis/random';
import type { ProbeAnswer } from '../../extension/protocol/probes';

interface Reference {
  intervals: Record<string, { values: number[]; low: number; high: number }>;
  groups: { low: number; high: number };
  mcnemar: { gained: number; lost: number; p: number }[];
  percentiles: number[];
}
// Written by scripts/reference/probe_statistics.py.
const reference = JSON.parse(readFileSync('test/fixtures/probes/statistics.json', 'utf8')) as Reference;
const columnOf = (name: string): Float64Array => Float64Array.from(reference.intervals[name]?.values ?? []);

const close = (actual: number | undefined, wanted: number, tolerance: number): void => {
  assert.ok(actual !== undefined && Math.abs(actual - wanted) <= tolerance, `${actual}, expected ${wanted}`);
};

describe('statistics of probes', () => {
  it('percentiles are numpy’s', () => {
    const sorted = [...columnOf('reciprocal').sort()];
    [0.025, 0.5, 0.975].forEach((share, index) => {
      close(percentile(sorted, share), reference.percentiles[index] as number, 1e-12);
    });
    assert.equal(percentile([3], 0.975), 3);
  });

  it('bootstrap intervals are scipy’s, as near as draws allow', () => {
    for (const [name, { low, high }] of Object.entries(reference.intervals)) {
      const [interval] = bootstrapMeans([[columnOf(name)]], seededRandom(1), 20_000);
      close(interval?.low, low, 4e-3);
      close(interval?.high, high, 4e-3);
    }
    const [interval] = bootstrapMeans([[columnOf('share')], [columnOf('small')]], seededRandom(1), 20_000);
    close(interval?.low, reference.groups.low, 4e-3);
    close(interval?.high, reference.groups.high, 4e-3);
  });

  it('the same seed gives the same interval', () => {
    const draw = (seed: number) => bootstrapMeans([[columnOf('reciprocal')]], seededRandom(seed));
    assert.deepEqual(draw(3), draw(3));
    assert.notDeepEqual(draw(3), draw(4));
  });

  it("McNemar's test is scipy’s binomial test", () => {
    for (const { gained, lost, p } of reference.mcnemar) {
      close(mcnemar(gained, lost), p, 1e-9);
      close(mcnemar(lost, gained), p, 1e-9);
    }
    assert.equal(mcnemar(0, 0), 1);
  });
});

const answer = (rank: number, more: Partial<ProbeAnswer> = {}): ProbeAnswer => ({
  ...{ template: 0, answer: 'x', logprob: -rank, rank, fullRank: rank + 1, candidateRank: null, choice: null, top: [] },
  ...more,
});
const fact = (relation: string, ranks: number[], more: Partial<ProbeAnswer>[] = [], gold = 'x'): AnsweredFact => ({
  relation,
  answers: [gold],
  result: {
    kind: 'ranked',
    answers: ranks.map((rank, template) => answer(rank, { template, ...more[template] })),
    ...{ ensemble: null, negated: null, misprimed: null, context: null },
  },
});

describe('numbers of probes', () => {
  it('P@1, P@10 and MRR, which counts nothing beyond rank 1000', () => {
    assert.deepEqual(rankMetrics([1, 2, 10, 11, 1000, 1001]), {
      ...{ n: 6, p1: 1 / 6, p10: 3 / 6 },
      mrr: (1 + 1 / 2 + 1 / 10 + 1 / 11 + 1 / 1000) / 6,
    });
    assert.deepEqual(rankMetrics([]), { n: 0, p1: 0, p10: 0, mrr: 0 });
  });

  it('the mean over relations is unweighted, and leaves out those without a ranked fact', () => {
    const facts = [fact('a', [1]), fact('a', [2]), fact('a', [4]), fact('b', [1]), fact('unknown', [1])];
    facts.push({ relation: 'c', answers: ['y'], result: { kind: 'skipped', why: 'answer has no token', detail: '' } });
    const relations = ['a', 'b', 'c'].map((id) => ({ id, templates: [], ranking: 'vocabulary' as const }));
    const { macro, relations: found } = summarise(facts, relations, 'first', seededRandom(0));
    close(macro.p1, (1 / 3 + 1) / 2, 1e-12);
    close(macro.mrr, ((1 + 1 / 2 + 1 / 4) / 3 + 1) / 2, 1e-12);
    assert.deepEqual(
      found.map(({ relation, n, skipped }) => [relation, n, skipped]),
      [
        ['a', 3, {}],
        ['b', 1, {}],
        ['c', 0, { 'answer has no token': 1 }],
      ],
    );
    close(found[0]?.full.mrr, (1 / 2 + 1 / 3 + 1 / 5) / 3, 1e-12);
  });

  it('of several templates the first, the best, or the mean', () => {
    const facts = [fact('a', [2, 1]), fact('a', [2, 1]), fact('a', [1, 2])];
    for (const each of facts)
      if (each.result.kind === 'ranked')
        each.result.ensemble = { answer: 'x', logprob: -1, rank: 5, candidateRank: null };
    const relations = [
      { id: 'a', templates: [{ text: '[X] [Y]' }, { text: '[X] is [Y]' }], ranking: 'vocabulary' as const },
    ];
    const p1 = (['first', 'best', 'mean'] as const).map(
      (ensemble) => summarise(facts, relations, ensemble, seededRandom(0)).relations[0]?.p1,
    );
    assert.deepEqual(p1, [1 / 3, 2 / 3, 0]);
  });

  it('the majority baseline', () => {
    assert.equal(majority([fact('a', [1], [], 'x'), fact('a', [9], [], 'y'), fact('a', [9], [], 'y')]), 2 / 3);
    assert.equal(majority([]), 0);
  });

  it('consistency counts ordered pairs; patterns that clash with the answer are left out', () => {
    const templates = ['[X] is [Y].', '[X] is a [Y].', '[X] was [Y].'].map((text) => ({ text }));
    const chosen = (...choices: string[]): Partial<ProbeAnswer>[] => choices.map((choice) => ({ choice }));
    const facts = [
      fact('a', [1, 1, 1], chosen('dog', 'dog', 'cat'), 'dog'), // 2 of 6 ordered pairs
      fact('a', [1, 1, 1], chosen('ox', 'hen', 'ox'), 'ox'), // “a ox” is left out: 2 of 2
    ];
    assert.deepEqual(pararel(facts, templates), { facts: 2, consistency: 4 / 8, accuracy: 1, both: 1 / 2 });
    assert.equal(pararel([fact('a', [1])], templates), null);
  });

  it('two runs: gained, lost, and the test', () => {
    const header = {
      relations: [{ id: 'a', templates: [], ranking: 'vocabulary' }],
      options: { ensemble: 'first' },
    } as unknown as RunHeader;
    const run = (ranks: number[]): Run => ({
      header,
      facts: ranks.map((rank, index) => ({ ...fact('a', [rank]), subject: `s${index}` })),
    });
    const { all, relations, changes, unpaired } = compareRuns(run([1, 1, 2, 3, 1]), run([1, 2, 1, 1, 1, 1]));
    assert.deepEqual(
      { ...all, p: 0 },
      { n: 5, first: 3 / 5, second: 4 / 5, gained: 2, lost: 1, right: 2, wrong: 0, p: 0 },
    );
    assert.equal(all.p, 1);
    assert.equal(relations[0]?.gained, 2);
    assert.deepEqual(
      changes.map(({ subject, change }) => [subject, change]),
      [
        ['s1', 'lost'],
        ['s2', 'gained'],
        ['s3', 'gained'],
      ],
    );
    assert.equal(unpaired, 1);
  });
});
