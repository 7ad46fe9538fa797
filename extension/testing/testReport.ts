/** What a test says of a fact: passed or not, why, and what the model said. Pure. */
import type { MainRanking } from '../cloze/metrics';
import type { RunFact } from '../cloze/runFile';
import { rankIn } from '../editor/probeText';
import { count, shortened, signed, visible } from '../protocol/format';
import type { ProbePrediction } from '../protocol/probes';

export type TestVerdict =
  | { state: 'passed' | 'skipped'; line: string }
  | { state: 'failed'; line: string; message: string; expected: string; actual: string };

const MAX_WORD = 24;
const MAX_QUESTION = 80;
const LISTED = 5;

/** By one template, an index into those of the run. */
export function testVerdict(fact: RunFact, template: number, ranking: MainRanking, passRank: number): TestVerdict {
  const { result, answers } = fact;
  const question = `${shortened(fact.subject ?? fact.sentence ?? '', MAX_QUESTION)} → ${answers.map(visible).join(' | ')}`;
  const verdict = (rank: number, said: string, top: string): TestVerdict => {
    const message = `rank ${count(rank)}, log p ${said}`;
    const passed = rank <= passRank;
    const line = `${passed ? '✓' : '✗'} ${question}  ${message}${top === '' ? '' : `  ${top}`}`;
    return passed
      ? { state: 'passed', line }
      : { state: 'failed', line, message: `${question}: ${message}`, expected: answers.join(' | '), actual: top };
  };
  const skipped = (why: string): TestVerdict => ({ state: 'skipped', line: `– ${question}  ${why}` });
  switch (result.kind) {
    case 'skipped':
      return skipped(`${result.why}: ${visible(result.detail)}`);
    case 'open':
      return skipped('has no answer to compare with');
    case 'joint': {
      const answer = result.answers.find((each) => each.template === template);
      if (answer === undefined) return skipped('cannot be asked by this template');
      const said = `${signed(answer.logprob)} in ${answer.tokens.length} tokens`;
      if (answer.candidateRank === null) return skipped(`log p ${said}; without candidates it is ranked among nothing`);
      return verdict(answer.candidateRank, said, answer.choice === null ? '' : visible(answer.choice));
    }
    case 'ranked': {
      const answer = result.answers.find((each) => each.template === template);
      return answer === undefined
        ? skipped('cannot be asked by this template')
        : verdict(rankIn(answer, ranking), signed(answer.logprob), listed(answer.top));
    }
  }
}

const listed = (top: readonly ProbePrediction[]): string =>
  top
    .slice(0, LISTED)
    .map(({ text, logprob }) => `${shortened(text.trim(), MAX_WORD)} ${signed(logprob)}`)
    .join(' · ');
