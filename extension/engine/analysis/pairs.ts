/** Two texts in one input: which token belongs to which, and what is left out when they are too long together. */
import type { Encoding } from '../text/encoding';

/**
 * For each token of an encoded pair the text that it belongs to; `firstLength`: the first text's own tokens. Special tokens before the
 * second text's begin belong to the first up to the one that ends it.
 */
export function textsOfPair({ ranges }: Pick<Encoding, 'ranges'>, firstLength: number): (0 | 1)[] {
  const content = [...ranges.keys()].filter((index) => ranges[index] !== null);
  const lastOfFirst = firstLength === 0 ? -1 : (content[firstLength - 1] as number);
  const firstOfSecond = content[firstLength] ?? ranges.length;
  // Without a first text, all that the template puts before the second opens the pair.
  const end = lastOfFirst < 0 ? firstOfSecond : Math.min(lastOfFirst + 2, firstOfSecond);
  return ranges.map((_, index) => (index < end ? 0 : 1));
}

/**
 * How many tokens of each text stay when both may have `most`: the longer one is cut to the length of the shorter, then both, the
 * longer one keeping the odd token. (The strategy `longest_first` of Hugging Face's tokenizers library.)
 */
export function longestFirst(first: number, second: number, most: number): [number, number] {
  if (first + second <= most) return [first, second];
  const shorter = Math.min(first, second);
  let kept: [number, number] = [shorter, Math.max(shorter, most - shorter)];
  if (kept[0] + kept[1] > most) kept = [most >> 1, (most >> 1) + (most % 2)];
  return first > second ? [kept[1], kept[0]] : kept;
}

/** The encoding without the content tokens after the first `kept` of each text. */
export function shortenPair(encoding: Encoding, firstLength: number, kept: readonly [number, number]): Encoding {
  let content = 0;
  const stays = encoding.ranges.map((range) => {
    if (range === null) return true;
    const place = content++;
    return place < firstLength ? place < kept[0] : place - firstLength < kept[1];
  });
  const pick = <T>(values: readonly T[]): T[] => values.filter((_, index) => stays[index]);
  return {
    ids: encoding.ids.filter((_, index) => stays[index]),
    tokens: pick(encoding.tokens),
    ranges: pick(encoding.ranges),
    special: encoding.special.filter((_, index) => stays[index]),
    segments: encoding.segments.filter((_, index) => stays[index]),
  };
}
