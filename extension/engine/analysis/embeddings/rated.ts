/** Likeness by vectors against what people said: over the pairs that have vectors, and how many these are. */
import type { RatedResult } from '../../../protocol/embeddings';
import { LensError } from '../../../protocol/errors';
import type { RatedPair } from '../corpora/questions';
import { cosine, pearson, spearman } from './maths';

export interface ScoredPair extends RatedPair {
  cosine: number;
}

/** Throws `bad-input` when fewer than two pairs have vectors. */
export function ratePairs(
  pairs: readonly RatedPair[],
  vectorOf: (text: string) => ArrayLike<number> | null,
): RatedResult & { scores: ScoredPair[] } {
  const scores = pairs.flatMap((pair): ScoredPair[] => {
    const [a, b] = [vectorOf(pair.first), vectorOf(pair.second)];
    return a === null || b === null ? [] : [{ ...pair, cosine: cosine(a, b) }];
  });
  if (scores.length < 2) throw new LensError('bad-input', 'Fewer than two pairs have vectors.');
  const [own, ratings] = [scores.map((pair) => pair.cosine), scores.map(({ rating }) => rating)];
  return {
    ...{ pairs: pairs.length, covered: scores.length },
    ...{ spearman: spearman(own, ratings), pearson: pearson(own, ratings), scores },
  };
}
