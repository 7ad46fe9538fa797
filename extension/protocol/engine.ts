/**
 * What the extension host (or the command line) may ask of the engine, and what it answers.
 * Symbols: V vocabulary size. All logarithms are natural. Offsets are UTF-16 code units of `text`, half open.
 */

import type { AttentionEngineMethods, HeadCorpusResult, HeadRelationsResult } from './attention';
import type { EmbeddingEngineMethods } from './embeddings';
import type { ErrorData } from './errors';
import type { FfnEngineMethods, MemoryStatsResult, TriggersResult } from './ffn';
import type { Scale } from './interventions';
import type { ProbeEngineMethods, ProbeFactResult } from './probes';

export interface TextRange {
  start: number;
  end: number;
}

export interface Token {
  /** Position in the model's input, special tokens counted. */
  index: number;
  id: number;
  /** As it stands in the vocabulary, for example `##ius` or `Ġthe`. */
  token: string;
  /** Where it stands in the text, without the white space around it; null for special tokens that the tokenizer added. */
  range: TextRange | null;
  special: boolean;
}

/** `seq2seq`, `encoder` and `classifier` have no language-model head that we can use; `unknown` has no readable outputs. */
export type ModelKind = 'masked' | 'causal' | 'encoder' | 'classifier' | 'seq2seq' | 'unknown';

/** A model as the engine finds it: the folder and the .onnx file in it. Both absolute. */
export interface ModelRef {
  /** Stable id for people and settings: the catalogue id, or the folder's name. */
  id: string;
  folder: string;
  /** Relative to `folder`; the engine chooses when absent. */
  file?: string;
}

export interface TensorInfo {
  name: string;
  /** ONNX element type in lower case: `float`, `int64`, `float16` … */
  type: string;
  /** A number, or the name of a symbolic dimension ('?' when it has none). */
  shape: (number | string)[];
}

export interface ModelInfo {
  id: string;
  folder: string;
  file: string;
  kind: ModelKind;
  /** `model_type` of config.json, when there is one. */
  architecture: string | null;
  inputs: TensorInfo[];
  outputs: TensorInfo[];
  /** Bytes of the .onnx file and its external data. */
  bytes: number;
  parameters: number;
  opset: Record<string, number>;
  irVersion: number;
  producer: string;
  layers: number | null;
  heads: number | null;
  hiddenSize: number | null;
  tokenizer: { type: string; vocabSize: number; maskToken: string | null; lowercase: boolean } | null;
  /** V of the language-model head; null without one. */
  vocabSize: number | null;
  /** Longest input in tokens, special tokens counted. */
  maxTokens: number;
  hasNextSentenceHead: boolean;
  anatomy: AnatomySummary;
  /** What a person should know before trusting a number: refitted heads, quantised activations, vocabulary mismatch … */
  notes: string[];
}

/** What was found inside the graph, by its structure. Null: not found, or different from block to block. */
export interface AnatomySummary {
  layers: number;
  heads: number | null;
  /** Heads of keys and values; fewer than `heads` in grouped-query attention. */
  keyHeads: number | null;
  headWidth: number | null;
  width: number | null;
  ffnWidth: number | null;
  activation: string | null;
  /** The activation is multiplied with a second projection. */
  gated: boolean;
  /** Attention and feed-forward network read the same stream. */
  parallel: boolean;
  norm: 'pre' | 'post' | null;
  positions: 'learned' | 'rotary' | 'relative' | 'none';
  causal: boolean | null;
  /** Blocks whose queries see only near keys, and how near. */
  windows: (number | null)[];
  /** All blocks run the same weights. */
  tiedLayers: boolean;
  /** The head uses the table of the word embeddings. */
  tiedEmbeddings: boolean | null;
  /** Names of activations that can be read and changed. */
  hooks: string[];
  /** Activations that are not there, with the reason in words. */
  missing: { hook: string; why: string }[];
  /** Parts of the graph that look like attention but could not be read, and why. */
  problems: string[];
}

/** The model as its parts, outermost first, in the order of execution. */
export interface ModelAnatomy {
  info: ModelInfo;
  parts: ModelPart[];
  /** The graph as it stands in the file, in the order of execution. */
  nodes: PartNode[];
}

export interface ModelPart {
  /** `embed`, `blocks.0.attn.q`, `ln_final`, `unembed` … */
  id: string;
  label: string;
  /** With its children. Weights that several parts share are counted where they are first used. */
  parameters: number;
  bytes: number;
  /** How its weights are stored, most bytes first: `float`, `float16`, `int8 per channel`, `4-bit blocks of 32` … */
  storage: string[];
  weights: PartWeight[];
  /** Numbers and index lists that are no weights: shapes, axes, tables of angles, masks. */
  constants: { count: number; bytes: number };
  hooks: PartHook[];
  /** Activations that are not there, with the reason in words. */
  missing: { hook: string; why: string }[];
  /** What a person should know of it. */
  notes: string[];
  /** Indices into `ModelAnatomy.nodes`, without those of its children. A fused node stands in every part that it computes. */
  nodes: number[];
  children: ModelPart[];
}

export interface PartWeight {
  name: string;
  role: 'weight' | 'bias' | 'scale' | 'zero point';
  /** As stored: `float`, `int8` … */
  type: string;
  shape: number[];
  storage: string;
  /** Elements that were learned; 0 for scales and zero points, and for a shared weight where it is not counted. */
  parameters: number;
  bytes: number;
  /** Id of the part that counts it. */
  sharedWith: string | null;
}

export interface PartHook {
  name: string;
  shape: (number | string)[];
}

export interface PartNode {
  name: string;
  opType: string;
  /** Empty for ai.onnx. */
  domain: string;
  /** Shapes in B (texts) and T (tokens); null where the graph does not tell. */
  inputs: NodeValue[];
  outputs: NodeValue[];
  /** The same for every text. */
  constant: boolean;
}

export interface NodeValue {
  name: string;
  shape: (number | string)[] | null;
}

export interface EngineSettings {
  /** 0: half of the machine's cores. */
  threads: number;
  executionProvider: 'cpu' | 'cuda' | 'dml' | 'coreml';
  /** Quantised models: `exact` computes in float32 on the dequantised weights; `fast` lets the runtime quantise activations. */
  quantised: 'exact' | 'fast';
  /** Keeps quantised matrices packed: about the file's own size in memory, about twice the time. */
  lowMemory: boolean;
  /** Minutes after which an unused model is unloaded; 0 keeps it. */
  idleMinutes: number;
  /** Refuse models whose files are larger than this many megabytes; 0 for no limit. */
  maxModelMegabytes: number;
}

export const DEFAULT_SETTINGS: EngineSettings = {
  threads: 0,
  executionProvider: 'cpu',
  quantised: 'exact',
  lowMemory: false,
  idleMinutes: 15,
  maxModelMegabytes: 0,
};

/** The part of the given text that went into the model, and why it is not the whole of it. */
export interface WindowInfo {
  range: TextRange;
  /** Number of tokens with special tokens. */
  tokens: number;
  /** Text was cut on that side because the model takes no more tokens. */
  truncatedStart: boolean;
  truncatedEnd: boolean;
  /** Of a pair: the part of the second text; the rest is about the first. */
  pair?: { range: TextRange; truncatedEnd: boolean };
}

export interface MaskTarget {
  range: TextRange;
  /** How many masks stand there; `auto` (default): as many as the text there has tokens. */
  masks?: number | 'auto';
}

export interface Prediction {
  id: number;
  token: string;
  /** What a person would read: `##ius` → `ius`, `Ġthe` → ` the`. */
  text: string;
  logprob: number;
  prob: number;
}

/** The token that really stood at a mask. `rank` counts from 1 in the whole vocabulary. */
export interface ActualToken extends Prediction {
  rank: number;
}

export interface MaskResult {
  /** Token index in `FillMaskResult.tokens`. */
  position: number;
  /** Index into `FillMaskResult.targets`. */
  target: number;
  /** Top k of the whole vocabulary, ties by lower id. */
  predictions: Prediction[];
  /** In nats. */
  entropy: number;
  actual: ActualToken | null;
}

export interface TargetResult {
  /** White space at the ends of a selection is not masked. */
  range: TextRange;
  /** What stood there. */
  text: string;
  masks: number;
  /** Indices into `FillMaskResult.masks`. */
  maskIndices: number[];
  /** `tokens`: whole tokens were replaced. `text`: the range cut a token, so the text was replaced and then tokenised. */
  fit: 'tokens' | 'text';
  /** Why there is no `actual`, or what else a person should know. */
  note?: string;
}

/** All masks filled together. */
export interface JointFill {
  /** Per target, its tokens put together to words. */
  texts: string[];
  /** Per target. */
  tokens: Prediction['token'][][];
  ids: number[][];
  /** Pseudo-log-likelihood of the filled tokens: sum of log P(w_i | all the rest). Causal: left-to-right log-likelihood. */
  logprob: number;
  /** Per token, in the order of `masks`. */
  logprobs: number[];
  /** This is the fill that takes each mask's own best token. */
  independent: boolean;
}

export interface CandidateScore {
  text: string;
  tokens: string[];
  /** Sum over its tokens, with as many masks as it has tokens: pseudo-log-likelihood (masked) or log-likelihood (causal). */
  logprob: number;
  /** `logprob` divided by the number of tokens. */
  meanLogprob: number;
  /** Candidate of one token: its rank in the whole vocabulary. */
  rank: number | null;
  /** Softmax over the candidates; comparable only between equally long ones, see `tokens`. */
  share: number;
}

export interface FillMaskParams {
  model: ModelRef;
  text: string;
  /** Empty: the mask tokens that stand in the text. */
  targets: MaskTarget[];
  topK: number;
  /** Scored against each other at the first target. */
  candidates?: string[];
  /** Search the likeliest fill of all masks together (two to eight masks). */
  joint?: { beam: number };
  /** In force in all runs. */
  interventions?: Scale[];
  /** Also what the model says without them. */
  compare?: boolean;
}

/** A mask in the unchanged model, beside what the changed one says there. */
export interface UnchangedMask {
  predictions: Prediction[];
  /** In nats. */
  entropy: number;
  actual: ActualToken | null;
  /** Log-probabilities that the unchanged model gives to the changed one's predictions, in their order. */
  logprobs: number[];
  /** And that the changed one gives to `predictions`. */
  after: number[];
}

export interface FillMaskResult {
  model: string;
  kind: 'masked' | 'causal';
  /** The model's input, masks in place. Ranges are those of the given text; masks carry the range of their target. */
  tokens: (Token & { mask: number | null })[];
  window: WindowInfo;
  targets: TargetResult[];
  masks: MaskResult[];
  /** Best first. Empty when not asked for or when there is only one mask. */
  joint: JointFill[];
  /** The same score for what really stood there, when all targets have it. */
  actualLogprob: number | null;
  candidates: CandidateScore[];
  vocabSize: number;
  /** What the model says without the interventions, mask by mask and candidate by candidate; when it was asked for. */
  unchanged?: { masks: UnchangedMask[]; candidates: CandidateScore[]; actualLogprob: number | null };
  /** In milliseconds, inside the engine. */
  elapsed: number;
}

export interface ScoreParams {
  model: ModelRef;
  text: string;
  /** In force in all runs; those at one token are refused. */
  interventions?: Scale[];
  /** Score only tokens that begin in this range; the rest is context. */
  range?: TextRange;
}

/** Columns of equal length, one entry a scored token. */
export interface ScoreColumns {
  tokens: string[];
  ids: Int32Array;
  starts: Uint32Array;
  ends: Uint32Array;
  logprobs: Float64Array;
  ranks: Uint32Array;
}

export interface ScoreResult extends ScoreColumns {
  model: string;
  kind: 'pseudo-log-likelihood' | 'log-likelihood';
  total: number;
  /** exp(-total / tokens). */
  perplexity: number;
  /** Number of windows into which the text was divided because the model takes no more tokens at once. */
  windows: number;
  /** Causal models without a start token give no probability to the first token; it is left out. */
  skippedFirst: boolean;
  elapsed: number;
}

export interface NextSentenceParams {
  model: ModelRef;
  interventions?: Scale[];
  first: string;
  second: string;
}

export interface NextSentenceResult {
  model: string;
  isNext: number;
  notNext: number;
  tokens: number;
  notes: string[];
}

export interface CorruptParams {
  model: ModelRef;
  interventions?: Scale[];
  text: string;
  seed: number;
  /** Choose whole words instead of single pieces. */
  wholeWord: boolean;
  topK: number;
}

export interface CorruptedToken {
  position: number;
  range: TextRange;
  original: { id: number; token: string };
  replacement: { id: number; token: string };
  action: 'mask' | 'random' | 'keep';
  predictions: Prediction[];
  actual: ActualToken;
  /** The model's first choice is the original token. */
  recovered: boolean;
}

export interface CorruptResult {
  model: string;
  seed: number;
  /** The corrupted input. */
  tokens: (Token & { chosen: number | null })[];
  window: WindowInfo;
  /** In order of position. */
  chosen: CorruptedToken[];
  /** Mean cross-entropy over the chosen tokens, in nats: the training loss. */
  loss: number;
  elapsed: number;
}

export interface TokensParams {
  model: ModelRef;
  text: string;
}

export interface TokensResult {
  tokens: Token[];
}

export interface TraceParams {
  model: ModelRef;
  interventions?: Scale[];
  text: string;
  /** The second text of a pair. */
  pair?: string;
  /** Names of hooks; `*` stands for any part of a name between dots, alone for everything. */
  hooks: string[];
  /** Of every hook the largest so many along its last axis, largest first; the rest is never copied. */
  top?: number;
}

export interface TraceResult {
  model: string;
  tokens: (Token & { text: 0 | 1 })[];
  /** Float32, row-major, one batch row. With `top`, `indices` are their places along the whole last axis. */
  activations: { hook: string; dims: number[]; data: Float32Array; indices?: Int32Array }[];
  elapsed: number;
}

export interface Progress {
  message: string;
  /** 0…1; absent when it cannot be known. */
  fraction?: number;
  /** `score` streams what is finished. */
  partial?: ScoreColumns;
  /** So does the work over a corpus; each is the whole up to now, and can be gone on from. */
  corpus?: HeadCorpusResult;
  relations?: HeadRelationsResult;
  triggers?: TriggersResult;
  memoryStats?: MemoryStatsResult;
  /** `probe` tells of the facts that were finished since it told last. */
  facts?: ProbeFactResult[];
}

/** method → [parameters, result] */
export interface EngineMethods
  extends AttentionEngineMethods, EmbeddingEngineMethods, FfnEngineMethods, ProbeEngineMethods {
  configure: [Partial<EngineSettings>, null];
  inspect: [{ model: ModelRef }, ModelInfo];
  anatomy: [{ model: ModelRef }, ModelAnatomy];
  load: [{ model: ModelRef }, ModelInfo];
  unload: [{ model: ModelRef }, null];
  tokens: [TokensParams, TokensResult];
  fillMask: [FillMaskParams, FillMaskResult];
  score: [ScoreParams, ScoreResult];
  nextSentence: [NextSentenceParams, NextSentenceResult];
  corrupt: [CorruptParams, CorruptResult];
  trace: [TraceParams, TraceResult];
  status: [null, EngineStatus];
}
export type EngineMethod = keyof EngineMethods;
export type EngineParams<M extends EngineMethod> = EngineMethods[M][0];
export type EngineResult<M extends EngineMethod> = EngineMethods[M][1];

export interface EngineStatus {
  pid: number;
  /** Resident set in bytes. */
  rss: number;
  loaded: string[];
}

/** What crosses the pipe. */
export type EngineMessage =
  | { type: 'request'; id: number; method: EngineMethod; params: unknown }
  | { type: 'cancel'; id: number }
  | { type: 'progress'; id: number; progress: Progress }
  | { type: 'result'; id: number; result: unknown }
  | { type: 'error'; id: number; error: ErrorData }
  /** The engine's own news: a model was loaded or unloaded (idle). */
  | { type: 'event'; event: { name: 'loaded' | 'unloaded'; model: string } }
  | { type: 'log'; level: 'trace' | 'info' | 'warn' | 'error'; message: string };
