/** Hidden states by number, and what is made of them: static rows, single layers, mixes. */
import type { LayerMix, VectorLayer } from '../../../protocol/embeddings';
import { LensError } from '../../../protocol/errors';
import { blockHook } from '../../anatomy/hooks';
import type { Activation, Internals, Trace } from '../../session/internals';

/** Where the hidden states of a model are. */
export interface HiddenStates {
  /** L; they are numbered 0…L. */
  last: number;
  /** Of each; null where the model does not have it. */
  hooks: readonly (string | null)[];
  /** Why the others are not there. */
  missing: string;
}

/** Of encoders: the last hidden state as the export itself names it. */
const LAST_OUTPUT = 'last_hidden_state';

export async function hiddenStates({ info, anatomy }: Pick<Internals, 'info' | 'anatomy'>): Promise<HiddenStates> {
  const { layers, hooks } = await anatomy();
  const found = (...names: string[]): string | null => names.find((name) => hooks.sites.has(name)) ?? null;
  const last = layers > 0 ? layers : (info.layers ?? 0);
  const missing =
    [...hooks.missing].find(([hook]) => hook === 'blocks.*')?.[1] ?? 'the norm after the last block was not found';
  // How many there are is not known, so that none has a number.
  if (last === 0) return { last, hooks: [null], missing };
  const inside = Array.from({ length: last }, (_, layer) => found(blockHook(layer, 'hook_resid_pre')));
  const lastBlock = last - 1;
  // A post-norm block ends with its norm, a pre-norm model with one of its own: the sum before it is another vector.
  const end = hooks.missing.has(blockHook(lastBlock, 'hook_normalized_resid_post'))
    ? found(LAST_OUTPUT)
    : found(blockHook(lastBlock, 'hook_normalized_resid_post'), 'ln_final.hook_normalized', LAST_OUTPUT);
  return { last, hooks: [...inside, end], missing };
}

/** Those that can be read. Throws `model-unsupported` when there is none. */
export function readableLayers(model: Pick<Internals, 'info'>, states: HiddenStates): number[] {
  const numbers = [...states.hooks.keys()].filter((layer) => states.hooks[layer] !== null);
  if (numbers.length === 0) hookOfLayer(model, states, states.last);
  return numbers;
}

/** Throws `bad-input` for layers that there are none of, `model-unsupported` for those that cannot be read. */
export function hookOfLayer({ info }: Pick<Internals, 'info'>, states: HiddenStates, layer: number): string {
  if (layer > states.last)
    throw new LensError(
      'bad-input',
      `There is no hidden state ${layer}; ${info.id} has 0 (embeddings) to ${states.last}.`,
      'Hidden state k is what leaves block k − 1.',
    );
  const hook = states.hooks[layer] ?? null;
  if (hook === null)
    throw new LensError(
      'model-unsupported',
      `Hidden state ${layer} of ${info.id} cannot be read: ${states.missing}.`,
      '“lens inspect” lists what was found in the model, and why the rest is missing.',
    );
  return hook;
}

/** Hooks that these layers are made of. Throws as `hookOfLayer`. */
export function hooksOf(
  model: Pick<Internals, 'info'>,
  states: HiddenStates,
  layers: readonly VectorLayer[],
): string[] {
  const numbers = layers.flatMap((layer): number[] => {
    if (layer === 'static') return [];
    if (typeof layer === 'number') return [layer];
    checkMix(layer, states.last);
    return layer.weights.flatMap((weight, index) => (weight === 0 ? [] : [index]));
  });
  return [...new Set(numbers.map((layer) => hookOfLayer(model, states, layer)))];
}

function checkMix({ weights }: LayerMix, last: number): void {
  if (weights.every((weight) => weight === 0))
    throw new LensError('bad-input', 'All weights of the mix are 0.', 'Give at least one layer weight.');
  if (weights.length !== last + 1)
    throw new LensError(
      'bad-input',
      `The mix has ${weights.length} weights, and the model has ${last + 1} hidden states (0 to ${last}).`,
      'Give one weight for each, that of the embeddings first.',
    );
}

export function layerName(layer: VectorLayer): string {
  return typeof layer === 'number' ? `layer.${layer}` : layer === 'static' ? layer : 'mix';
}

/** Vectors [T,D] of tokens. */
export interface TokenVectors {
  width: number;
  data: Float32Array;
}

/** Rows of the embedding table for tokens. */
export function staticVectors({ dims, data }: Activation, ids: ArrayLike<number>): TokenVectors {
  const [rows = 0, width = 0] = dims;
  const vectors = new Float32Array(ids.length * width);
  for (let token = 0; token < ids.length; token++) {
    const id = ids[token] as number;
    if (id < rows) vectors.set(data.subarray(id * width, (id + 1) * width), token * width);
  }
  return { width, data: vectors };
}

/** Of one row of a run that is `length` tokens long. The numbers of a single layer are the trace's own: nobody may write into them. */
export function layerVectors(
  trace: Trace,
  states: HiddenStates,
  row: number,
  length: number,
  layer: number | LayerMix,
): TokenVectors {
  if (typeof layer === 'number') return rowOf(trace.get(states.hooks[layer] ?? '') as Activation, row, length);
  const { weights, gamma } = layer;
  const parts = weights.flatMap((weight, index) =>
    weight === 0
      ? []
      : [{ factor: gamma * weight, ...rowOf(trace.get(states.hooks[index] ?? '') as Activation, row, length) }],
  );
  const width = parts[0]?.width ?? 0;
  const mixed = new Float64Array(length * width);
  for (const { factor, data } of parts)
    for (let at = 0; at < mixed.length; at++) mixed[at] = (mixed[at] as number) + factor * (data[at] as number);
  return { width, data: Float32Array.from(mixed) };
}

function rowOf({ dims, data }: Activation, row: number, length: number): TokenVectors {
  const [, stride = 0, width = 0] = dims;
  const start = row * stride * width;
  return { width, data: data.subarray(start, start + length * width) };
}

/** NaN is never shown as a number. Throws `numeric`. */
export function checkVectors({ data, width }: TokenVectors, model: string, layer: VectorLayer): void {
  const bad = data.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0)
    throw new LensError(
      'numeric',
      `${model} gave ${data[bad]} at ${layerName(layer)}, token ${Math.floor(bad / width)}.`,
      'float16 exports overflow on some inputs; try a float32 export or another text.',
    );
}
