/** Ranks of answers among the words of a vocabulary, among candidates, and in the model's whole vocabulary. */
import type { EnsembleAnswer, ProbeAnswer, ProbePrediction } from '../../../protocol/probes';
import type { LensTokenizer } from '../../text/tokenizer';
import type { Distribution } from '../distribution';
import { describePrediction } from '../predictions';
import type { AnswerTokens } from './queries';

/** An accepted answer of one token. */
export interface SingleAnswer {
  text: string;
  id: number;
}

/** What answers are ranked among, behind one tail. */
export interface RankingSets {
  tokens: AnswerTokens;
  /** Ascending; null: the whole vocabulary. */
  vocabulary: Int32Array | null;
  /** Candidates of one token, ascending; null when there are none to rank. */
  candidates: { ids: Int32Array; texts: Map<number, string> } | null;
}

export function candidateSet(words: readonly string[] | undefined, tokens: AnswerTokens): RankingSets['candidates'] {
  if (words === undefined) return null;
  const ids = tokens.single(words);
  if (ids.length === 0) return null;
  const texts = new Map<number, string>();
  // Of words that are the same token the first gives its name.
  for (const word of words.toReversed()) {
    const cut = tokens.of(word);
    if (cut instanceof Int32Array && cut.length === 1) texts.set(cut[0] as number, word);
  }
  return { ids, texts };
}

const least = <T>(items: readonly T[], valueOf: (item: T) => number): T =>
  items.reduce((best, item) => (valueOf(item) < valueOf(best) ? item : best));

export function rankAnswer(
  tokenizer: LensTokenizer,
  distribution: Distribution,
  answers: readonly SingleAnswer[],
  { vocabulary, candidates }: RankingSets,
  topK: number,
): Omit<ProbeAnswer, 'template'> {
  const ranked = answers.map(({ text, id }) => ({ text, id, rank: distribution.rank(id) }));
  // The order within a set is the order in the whole.
  const best = least(ranked, ({ rank }) => rank);
  const among = (ids: Int32Array): number => distribution.rankAmong(ids, best.id);
  const [first] = candidates === null ? [] : distribution.topAmong(candidates.ids, 1);
  return {
    answer: best.text,
    logprob: distribution.logprob(best.id),
    rank: vocabulary === null ? best.rank : among(vocabulary),
    fullRank: best.rank,
    // An answer that is no candidate has no rank among them.
    candidateRank: candidates?.texts.has(best.id) === true ? among(candidates.ids) : null,
    choice: first === undefined ? null : (candidates?.texts.get(first) ?? null),
    top: bestOf(tokenizer, distribution, vocabulary, topK),
  };
}

/** The likeliest of the vocabulary (null: the whole one), best first. */
export function bestOf(
  tokenizer: LensTokenizer,
  distribution: Distribution,
  vocabulary: Int32Array | null,
  topK: number,
): ProbePrediction[] {
  const top = vocabulary === null ? distribution.top(topK) : distribution.topAmong(vocabulary, topK);
  return top.map((each) => {
    const { id, token, text, logprob } = describePrediction(tokenizer, each, distribution.logprob(each));
    return { id, token, text, logprob };
  });
}

/** Adds up log-probabilities over templates, of all ids that are ranked. */
export class MeanLogprobs {
  private readonly sums: Float64Array;
  private count = 0;

  constructor(vocabSize: number) {
    this.sums = new Float64Array(vocabSize);
  }

  add(distribution: Distribution): void {
    this.count++;
    for (let id = 0; id < this.sums.length; id++) this.sums[id] = (this.sums[id] as number) + distribution.logprob(id);
  }

  rank(answers: readonly SingleAnswer[], { vocabulary, candidates }: RankingSets): EnsembleAnswer {
    const ranked = answers.map((answer) => ({ ...answer, full: this.rankAmong(null, answer.id) }));
    const best = least(ranked, ({ full }) => full);
    return {
      answer: best.text,
      logprob: (this.sums[best.id] as number) / this.count,
      rank: vocabulary === null ? best.full : this.rankAmong(vocabulary, best.id),
      candidateRank: candidates?.texts.has(best.id) === true ? this.rankAmong(candidates.ids, best.id) : null,
    };
  }

  private rankAmong(ids: Int32Array | null, id: number): number {
    const own = this.sums[id] as number;
    let rank = 1;
    const size = ids?.length ?? this.sums.length;
    for (let index = 0; index < size; index++) {
      const other = ids === null ? index : (ids[index] as number);
      const value = this.sums[other] as number;
      if (value > own || (value === own && other < id)) rank++;
    }
    return rank;
  }
}
