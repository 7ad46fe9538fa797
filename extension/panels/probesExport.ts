/** Tables of runs for papers and programs. Pure. */
import type { Cell } from './export';
import type { ProbeRow, ProbesComparison, ProbesSummary } from '../protocol/probesView';
import type { RunFact } from '../cloze/runFile';

export function factCells(rows: readonly ProbeRow[], facts: readonly RunFact[]): Cell[][] {
  return [
    ['relation', 'subject', 'query', 'answers', 'answer', 'status', 'rank', 'logprob', 'generations', 'why'],
    ...rows.map(({ relation, query, answer, status, rank, logprob, top, why }, index): Cell[] => {
      const fact = facts[index];
      return [
        ...[relation, fact?.subject ?? '', query, fact?.answers.join(' | ') ?? '', answer, status],
        ...[rank, logprob, top.map((each) => `${each.text} [${each.logprob.toFixed(2)}]`).join(' '), why ?? ''],
      ];
    }),
  ];
}

export function relationCells({ relations, macro }: ProbesSummary): Cell[][] {
  return [
    [
      ...['relation', 'n', 'p1', 'p1_low', 'p1_high', 'p10', 'p10_low', 'p10_high', 'mrr', 'mrr_low', 'mrr_high'],
      ...['mean_logprob', 'majority'],
    ],
    ...relations.map(({ relation, n, p1, p10, mrr, intervals, meanLogprob, majority }): Cell[] => [
      ...[relation, n, p1, intervals.p1.low, intervals.p1.high, p10, intervals.p10.low, intervals.p10.high],
      ...[mrr, intervals.mrr.low, intervals.mrr.high, meanLogprob, majority],
    ]),
    [
      ...['mean of relations', null, macro.p1, macro.intervals.p1.low, macro.intervals.p1.high],
      ...[macro.p10, macro.intervals.p10.low, macro.intervals.p10.high],
      ...[macro.mrr, macro.intervals.mrr.low, macro.intervals.mrr.high, null, null],
    ],
  ];
}

export function comparisonCells({ relations, all }: ProbesComparison): Cell[][] {
  return [
    ['relation', 'n', 'p1_first', 'p1_second', 'gained', 'lost', 'same_right', 'same_wrong', 'p_mcnemar'],
    ...[...relations, { relation: 'all facts', ...all }].map(
      ({ relation, n, first, second, gained, lost, right, wrong, p }): Cell[] => [
        ...[relation, n, first, second, gained, lost, right, wrong, p],
      ],
    ),
  ];
}

const shown = (cell: Cell): string =>
  typeof cell !== 'number' ? (cell ?? '') : Number.isInteger(cell) ? String(cell) : cell.toFixed(4);
const isNumeric = (rows: readonly (readonly Cell[])[], column: number): boolean =>
  rows.slice(1).every((row) => typeof row[column] === 'number' || row[column] === null);

/** A pipe table of GitHub's Markdown. */
export function markdownTable(rows: readonly (readonly Cell[])[]): string {
  const cell = (value: Cell): string =>
    shown(value)
      .replace(/[\\`*_[\]<>#|~]/g, '\\$&')
      .replace(/\s+/g, ' ');
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`;
  const [head = [], ...body] = rows;
  return (
    line(head.map(cell)) +
    line(head.map((_, column) => (isNumeric(rows, column) ? '---:' : '---'))) +
    body.map((row) => line(row.map(cell))).join('')
  );
}

const TEX: Readonly<Record<string, string>> = {
  '\\': '\\textbackslash{}',
  '~': '\\textasciitilde{}',
  '^': '\\textasciicircum{}',
};

/** A `tabular` with the rules of booktabs. */
export function latexTable(rows: readonly (readonly Cell[])[]): string {
  const cell = (value: Cell): string =>
    shown(value)
      .replace(/[\\~^]|[&%$#_{}]/g, (sign) => TEX[sign] ?? `\\${sign}`)
      .replace(/\s+/g, ' ')
      .replace(/^-(?=\d)/, '$-$');
  const [head = [], ...body] = rows;
  const line = (row: readonly Cell[]): string => `${row.map(cell).join(' & ')} \\\\\n`;
  const columns = head.map((_, column) => (isNumeric(rows, column) ? 'r' : 'l')).join('');
  return `\\begin{tabular}{${columns}}\n\\toprule\n${line(head)}\\midrule\n${body.map(line).join('')}\\bottomrule\n\\end{tabular}\n`;
}
