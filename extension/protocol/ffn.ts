/**
 * What may be asked of a model's layers as writers: what it would say after each part of each layer (logit lens). Symbols: L blocks,
 * T tokens, D model width, F FFN width, V vocabulary, S states of the residual stream. Layers and neurons count from 0.
 */
import type { AttentionInput, AttentionToken, CorpusSource, PredictionTarget } from './attention';
import type { ModelRef, Prediction, TextRange, WindowInfo } from './engine';
import { count } from './format';
import type { NeuronRef, Scale } from './interventions';

export type { NeuronRef, NeuronScale, Scale } from './interventions';

/** The text that goes through the model. */
export type FfnInput = AttentionInput;

/** A state of the residual stream: what goes into the first block, or what stands after the attention or the FFN of a block. */
export interface LensPlace {
  /** 0 for the input. */
  layer: number;
  part: 'input' | 'attention' | 'ffn';
}

export interface LogitLensParams extends FfnInput {
  /** Through the tuned lens that is kept in this folder, an absolute path; states between attention and FFN are left out. */
  tuned?: string;
  /** As in `PredictionTarget`; absent: the first mask in the text, or, of a causal model, what comes after the text. */
  position?: number;
  /** Predictions of each state. */
  topK: number;
  /** Ids that are followed beside the answer and those that lead somewhere. */
  watch?: number[];
}

export interface LensState extends LensPlace {
  predictions: Prediction[];
  /** In nats. */
  entropy: number;
}

/** A token of the vocabulary over the states [S]. */
export interface WatchedToken {
  id: number;
  token: string;
  text: string;
  logits: Float32Array;
  logprobs: Float32Array;
  /** From 1. */
  ranks: Int32Array;
  /** Index of the first state where it leads; null: it never does. */
  appears: number | null;
  /** Index of the state from which on it leads to the end (Geva et al. 2022); null: it does not lead at the end. */
  saturates: number | null;
  /** Indices of states in which it leads no more, though it did in the one before (elimination, Geva et al. 2022). */
  lost: number[];
  /**
   * Of each layer [L], Δ log p by its attention and by its FFN. Where the state between them cannot be read, NaN and the step of the
   * whole layer.
   */
  steps: { attention: Float32Array; ffn: Float32Array };
}

export interface LogitLens {
  model: string;
  tokens: AttentionToken[];
  window: WindowInfo;
  /** Where the prediction was asked, and what the model says there in the end. */
  target: { position: number; id: number; token: string };
  states: LensState[];
  /** The answer first, then those asked for, then those that lead in any state. */
  watched: WatchedToken[];
  /** What of the model the states went through. */
  head: string;
  /** The tuned lens that they went through first; null: none. */
  tuned: TunedLensInfo | null;
  notes: string[];
  elapsed: number;
}

export interface LogitLensTableParams extends FfnInput {
  /** As in `LogitLensParams`; `attention` is false. */
  tuned?: string;
  /** Also the states between attention and FFN. */
  attention: boolean;
}

/** How the affine maps of a tuned lens are trained. */
export interface TuneSettings {
  /** Plain text, Markdown, `.tsv` (text, tab, label) or `.conllu`; each sentence goes into the model by itself. */
  sources: CorpusSource[];
  /** Places in the texts whose states the maps are trained on; the texts are read again where they have fewer. */
  tokens: number;
  /** At least so many places a step. */
  batch: number;
  /** Of Adam; falls evenly to 0. */
  rate: number;
  /** Of what is masked and which places are read. */
  seed: number;
}

/** Where nobody says otherwise. */
export const TUNE_DEFAULTS = { tokens: 4096, batch: 64, rate: 2e-4, seed: 0 } as const;

export interface TuneLensParams {
  model: ModelRef;
  /** An absolute path: where tuned lenses of all models are kept. */
  cache: string;
  /** Absent: goes on with the training of this model that was interrupted. */
  begin?: TuneSettings;
}

/** A state, and how far what is read there is from what the model says in the end: means of KL(p ‖ q) in nats. */
export interface TunedState extends LensPlace {
  /** Read as it stands (logit lens), and through its map, on the held-out text. */
  plain: number;
  tuned: number;
  /** The map made it better on another part of the held-out text; otherwise the state is read as it stands. */
  used: boolean;
}

/** A tuned lens (Belrose et al. 2023): each state goes through h' = h + h·A + b before the head. */
export interface TunedLensInfo {
  model: string;
  /** Names of the texts. */
  sources: string[];
  tokens: number;
  /** Places in other sentences, of which the divergences of `states` are means. */
  heldOut: number;
  steps: number;
  batch: number;
  rate: number;
  seed: number;
  /** Which places of the texts are read, in words. */
  rule: string;
  /** All but the last, which is what the model says. */
  states: TunedState[];
  notes: string[];
  skipped: { name: string; why: string }[];
  /** Of the training. */
  seconds: number;
}

/** In words, for what was read through it. */
export const tunedLabel = ({ tokens, sources }: TunedLensInfo): string =>
  `a tuned lens (an affine map of each state, trained on ${count(tokens)} tokens of ${
    sources.length === 1 ? (sources[0] as string) : `${sources.length} texts`
  })`;

export interface TunedLensStatus {
  lens: TunedLensInfo | null;
  /** A training that was interrupted, and the tokens that it had done. */
  unfinished: { names: string[]; tokens: number; done: number } | null;
}

/** Every token's prediction in every state. Columns [S,T]: index = state·T + token. */
export interface LogitLensTable {
  model: string;
  tokens: AttentionToken[];
  window: WindowInfo;
  places: LensPlace[];
  /** Whether what is said at a token is about that token or about the next. */
  predicts: 'itself' | 'next';
  top: Int32Array;
  probs: Float32Array;
  /** Of the token's final answer, from 1. */
  ranks: Int32Array;
  /** In nats. */
  entropies: Float32Array;
  /** Tokens of the vocabulary that occur in `top`. */
  words: { id: number; token: string; text: string }[];
  head: string;
  tuned: TunedLensInfo | null;
  notes: string[];
  elapsed: number;
}

/**
 * activation: m. norm: |m|·‖v‖. logit: what the memory adds to the logit of the target's token along the residual stream, all else
 * held. ablation: Δ log p of that token when the memory is switched off at the token where it is predicted.
 */
export const MEMORY_MEASURES = ['activation', 'norm', 'logit', 'ablation'] as const;
export type MemoryMeasure = (typeof MEMORY_MEASURES)[number];

export interface MemoriesParams extends FfnInput {
  /** As in `PredictionTarget`; the memories are those at the token where it is predicted. */
  position?: number;
  /** Id in the vocabulary; the likeliest when absent. */
  token?: number;
  by: MemoryMeasure;
  /** Of these layers only. */
  layers?: number[];
  /** The largest so many, by absolute value. */
  topK: number;
  /** Words that a value promotes and suppresses, of each; 0: none. */
  words: number;
  /** Effects by ablation are computed for the so many memories with the largest |m|·‖v‖ (with `ablation`), or for none. */
  candidates: number;
}

export interface ScoredWord {
  id: number;
  token: string;
  text: string;
  score: number;
}

export interface Memory extends NeuronRef {
  /** m. */
  activation: number;
  /** |m|·‖v‖. */
  norm: number;
  /** With `logit` and `ablation`; null elsewhere, and where the way to the words cannot be followed. */
  logit: number | null;
  /** Null when it was not asked for. */
  ablation: number | null;
  /** The first choice without it, where it is another one. */
  changedTo: Prediction | null;
  /** Words that the value promotes (highest first) and suppresses (lowest first). */
  promoted: ScoredWord[];
  suppressed: ScoredWord[];
}

/** What a layer's feed-forward network writes at the token. */
export interface LayerWrites {
  layer: number;
  /** ‖hook_mlp_out‖. */
  norm: number;
  /** Share of memories whose |m| is more than a tenth of the layer's largest. */
  active: number;
  /** Sum of what its memories add to the logit; null where that was not asked. */
  logit: number | null;
  /** Why its memories cannot be read; its numbers are zeros. */
  missing: string | null;
}

export interface Memories {
  model: string;
  tokens: AttentionToken[];
  window: WindowInfo;
  /** Where the prediction was asked, and the index of the token where it is made. `id` is null for models that predict no words. */
  target: { position: number; read: number; id: number | null; token: string | null; logprob: number | null };
  /** What the model says there. */
  predictions: Prediction[];
  by: MemoryMeasure;
  layers: LayerWrites[];
  memories: Memory[];
  /** How `logit` was computed, and what the words of a value are, in words. */
  method: { logit: string; words: string };
  notes: string[];
  elapsed: number;
}

/** What was made of a model's value index: the words of every value, on disk. */
export interface ValueIndexInfo {
  model: string;
  layers: number;
  /** Layers that were computed now; the others were there. */
  made: number;
  /** Kept of each value, each way. */
  words: number;
  method: string;
  folder: string;
  elapsed: number;
}

export interface ValueIndexParams {
  model: ModelRef;
  /** An absolute path: where indices of all models are kept. */
  cache: string;
}

/** One value. */
export interface ValueParams extends NeuronRef {
  model: ModelRef;
  words: number;
}

export interface ValueWords extends NeuronRef {
  model: string;
  /** ‖v‖. */
  norm: number;
  promoted: ScoredWord[];
  suppressed: ScoredWord[];
  method: string;
}

/** Values that promote words, or suppress them. The index is made first where it is missing. */
export interface ValueSearchParams extends ValueIndexParams {
  /** Ids; values with more of them among their first words come first, then those with the higher sum of scores. */
  words: number[];
  direction: 'promote' | 'suppress';
  topK: number;
}

export interface ValueHit extends NeuronRef {
  /** Of each word that was asked for: its rank among the value's words, from 1, and its score; null where it is not among them. */
  words: ({ rank: number; score: number } | null)[];
  /** The value's first words in that direction. */
  first: ScoredWord[];
}

export interface ValueSearch {
  model: string;
  words: { id: number; token: string; text: string }[];
  direction: 'promote' | 'suppress';
  /** Values that have one of the words among the `of` that are kept of each. */
  total: number;
  of: number;
  hits: ValueHit[];
  method: string;
  elapsed: number;
}

/** Heads and neurons scaled, for one model, as a file keeps it. */
export interface Recipe {
  format: 'onnx-lens-recipe';
  version: 1;
  /** For people. */
  model: string;
  /** SHA-256 of the model's files (`fingerprint`). */
  fingerprint: string;
  changes: Scale[];
}

export interface InterveneParams extends FfnInput {
  target?: PredictionTarget;
  /** Beside the input's own `interventions`, which hold before and after. */
  changes: Scale[];
  topK: number;
}

export interface InterveneResult {
  model: string;
  tokens: AttentionToken[];
  target: { position: number; id: number; token: string };
  before: { logprob: number; predictions: Prediction[] };
  after: { logprob: number; predictions: Prediction[] };
  notes: string[];
  elapsed: number;
}

export interface ExportParams {
  model: ModelRef;
  recipe: Recipe;
  /** An absolute path that does not exist. */
  folder: string;
}

export interface ExportResult {
  folder: string;
  /** Where each layer's changes went. */
  changes: { layer: number; part: 'heads' | 'neurons'; how: 'weight rows' | 'row scales' | 'inserted Mul' }[];
  elapsed: number;
}

/** A corpus whose sentences go into the model, each by itself. */
interface SentenceCorpus {
  model: ModelRef;
  /** Plain text, Markdown, `.tsv` (text, tab, label) or `.conllu`. */
  sources: CorpusSource[];
  /** Only the first so many sentences. */
  limit?: number;
  /** Of these every n-th, beginning with the i-th (from 0). */
  shard?: { index: number; of: number };
}

/** Sentences that are in a state: of every n-th, beginning with the i-th, those before `next`. */
export interface DoneShard {
  index: number;
  of: number;
  next: number;
}

/** The largest |m| of a memory that is not active, where nobody says otherwise: GELU gives no less than −0.17, SiLU than −0.28. */
export const ACTIVE_THRESHOLD = 0.3;

export interface TriggersParams extends SentenceCorpus {
  neurons: NeuronRef[];
  /** Texts of each memory at either end. */
  topK: number;
  /** A memory counts as active at a token where |m| is above this. */
  threshold: number;
  /** Go on from here. Same model, neurons, sources, topK and threshold. */
  resume?: TriggersState;
}

/** A text of the corpus, with the token where the memory fires most (or least) in it. */
export interface TriggerText {
  /** Of the sentence, in the order of the corpus. */
  index: number;
  /** Index of its source. */
  source: number;
  text: string;
  /** Where each line of the text begins in its file: line (from 1), column (from 0, UTF-16), and the offset in `text`. */
  lines: { line: number; column: number; at: number }[];
  /** The firing token: its index, its range in `text`, its place in the file, and m there. */
  token: number;
  range: TextRange;
  line: number;
  column: number;
  activation: number;
  /** What went into the model; special tokens have no range. */
  tokens: { token: string; range: TextRange | null }[];
  /** m at each of them [T]. */
  activations: Float32Array;
}

/** How m is distributed over the tokens of a corpus; special tokens do not count. */
export interface ActivationDistribution {
  tokens: number;
  min: number;
  max: number;
  mean: number;
  /** Standard deviation. */
  deviation: number;
  /** Shares of tokens with m > 0, and with |m| above the threshold. */
  positive: number;
  active: number;
  /** Bin i counts tokens with (first + i)·width ≤ m < (first + i + 1)·width. The width is a power of two, so that 0 is an edge. */
  histogram: { width: number; first: number; counts: Float64Array };
}

export interface NeuronTriggers extends NeuronRef {
  /** The largest m first, and the smallest first: a text is in each once. */
  largest: TriggerText[];
  smallest: TriggerText[];
  distribution: ActivationDistribution;
}

/** What a shard, or an interrupted scan, has found so far. */
export interface TriggersState {
  model: string;
  /** Names of the sources. */
  sources: string[];
  topK: number;
  threshold: number;
  done: DoneShard[];
  sentences: number;
  tokens: number;
  neurons: (NeuronRef & {
    largest: TriggerText[];
    smallest: TriggerText[];
    /** Over tokens. Bins as in `ActivationDistribution`, of the width 2^exponent. */
    sums: { min: number; max: number; sum: number; squares: number; positive: number; active: number };
    histogram: { exponent: number; first: number; counts: Float64Array };
  })[];
  skipped: { name: string; why: string }[];
}

export interface TriggersResult {
  state: TriggersState;
  neurons: NeuronTriggers[];
  /** Which tokens were looked at, in words. */
  rule: string;
  elapsed: number;
}

export interface SimilarMemoriesParams extends NeuronRef {
  model: ModelRef;
  topK: number;
}

/** Memories whose vectors have the largest cosine with those of this one, over all layers, itself left out. */
export interface SimilarMemories extends NeuronRef {
  model: string;
  /** Of what the activation function reads (in a gated network the column of W_gate); null where it cannot be read. */
  keys: (NeuronRef & { cosine: number })[] | null;
  /** Of the other factor of a gated network; null in others. */
  linear: (NeuronRef & { cosine: number })[] | null;
  values: (NeuronRef & { cosine: number })[];
  /** Cosine of this memory's key with its value. */
  keyValue: number | null;
  method: string;
  notes: string[];
  elapsed: number;
}

export interface MemoryStatsParams extends SentenceCorpus {
  /** A memory counts as active where |m| is above this. */
  threshold: number;
  /** Of the token of each sentence where the prediction is read. */
  seed: number;
  /** An absolute path: where indices of all models are kept. The index of the model is made first where it is missing. */
  cache: string;
  /** Go on from here. Same model, sources, threshold and seed. */
  resume?: MemoryStatsState;
}

/** Counts that can be added. L layers, F neurons; of each layer, one after the other. */
export interface MemoryStatsState {
  model: string;
  sources: string[];
  threshold: number;
  seed: number;
  layers: number;
  neurons: number;
  /** First word of each value [L·F]. */
  first: Int32Array;
  /** Layers between whose attention and FFN the stream can be read. */
  split: number[];
  /** What was masked, where predictions are read and what of the model they go through, in words. */
  rule: string;
  notes: string[];
  done: DoneShard[];
  sentences: number;
  /** Tokens whose activations were looked at. */
  tokens: number;
  /** Of each layer: activations with m > 0, and with |m| above the threshold [L]. */
  positive: Float64Array;
  active: Float64Array;
  /** Of each memory [L·F]: its largest m (0: it is nowhere above), and the ids of the token there and of the next one (−1: there is none). */
  largest: Float32Array;
  itself: Int32Array;
  next: Int32Array;
  /** Predictions that were looked at, one a sentence. */
  predictions: number;
  /** Of each layer: the network's own prediction is the first word of no memory, of no active memory [L]. */
  composed: Float64Array;
  composedOfActive: Float64Array;
  /** From which state on the final prediction leads [L + 1]: 0 the input, k what leaves layer k − 1. */
  saturated: Float64Array;
  /** The leading word is another one after the layer's attention, after its FFN [L]; zeros where what is between them cannot be read. */
  lostByAttention: Float64Array;
  lostByFfn: Float64Array;
  skipped: { name: string; why: string }[];
}

export interface MemoryStatsLayer {
  layer: number;
  /** Mean shares of its memories, of m > 0 and of |m| above the threshold; n = tokens. */
  positive: number;
  active: number;
  /**
   * Agreement (Geva et al. 2021): share of memories whose value's first word is the token that follows their top trigger, or that token
   * itself; n = memories. `chance`: the same when triggers are dealt to the layer's memories at random.
   */
  agreement: { memories: number; next: number; nextByChance: number; itself: number; itselfByChance: number };
  /** Shares of predictions (n = predictions): what the network writes has a first word that no memory, no active memory has. */
  composed: number;
  composedOfActive: number;
  /** Share of predictions that lead from this layer's output on, and not before. */
  saturated: number;
  /** Shares of predictions whose leading word is another one after the part; null where that cannot be read. */
  lostByAttention: number | null;
  lostByFfn: number | null;
}

export interface MemoryStatsResult {
  state: MemoryStatsState;
  layers: MemoryStatsLayer[];
  /** Share of predictions that lead from the input on. */
  saturatedAtInput: number;
  elapsed: number;
}

export interface ValueClustersParams {
  model: ModelRef;
  /** Values of these layers only. */
  layers?: number[];
  clusters: number;
  /** Words and members of each cluster that are given. */
  words: number;
  members: number;
  seed: number;
}

export interface ValueCluster {
  size: number;
  /** Mean cosine of its values with its centre. */
  cohesion: number;
  /** Values of each layer [L]. */
  layers: Int32Array;
  /** Words of the centre, the mean of its values' directions. */
  promoted: ScoredWord[];
  suppressed: ScoredWord[];
  /** Nearest to the centre first. */
  members: (NeuronRef & { cosine: number })[];
}

/** Values in groups of like direction (spherical k-means), the largest group first. */
export interface ValueClusters {
  model: string;
  values: number;
  /** Mean cosine of a value with the centre of its cluster. */
  cohesion: number;
  clusters: ValueCluster[];
  method: string;
  notes: string[];
  elapsed: number;
}

export interface MemoryGroupsParams extends FfnInput {
  groups: number;
  /** Memories of these layers only. */
  layers?: number[];
  /** Members of each group that are given. */
  members: number;
  seed: number;
}

/** Memories that fire together: one factor of a non-negative factorisation of max(m, 0) [memories,T]. */
export interface MemoryGroup {
  /** Of the sum of all activations of the factorisation. */
  share: number;
  /** How much it fires at each token [T]; 1 where it fires most. */
  tokens: Float32Array;
  /** Share of its weight in each layer [L]. */
  layers: Float32Array;
  /** Largest weight first: the activation that the group gives the memory where it fires most. */
  members: (NeuronRef & { weight: number })[];
}

export interface MemoryGroups {
  model: string;
  tokens: AttentionToken[];
  window: WindowInfo;
  /** The one with the largest share first. */
  groups: MemoryGroup[];
  /** ‖A − WH‖ / ‖A‖ (Frobenius). */
  error: number;
  method: string;
  notes: string[];
  elapsed: number;
}

/** method → [parameters, result] */
export interface FfnEngineMethods {
  logitLens: [LogitLensParams, LogitLens];
  logitLensTable: [LogitLensTableParams, LogitLensTable];
  tuneLens: [TuneLensParams, TunedLensInfo];
  tunedLens: [{ model: ModelRef; cache: string }, TunedLensStatus];
  memories: [MemoriesParams, Memories];
  intervene: [InterveneParams, InterveneResult];
  exportModel: [ExportParams, ExportResult];
  value: [ValueParams, ValueWords];
  valueIndex: [ValueIndexParams, ValueIndexInfo];
  valueSearch: [ValueSearchParams, ValueSearch];
  triggers: [TriggersParams, TriggersResult];
  similarMemories: [SimilarMemoriesParams, SimilarMemories];
  memoryStats: [MemoryStatsParams, MemoryStatsResult];
  valueClusters: [ValueClustersParams, ValueClusters];
  memoryGroups: [MemoryGroupsParams, MemoryGroups];
}
