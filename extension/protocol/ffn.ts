/**
 * What may be asked of a model's layers as writers: what it would say after each part of each layer (logit lens). Symbols: L blocks,
 * T tokens, D model width, F FFN width, V vocabulary, S states of the residual stream. Layers and neurons count from 0.
 */
import type { AttentionInput, AttentionToken, PredictionTarget } from './attention';
import type { ModelRef, Prediction, WindowInfo } from './engine';
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
  notes: string[];
  elapsed: number;
}

export interface LogitLensTableParams extends FfnInput {
  /** Also the states between attention and FFN. */
  attention: boolean;
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

/** method → [parameters, result] */
export interface FfnEngineMethods {
  logitLens: [LogitLensParams, LogitLens];
  logitLensTable: [LogitLensTableParams, LogitLensTable];
  memories: [MemoriesParams, Memories];
  intervene: [InterveneParams, InterveneResult];
  exportModel: [ExportParams, ExportResult];
  value: [ValueParams, ValueWords];
  valueIndex: [ValueIndexParams, ValueIndexInfo];
  valueSearch: [ValueSearchParams, ValueSearch];
}
