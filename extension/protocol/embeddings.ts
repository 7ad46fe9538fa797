/**
 * Vectors of tokens, words and sentences, and what can be said of them. Layers are hidden states as Hugging Face counts them: 0 what
 * enters the first block, k = 1…L what leaves block k − 1 (after its norm where that stands at the end, after the last norm for k = L).
 * `static` is the token's row of the embedding table, without position and norm. D is the width. What each number means is in
 * docs/embeddings.md.
 */
import type { ModelRef, TextRange, WindowInfo } from './engine';

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

/** method → [parameters, result] */
export interface EmbeddingEngineMethods {
  embed: [EmbedParams, EmbedResult];
}
