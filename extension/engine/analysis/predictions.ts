/** From distributions to what a person reads. */
import type { ActualToken, Prediction } from '../../protocol/engine';
import { LensError } from '../../protocol/errors';
import type { LensTokenizer } from '../text/tokenizer';
import type { Distribution } from './distribution';

/** Heads are often padded beyond the vocabulary; such an id has no token. */
export function hasToken(tokenizer: LensTokenizer, id: number): boolean {
  try {
    return tokenizer.token(id) !== '';
  } catch (error) {
    if (error instanceof LensError) return false;
    throw error;
  }
}

export function describePrediction(tokenizer: LensTokenizer, id: number, logprob: number): Prediction {
  const known = hasToken(tokenizer, id);
  return {
    id,
    token: known ? tokenizer.token(id) : `#${id}`,
    text: known ? tokenizer.text(id) : `#${id}`,
    logprob,
    prob: Math.exp(logprob),
  };
}

/** The k most likely tokens of the whole vocabulary. */
export function topPredictions(tokenizer: LensTokenizer, distribution: Distribution, k: number): Prediction[] {
  return distribution.top(k).map((id) => describePrediction(tokenizer, id, distribution.logprob(id)));
}

export function actualToken(tokenizer: LensTokenizer, distribution: Distribution, id: number): ActualToken {
  return { ...describePrediction(tokenizer, id, distribution.logprob(id)), rank: distribution.rank(id) };
}

/** Ids that may fill a mask: tokens of the vocabulary that are not special. */
export function fillFilter(tokenizer: LensTokenizer): (id: number) => boolean {
  return (id) => !tokenizer.isSpecial(id) && hasToken(tokenizer, id);
}
