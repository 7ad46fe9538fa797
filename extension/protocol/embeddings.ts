/**
 * Vectors of tokens, words and sentences, and what can be said of them. Layers are hidden states as Hugging Face counts them: 0 what
 * enters the first block, k = 1…L what leaves block k − 1 (after its norm where that stands at the end, after the last norm for k = L).
 * `static` is the token's row of the embedding table, without position and norm. D is the width. What each number means is in
 * docs/embeddings.md.
 */
import type { Scale } from './interventions';
import type { CorpusSource } from './attention';
import type { ModelRef, TextRange, WindowInfo } from './engine';
import type { DoneShard } from './ffn';

/** γ·Σ_k weights_k·h_k (Peters et al. 2018); one weight for each hidden state 0…L, used as they are. */
export interface LayerMix {
  weights: number[];
  gamma: number;
}

export type VectorLayer = 'static' | number | LayerMix;

/**
 * token: every token, special ones too. word: mean over the pieces of a word. mean: over all tokens, special ones too, as
 * sentence-transformers does it. cls: the first token. pooler: the model's pooled output. own: as the model's folder says.
 */
export const POOLS = ['token', 'word', 'mean', 'cls', 'pooler', 'own'] as const;
export type Pool = (typeof POOLS)[number];

export interface EmbedParams {
  model: ModelRef;
  /** In force in all runs. Over several texts those at one token are refused. */
  interventions?: Scale[];
  /** What is too long for the model is cut at its end. */
  texts: string[];
  /** Empty: the last hidden state. The pooled output has no layers. */
  layers: VectorLayer[];
  pool: Pool;
}

/** What a vector is of. */
export interface EmbeddedUnit {
  /** Index of the text. */
  text: number;
  label: string;
  /** In that text; null for special tokens. */
  range: TextRange | null;
  special: boolean;
}

export interface EmbedResult {
  model: string;
  /** Of each text. */
  windows: WindowInfo[];
  units: EmbeddedUnit[];
  /** One for each layer asked for: [units, D]. The embedding table may have another width than the hidden states. */
  vectors: { name: string; dims: [number, number]; data: Float32Array }[];
  /** How vectors were pooled, in words. */
  pooling: string;
  notes: string[];
  elapsed: number;
}

export interface WordParams {
  model: ModelRef;
  /** In force in all runs. */
  interventions?: Scale[];
  text: string;
  /** The word; several are taken together. The window is around it. */
  range: TextRange;
  /** How many of the vocabulary's entries are named at each layer. */
  topK: number;
  /** Less the mean over the window (of vectors) and over the table (of static rows) before cosines are taken. */
  centre: boolean;
}

export interface VocabularyNeighbour {
  id: number;
  token: string;
  text: string;
  cosine: number;
}

export interface WordLayer {
  layer: 'static' | number;
  name: string;
  norm: number;
  /** Cosines with the word's static row and with the layer before, never centred; null where there is none. */
  toStatic: number | null;
  toPrevious: number | null;
  /** Nearest rows of the embedding table, without the word's own pieces. Empty when it has another width. */
  neighbours: VocabularyNeighbour[];
  /** Of the word's first piece among all rows, from 1. */
  rank: number | null;
}

export interface WordResult {
  model: string;
  word: { text: string; range: TextRange; pieces: string[] };
  window: WindowInfo;
  /** The static row first, where the model has one. */
  layers: WordLayer[];
  /** All words of the window. `same`: spelt like this one, but for case. */
  words: { label: string; range: TextRange; own: boolean; same: boolean }[];
  /** Of this word with each word of the window [layers, words]. */
  cosines: Float32Array;
  notes: string[];
  elapsed: number;
}

export interface WordMixParams extends WordParams {
  mix: LayerMix;
}

export interface WordMixResult extends Pick<WordResult, 'model' | 'word' | 'window' | 'words' | 'notes' | 'elapsed'> {
  mix: LayerMix;
  norm: number;
  /** As those of a layer. */
  neighbours: VocabularyNeighbour[];
  rank: number | null;
  /** Of this word with each word of the window. */
  cosines: Float32Array;
  /** Principal components of the words of the window [words,2], and their shares of the variance. */
  places: Float32Array;
  explained: number[];
}

export interface SentencesParams {
  model: ModelRef;
  /** In force in all runs. Over several texts those at one token are refused. */
  interventions?: Scale[];
  texts: string[];
  /** Absent: the last hidden state. */
  layer?: VectorLayer;
  pool: Exclude<Pool, 'token' | 'word'>;
  /** Less the mean over the texts before cosines are taken. */
  centre: boolean;
}

export interface SentencesResult {
  model: string;
  /** Cosines of all texts with each other [n,n]. */
  cosines: Float32Array;
  pooling: string;
  layer: string;
  notes: string[];
  elapsed: number;
}

export const PROJECTIONS = ['pca', 'umap'] as const;

export interface OccurrencesParams {
  model: ModelRef;
  /** In force in all runs. Over several texts those at one token are refused. */
  interventions?: Scale[];
  /** Looked for as a whole word, whatever its case. */
  word: string;
  /** Each sentence is an input by itself. `.tsv`: text, tab, label. */
  sources: CorpusSource[];
  /** At most so many occurrences. */
  most: number;
  layers: VectorLayer[];
  projection: (typeof PROJECTIONS)[number];
  axes: 2 | 3;
  /** So many clusters; or as many, up to eight, as have the best silhouette. */
  clusters: number | 'auto';
  seed: number;
}

export interface Occurrence {
  /** Index of the source. */
  source: number;
  /** Of the word in the source: line from 1, column from 0 in UTF-16 units. */
  line: number;
  column: number;
  sentence: string;
  /** Of the word in the sentence. */
  range: TextRange;
  label: string | null;
}

export interface OccurrenceLayer {
  layer: VectorLayer;
  name: string;
  /** Places [n,axes]. */
  places: Float32Array;
  /** Share of the variance of each axis; empty of UMAP. */
  explained: number[];
  /** Cluster of each occurrence, from 0. */
  clusters: Int32Array;
  /** Mean silhouette; NaN with one cluster. */
  silhouette: number;
  /** Adjusted Rand index of clusters and labels; null without labels. */
  rand: number | null;
  /** Mean cosine of two occurrences: the word's self-similarity. */
  selfSimilarity: number;
}

export interface OccurrencesResult {
  model: string;
  word: string;
  occurrences: Occurrence[];
  sources: string[];
  layers: OccurrenceLayer[];
  /** There are more than were taken. */
  truncated: boolean;
  skipped: { name: string; why: string }[];
  notes: string[];
  elapsed: number;
}

export interface ContextualityParams {
  model: ModelRef;
  /** In force in all runs. Over several texts those at one token are refused. */
  interventions?: Scale[];
  sources: CorpusSource[];
  /** Only the first so many sentences. */
  limit: number;
  /** Words (pieces) with fewer occurrences are left out. */
  leastContexts: number;
  /** Tokens from different sentences for the baseline and for CKA. */
  samples: number;
  seed: number;
}

/** What can be divided: every shard reads the whole corpus for its counts, and runs every n-th sentence, beginning with the i-th (from 0). */
export interface ContextualityShardParams extends ContextualityParams {
  shard?: { index: number; of: number };
}

/** Sums over the sentences of some shards that can be added. P pieces at N layers of D numbers, chosen from the counts of the whole corpus. */
export interface ContextualityState {
  model: string;
  /** SHA-256 of the model's files. */
  fingerprint: string;
  /** In force in all runs. */
  changes: Scale[];
  /** SHA-256 of all tokens of the corpus. */
  corpus: string;
  leastContexts: number;
  samples: number;
  seed: number;
  /** Hidden states that can be read [N], and their width D. */
  layers: number[];
  width: number;
  done: DoneShard[];
  sentences: number;
  tokens: number;
  skipped: { name: string; why: string }[];
  /** Sentences of two tokens or more, and for each layer the sum of their mean cosines with their mean [N]. */
  intraSentences: number;
  intra: Float64Array;
  /** Of each piece its id, its occurrences in the whole corpus, and how many of these (the first) are kept; 0: it was not chosen [P]. */
  pieces: Int32Array;
  counts: Int32Array;
  kept: Int32Array;
  /** Of each piece the sum of its directions [P,N,D]. */
  sums: Float64Array;
  /** Kept vectors [N,Σkept,D], piece after piece; of the other shards 0. */
  occurrences: Float32Array;
  /** Tokens of different sentences [N,S,D]; of the other shards 0. */
  baseline: Float32Array;
}

/** Of one hidden state (Ethayarajh 2019); NaN where there is too little. */
export interface ContextualityLayer {
  layer: number;
  /** Mean over pieces of the mean cosine of two of their occurrences. */
  selfSimilarity: number;
  /** Mean over sentences of the mean cosine of a token with the mean of its sentence. */
  intraSentence: number;
  /** Mean cosine of tokens of different sentences. */
  anisotropy: number;
  /** Mean over pieces of σ₁²/Σσ² of their occurrences, and the same of as many random tokens. */
  explainable: number;
  explainableBaseline: number;
}

export interface ContextualityResult {
  model: string;
  sentences: number;
  tokens: number;
  /** Pieces with enough occurrences, and their occurrences. */
  pieces: number;
  occurrences: number;
  /** Pieces of which the explainable variance was taken. */
  explainedPieces: number;
  /** Tokens of the baseline. */
  samples: number;
  layers: ContextualityLayer[];
  /** Linear CKA of all layers with each other [L+1,L+1], over the tokens of the baseline. */
  cka: Float32Array;
  skipped: { name: string; why: string }[];
  elapsed: number;
}

export interface CompareModelsParams extends Pick<
  ContextualityParams,
  'model' | 'sources' | 'limit' | 'samples' | 'seed'
> {
  other: ModelRef;
}

export interface CompareModelsResult {
  models: [string, string];
  layers: [number[], number[]];
  /** Linear CKA of layers of the first with layers of the second [L₁+1,L₂+1]. */
  cka: Float32Array;
  /** What the same places are: tokens where both models cut all sentences alike, otherwise words that both see. */
  unit: 'token' | 'word';
  /** Places, one in each of so many sentences. */
  samples: number;
  sentences: number;
  skipped: { name: string; why: string }[];
  elapsed: number;
}

/** What an index has vectors of: every word, or whole sentences. */
export const INDEX_POOLS = ['word', 'mean', 'cls', 'pooler', 'own'] as const;
export type IndexPool = (typeof INDEX_POOLS)[number];

export interface IndexSource {
  name: string;
  file: string;
}

/** An index, and what belongs into it. */
export interface IndexParams {
  model: ModelRef;
  layer: VectorLayer;
  pool: IndexPool;
  /** Absolute: where indexes are kept. */
  folder: string;
  sources: IndexSource[];
}

export interface IndexInfo {
  /** Vectors. */
  words: number;
  files: number;
  /** Files that were read for this, and files that were taken out. */
  built: number;
  removed: number;
  bytes: number;
  skipped: { name: string; why: string }[];
}

/** An index as it lies on disk. */
export interface StoredIndex {
  folder: string;
  model: { id: string; folder: string };
  fingerprint: string;
  layer: VectorLayer;
  pool: IndexPool;
  bytes: number;
  /** It was brought to its end once, in the present form. */
  finished: boolean;
}

export interface CorpusNeighboursParams extends IndexParams {
  text: string;
  /** The word; of indexes of sentences, the text to compare. */
  range: TextRange;
  topK: number;
}

export interface IndexedPlace {
  /** Name of its file, and the file. */
  source: string;
  file: string;
  /** Line from 1, column from 0. */
  line: number;
  column: number;
  sentence: string;
  range: TextRange;
  word: string;
  /** Part of speech, where the corpus has it. */
  tag: string | null;
}

export interface CorpusNeighboursResult {
  model: string;
  /** Or the text that was compared. */
  word: string;
  layer: VectorLayer;
  pool: IndexPool;
  /** Nearest first. */
  neighbours: (IndexedPlace & { cosine: number })[];
  /** How many of them are the same word, and of which part of speech those are that have one (most frequent first). */
  sameWord: number;
  tags: { name: string; count: number }[];
  index: IndexInfo;
  /** Milliseconds of the search itself. */
  searched: number;
  elapsed: number;
}

/** A text, or a range of it, with its class. */
export interface MixExample {
  text: string;
  /** Absent: the whole text, its special tokens too. */
  range?: TextRange;
  label: string;
}

export const MIX_COLUMNS = ['upos', 'xpos', 'deprel'] as const;

/** .tsv and .txt: text TAB label; .csv and .jsonl: text and label; .conllu: every word, by a column of it. */
export interface ExampleFile {
  file: string;
  column: (typeof MIX_COLUMNS)[number];
}

export interface LearnMixParams {
  model: ModelRef;
  /** In force in all runs. Over several texts those at one token are refused. */
  interventions?: Scale[];
  train: MixExample[] | ExampleFile;
  /** Empty: accuracies are cross-validated on `train`. */
  test: MixExample[] | ExampleFile;
  folds: number;
  seed: number;
  /** Of Adam, on all examples at once. */
  steps: number;
  rate: number;
  /** Times ‖W‖² in the loss. */
  decay: number;
}

export interface LearnMixResult {
  model: string;
  labels: string[];
  train: number;
  test: number;
  /** 0: the accuracies are of `test`. */
  folds: number;
  seed: number;
  /** Learned of all of `train`: s_0…s_L and γ. */
  mix: LayerMix;
  loss: number;
  /** Of examples that were not learned from. */
  accuracy: number;
  trainAccuracy: number;
  /** The same of a classifier on one layer alone. */
  single: { layer: 'static' | number; name: string; accuracy: number }[];
  /** The most frequent label of `train`, always. */
  majority: { label: string; accuracy: number };
  elapsed: number;
}

/** A table of static vectors: a file of GloVe or word2vec, or a model's own input embeddings (rows of whole words). */
export type TableRef = { file: string } | { model: ModelRef };

/** One word: its neighbours. Three, a b c: what is to c as b is to a. */
export interface TableQuestion {
  words: string[];
  topK: number;
  /** The words of the question are no answers. */
  exclude: boolean;
}

export interface TableAnswer {
  /** Of the whole table. */
  words: number;
  width: number;
  neighbours: { word: string; cosine: number }[];
  /** Lines that were left out, and the first of them. */
  skipped: number;
  told: { line: number; why: string }[];
}

/** A table as it was read. */
export type TableInfo = Omit<TableAnswer, 'neighbours'>;

/** Cosines of pairs of words against ratings. */
export interface RatedResult {
  pairs: number;
  /** Pairs whose words are both in the table. */
  covered: number;
  spearman: number;
  pearson: number;
}

export interface TableWord {
  word: string;
  vector: Float32Array | null;
}

/** words[0] is to words[1] as words[2] to words[3]. */
export interface AnalogyQuestion {
  section: string;
  words: string[];
}

export interface AnalogiesResult {
  /** Rows that could be answers. */
  words: number;
  sections: {
    section: string;
    questions: number;
    /** Questions all of whose words are in the table. */
    covered: number;
    right: number;
    /** When the words of the question could be answers too. */
    rightWithInputs: number;
  }[];
  skipped: number;
  elapsed: number;
}

/** method → [parameters, result] */
export interface EmbeddingEngineMethods {
  embed: [EmbedParams, EmbedResult];
  wordInContext: [WordParams, WordResult];
  wordMix: [WordMixParams, WordMixResult];
  sentenceSimilarity: [SentencesParams, SentencesResult];
  occurrences: [OccurrencesParams, OccurrencesResult];
  contextuality: [ContextualityParams, ContextualityResult];
  contextualityShard: [ContextualityShardParams, ContextualityState];
  compareModels: [CompareModelsParams, CompareModelsResult];
  /** Whether there is an index already: `begun` was stopped before its end. */
  indexState: [IndexParams, 'none' | 'begun' | 'finished'];
  updateIndex: [IndexParams, IndexInfo];
  corpusNeighbours: [CorpusNeighboursParams, CorpusNeighboursResult];
  learnMix: [LearnMixParams, LearnMixResult];
  askTable: [{ table: TableRef } & TableQuestion, TableAnswer];
  tableWords: [{ table: TableRef; words: string[] }, { words: TableWord[] }];
  /** `most`: only the first so many rows of the table. */
  analogies: [{ table: TableRef; questions: AnalogyQuestion[] | { file: string }; most: number }, AnalogiesResult];
  openTable: [{ table: TableRef }, TableInfo];
  /** A file of pairs of words with ratings. */
  ratedWords: [{ table: TableRef; file: string }, RatedResult];
}
