/** Tables of runs: rows, Markdown, LaTeX. */
import assert from 'node:assert/strict';
import { factRows, queryOf } from '../../extension/cloze/table';
import type { RunFact } from '../../extension/cloze/runFile';
import { factCells, latexTable, markdownTable } from '../../extension/panels/probesExport';

const RELATION = { id: 'capital', templates: [{ text: 'The capital of [X] is [Y].' }], ranking: 'vocabulary' as const };
const ANSWER = {
  ...{ template: 0, answer: 'Paris', logprob: -0.5, rank: 1, fullRank: 1, candidateRank: null, choice: null },
  top: [{ id: 1, token: 'Paris', text: ' Paris', logprob: -0.5 }],
};
const ranked = (rank: number): RunFact => ({
  ...{ relation: 'capital', subject: '$& France', answers: ['Paris'] },
  result: {
    ...{
      kind: 'ranked',
      answers: [{ ...ANSWER, rank }],
      ensemble: null,
      negated: null,
      misprimed: null,
      context: null,
    },
  },
});
const skipped: RunFact = {
  ...{ relation: 'capital', subject: 'Myanmar', answers: ['Naypyidaw'] },
  result: { kind: 'skipped', why: 'answer has no token', detail: '“x”' },
};

describe('tables of runs', () => {
  it('have a row a fact, with the rank of the main numbers', () => {
    const facts = [ranked(1), skipped, ranked(3)];
    const rows = factRows({ relations: [RELATION], ensemble: 'first', facts });
    assert.deepEqual(
      rows.map(({ status, rank, query, why }) => [status, rank, query, why]),
      [
        ['right', 1, 'The capital of $& France is ____.', null],
        ['skipped', null, 'The capital of Myanmar is ____.', 'answer has no token: “x”'],
        ['wrong', 3, 'The capital of $& France is ____.', null],
      ],
    );
    assert.deepEqual(
      factRows({ relations: [RELATION], ensemble: 'first', facts }, [
        { file: 'b.cloze', line: 1 },
        { file: 'a.cloze', line: 9 },
        { file: 'a.cloze', line: 3 },
      ]).map(({ place }) => place),
      [2, 1, 0],
    );
    assert.equal(queryOf({ ...skipped, sentence: 'It is [Y].' }, RELATION), 'It is ____.');
    assert.deepEqual(factCells(rows, facts)[1]?.slice(0, 8), [
      ...['capital', '$& France', 'The capital of $& France is ____.', 'Paris', 'Paris', 'right', 1, -0.5],
    ]);
  });

  const cells = [
    ['name', 'share'],
    ['a_b | 50% & \\x\n{y}', 0.12345],
    ['~^', -2.5],
  ];

  it('are Markdown', () => {
    assert.equal(
      markdownTable(cells),
      '| name | share |\n| --- | ---: |\n| a\\_b \\| 50% & \\\\x {y} | 0.1235 |\n| \\~^ | -2.5000 |\n',
    );
  });

  it('are LaTeX', () => {
    assert.equal(
      latexTable(cells),
      '\\begin{tabular}{lr}\n\\toprule\nname & share \\\\\n\\midrule\n' +
        'a\\_b | 50\\% \\& \\textbackslash{}x \\{y\\} & 0.1235 \\\\\n' +
        '\\textasciitilde{}\\textasciicircum{} & $-$2.5000 \\\\\n\\bottomrule\n\\end{tabular}\n',
    );
  });
});
