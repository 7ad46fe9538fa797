/** Relation probes on real models: beside PyTorch's numbers, beside the other analyses, and what is said of facts that cannot be asked. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { summarise, type AnsweredFact } from '../../extension/cloze/metrics';
import { answersOf } from '../../extension/cloze/facts';
import { readSources, readWords } from '../../extension/cloze/sources';
import { probe } from '../../extension/engine/analysis/probes/probe';
import { seededRandom } from '../../extension/engine/analysis/random';
import type { ModelRef } from '../../extension/protocol/engine';
import { LensError } from '../../extension/protocol/errors';
import type { ProbeFactResult, ProbeOptions, ProbeRelation, ProbeResult } from '../../extension/protocol/probes';
import { suiteEngine } from '../support/engine';
import { FakeModel, FakeTokenizer, quiet } from '../support/fakeModel';
import { BUNDLED, extraData, fixture } from '../support/fixtures';

const OPTIONS: ProbeOptions = { topK: 10, variants: [], uhn: false, joint: 'pll', seed: 0 };
type Ranked = Extract<ProbeFactResult, { kind: 'ranked' }>;
type Joint = Extract<ProbeFactResult, { kind: 'joint' }>;

const close = (actual: number | undefined, wanted: number, tolerance = 1e-3): void => {
  assert.ok(actual !== undefined && Math.abs(actual - wanted) <= tolerance, `${actual}, expected ${wanted}`);
};
const byFact = ({ facts }: ProbeResult): ProbeFactResult[] => facts.toSorted((a, b) => a.fact - b.fact);
const ranked = (result: ProbeFactResult | undefined): Ranked => {
  assert.ok(result?.kind === 'ranked', JSON.stringify(result));
  return result;
};
const joint = (result: ProbeFactResult | undefined): Joint => {
  assert.ok(result?.kind === 'joint', JSON.stringify(result));
  return result;
};
const relationOf = (templates: string[], ...facts: [string, ...string[]][]): ProbeRelation => ({
  id: 'r',
  templates: templates.map((text) => ({ text })),
  facts: facts.map(([subject, ...answers]) => ({ subject, answers })),
});

describe('relation probes', function () {
  this.timeout(600_000);
  const engine = suiteEngine();
  const ask = (model: ModelRef, relations: ProbeRelation[], options: Partial<ProbeOptions> = {}) =>
    engine.handle('probe', { model, relations, options: { ...OPTIONS, ...options } }, quiet());

  it("the lecture's 23 queries are answered as PyTorch answers them", async () => {
    const { fill_mask: expected } = JSON.parse(readFileSync('test/fixtures/bert-base-cased/expected.json', 'utf8')) as {
      fill_mask: { text: string; masks: { predictions: { id: number; token: string; logprob: number }[] }[] }[];
    };
    const { relations } = await readSources(['samples/workspace/lecture.cloze']);
    const { facts } = await ask(BUNDLED, relations);
    assert.equal(relations.length, 23);
    for (const {
      id,
      templates,
      facts: [fact],
    } of relations) {
      const text = templates[0]?.text.replace('[X]', fact?.subject ?? '').replace('[Y]', '[MASK]');
      const predictions = expected.find((each) => each.text === text)?.masks[0]?.predictions;
      const { answers } = ranked(facts.find(({ relation }) => relation === id));
      assert.equal(predictions?.length, 10, text);
      assert.deepEqual(
        answers[0]?.top.map(({ token }) => token),
        predictions.map(({ token }) => token),
        text,
      );
      predictions.forEach(({ logprob }, place) => close(answers[0]?.top[place]?.logprob, logprob));
    }
  });

  for (const [name, template] of [
    ['bert', 'the [X] said [Y] , and went .'],
    ['roberta', 'the [X] said [Y], and went.'],
    ['modernbert', 'the [X] said [Y], and went.'],
    // A mark behind the mask would be cut otherwise than behind a word.
    ['albert', 'the [X] said [Y] and went.'],
    ['gpt2', 'the [X] said [Y].'],
    ['llama', 'the [X] said [Y].'],
  ] as const)
    it(`${name}: log-probabilities and ranks are those of the other analyses`, async () => {
      const model = fixture(name);
      const words = ['the', 'was', 'and', 'his', 'little old', 'whale ship'];
      const { facts } = await ask(model, [
        relationOf([template], ...words.map((word): [string, string] => ['old', word])),
      ]);
      for (const result of facts) {
        const word = words[result.fact] as string;
        const text = template.replace('[X]', 'old').replace('[Y]', word);
        const start = text.indexOf(word, 'the old said'.length);
        const { candidates } = await engine.handle(
          'fillMask',
          { model, text, targets: [{ range: { start, end: start + word.length } }], topK: 1, candidates: [word] },
          quiet(),
        );
        const [score] = candidates;
        if (result.kind === 'ranked') {
          assert.equal(score?.tokens.length, 1);
          close(result.answers[0]?.logprob, score.logprob, 1e-4);
          assert.equal(result.answers[0]?.rank, score.rank);
          assert.equal(result.answers[0].fullRank, score.rank);
        } else {
          assert.deepEqual(joint(result).answers[0]?.tokens, score?.tokens);
          close(joint(result).answers[0]?.logprob, score?.logprob ?? NaN, 1e-4);
        }
      }
      assert.ok(facts.some(({ kind }) => kind === 'ranked'));
      assert.ok(facts.some(({ kind }) => kind === 'joint'));
    });

  const SAID = '[X] said [Y] and went .';
  const model = fixture('bert');

  it('without known answers the model tells its own, by each template, with the same numbers', async () => {
    const templates = ['[X] is the capital of [Y].', 'The capital of [Y] is [X].'];
    const open: ProbeRelation = { ...relationOf(templates, ['Paris']), id: 'open' };
    const sentence: ProbeRelation = {
      ...{ id: 'sentence', templates: [] },
      facts: [{ subject: null, sentence: 'Paris is the capital of [Y].', answers: [] }],
    };
    const { facts } = await ask(BUNDLED, [open, sentence, relationOf(templates, ['Paris', 'France'])]);
    const [asked, bare, known] = ['open', 'sentence', 'r'].map((id) => facts.find(({ relation }) => relation === id));
    assert.ok(asked?.kind === 'open' && bare?.kind === 'open' && known?.kind === 'ranked');
    assert.deepEqual(
      asked.answers,
      known.answers.map(({ template, top }) => ({ template, top })),
    );
    assert.deepEqual(bare.answers[0]?.top, known.answers[0]?.top);
    const { facts: few } = await ask(BUNDLED, [open], { vocabulary: ['Italy', 'France', 'Spain'], topK: 2 });
    assert.ok(few[0]?.kind === 'open');
    assert.deepEqual(
      few[0].answers[0]?.top.map(({ text }) => text),
      ['France', 'Italy'],
    );
  });

  it('tells without running the model what becomes of an answer in its place', async () => {
    const { groups } = await engine.handle(
      'probeAnswers',
      { model: BUNDLED, groups: [{ before: 'It is ', answers: ['France', 'antidisestablishment', '[MASK]', '猫猫'] }] },
      quiet(),
    );
    assert.deepEqual(
      groups[0]?.map(({ tokens, why }) => why ?? Math.min(tokens, 2)),
      [1, 2, 'answer is the mask', 'answer is unknown to the tokenizer'],
    );
  });

  it('a fact has the same numbers alone, among others, and twice', async () => {
    const words = ['the', 'was', 'and', 'his', 'out', 'they', 'little'];
    const subjects = ['a', 'the old man', 'the old man and the sea and the ship and the whale', 'she'];
    const facts = subjects.flatMap((subject) => words.map((word): [string, string] => [subject, word]));
    const all = byFact(await ask(model, [relationOf([SAID], ...facts)]));
    for (const index of [0, 9, 20]) {
      const [alone] = (await ask(model, [relationOf([SAID], facts[index] as [string, string])])).facts;
      const [a, b] = [ranked(alone).answers[0], ranked(all[index]).answers[0]];
      close(a?.logprob, b?.logprob ?? NaN, 1e-5);
      assert.equal(a?.rank, b?.rank);
    }
    const { queries } = await ask(model, [relationOf([SAID], ['she', 'the'], ['she', 'was'])]);
    assert.equal(queries, 1, 'equal texts run once');
  });

  it('ranks in a vocabulary and among candidates: the order of the whole, restricted', async () => {
    const vocabulary = ['the', 'was', 'and', 'his', 'out', 'not-a-token'];
    const facts = ['the', 'was', 'and', 'his', 'out', 'they'].map((word): [string, string] => ['she', word]);
    const relation = { ...relationOf([SAID], ...facts), candidates: ['was', 'his', 'they'] };
    const result = await ask(model, [relation], { vocabulary, topK: 3 });
    const found = byFact(result);
    assert.equal(found[5]?.kind === 'skipped' && found[5].why, 'answer not in the vocabulary file');
    const answers = found.slice(0, 5).map((each) => ranked(each).answers[0] as Ranked['answers'][number]);
    const byLogprob = answers.toSorted((a, b) => b.logprob - a.logprob);
    byLogprob.forEach(({ rank }, index) => assert.equal(rank, index + 1));
    const among = byLogprob.filter(({ answer }) => ['was', 'his'].includes(answer));
    assert.deepEqual(
      answers.map(({ candidateRank }) => candidateRank === null),
      [true, false, true, false, true],
    );
    assert.ok((among[0]?.candidateRank as number) < (among[1]?.candidateRank as number));
    assert.deepEqual(
      answers[0]?.top.map(({ token }) => token),
      byLogprob.slice(0, 3).map(({ answer }) => answer),
    );
    assert.match(result.notes.join(), /Of the 6 words of the vocabulary file 5 are one token/u);
  });

  it('of several accepted answers the best ranked counts', async () => {
    const [several, ...each] = byFact(
      await ask(model, [
        relationOf([SAID], ['she', 'the', 'was', 'out'], ['she', 'the'], ['she', 'was'], ['she', 'out']),
      ]),
    ).map((result) => ranked(result).answers[0]);
    assert.equal(several?.rank, Math.min(...each.map((answer) => answer?.rank ?? NaN)));
  });

  it('a mean over templates is that of their log-probabilities', async () => {
    const templates = [SAID, 'the [X] was [Y] .'];
    const words = ['the', 'was', 'and', 'his', 'out'];
    const relation = {
      ...relationOf(templates, ...words.map((word): [string, string] => ['man', word])),
      candidates: words,
    };
    const found = byFact(await ask(model, [relation])).map(ranked);
    const means = found.map(({ answers }) => ((answers[0]?.logprob ?? NaN) + (answers[1]?.logprob ?? NaN)) / 2);
    found.forEach(({ ensemble, answers }, index) => {
      assert.deepEqual(
        answers.map(({ template }) => template),
        [0, 1],
      );
      close(ensemble?.logprob, means[index] as number, 1e-6);
      assert.equal(ensemble?.candidateRank, 1 + means.filter((mean) => mean > (means[index] as number)).length);
    });
  });

  it('negated, misprimed, and with context: other texts, the same answer', async () => {
    const relation: ProbeRelation = {
      id: 'r',
      templates: [{ text: 'the [X] was [Y] .' }],
      facts: [
        { subject: 'man', answers: ['little'], context: 'he said so .' },
        { subject: 'ship', answers: ['out'] },
      ],
    };
    const found = byFact(await ask(model, [relation], { variants: ['negated', 'misprimed', 'context'] })).map(ranked);
    const texts = ['the man was not [Y] .', 'out? the man was [Y] .', 'he said so . the man was [Y] .'];
    const asked = await ask(model, [
      { id: 's', templates: [], facts: texts.map((sentence) => ({ subject: null, sentence, answers: ['little'] })) },
    ]);
    const wanted = byFact(asked).map((each) => ranked(each).answers[0]?.logprob ?? NaN);
    close(found[0]?.negated?.logprob, wanted[0] as number, 1e-5);
    close(found[0]?.misprimed?.logprob, wanted[1] as number, 1e-5);
    close(found[0]?.context?.logprob, wanted[2] as number, 1e-5);
    assert.equal(found[0]?.misprimed?.prime, 'out');
    assert.equal(found[1]?.context, null);
  });

  it('a misprime depends on the seed and the fact alone', async () => {
    const words = ['the', 'was', 'and', 'his', 'out', 'they', 'little'];
    const relation = relationOf([SAID], ...words.map((word): [string, string] => [`s ${word}`, word]));
    const primes = async (facts: ProbeRelation['facts'], seed: number): Promise<(string | undefined)[]> =>
      byFact(
        await ask(model, [{ ...relation, facts, answers: answersOf(relation) }], { variants: ['misprimed'], seed }),
      ).map((each) => ranked(each).misprimed?.prime);
    const all = await primes(relation.facts, 1);
    assert.deepEqual(await primes(relation.facts.slice(3, 5), 1), all.slice(3, 5));
    assert.notDeepEqual(await primes(relation.facts, 2), all);
  });

  it('candidates of several tokens are ranked by the mean a token', async () => {
    const candidates = ['little old', 'whale ship', 'out'];
    const facts = candidates.map((word): [string, string] => ['she', word]);
    for (const how of ['pll', 'masks'] as const) {
      const found = byFact(await ask(model, [{ ...relationOf([SAID], ...facts), candidates }], { joint: how }));
      const [a, b] = found.slice(0, 2).map((each) => joint(each).answers[0]);
      assert.ok((a?.tokens.length ?? 0) > 1);
      close(a?.meanLogprob, (a?.logprob ?? NaN) / (a?.tokens.length ?? NaN), 1e-9);
      assert.equal(
        (a?.candidateRank as number) < (b?.candidateRank as number),
        (a?.meanLogprob ?? 0) > (b?.meanLogprob ?? 0),
      );
      assert.equal(a?.choice, b?.choice);
      assert.equal(ranked(found[2]).answers[0]?.candidateRank, 1, 'one token: among those of one token');
    }
  });

  it('facts that cannot be asked say why, the others are answered', async () => {
    const long = 'the '.repeat(600);
    const facts: [string, ...string[]][] = [
      ['she', 'the'],
      ['she', '[MASK]'],
      ['she', '\u200b'],
      ['she', '漢'],
      ['[MASK] she', 'the'],
      ['[SEP]', 'the'],
      [long, 'the'],
      ['a [b] {c} [X] [Y]', 'the'],
      ['漢', 'the'],
    ];
    const { facts: found } = await ask(model, [relationOf([SAID], ...facts)]);
    assert.deepEqual(
      found.toSorted((a, b) => a.fact - b.fact).map((each) => (each.kind === 'skipped' ? each.why : each.kind)),
      [
        'ranked',
        'answer is the mask',
        'answer has no token',
        'answer is unknown to the tokenizer',
        'special token in the text',
        'special token in the text',
        'too long for the model',
        'ranked',
        'ranked',
      ],
    );
  });

  it('templates that cannot be used are told and left out', async () => {
    const { notes, facts } = await ask(fixture('gpt2'), [
      relationOf(['[Y] is what [X] said.', 'the [X] said [Y].', '[X] has no answer'], ['man', 'the']),
    ]);
    assert.equal(ranked(facts[0]).answers[0]?.template, 1);
    assert.match(notes.join('\n'), /goes on after \[Y\]/u);
    assert.match(notes.join('\n'), /does not hold \[X\], and \[Y\] once/u);
    const none = await ask(model, [relationOf(['[X] has none'], ['man', 'the'])]);
    assert.equal(none.facts[0]?.kind === 'skipped' && none.facts[0].why, 'no usable template');
  });

  it('UHN leaves out what the name gives away', async () => {
    const relation = {
      ...relationOf(
        ['[X] was born in [Y] .'],
        ['Paris Hilton', 'Paris'],
        ['Hans Meyer', 'Hamburg'],
        ['Ann Smith', 'Rome'],
      ),
      id: 'P19',
    };
    const found = byFact(await ask(BUNDLED, [relation], { uhn: true }));
    assert.equal(found[0]?.kind === 'skipped' && found[0].why, 'answer is part of the subject');
    const { masks } = await engine.handle(
      'fillMask',
      { model: BUNDLED, text: 'Hans is a common name in the following city : [MASK] .', targets: [], topK: 3 },
      quiet(),
    );
    const isGuessed = masks[0]?.predictions.some(({ token }) => token === 'Hamburg');
    assert.equal(isGuessed, true, 'the example is one');
    assert.equal(found[1]?.kind === 'skipped' && found[1].why, 'answer is guessed from the name');
  });

  it('tells of each fact once, as soon as it is there; a cancel ends it, and the rest can be asked for later', async () => {
    const facts = Array.from({ length: 1500 }, (_, index): [string, string] => [
      `the ${'old '.repeat(index % 7)}man ${index}`,
      'the',
    ]);
    const relation = relationOf([SAID], ...facts);
    const controller = new AbortController();
    const told = new Set<number>();
    const run = engine.handle(
      'probe',
      { model, relations: [relation], options: OPTIONS },
      {
        signal: controller.signal,
        progress: ({ facts: fresh = [] }) => {
          for (const { fact } of fresh) {
            assert.ok(!told.has(fact), 'told twice');
            told.add(fact);
          }
          if (told.size > 300) controller.abort();
        },
      },
    );
    await assert.rejects(run, (error) => error instanceof LensError && error.code === 'cancelled');
    assert.ok(told.size > 300 && told.size < 1500);
    const rest = relation.facts.filter((_, index) => !told.has(index));
    const { facts: found } = await ask(model, [{ ...relation, facts: rest }]);
    assert.equal(found.length + told.size, 1500);
  });

  it('two runs at once do not disturb each other', async () => {
    const relations = ['the', 'was'].map((word) =>
      relationOf([SAID], ...Array.from({ length: 100 }, (_, index): [string, string] => [`man ${index}`, word])),
    );
    const together = await Promise.all(relations.map((relation) => ask(model, [relation])));
    for (const [index, relation] of relations.entries()) {
      const alone = byFact(await ask(model, [relation]));
      assert.deepEqual(byFact(together[index] as ProbeResult), alone);
    }
  });

  it('a masked model whose tokenizer has no mask says so', async () => {
    const fake = new FakeModel(new FakeTokenizer({ causal: true }), () => [0]);
    await assert.rejects(
      probe(fake, { relations: [relationOf([SAID], ['she', 'the'])], options: OPTIONS }, quiet()),
      (error) => error instanceof LensError && error.code === 'no-mask-token',
    );
    await assert.rejects(
      ask(fixture('bert-classifier'), [relationOf([SAID], ['she', 'the'])]),
      (error) => error instanceof LensError && error.code === 'no-lm-head',
    );
  });

  describe('LAMA', () => {
    const folder = extraData('data/lama');
    before(function () {
      if (folder !== null) return;
      process.stderr.write('      skipped: data/lama is not there (set ONNX_LENS_TEST_DATA)\n');
      this.skip();
    });
    const data = (name: string): string => join(folder as string, name);
    const vocabularyOf = () => readWords(data('optiprompt_relation_metainfo/common_vocab_cased.txt'));
    const answered = ({ facts }: ProbeResult, { facts: asked }: ProbeRelation): AnsweredFact[] =>
      facts.map(({ relation, fact, ...result }) => ({ relation, answers: asked[fact]?.answers ?? [], result }));
    const summaryOf = async (relation: ProbeRelation) => {
      const result = await ask(BUNDLED, [relation], { vocabulary: await vocabularyOf() });
      const { relations } = summarise(
        answered(result, relation),
        [{ ...relation, ranking: 'vocabulary' }],
        'first',
        seededRandom(0),
      );
      return relations[0];
    };

    for (const id of ['P264', 'P463'])
      it(`${id}: P@1 is that of PyTorch, within a fact`, async () => {
        const { relations: expected } = JSON.parse(readFileSync(data('expected.json'), 'utf8')) as {
          relations: Record<string, { n: number; int8: { p1: number; mean_logprob: number } }>;
        };
        const { relations } = await readSources([data(`trex/${id}.jsonl`)]);
        const found = await summaryOf(relations[0] as ProbeRelation);
        const wanted = expected[id];
        assert.equal(found?.n, wanted?.n);
        close(found?.p1, (wanted?.int8.p1 ?? NaN) / 100, 1 / (wanted?.n ?? NaN) + 1e-6);
        close(found?.meanLogprob, wanted?.int8.mean_logprob ?? NaN);
      });

    // Written by scripts/reference/probes.py, which shares nothing with this code but the runtime.
    const reference = JSON.parse(readFileSync('test/fixtures/probes/pararel.json', 'utf8')) as {
      facts: number;
      relations: Record<
        string,
        Record<'n' | 'p1' | 'p10' | 'mrr' | 'mean_logprob' | 'consistency' | 'accuracy' | 'both', number>
      >;
    };
    for (const [id, wanted] of Object.entries(reference.relations))
      it(`${id}: P@1, P@10, MRR and ParaRel are those of the Python reference`, async () => {
        const read = async (...paths: string[]): Promise<ProbeRelation> => {
          const { relations } = await readSources(paths.map(data));
          const relation = relations.find((each) => each.id === id) as ProbeRelation;
          return { ...relation, candidates: answersOf(relation), facts: relation.facts.slice(0, reference.facts) };
        };
        const plain = await summaryOf(await read(`trex/${id}.jsonl`));
        for (const name of ['n', 'p1', 'p10', 'mrr'] as const) close(plain?.[name], wanted[name], 1e-6);
        close(plain?.meanLogprob, wanted.mean_logprob, 1e-4);
        const { pararel } = (await summaryOf(await read(`trex/${id}.jsonl`, `pararel_patterns/${id}.jsonl`))) ?? {};
        for (const name of ['consistency', 'accuracy', 'both'] as const) close(pararel?.[name], wanted[name], 1e-6);
      });
  });
});
