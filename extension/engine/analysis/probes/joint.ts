/** Answers of several tokens: as many masks as tokens, and a score over all of them, never the first alone. */
import type { JointAnswer, ProbeOptions } from '../../../protocol/probes';
import type { LanguageModel } from '../../session/languageModel';
import { askAll, type Question } from '../forward';
import type { Distribution } from '../distribution';
import { isSkip, skip, type AnswerTokens, type Blank, type QueryMaker, type QueryRow, type Skip } from './queries';

interface JointQuestion {
  blank: Blank;
  tokens: AnswerTokens;
  answers: readonly string[];
  candidates: readonly string[] | null;
}

/** A word with its tokens in place. */
interface Placed {
  text: string;
  ids: Int32Array;
  row: QueryRow;
}

interface Scored {
  text: string;
  ids: Int32Array;
  logprob: number;
  mean: number;
}

export interface JointScore {
  answer: Omit<JointAnswer, 'template'>;
  texts: number;
}

/**
 * The accepted answer with the highest mean log-probability a token, and its rank among the candidates by that mean: a sum would
 * favour short ones. Candidates that are accepted answers too do not stand before it.
 */
export async function scoreJointly(
  model: LanguageModel,
  kind: 'masked' | 'causal',
  queries: QueryMaker,
  { blank, tokens, answers, candidates }: JointQuestion,
  how: ProbeOptions['joint'],
  signal: AbortSignal,
): Promise<JointScore | Skip> {
  let problem: Skip | null = null;
  const placed: Placed[] = [];
  for (const text of new Set([...answers, ...(candidates ?? [])])) {
    const ids = tokens.of(text);
    const row = isSkip(ids) ? ids : queries.row(blank, ids.length);
    if (isSkip(ids)) problem ??= ids;
    else if (isSkip(row)) problem ??= row;
    else placed.push({ text, ids, row });
  }
  if (!placed.some(({ text }) => answers.includes(text)))
    return problem ?? skip('answer has no token', answers.join(', '));
  const questionsOf = kind === 'causal' ? leftToRight : how === 'masks' ? allMasked : eachMasked;
  const perWord = placed.map(questionsOf);
  const distinct = new Map(perWord.flat().map((question) => [keyOf(question), question]));
  const answered = await askAll(model, [...distinct.values()], signal);
  const byKey = new Map([...distinct.keys()].map((key, index) => [key, answered[index] as Distribution[]]));
  const scored = placed.map(({ text, ids }, index): Scored => {
    const distributions = (perWord[index] as Question[]).flatMap(
      (question) => byKey.get(keyOf(question)) as Distribution[],
    );
    const logprob = ids.reduce((sum, id, token) => sum + (distributions[token] as Distribution).logprob(id), 0);
    return { text, ids, logprob, mean: logprob / ids.length };
  });
  const byMean = scored.toSorted((a, b) => b.mean - a.mean);
  const best = byMean.find(({ text }) => answers.includes(text)) as Scored;
  const rivals = candidates === null ? null : byMean.filter(({ text }) => candidates.includes(text));
  return {
    texts: distinct.size,
    answer: {
      answer: best.text,
      tokens: [...best.ids].map((id) => model.tokenizer.token(id)),
      logprob: best.logprob,
      meanLogprob: best.mean,
      candidateRank: rivals?.some(({ text }) => text === best.text) === true ? rankOf(best, rivals) : null,
      choice: rivals?.[0]?.text ?? null,
    },
  };
}

/** Equal scores in the order of the candidates. */
const rankOf = (best: Scored, rivals: readonly Scored[]): number =>
  1 + rivals.findIndex(({ text }) => text === best.text);

/** Each token masked alone, the others in place: pseudo-log-likelihood. */
function eachMasked({ ids, row }: Placed): Question[] {
  return row.positions.map((position) => {
    const filled = row.ids.slice();
    row.positions.forEach((other, token) => {
      if (other !== position) filled[other] = ids[token] as number;
    });
    return { ids: filled, positions: [position] };
  });
}

const allMasked = ({ row }: Placed): Question[] => [{ ids: row.ids, positions: row.positions }];

function leftToRight({ ids, row }: Placed): Question[] {
  return [{ ids: Int32Array.from([...row.ids, ...ids.subarray(0, -1)]), positions: row.positions }];
}

const keyOf = ({ ids, positions }: Question): string => `${ids.join()};${positions.join()}`;
