import type { ModelInfo } from '../../protocol/engine';
import type { Anatomy } from '../anatomy/anatomy';
import type { LensTokenizer } from '../text/tokenizer';
import type { InputRow } from './languageModel';

/** Numbers in row-major order. */
export interface Activation {
  dims: readonly number[];
  data: Float32Array;
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

/** Hook → numbers in its canonical shape. */
export type Trace = ReadonlyMap<string, Activation>;

/** What an analysis needs of a model's inside. */
export interface Internals {
  readonly info: ModelInfo;
  readonly tokenizer: LensTokenizer;
  /** What was found by structure and stood a test run. */
  anatomy(): Promise<Anatomy>;
  /**
   * Runs a batch of rows of tokens, padded and masked as needed, and gives the hooks asked for, after the interventions. In rows
   * that are shorter than the longest, what stands at padding means nothing.
   * Throws `model-unsupported` for hooks that the model does not have, with the reason; `bad-input`, `memory`.
   */
  trace(rows: readonly InputRow[], hooks: readonly string[], interventions?: readonly Intervention[]): Promise<Trace>;
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
  ): Promise<Trace>;
}
