/** What is said of a fact beside its line, and in the details. Pure. */
import type { MainRanking } from '../cloze/metrics';
import type { RunFact } from '../cloze/runFile';
import { count, shortened, signed, visible } from '../protocol/format';
import type { JointAnswer, ProbeAnswer, ProbePrediction, ProbeTemplate } from '../protocol/probes';

/** Longer words are cut. */
const MAX_WORD = 24;
const MAX_TEMPLATE = 80;

export interface Verdict {
  /** Null: nothing is known to compare with, or it has no rank. */
  passed: boolean | null;
  rank: number | null;
}

/** By the first template, as the main numbers are. */
export function verdictOf({ result }: RunFact, ranking: MainRanking, passRank: number): Verdict {
  switch (result.kind) {
    case 'ranked': {
      const [first] = result.answers;
      return first === undefined ? { passed: null, rank: null } : verdict(rankIn(first, ranking), passRank);
    }
    case 'joint': {
      const rank = result.answers[0]?.candidateRank ?? null;
      return rank === null ? { passed: null, rank } : verdict(rank, passRank);
    }
    case 'open':
    case 'skipped':
      return { passed: null, rank: null };
  }
}

const verdict = (rank: number, passRank: number): Verdict => ({ rank, passed: rank <= passRank });

export const rankIn = (
  { rank, candidateRank }: Pick<ProbeAnswer, 'rank' | 'candidateRank'>,
  ranking: MainRanking,
): number => (ranking === 'candidates' ? (candidateRank ?? rank) : rank);

/** `✓ Rome −1.80 · Florence −1.83`, `#17 Rome −1.80 …` */
export function hintText(fact: RunFact, ranking: MainRanking, passRank: number, top: number): string {
  const { result } = fact;
  const { passed, rank } = verdictOf(fact, ranking, passRank);
  const mark = passed === true ? '✓ ' : rank === null ? '' : `✗ #${count(rank)} `;
  switch (result.kind) {
    case 'ranked': {
      const several = result.answers.length > 1 ? ` · ${rightTemplates(fact, ranking, passRank)}` : '';
      return mark + predictions(result.answers[0]?.top ?? [], top) + several;
    }
    case 'open':
      return predictions(result.answers[0]?.top ?? [], top);
    case 'joint': {
      const [first] = result.answers;
      return first === undefined ? '' : `${mark}${shortened(first.answer, MAX_WORD)} ${signed(first.logprob)}`;
    }
    case 'skipped':
      return `– ${result.why}`;
  }
}

/** Of a fact that was asked again by the templates of a relation: `capital 2/3 templates` */
export function againText(
  fact: RunFact,
  { id, ranking }: { id: string; ranking: MainRanking },
  passRank: number,
): string {
  if (fact.result.kind === 'ranked') return `${visible(id)} ${rightTemplates(fact, ranking, passRank)}`;
  return `${visible(id)} ${hintText(fact, ranking, passRank, 0)}`;
}

function rightTemplates({ result }: RunFact, ranking: MainRanking, passRank: number): string {
  const answers = result.kind === 'ranked' ? result.answers : [];
  const right = answers.filter((answer) => rankIn(answer, ranking) <= passRank).length;
  return `${right}/${answers.length} ${answers.length === 1 ? 'template' : 'templates'}`;
}

const predictions = (top: readonly ProbePrediction[], most: number): string =>
  top
    .slice(0, most)
    .map(({ text, logprob }) => `${shortened(text.trim(), MAX_WORD)} ${signed(logprob)}`)
    .join(' · ');

/** One line a template, with the generations of the first: plain text. */
export function detailLines(
  fact: RunFact,
  templates: readonly ProbeTemplate[],
  ranking: MainRanking,
  vocabulary: 'model' | 'file',
): string[] {
  const { result } = fact;
  const name = (template: number): string =>
    fact.sentence === undefined ? shortened(templates[template]?.text ?? '', MAX_TEMPLATE) : '';
  switch (result.kind) {
    case 'skipped':
      return [`${result.why}: ${visible(result.detail)}`];
    case 'open':
      return result.answers.flatMap(({ template, top }) => [
        ...(result.answers.length > 1 ? [name(template)] : []),
        ...listed(top),
      ]);
    case 'joint':
      return result.answers.map((answer) => jointLine(answer, name(answer.template)));
    case 'ranked': {
      const [first] = result.answers;
      return [
        ...result.answers.map((answer) => answerLine(answer, ranking, vocabulary, name(answer.template))),
        ...(result.ensemble === null
          ? []
          : [
              `mean of templates: rank ${count(rankIn(result.ensemble, ranking))}, log p ${signed(result.ensemble.logprob)}`,
            ]),
        ...(first === undefined ? [] : listed(first.top)),
      ];
    }
  }
}

function answerLine(answer: ProbeAnswer, ranking: MainRanking, vocabulary: 'model' | 'file', template: string): string {
  const among =
    ranking === 'candidates' && answer.candidateRank !== null
      ? 'of the candidates'
      : vocabulary === 'file'
        ? 'of the vocabulary file'
        : 'of the vocabulary';
  const full = rankIn(answer, ranking) === answer.fullRank ? '' : `, ${count(answer.fullRank)} of the whole vocabulary`;
  const said = `${visible(answer.answer)}: rank ${count(rankIn(answer, ranking))} ${among}${full}, log p ${signed(answer.logprob)}`;
  return template === '' ? said : `${template}  ${said}`;
}

function jointLine({ answer, tokens, logprob, meanLogprob, candidateRank }: JointAnswer, template: string): string {
  const rank = candidateRank === null ? '' : `, rank ${count(candidateRank)} of the candidates`;
  const said = `${visible(answer)}: ${tokens.length} tokens, log p ${signed(logprob)}, a token ${signed(meanLogprob)}${rank}`;
  return template === '' ? said : `${template}  ${said}`;
}

/** Aligned, best first. */
function listed(top: readonly ProbePrediction[]): string[] {
  const names = top.map(({ text }) => shortened(text.trim(), MAX_WORD));
  const width = Math.max(0, ...names.map((name) => Array.from(name).length));
  return top.map(({ logprob }, index) => {
    const name = names[index] ?? '';
    return `${String(index + 1).padStart(3)}  ${name}${' '.repeat(width - Array.from(name).length)}  ${signed(logprob).padStart(6)}`;
  });
}
