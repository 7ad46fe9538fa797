/** The one rule by which what a person sets of a mix of layers becomes its weights: s = softmax(w) (Peters et al. 2018). */
import type { LayerMix } from './embeddings';

/** What the sliders say: w of each hidden state 0…L, and γ. */
export interface MixSetting {
  logits: number[];
  gamma: number;
}

export const equalMix = (layers: number): MixSetting => ({ logits: new Array<number>(layers + 1).fill(0), gamma: 1 });

export function softmaxOf(logits: readonly number[]): number[] {
  const most = Math.max(...logits);
  const powers = logits.map((value) => Math.exp(value - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

export const mixOf = ({ logits, gamma }: MixSetting): LayerMix => ({ weights: softmaxOf(logits), gamma });

/** Sliders that give these weights: w is only known but for a constant, so that its mean is 0. */
export function settingOf({ weights, gamma }: LayerMix): MixSetting {
  const logits = weights.map((weight) => Math.log(Math.max(weight, Number.MIN_VALUE)));
  const mean = logits.reduce((a, b) => a + b, 0) / logits.length;
  return { logits: logits.map((logit) => logit - mean), gamma };
}
