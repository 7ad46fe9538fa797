/** A probability distribution over the vocabulary, from one row of logits. All logarithms are natural. */

/** Orders (logit, id) pairs: larger logit first, ties by lower id. */
function isBefore(logits: Float32Array, a: number, b: number): boolean {
  const difference = (logits[a] as number) - (logits[b] as number);
  return difference > 0 || (difference === 0 && a < b);
}

/** Ids of the k largest logits, best first, ties by lower id. `accept` leaves ids out. */
export function topK(logits: Float32Array, k: number, accept?: (id: number) => boolean): number[] {
  // A heap with the worst kept id on top: one comparison for almost every entry of a large vocabulary.
  const heap: number[] = [];
  const worse = (a: number, b: number): boolean => isBefore(logits, heap[b] as number, heap[a] as number);
  const swap = (a: number, b: number): void => {
    [heap[a], heap[b]] = [heap[b] as number, heap[a] as number];
  };
  const sinkRoot = (): void => {
    for (let parent = 0; ;) {
      let child = 2 * parent + 1;
      if (child >= heap.length) return;
      if (child + 1 < heap.length && worse(child + 1, child)) child++;
      if (!worse(child, parent)) return;
      swap(child, parent);
      parent = child;
    }
  };
  if (k <= 0) return [];
  for (let id = 0; id < logits.length; id++) {
    if (heap.length === k) {
      if (!isBefore(logits, id, heap[0] as number) || accept?.(id) === false) continue;
      heap[0] = id;
      sinkRoot();
    } else if (accept?.(id) !== false) {
      heap.push(id);
      for (let child = heap.length - 1; child > 0;) {
        const parent = (child - 1) >> 1;
        if (!worse(child, parent)) break;
        swap(child, parent);
        child = parent;
      }
    }
  }
  return heap.sort((a, b) => (isBefore(logits, a, b) ? -1 : 1));
}

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
