/** A probability distribution over the vocabulary, from one row of logits. All logarithms are natural. */
import { isBefore, topK } from '../session/topK';

/** The largest value, and `log Σ exp(x - largest)` in float64. Apart, so that huge logits lose no digits. */
function normaliser(values: ArrayLike<number>): { largest: number; rest: number } {
  let largest = -Infinity;
  for (let index = 0; index < values.length; index++) largest = Math.max(largest, values[index] as number);
  if (!Number.isFinite(largest)) return { largest, rest: 0 };
  let sum = 0;
  for (let index = 0; index < values.length; index++) sum += Math.exp((values[index] as number) - largest);
  return { largest, rest: Math.log(sum) };
}

/** `log Σ exp(x)`. */
export function logSumExp(values: ArrayLike<number>): number {
  const { largest, rest } = normaliser(values);
  return largest + rest;
}

/** `softmax(logits)`; keeps the array that it is given. */
export class Distribution {
  private readonly largest: number;
  private readonly rest: number;

  constructor(private readonly logits: Float32Array) {
    ({ largest: this.largest, rest: this.rest } = normaliser(logits));
  }

  logprob(id: number): number {
    return (this.logits[id] as number) - this.largest - this.rest;
  }

  /** Ids of the k most likely tokens, ties by lower id. */
  top(k: number, accept?: (id: number) => boolean): number[] {
    return topK(this.logits, k, accept);
  }

  /** Counts from 1, ties by lower id. */
  rank(id: number): number {
    let rank = 1;
    for (let other = 0; other < this.logits.length; other++) if (isBefore(this.logits, other, id)) rank++;
    return rank;
  }

  /** The same among some ids. */
  rankAmong(ids: Int32Array, id: number): number {
    let rank = 1;
    for (let index = 0; index < ids.length; index++) if (isBefore(this.logits, ids[index] as number, id)) rank++;
    return rank;
  }

  /** The k most likely of some ids, which ascend, best first, ties by lower id. */
  topAmong(ids: Int32Array, k: number): number[] {
    const chosen = new Float32Array(ids.length);
    for (let index = 0; index < ids.length; index++) chosen[index] = this.logits[ids[index] as number] as number;
    return topK(chosen, k).map((index) => ids[index] as number);
  }

  /** `-Σ p log p`, in nats. */
  entropy(): number {
    let entropy = 0;
    for (let id = 0; id < this.logits.length; id++) {
      const logprob = this.logprob(id);
      const p = Math.exp(logprob);
      if (p > 0) entropy -= p * logprob;
    }
    return entropy;
  }
}
