/**
 * What may be asked of a model's attention, and what is answered. Symbols: L blocks, H heads, T tokens, W units (tokens, or words when
 * pieces are merged). Rows are queries (destinations), columns are keys (sources). Layers and heads count from 0.
 * The formulas and where they come from stand beside the functions in engine/analysis/attention/.
 */
import type { ModelRef, Prediction, TextRange, Token, WindowInfo } from './engine';
import type { HeadRef, Scale } from './interventions';

export type { HeadRef, HeadScale } from './interventions';

/** The text that goes through the model. */
export interface AttentionInput {
  model: ModelRef;
  text: string;
  /** The second text of a pair. */
  pair?: string;
  /** What must stay in when `text` is too long for the model. */
  around?: TextRange;
  /** Tokens that touch these ranges of `text` are replaced by mask tokens, one each. */
  masked?: TextRange[];
  /** In force during the run. */
  interventions?: Scale[];
}

export interface AttentionToken extends Token {
  /** Of a pair: which text the token (or the special token that ends it) belongs to. `range` counts in that text. */
  text: 0 | 1;
  /** Index of the word that the piece is part of; a special token is a unit of its own. */
  word: number;
}

/** What a model reads of a text, before anything is computed of it. */
export interface InputTokens {
  tokens: AttentionToken[];
  window: WindowInfo;
  /** What is said at a token is about the next one. */
  causal: boolean;
  /** As it is written; null: the model predicts no masked words. */
  mask: string | null;
}

/** A row or column of a picture: a token, or the pieces of a word. */
export interface AttentionUnit {
  label: string;
  range: TextRange | null;
  special: boolean;
  text: 0 | 1;
  /** Indices of its tokens. */
  tokens: number[];
}

/** Patterns by stated rules (Clark et al. 2019 for the first five), not by a trained classifier. */
export type HeadType =
  'previous token' | 'next token' | 'same token' | 'special tokens' | 'punctuation' | 'broad' | 'local block' | 'mixed';

/** Columns with one entry a head, layer by layer: index = layer·H + head. Means over query tokens. */
export interface HeadStatisticsColumns {
  previous: Float32Array;
  next: Float32Array;
  same: Float32Array;
  /** To special tokens ([CLS], [SEP], `<s>` …). */
  special: Float32Array;
  punctuation: Float32Array;
  /** To the own text of a pair, or to tokens at most `LOCAL_REACH` away in a single text; special tokens do not count. */
  local: Float32Array;
  /** In nats, of rows smoothed as .9999·a + .0001/n. */
  entropy: Float32Array;
  types: HeadType[];
}

/** All heads at a glance. */
export interface AttentionOverview {
  model: string;
  tokens: AttentionToken[];
  window: WindowInfo;
  layers: number;
  heads: number;
  causal: boolean | null;
  statistics: HeadStatisticsColumns;
  /** Small pictures [L,H,size,size]: 0…255 for weights 0…1, each the largest weight of the cells that fall into it. */
  thumbnails: { size: number; data: Uint8Array };
  /** Blocks whose pattern cannot be read, with the reason in words; their entries are zeros. */
  missing: { layer: number; why: string }[];
  notes: string[];
  elapsed: number;
}

/**
 * weight: α. value: α·‖v‖. norm: α·‖v W_O‖, of a layer ‖Σ_h α v W_O‖ (Kobayashi et al. 2020); norm-residual, norm-layernorm: the same with
 * the residual stream, and through the norm after it (2021). rollout, flow: from the layer down to the input (Abnar & Zuidema 2020).
 */
export const ATTENTION_METHODS = [
  'weight',
  'value',
  'norm',
  'norm-residual',
  'norm-layernorm',
  'rollout',
  'flow',
] as const;
export type AttentionMethod = (typeof ATTENTION_METHODS)[number];
export const COMBINATIONS = ['each', 'mean', 'max'] as const;
export const SPECIALS = ['show', 'hide', 'renormalise'] as const;

/** What the picture shows. */
export interface AttentionSelection {
  layer: number;
  /** Heads of any layers; empty: the whole layer (mean over its heads, or the layer's own measure). */
  heads: HeadRef[];
  method: AttentionMethod;
  /** Several heads as one picture, or one each. */
  combine: (typeof COMBINATIONS)[number];
  /** Pieces as words: weights to a word are summed, from a word averaged (Clark et al. 2019). */
  words: boolean;
  /** `renormalise`: special tokens are left out and rows sum to one again. */
  specials: (typeof SPECIALS)[number];
}

export interface AttentionMaps {
  model: string;
  tokens: AttentionToken[];
  window: WindowInfo;
  /** Rows and columns. */
  units: AttentionUnit[];
  /** Matrices [N,W,W] one after the other. */
  maps: { label: string; heads: HeadRef[] }[];
  data: Float32Array;
  /** Whether the rows of these numbers sum to one. */
  rowsSumToOne: boolean;
  /**
   * Of a whole layer with `weight` or one of the norms: the part of what a token gets that comes from other tokens, mean over tokens
   * (the mixing ratio of Kobayashi et al. 2021); else null.
   */
  mixing: number | null;
  /** What the numbers are, and what they do not show. */
  note: string;
  elapsed: number;
}

export interface AttentionStepsParams extends AttentionInput, HeadRef {
  /** Index of the query token. */
  query: number;
}

/** How one query's row comes about, number by number. d head width, D model width. */
export interface AttentionSteps {
  model: string;
  tokens: AttentionToken[];
  layer: number;
  head: number;
  query: number;
  /** As they enter the product (after rotary positions and norms of their own): [d], [T,d]; null with the reason in `notes`. */
  queryVector: Float32Array | null;
  keyVectors: Float32Array | null;
  /** q·k for each key [T], before scale, position bias and mask. */
  products: Float32Array | null;
  /** What q·k is multiplied with. */
  scale: number | null;
  /** score − scale·q·k: position bias and mask [T]; −Infinity where the mask forbids. */
  bias: Float32Array | null;
  /** Argument of the softmax, and its result [T]. */
  scores: Float32Array;
  pattern: Float32Array;
  /** ‖v‖ of each key [T], α·‖v‖, and ‖α·v W_O‖: what each key writes into the residual stream. */
  valueNorms: Float32Array;
  weightedNorms: Float32Array;
  writtenNorms: Float32Array | null;
  /** Mixed values z [d]; what the head writes [D], its norm, and its share: the projection onto the block's whole attention output, as a part of that one's norm. */
  z: Float32Array;
  written: Float32Array | null;
  writtenNorm: number | null;
  attnOutNorm: number | null;
  shareOfAttnOut: number | null;
  residPreNorm: number | null;
  notes: string[];
}

/** Where the effect is measured: log P(token) at the position; by default the likeliest token. */
export interface PredictionTarget {
  /**
   * Index of the token whose probability is asked. A masked model is asked at that token itself, whether it is a mask or not. A causal
   * one is asked at the token before it, so that 0 is not allowed, and the number of tokens is: what comes after the text.
   */
  position: number;
  /** Id in the vocabulary. */
  token?: number;
}

export interface AblateParams extends AttentionInput {
  /** Absent: the first mask in the text, or, of a causal model, what comes after the text. */
  target?: PredictionTarget;
  /** Each head alone, in one batch; or these together as one change (with `scale`). */
  ablate: { each: 'all' | HeadRef[] } | { together: Scale[] };
  /** Replace a head's output by its mean over the text's tokens too, beside zero. */
  mean: boolean;
  /** Central difference (L(1+ε) − L(1−ε)) / 2ε through each head's gate (Michel et al. 2019), L = −log P(target). */
  importance: boolean;
  topK: number;
}

export interface HeadEffect extends HeadRef {
  /** Δ log P(target) when the head's output is zero. */
  zero: number;
  /** The same when it is the head's mean over the text; null when not asked for. */
  mean: number | null;
  /** ∂L/∂ξ by central difference, and its absolute value divided by the ℓ2 norm over all heads of the block; null when not asked for. */
  gradient: number | null;
  importance: number | null;
  /** The first choice with the head off, where it is another one. */
  changedTo: Prediction | null;
}

export interface AblationResult {
  model: string;
  tokens: AttentionToken[];
  target: { position: number; id: number; token: string };
  /** Of the unchanged model (with the input's own `interventions` in force). */
  before: { logprob: number; predictions: Prediction[] };
  /** With `together`. */
  after: { logprob: number; predictions: Prediction[] } | null;
  /** With `each`, in the order of layers and heads. */
  effects: HeadEffect[];
  notes: string[];
  elapsed: number;
}

/** One text of a corpus. Files are read as UTF-8 when their turn comes. */
export type CorpusSource = { name: string; file: string } | { name: string; text: string };

export interface HeadCorpusParams {
  model: ModelRef;
  sources: CorpusSource[];
  /** `text`: each paragraph by itself, cut to the model's window. `pairs`: paragraphs packed as [CLS] a [SEP] b [SEP] of this many tokens. */
  packing: { kind: 'text' } | { kind: 'pairs'; tokens: number };
  /** Only the first so many documents of the corpus. */
  limit?: number;
  /** Of these every n-th, beginning with the i-th (from 0). */
  shard?: { index: number; of: number };
  /** Also Jensen–Shannon distances between heads, on the first so many documents. */
  distances?: number;
  /** Go on from here. Same model and packing. */
  resume?: HeadCorpusState;
}

/** Sums that can be added: what a shard, or an interrupted run, has found so far. Columns as in `HeadStatisticsColumns`. */
export interface HeadCorpusState {
  model: string;
  layers: number;
  heads: number;
  packing: HeadCorpusParams['packing'];
  /** Indices (in the order of the corpus) of documents that are in the sums. */
  done: number[];
  documents: number;
  tokens: number;
  sums: Record<string, Float64Array>;
  /** Jensen–Shannon sums [L·H, L·H] and how many tokens are in them. */
  distances: { tokens: number; sums: Float64Array } | null;
  skipped: { name: string; why: string }[];
}

export interface HeadCorpusResult {
  state: HeadCorpusState;
  statistics: HeadStatisticsColumns;
  /** Block means over heads, [L] each, for the published table: to separators, to ". ,", separator to separator, entropy. */
  blocks: {
    separator: Float32Array;
    punctuation: Float32Array;
    separatorToSeparator: Float32Array;
    entropy: Float32Array;
  };
  /** Places of heads in two dimensions (classical scaling of the distances) [L·H,2]. */
  map: Float32Array | null;
  elapsed: number;
}

export interface HeadRelationsParams {
  model: ModelRef;
  /** CoNLL-U. `# coref` clusters as in GUM's Entity annotations, where there are any. */
  sources: CorpusSource[];
  shard?: { index: number; of: number };
  limit?: number;
  resume?: HeadRelationsState;
}

export type RelationDirection = 'dependent→head' | 'head→dependent';

/** Counts that can be added. */
export interface HeadRelationsState {
  model: string;
  layers: number;
  heads: number;
  /** Indices (in the order of the corpus) of sentences that are in the counts. */
  done: number[];
  sentences: number;
  words: number;
  /** Per relation: n, right answers by direction and head [2, L·H], right answers by offset (−MAX…MAX without 0). */
  relations: { relation: string; n: number; right: Int32Array; offsets: Int32Array }[];
  /** Mentions with an antecedent, right answers of the nearest mention and by head [L·H]; null without clusters. `done`: first sentences of passages. */
  coreference: { done: number[]; n: number; nearest: number; right: Int32Array } | null;
  skipped: { name: string; why: string }[];
}

export interface HeadRelationsResult {
  state: HeadRelationsState;
  /** Most frequent first; `all` is the sum over relations. Punctuation and roots are none. */
  table: RelationRow[];
  /** Coreference: how often the mention before that a head looks at most is one of the same cluster. Best heads first; null without clusters. */
  coreference: { n: number; nearest: number; best: (HeadRef & { accuracy: number })[] } | null;
  elapsed: number;
}

export interface RelationRow {
  relation: string;
  n: number;
  best: HeadRef & { direction: RelationDirection; accuracy: number };
  /** Best fixed offset and its accuracy. */
  baseline: { offset: number; accuracy: number };
  /** Accuracy of every head in its better direction [L·H]. */
  accuracies: Float32Array;
}

/** Sentences behind a cell of the table. */
export interface RelationExamplesParams extends HeadRelationsParams, HeadRef {
  relation: string;
  direction: RelationDirection;
  most: number;
}
export interface RelationExample {
  source: string;
  /** 1-based line of the sentence in the file. */
  line: number;
  text: string;
  /** Words with their ranges in `text`. */
  words: { form: string; range: TextRange }[];
  /** Index of the word, of the annotated answer, and of the head's answer. */
  from: number;
  expected: number;
  predicted: number;
  weight: number;
}

/** What the weights alone tell. */
export interface HeadWeights {
  model: string;
  /** A number a block (Kobayashi et al. 2021, literal form of the authors' code); null with the reason. */
  expansion: (number | null)[];
  /** Frobenius norms of W_V W_O and W_Q W_Kᵀ per head [L,H]; NaN where a weight could not be read. */
  ov: Float32Array;
  qk: Float32Array;
  heads: number;
  notes: string[];
}

/** method → [parameters, result] */
export interface AttentionEngineMethods {
  inputTokens: [AttentionInput, InputTokens];
  attention: [AttentionInput, AttentionOverview];
  attentionMaps: [AttentionInput & AttentionSelection, AttentionMaps];
  attentionSteps: [AttentionStepsParams, AttentionSteps];
  ablate: [AblateParams, AblationResult];
  headCorpus: [HeadCorpusParams, HeadCorpusResult];
  headRelations: [HeadRelationsParams, HeadRelationsResult];
  relationExamples: [RelationExamplesParams, { examples: RelationExample[] }];
  headWeights: [{ model: ModelRef }, HeadWeights];
}
