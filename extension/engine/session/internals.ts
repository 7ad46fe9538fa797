import type { ModelInfo } from '../../protocol/engine';
import type { Anatomy } from '../anatomy/anatomy';
import type { LensTokenizer } from '../text/tokenizer';
import type { InputRow } from './languageModel';

/** Numbers in row-major order. */
export interface Activation {
  dims: readonly number[];
  data: Float32Array;
  /** With `Part.top`, of each number: its place along the whole last axis. −1 where a text of a batch is too short to have one. */
  indices?: Int32Array;
}

/**
 * x·scale + offset at a hook, before anything reads it. Both broadcast to the hook's canonical shape, so that one head at one
 * token, every token, or another thing in each row of the batch can be changed. A scale of 0 and an offset replace.
 */
export interface Intervention {
  hook: string;
  scale?: Activation;
  offset?: Activation;
}

/** A part of a hook. Most are taken inside the graph, so that the rest of a large hook is never copied. */
export interface Part {
  /** Of [B,T,H,d] and [B,H,T,T], in this order. */
  heads?: readonly number[];
  /** Tokens of [B,T,…], queries of [B,H,T,T], in this order. */
  positions?: readonly number[];
  /** The mean over (those) heads, as one head. */
  mean?: 'heads';
  /** Of [B,T,F] or [B,T,D], in this order. */
  columns?: readonly number[];
  /** Of that the largest so many along the last axis (all, where there are fewer), largest first; of equals the first. */
  top?: number;
  /** Whether `top` means those or the smallest, smallest first. */
  end?: 'largest' | 'smallest';
}

export interface TraceOptions {
  /** Hooks of which only a part is wanted; the others are given whole. */
  parts?: ReadonlyMap<string, Part>;
  /**
   * For many runs of one question: nothing above these hooks is computed. Other sessions also hand out what is likely to be asked next,
   * and the runtime computes all that a session can hand out.
   */
  only?: boolean;
}

/** Hook → numbers in its canonical shape. */
export type Trace = ReadonlyMap<string, Activation>;

/** A part of the head, with its numbers as float32. */
export type HeadLayer =
  | { kind: 'norm'; norm: 'layer' | 'rms'; scale: Float32Array; shift: Float32Array; epsilon: number }
  /** x·W + b, `weight` [in,out]. */
  | { kind: 'linear'; weight: Float32Array; bias: Float32Array }
  /** In Hugging Face's words. */
  | { kind: 'activation'; name: string };

/** What an analysis needs of a model's inside. */
export interface Internals {
  readonly info: ModelInfo;
  readonly tokenizer: LensTokenizer;
  /** What was found by structure and stood a test run. */
  anatomy(): Promise<Anatomy>;
  /**
   * Runs a batch of rows of tokens, padded and masked as needed, in as many runs as model and memory need, and gives the hooks
   * asked for, after the interventions. In rows that are shorter than the longest, what stands at padding means nothing.
   * Throws `model-unsupported` for hooks that the model does not have, with the reason; `bad-input`, `memory`.
   */
  trace(
    rows: readonly InputRow[],
    hooks: readonly string[],
    interventions?: readonly Intervention[],
    options?: TraceOptions,
  ): Promise<Trace>;
  /**
   * As `trace`, but the stream before block `layer` is `resid` [B,T,D] (or [1,T,D] for all rows): blocks below it are not computed.
   * With the stream of a plain run it gives the numbers of a plain run. Throws also when the model has no such block.
   */
  traceFrom(
    layer: number,
    resid: Activation,
    rows: readonly InputRow[],
    hooks: readonly string[],
    interventions?: readonly Intervention[],
    options?: TraceOptions,
  ): Promise<Trace>;
  /** A weight by its role and TransformerLens's name (weights.ts). Throws `model-unsupported` with the reason, `bad-input`, `memory`. */
  weight(name: string): Promise<Activation>;
  /** The parts between the residual stream and the logits, in the order of execution. Throws as `weight`. */
  headLayers(): Promise<HeadLayer[]>;
  /** Column `id` of W_U [D]. Throws as `weight`. */
  unembedding(id: number): Promise<Activation>;
  /**
   * Block `layer` alone: from the stream before it, [B,T,D], to the stream after it, with its activations changed. Throws
   * `model-unsupported` when the model cannot be cut into blocks, with the reason (instrument/pieces.ts).
   */
  runBlock(
    layer: number,
    resid: Activation,
    rows: readonly InputRow[],
    changes?: readonly Intervention[],
  ): Promise<Activation>;
  /** `runBlock` without changes, at one token: [B,1,D]. Throws as `runBlock`. */
  runBlockAt(layer: number, resid: Activation, rows: readonly InputRow[], position: number): Promise<Activation>;
  /**
   * The end of block `layer` alone: from the sum of what was written to the stream, `hook_resid_post` [N,1,D], to what the next block or
   * the head reads. Throws as `runBlock`.
   */
  runBlockEnd(layer: number, sums: Activation): Promise<Activation>;
  /** From streams after the last block (of post-norm blocks: behind its norm), [N,1,D], to logits [N,1,V]. Throws as `runBlock`. */
  runHead(resid: Activation): Promise<Activation>;
  /** From such streams to what the unembedding reads, [N,1,D]. Throws as `runBlock`. */
  runTransform(resid: Activation): Promise<Activation>;
  /**
   * Words' scores [N,1,V] of vectors that are written into the stream, [N,1,D]: W_U v, or, where the head has layers of its own before
   * the unembedding, W_U t(v), without a bias. Throws as `runBlock`.
   */
  wordScores(vectors: Activation): Promise<Activation>;
  /**
   * Of such scores, less those of `nothing` [V], the `count` largest and the `count` smallest [N,1,count] among the tokenizer's words,
   * with their ids as indices; only they leave the runtime. Throws as `runBlock`.
   */
  wordEnds(
    vectors: Activation,
    nothing: Float32Array | null,
    count: number,
  ): Promise<{ largest: Activation; smallest: Activation }>;
}

/** As much as analyses need that only look. */
export type Traceable = Pick<Internals, 'info' | 'tokenizer' | 'anatomy' | 'trace'>;
