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
  // What each key gets from queries of the first and of the second text.
  const columns = [new Float64Array(n), new Float64Array(n)] as const;
  for (let head = 0; head < heads; head++) {
    for (const column of columns) column.fill(0);
    let [previous, next, same, local, betweenSeparators, entropy] = [0, 0, 0, 0, 0, 0];
    for (let query = 0; query < n; query++) {
      const from = (head * stride + query) * stride;
      const row = data.subarray(from, from + n);
      same += row[query] as number;
      if (query > 0) previous += row[query - 1] as number;
      if (query < n - 1) next += row[query + 1] as number;
      entropy += addRow(row, columns[texts[query] as 0 | 1]);
      if (!isPair) local += nearShare(row, query, special);
      if (separator[query] === 1) betweenSeparators += totalOf(row, (key) => separator[key] === 1);
    }
    const received = columns[0].map((weight, key) => weight + (columns[1][key] as number));
    const toSpecial = totalOf(received, (key) => special[key] === 1);
    const toPunctuation = totalOf(received, (key) => punctuation[key] === 1);
    const toSeparator = totalOf(received, (key) => separator[key] === 1);
    if (isPair)
      columns.forEach((column, text) => {
        local += totalOf(column, (key) => special[key] === 0 && texts[key] === text);
      });
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

function totalOf(weights: ArrayLike<number>, counts: (key: number) => boolean): number {
  let sum = 0;
  for (let key = 0; key < weights.length; key++) if (counts(key)) sum += weights[key] as number;
  return sum;
}

function nearShare(row: Float32Array, query: number, special: Uint8Array): number {
  let sum = 0;
  const last = Math.min(row.length - 1, query + LOCAL_REACH);
  for (let key = Math.max(0, query - LOCAL_REACH); key <= last; key++)
    if (special[key] === 0) sum += row[key] as number;
  return sum;
}

/** Logarithms of 1 … 2 in steps of 2⁻¹², for numbers between them on a straight line: to 1e-8. */
const STEPS = 12;
const LOGARITHMS = Float64Array.from({ length: 2 ** STEPS + 1 }, (_, step) => Math.log(1 + step / 2 ** STEPS));
const MANTISSA = 23;
const number = new Float32Array(1);
const bits = new Int32Array(number.buffer);

/** Adds a row to what its keys got, and gives the entropy of the smoothed row. Millions of logarithms take most of the time of all this. */
function addRow(row: Float32Array, columns: Float64Array): number {
  const smooth = 1 - SMOOTHING;
  const floor = SMOOTHING / row.length;
  let entropy = 0;
  for (let key = 0; key < row.length; key++) {
    const weight = row[key] as number;
    columns[key] = (columns[key] as number) + weight;
    number[0] = smooth * weight + floor;
    const pattern = bits[0] as number;
    const step = (pattern >> (MANTISSA - STEPS)) & (2 ** STEPS - 1);
    const rest = (pattern & (2 ** (MANTISSA - STEPS) - 1)) / 2 ** (MANTISSA - STEPS);
    const low = LOGARITHMS[step] as number;
    const logarithm = ((pattern >> MANTISSA) - 127) * Math.LN2 + low + rest * ((LOGARITHMS[step + 1] as number) - low);
    entropy -= number[0] * logarithm;
  }
  return entropy;
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
