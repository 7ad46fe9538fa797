import type { ModelInfo, Progress } from '../../protocol/engine';
import { LensError } from '../../protocol/errors';
import type { LensTokenizer } from '../text/tokenizer';
import type { Intervention } from './internals';

/** One input row: ids with special tokens, and the segment of each (0 or 1) where it matters. */
export interface InputRow {
  ids: Int32Array;
  /** Absent: all in the first segment. */
  segments?: Int32Array;
}

/** Where logits are wanted. */
export interface LogitPlace {
  /** Index into the batch. */
  row: number;
  /** Token index in that row. */
  position: number;
}

/** Logits [N, V] row by row, in the order of the places asked for. */
export interface LogitRows {
  data: Float32Array;
  vocabSize: number;
}

/**
 * All that an analysis needs of a model. Rows of different length may be given in one batch; they are padded and masked.
 * Every method throws a `LensError`: `no-lm-head`, `no-nsp-head`, `numeric` (NaN), `memory`, `model-unsupported`.
 */
export interface LanguageModel {
  readonly info: ModelInfo;
  readonly tokenizer: LensTokenizer;
  /** Runs the batch once and returns logits only at `places` (the head is not computed elsewhere where the graph allows). */
  logitsAt(batch: readonly InputRow[], places: readonly LogitPlace[]): Promise<LogitRows>;
  /** Next-sentence logits [B, 2], label 0 = is next, with activations changed. */
  nextSentenceLogits(batch: readonly InputRow[], changes?: readonly Intervention[]): Promise<Float32Array>;
}

/** Throws `no-lm-head` for models that predict no words. */
export function requireHead({ id, kind }: ModelInfo): void {
  if (kind === 'masked' || kind === 'causal') return;
  throw new LensError(
    'no-lm-head',
    `${id} has no language-model head (${kind}), so it predicts no words.`,
    'Select a masked or causal language model.',
  );
}

/** NaN is never shown as a number. Minus infinity is legitimate: some exports mask unused rows of the vocabulary. */
export function checkFinite(logits: Float32Array, width: number, model: string): void {
  // A plain loop: of a vocabulary's size, calls take as long as the rest of what is done with the logits.
  let bad = 0;
  while (bad < logits.length && (logits[bad] as number) < Infinity) bad++;
  if (bad < logits.length)
    throw new LensError(
      'numeric',
      `${model} answered ${logits[bad]} (logit ${bad % width} of row ${Math.floor(bad / width)}).`,
      'float16 exports overflow on some inputs; try a float32 export or another text.',
    );
}

/** What a long analysis gets from its caller. */
export interface RunContext {
  signal: AbortSignal;
  progress(progress: Progress): void;
}
