/** What the editor's parts of the probes decide without VS Code: completion, blanks, fitting relations, texts, discovery. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { blanksIn, fittingRelation, questionAt } from '../../extension/cloze/blanks';
import { completionsAt, pathAt } from '../../extension/cloze/completion';
import { discoverSources } from '../../extension/cloze/discover';
import { parseCloze } from '../../extension/cloze/language';
import type { RunFact } from '../../extension/cloze/runFile';
import { againText, detailLines, hintText } from '../../extension/editor/probeText';
import type { ProbeAnswer } from '../../extension/protocol/probes';
import { testVerdict } from '../../extension/testing/testReport';

describe('blanks', () => {
  const found = (text: string): string[] => blanksIn(text).map(({ start, end }) => text.slice(start, end));

  it('are ____, [MASK], <mask> and [Y], but not a rule', () => {
    assert.deepEqual(found('A ____ and [MASK], <mask> or [Y].'), ['____', '[MASK]', '<mask>', '[Y]']);
    assert.deepEqual(found('Title\n_____\n'), []);
    assert.deepEqual(found('___ [MASK] ___'), []);
    assert.deepEqual(found('snake_case and __init__ have none'), []);
  });

  it('are asked at one, with the others masked, whatever stands in the text', () => {
    const text = 'From ____ to [Y].';
    const [first] = blanksIn(text);
    assert.deepEqual(questionAt(text, first!), { subject: null, sentence: 'From [Y] to [MASK].', answers: [] });
    const box = '- [X] Paris is in ____.';
    assert.deepEqual(questionAt(box, blanksIn(box)[0]!, ['France']), {
      ...{ subject: '[X]', sentence: '- [X] Paris is in [Y].', answers: ['France'] },
    });
  });
});

describe('the relation that a sentence fits', () => {
  const relations = [
    {
      id: 'capital',
      templates: [{ text: '[X] is the capital of [Y] .' }, { text: 'The capital of [Y] is [X].' }],
      facts: [{ subject: 'Bern', answers: ['Switzerland'] }],
    },
    { id: 'is', templates: [{ text: '[X] is [Y].' }], facts: [] },
    { id: 'odd', templates: [{ text: '[X] (born [X]) lived in [Y]' }], facts: [] },
  ];
  const fit = (sentence: string, answer: string) => {
    const start = sentence.lastIndexOf(answer);
    const found = fittingRelation(sentence, { start, end: start + answer.length }, relations);
    return found === null ? null : [found.relation.id, found.subject, found.by];
  };

  it('has its form, whatever the white space and the mark at the end', () => {
    assert.deepEqual(fit('Paris is the capital of France.', 'France'), ['capital', 'Paris', 'template']);
    assert.deepEqual(fit('  New  York is the capital of crime !', 'crime'), ['capital', 'New  York', 'template']);
    assert.deepEqual(fit('The capital of France is Paris', 'France'), ['capital', 'Paris', 'template']);
  });

  it('is the one whose template says most; a subject that comes twice is the same', () => {
    assert.deepEqual(fit('Water is wet.', 'wet'), ['is', 'Water', 'template']);
    assert.deepEqual(fit('A (born A) lived in B', 'B'), ['odd', 'A', 'template']);
    assert.equal(fit('A (born C) lived in B', 'B'), null);
  });

  it('or has the fact', () => {
    assert.deepEqual(fit('In Bern, they govern Switzerland from a hill.', 'Switzerland'), ['capital', 'Bern', 'fact']);
    assert.equal(fit('In Bernau, they know Switzerland well.', 'Switzerland'), null);
    assert.equal(fit('Nobody knows.', 'knows'), null);
  });

  it('is found in time, however the text is made', () => {
    const started = performance.now();
    fit(`${'a '.repeat(900)}(born ${'a '.repeat(50)}x`, 'x');
    assert.ok(performance.now() - started < 500);
  });
});

describe('completion in .cloze files', () => {
  const text = 'relation capital\n  template: [X] is in [Y].\n  France → Paris\n  Spain → Madrid | Paris\n';
  const labels = (line: string, from = text): string[] =>
    completionsAt(parseCloze(from + line), line, from.length + line.length, [
      { id: 'river', label: 'flows through' },
      { id: 'capital', label: null },
    ]).map(({ label }) => label);

  it('offers what fits the place', () => {
    assert.deepEqual(labels('', ''), ['relation', 'candidates', 'vocabulary']);
    assert.deepEqual(labels('  '), ['relation', 'template', 'negated', 'context', 'candidates', 'vocabulary']);
    assert.deepEqual(labels('  candidates: '), ['relation', 'file']);
    assert.deepEqual(labels('  template: '), ['[X]', '[Y]']);
    assert.deepEqual(labels('  template: [Y] is in ['), ['[X]']);
    assert.deepEqual(labels('  Italy → '), ['Paris', 'Madrid']);
    assert.deepEqual(labels('  Italy → Rome | '), ['Paris', 'Madrid']);
    assert.deepEqual(labels('# a comment'), []);
  });

  it('offers relations of other files, with their labels', () => {
    const [only, ...others] = completionsAt(parseCloze(`${text}relation ri`), 'relation ri', text.length + 11, [
      { id: 'river', label: 'flows through' },
      { id: 'capital', label: null },
    ]);
    assert.deepEqual([only?.insert, only?.replaces, others], ['river: flows through', 2, []]);
  });

  it('knows where a path is written', () => {
    assert.equal(pathAt('  vocabulary: words/co'), 'words/co');
    assert.equal(pathAt('  candidates: file ./x'), './x');
    assert.equal(pathAt('  candidates: fi'), null);
  });
});

describe('what is said of a fact', () => {
  const answer = (rank: number, template = 0): ProbeAnswer => ({
    ...{ template, answer: 'Rome', logprob: -1.5, rank, fullRank: rank, candidateRank: null, choice: null },
    top: [
      { id: 1, token: 'Rome', text: 'Rome', logprob: -1.5 },
      { id: 2, token: '##ius', text: 'ius', logprob: -2 },
    ],
  });
  const fact = (...answers: ProbeAnswer[]): RunFact => ({
    ...{ relation: 'r', subject: 'Italy', answers: ['Rome'] },
    result: {
      ...{ kind: 'ranked', ensemble: null, negated: null, misprimed: null, context: null },
      answers,
    },
  });

  it('beside its line', () => {
    assert.equal(hintText(fact(answer(1)), 'vocabulary', 1, 2), '✓ Rome −1.50 · ius −2.00');
    assert.equal(hintText(fact(answer(17)), 'vocabulary', 10, 1), '✗ #17 Rome −1.50');
    assert.equal(hintText(fact(answer(1), answer(3, 1)), 'vocabulary', 1, 1), '✓ Rome −1.50 · 1/2 templates');
    assert.equal(againText(fact(answer(1), answer(3, 1)), { id: 'r', ranking: 'vocabulary' }, 3), 'r 2/2 templates');
    const ranked = { ...answer(9), candidateRank: 1 };
    assert.equal(hintText(fact(ranked), 'candidates', 1, 1), '✓ Rome −1.50');
    const skipped: RunFact = {
      ...fact(),
      result: { kind: 'skipped', why: 'answer has no token', detail: '' },
    };
    assert.equal(hintText(skipped, 'vocabulary', 1, 3), '– answer has no token');
  });

  it('in the details, template by template', () => {
    const lines = detailLines(
      fact({ ...answer(2), candidateRank: 1 }, answer(5, 1)),
      [{ text: '[X] a [Y]' }, { text: '[X] b [Y]' }],
      'candidates',
      'model',
    );
    assert.equal(lines[0], '[X] a [Y]  Rome: rank 1 of the candidates, 2 of the whole vocabulary, log p −1.50');
    assert.equal(lines[1], '[X] b [Y]  Rome: rank 5 of the vocabulary, log p −1.50');
    assert.equal(lines[2], '  1  Rome   −1.50');
  });

  it('by a test, with its own template', () => {
    const both = fact(answer(1), answer(3, 1));
    assert.equal(testVerdict(both, 0, 'vocabulary', 1).state, 'passed');
    const failed = testVerdict(both, 1, 'vocabulary', 1);
    assert.ok(failed.state === 'failed');
    assert.equal(failed.message, 'Italy → Rome: rank 3, log p −1.50');
    assert.equal(failed.actual, 'Rome −1.50 · ius −2.00');
    assert.equal(testVerdict(both, 1, 'vocabulary', 3).state, 'passed');
    assert.equal(testVerdict(both, 2, 'vocabulary', 3).state, 'skipped');
  });
});

describe('facts in a folder', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'onnx-lens-'));
    const put = (path: string, ...lines: unknown[]): void => {
      mkdirSync(join(folder, path, '..'), { recursive: true });
      writeFileSync(
        join(folder, path),
        lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n'),
      );
    };
    put('relations.jsonl', { relation: 'P1', template: '[X] is [Y]' });
    put('trex/P1.jsonl', 'broken', { sub_label: 'a', obj_label: 'b' });
    put('other/born_test.jsonl', { sub_label: 'a', obj_label: 'b' });
    put('other/born_train.jsonl', { sub_label: 'c', obj_label: 'd' });
    put('patterns/P1.jsonl', { pattern: '[X] was [Y]' });
    put('patterns/P2.jsonl', { pattern: '[X] has [Y]' });
    put('data/rows.jsonl', ...Array.from({ length: 100 }, () => ({ text: 'no fact' })));
    put('empty.jsonl');
  });
  after(() => rmSync(folder, { recursive: true }));

  it('are told apart by their first lines', async () => {
    const names = [
      'relations',
      'trex/P1',
      'other/born_test',
      'other/born_train',
      'patterns/P1',
      'patterns/P2',
      'data/rows',
      'empty',
    ];
    const found = await discoverSources(names.map((name) => join(folder, `${name}.jsonl`)));
    const short = (file: string | null) => file?.slice(folder.length + 1);
    assert.deepEqual(
      found.map(({ kind, folder: place, relations }) => [
        kind,
        short(place),
        relations.map(({ id, files, facts }) => [id, files.map(short), short(facts)]),
      ]),
      [
        ['facts', 'other', [['born', ['other/born_test.jsonl', 'other/born_train.jsonl'], 'other/born_test.jsonl']]],
        [
          'pararel',
          'patterns',
          [
            ['P1', ['patterns/P1.jsonl', 'trex/P1.jsonl'], 'trex/P1.jsonl'],
            ['P2', ['patterns/P2.jsonl'], undefined],
          ],
        ],
        ['lama', 'trex', [['P1', ['trex/P1.jsonl'], 'trex/P1.jsonl']]],
      ],
    );
  });
});
