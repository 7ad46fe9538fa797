/**
 * What a head does, in a few numbers (Clark et al. 2019, clarkkev/attention-analysis): for a document of n tokens
 * Σ_ij A_ij·sel_ij / n, where sel says which keys count, and the mean of that over documents. Sums over documents can be added.
 */
import type { AttentionToken, HeadStatisticsColumns, HeadType } from '../../../protocol/attention';
import type { Visibility } from '../../anatomy/mask';

/** Columns of the sums, one entry a head each [L·H]. */
export const STATISTICS = [
  'previous',
  'next',
  'same',
  'special',
  'punctuation',
  'local',
  /** To the special tokens that end texts ([SEP], </s>), and from these to these. */
  'separator',
  'separatorToSeparator',
  /** In nats. */
  'entropy',
  /** What a head would have that spreads evenly over all keys that it may see. */
  'evenEntropy',
  'evenLocal',
] as const;
export type Statistic = (typeof STATISTICS)[number];
export type StatisticSums = Record<Statistic, Float64Array>;

/** Of a single text: keys at most this many places from the query are near. */
export const LOCAL_REACH = 5;

/** In rows .9999·a + .0001/n, as in the authors' code, so that zeros have a logarithm. */
const SMOOTHING = 1e-4;

/** Full stops and commas, which attract heads (Clark et al. 2019), in the scripts that have their own. */
const PUNCTUATION = /^[.,。，、．،۔।]$/u;
const MARKS = /^(?:##|Ġ|▁)|<\/w>$/gu;

export const isPunctuation = (token: string): boolean => PUNCTUATION.test(token.replace(MARKS, ''));

export const emptySums = (heads: number): StatisticSums =>
  Object.fromEntries(STATISTICS.map((name) => [name, new Float64Array(heads)])) as StatisticSums;

/** What the keys of a document are. */
export interface DocumentKeys {
  length: number;
  special: Uint8Array;
  punctuation: Uint8Array;
  separator: Uint8Array;
  separators: number;
  texts: Uint8Array;
  isPair: boolean;
}

export function documentKeys(tokens: readonly Pick<AttentionToken, 'token' | 'special' | 'text'>[]): DocumentKeys {
  const mark = (
    is: (token: Pick<AttentionToken, 'token' | 'special' | 'text'>, index: number) => boolean,
  ): Uint8Array => Uint8Array.from(tokens, (token, index) => Number(is(token, index)));
  const separator = mark(({ special }, index) => special && index > 0);
  return {
    length: tokens.length,
    special: mark(({ special }) => special),
    punctuation: mark(({ special, token }) => !special && isPunctuation(token)),
    separator,
    separators: separator.reduce((sum, each) => sum + each, 0),
    texts: mark(({ text }) => text === 1),
    isPair: tokens.some(({ text }) => text === 1),
  };
}

/** A block's pattern of one document: [H,S,S] with S ≥ n; what stands at padding is left out. */
export interface DocumentPattern {
  data: Float32Array;
  heads: number;
  stride: number;
}

/**
 * Adds one document to the sums of a block, whose heads begin at `first`. `visibility`: what queries may see; null: everything.
 */
export function addDocument(
  sums: StatisticSums,
  first: number,
  { data, heads, stride }: DocumentPattern,
  keys: DocumentKeys,
  visibility: Visibility | null,
): void {
  const { length: n, special, punctuation, separator, separators, texts, isPair } = keys;
  const even = evenShares(keys, visibility);
  const smooth = 1 - SMOOTHING;
  const floor = SMOOTHING / n;
  for (let head = 0; head < heads; head++) {
    let [previous, next, same, toSpecial, toPunctuation, local] = [0, 0, 0, 0, 0, 0];
    let [toSeparator, betweenSeparators, entropy] = [0, 0, 0];
    for (let query = 0; query < n; query++) {
      const row = (head * stride + query) * stride;
      same += data[row + query] as number;
      if (query > 0) previous += data[row + query - 1] as number;
      if (query < n - 1) next += data[row + query + 1] as number;
      let rowToSeparator = 0;
      for (let key = 0; key < n; key++) {
        const weight = data[row + key] as number;
        if (special[key] === 1) {
          toSpecial += weight;
          if (separator[key] === 1) rowToSeparator += weight;
        } else {
          if (punctuation[key] === 1) toPunctuation += weight;
          if (isPair ? texts[key] === texts[query] : Math.abs(key - query) <= LOCAL_REACH) local += weight;
        }
        const smoothed = smooth * weight + floor;
        entropy -= smoothed * Math.log(smoothed);
      }
      toSeparator += rowToSeparator;
      if (separator[query] === 1) betweenSeparators += rowToSeparator;
    }
    const add = (name: Statistic, value: number): void => {
      sums[name][first + head] = (sums[name][first + head] as number) + value;
    };
    add('previous', previous / n);
    add('next', next / n);
    add('same', same / n);
    add('special', toSpecial / n);
    add('punctuation', toPunctuation / n);
    add('local', local / n);
    add('separator', toSeparator / n);
    add('separatorToSeparator', separators === 0 ? 0 : betweenSeparators / separators);
    add('entropy', entropy / n);
    add('evenEntropy', even.entropy);
    add('evenLocal', even.local);
  }
}

/** Entropy and near share of rows that spread evenly over the keys that each query may see. */
function evenShares(
  { length: n, special, texts, isPair }: DocumentKeys,
  visibility: Visibility | null,
): { entropy: number; local: number } {
  let [entropy, local] = [0, 0];
  const reach = visibility?.window == null ? n : visibility.window - 1;
  for (let query = 0; query < n; query++) {
    const from = Math.max(0, query - reach);
    const to = visibility?.causal === true ? query : Math.min(n - 1, query + reach);
    let near = 0;
    for (let key = from; key <= to; key++)
      if (special[key] === 0 && (isPair ? texts[key] === texts[query] : Math.abs(key - query) <= LOCAL_REACH)) near++;
    entropy += Math.log(to - from + 1) / n;
    local += near / (to - from + 1) / n;
  }
  return { entropy, local };
}

/** Means over documents, and what each head is by the rules below. */
export function statisticsOf(sums: StatisticSums, documents: number): HeadStatisticsColumns {
  const mean = (name: Statistic): Float32Array => Float32Array.from(sums[name], (sum) => sum / Math.max(1, documents));
  const [previous, next, same] = [mean('previous'), mean('next'), mean('same')];
  const [special, punctuation, local, entropy] = [mean('special'), mean('punctuation'), mean('local'), mean('entropy')];
  const [evenEntropy, evenLocal] = [mean('evenEntropy'), mean('evenLocal')];
  const types = Array.from(previous, (_, index): HeadType =>
    typeOf({
      previous: previous[index] as number,
      next: next[index] as number,
      same: same[index] as number,
      special: special[index] as number,
      punctuation: punctuation[index] as number,
      local: local[index] as number,
      entropy: entropy[index] as number,
      evenEntropy: evenEntropy[index] as number,
      evenLocal: evenLocal[index] as number,
    }),
  );
  return { previous, next, same, special, punctuation, local, entropy, types };
}

/** Clark et al. 2019 count a head as positional above .5, and as one of special tokens above .6. */
const POSITIONAL = 0.5;
const SPECIAL = 0.6;
/** Ours, as for positions. */
const PUNCTUATED = 0.5;
/** Their broad heads have more than 3.8 nats in documents of 128 tokens, where an even spread has log 128: the same part of it. */
const BROAD = 3.8 / Math.log(128);
/** Ours (Kovaleva et al. 2019 name the pattern, and train a classifier): this part of the way from an even spread to near keys only. */
const LOCAL = 0.6;

export function typeOf(head: Omit<Record<Statistic, number>, 'separator' | 'separatorToSeparator'>): HeadType {
  if (head.previous > POSITIONAL) return 'previous token';
  if (head.next > POSITIONAL) return 'next token';
  if (head.same > POSITIONAL) return 'same token';
  if (head.special > SPECIAL) return 'special tokens';
  if (head.punctuation > PUNCTUATED) return 'punctuation';
  if (head.evenEntropy > 0 && head.entropy > BROAD * head.evenEntropy) return 'broad';
  if (head.evenLocal < 1 && (head.local - head.evenLocal) / (1 - head.evenLocal) > LOCAL) return 'local block';
  return 'mixed';
}
