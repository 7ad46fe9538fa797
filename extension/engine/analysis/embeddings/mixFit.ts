/**
 * ELMo's mix of layers, learned with a linear classifier (Peters et al. 2018): z = γ·Σ_k s_k·x_k with s = softmax(w), logits = W·z + b.
 * The loss is the mean cross-entropy plus decay·‖W‖². All of it is found by Adam (β .9 and .999, ε 1e−8) on the whole data at each step,
 * from w = 0, γ = 1, W = 0, b = 0, so that the same data give the same result.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { adamStep, newAdam } from '../adam';
import { throwIfCancelled } from '../forward';

/** Features of n examples: [n,D] for each layer. */
export interface LayeredData {
  layers: readonly Float32Array[];
  width: number;
  /** 0…C − 1. */
  labels: Int32Array;
}

export interface FitOptions {
  steps: number;
  rate: number;
  decay: number;
}

export interface MixModel {
  /** s_k. */
  weights: number[];
  gamma: number;
  /** [C,D], [C]. */
  matrix: Float64Array;
  bias: Float64Array;
  loss: number;
}

const TURN_STEPS = 10;

/** Of a single layer it is a plain classifier: there is nothing to mix. */
export async function fitMix(
  { layers, width, labels }: LayeredData,
  classes: number,
  { steps, rate, decay }: FitOptions,
  signal: AbortSignal,
): Promise<MixModel> {
  const n = labels.length;
  const learned = layers.length > 1;
  const w = new Float64Array(layers.length);
  const gamma = Float64Array.of(1);
  const matrix = new Float64Array(classes * width);
  const bias = new Float64Array(classes);
  const parameters = learned ? [w, gamma, matrix, bias] : [matrix, bias];
  const adam = newAdam(parameters);
  let loss = NaN;
  let weights = softmax(w);
  for (let step = 0; step < steps; step++) {
    const mixed = mixOf(layers, weights, n * width);
    const dMatrix = matrix.map((value) => 2 * decay * value);
    const dBias = new Float64Array(classes);
    // ∂loss/∂(γ·mixed), example by example.
    const dMixed = new Float64Array(mixed.length);
    loss = decay * matrix.reduce((sum, value) => sum + value * value, 0);
    for (let row = 0; row < n; row++) {
      const probabilities = softmax(logitsOf(mixed, row, gamma[0] as number, matrix, bias, width));
      const label = labels[row] as number;
      loss -= Math.log(Math.max(Number.MIN_VALUE, probabilities[label] as number)) / n;
      for (let each = 0; each < classes; each++) {
        const error = ((probabilities[each] as number) - Number(each === label)) / n;
        dBias[each] = (dBias[each] as number) + error;
        const [scaled, from, at] = [error * (gamma[0] as number), each * width, row * width];
        for (let column = 0; column < width; column++) {
          dMatrix[from + column] = (dMatrix[from + column] as number) + scaled * (mixed[at + column] as number);
          if (learned)
            dMixed[at + column] = (dMixed[at + column] as number) + error * (matrix[from + column] as number);
        }
      }
    }
    if (learned) {
      const products = layers.map((layer) => dotOf(dMixed, layer));
      const mean = products.reduce((sum, product, at) => sum + product * (weights[at] as number), 0);
      const dW = Float64Array.from(
        products,
        (product, at) => (gamma[0] as number) * (weights[at] as number) * (product - mean),
      );
      adamStep(parameters, [dW, Float64Array.of(mean), dMatrix, dBias], adam, rate);
      weights = softmax(w);
    } else adamStep(parameters, [dMatrix, dBias], adam, rate);
    if (step % TURN_STEPS > 0) continue;
    await nextTurn();
    throwIfCancelled(signal);
  }
  return { weights: Array.from(weights), gamma: gamma[0] as number, matrix, bias, loss };
}

/** Share of examples whose likeliest class is theirs. */
export function accuracyOf({ layers, width, labels }: LayeredData, { weights, gamma, matrix, bias }: MixModel): number {
  const mixed = mixOf(layers, weights, labels.length * width);
  let right = 0;
  labels.forEach((label, row) => {
    const logits = logitsOf(mixed, row, gamma, matrix, bias, width);
    if (logits.every((value, each) => each === label || value < (logits[label] as number))) right++;
  });
  return right / labels.length;
}

function mixOf(layers: readonly Float32Array[], weights: ArrayLike<number>, size: number): Float64Array {
  const mixed = new Float64Array(size);
  layers.forEach((layer, at) => {
    const weight = weights[at] as number;
    for (let place = 0; place < size; place++)
      mixed[place] = (mixed[place] as number) + weight * (layer[place] as number);
  });
  return mixed;
}

function logitsOf(
  mixed: Float64Array,
  row: number,
  gamma: number,
  matrix: Float64Array,
  bias: Float64Array,
  width: number,
): Float64Array {
  return bias.map((value, each) => {
    let sum = 0;
    for (let column = 0; column < width; column++)
      sum += (matrix[each * width + column] as number) * (mixed[row * width + column] as number);
    return value + gamma * sum;
  });
}

function softmax(values: Float64Array): Float64Array {
  const most = values.reduce((a, b) => Math.max(a, b), -Infinity);
  const powers = values.map((value) => Math.exp(value - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((value) => value / sum);
}

function dotOf(a: Float64Array, b: Float32Array): number {
  let sum = 0;
  for (let at = 0; at < a.length; at++) sum += (a[at] as number) * (b[at] as number);
  return sum;
}
