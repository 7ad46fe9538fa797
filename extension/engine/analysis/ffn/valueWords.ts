/**
 * Words that vectors in the stream promote and suppress (Geva et al. 2022): the scores W_U v. Where the head has layers of its own
 * before the unembedding, a value is no vector of words before it has gone through them: then W_U (t(v) - t(0)), what the value adds to
 * what the head makes of nothing.
 */
import type { ScoredWord } from '../../../protocol/ffn';
import type { Anatomy } from '../../anatomy/anatomy';
import { hasTransform } from '../../anatomy/ends';
import type { Internals } from '../../session/internals';
import type { LensTokenizer } from '../../text/tokenizer';
import { topK } from '../../session/topK';
import { hasToken } from '../predictions';
import { headParts } from './headParts';

export const wordsMethod = (anatomy: Anatomy): string =>
  hasTransform(anatomy)
    ? `through ${headParts(anatomy)}: what the value adds to what they make of nothing, W_U (t(v) − t(0))`
    : 'through the unembedding alone, W_U v';

/** What the head makes of nothing [V], to be taken off; null where that is nothing. */
export async function scoresOfNothing(model: Internals, width: number): Promise<Float32Array | null> {
  if (!hasTransform(await model.anatomy())) return null;
  return (await model.wordScores({ dims: [1, 1, width], data: new Float32Array(width) })).data;
}

/** Scores [n,V] of vectors [n,D]. */
export async function scoresOf(
  model: Internals,
  vectors: Float32Array,
  width: number,
  nothing: Float32Array | null,
): Promise<{ scores: Float32Array; vocab: number }> {
  const count = vectors.length / width;
  const { dims, data } = await model.wordScores({ dims: [count, 1, width], data: vectors });
  const vocab = dims.at(-1) as number;
  if (nothing !== null)
    for (let row = 0; row < count; row++)
      for (let id = 0, at = row * vocab; id < vocab; id++, at++)
        data[at] = (data[at] as number) - (nothing[id] as number);
  return { scores: data, vocab };
}

/** The most promoted and the most suppressed words of one vector's scores, tokens of the vocabulary only. */
export function endsOf(
  tokenizer: LensTokenizer,
  scores: Float32Array,
  count: number,
): { promoted: ScoredWord[]; suppressed: ScoredWord[] } {
  const named = (ids: readonly number[]): ScoredWord[] =>
    ids.map((id) => ({ id, token: tokenizer.token(id), text: tokenizer.text(id), score: scores[id] as number }));
  const isWord = (id: number): boolean => hasToken(tokenizer, id);
  return {
    promoted: named(topK(scores, count, isWord)),
    suppressed: named(
      topK(
        scores.map((each) => -each),
        count,
        isWord,
      ),
    ),
  };
}
