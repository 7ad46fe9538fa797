/** Patterns between the words of a treebank: attention to a split word is the sum over its pieces, from it their mean (Clark et al. 2019). */
import type { TextRange } from '../../../protocol/engine';
import type { DocumentPattern } from './statistics';

/**
 * Tokens of each word: those that begin in it. A piece that goes on into the next word (“can|not” as one) belongs to the first, and the
 * second word has none; neither has the second of two words that a treebank writes as one (French “du”).
 */
export function piecesOf(ranges: readonly (TextRange | null)[], words: readonly { range: TextRange }[]): number[][] {
  const pieces: number[][] = words.map(() => []);
  let word = 0;
  ranges.forEach((range, token) => {
    if (range === null) return;
    while (word < words.length && (words[word] as { range: TextRange }).range.end <= range.start) word++;
    if (word < words.length && (words[word] as { range: TextRange }).range.start <= range.start)
      (pieces[word] as number[]).push(token);
  });
  return pieces;
}

/** Weight from the word `from` to the word `to`, of words with pieces. */
export function wordWeight(
  { data, stride }: DocumentPattern,
  head: number,
  from: readonly number[],
  to: readonly number[],
): number {
  let sum = 0;
  for (const query of from) {
    const row = (head * stride + query) * stride;
    for (const key of to) sum += data[row + key] as number;
  }
  return sum / from.length;
}

/** For each word the other word that it looks at most (`rows`), and the one that looks at it most (`columns`); −1: there is none. */
export interface Strongest {
  rows: Int32Array;
  columns: Int32Array;
}

/** Ties go to the word that comes first. Words without pieces neither look nor are looked at. */
export function strongest(pattern: DocumentPattern, head: number, pieces: readonly (readonly number[])[]): Strongest {
  const rows = new Int32Array(pieces.length).fill(-1);
  const columns = new Int32Array(pieces.length).fill(-1);
  const best = new Float64Array(pieces.length).fill(-1);
  pieces.forEach((from, query) => {
    if (from.length === 0) return;
    let most = -1;
    pieces.forEach((to, key) => {
      if (key === query || to.length === 0) return;
      const weight = wordWeight(pattern, head, from, to);
      if (weight > most) {
        most = weight;
        rows[query] = key;
      }
      if (weight > (best[key] as number)) {
        best[key] = weight;
        columns[key] = query;
      }
    });
  });
  return { rows, columns };
}
