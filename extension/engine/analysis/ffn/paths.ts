/**
 * From a token's logit back along the residual stream: a direction [D] for each layer, so that a vector u that its FFN writes adds u·g
 * to the logit, while what attention and the other FFNs write is held as it is (direct logit attribution). Norms are taken as linear
 * maps that keep the scale which they have in this run; what a head has between the stream and the unembedding, by its gradient there.
 */
import type { Anatomy } from '../../anatomy/anatomy';
import { behindFfn, type Block } from '../../anatomy/blocks';
import { hasTransform, normAt } from '../../anatomy/ends';
import { blockHook, lastStream } from '../../anatomy/hooks';
import type { Activation, Internals, Trace } from '../../session/internals';

/** Of the central difference, relative to the stream's root mean square. */
const STEP = 0.02;

/** What stands before the norms on the way, at one token. */
export const pathHooks = (anatomy: Anatomy): string[] => {
  const { blocks, norm, layers } = anatomy;
  const inside = norm === 'post' ? (['hook_resid_mid', 'hook_resid_post'] as const) : [];
  const hooks = blocks.flatMap((_, layer) => inside.map((hook) => blockHook(layer, hook)));
  const ends = [lastStream(anatomy), ...(layers === 0 ? [] : [blockHook(layers - 1, 'hook_resid_post')])];
  return [...new Set([...hooks, ...ends])].filter((hook) => anatomy.hooks.sites.has(hook));
};

export const pathMethod = (anatomy: Anatomy): string =>
  [
    'first order along the residual stream, with all that attention and other FFNs write held',
    'norms keep the scale that they have in this run',
    ...(hasTransform(anatomy) ? ['the head’s own layers by their gradient'] : []),
  ].join('; ');

/** One direction [D] a layer; null where something that is no norm stands between its FFN and the stream, or a norm cannot be read. */
export async function logitDirections(
  model: Internals,
  trace: Trace,
  token: number,
  written: readonly (Float32Array | null)[],
): Promise<(Float32Array | null)[]> {
  const anatomy = await model.anatomy();
  const { layers, norm } = anatomy;
  const back = async (direction: Float32Array | null, name: string, input: Float32Array | undefined) => {
    const found = normAt(anatomy, name);
    if (direction === null || input === undefined || typeof found === 'string') return null;
    const [scale, epsilon] = [await model.weight(`${name}.w`), await model.weight(`${name}.eps`)];
    return beforeNorm(direction, input, found.kind, scale.data, epsilon.data[0] as number);
  };
  const stream = (layer: number, hook: 'hook_resid_mid' | 'hook_resid_post'): Float32Array | undefined =>
    trace.get(blockHook(layer, hook))?.data;
  let direction: Float32Array | null = await headDirection(model, anatomy, trace, token);
  if (norm === 'pre' && !hasTransform(anatomy))
    direction = await back(direction, 'ln_final', stream(layers - 1, 'hook_resid_post'));
  const directions: (Float32Array | null)[] = [];
  for (let layer = layers - 1; layer >= 0; layer--) {
    if (norm === 'post') direction = await back(direction, `blocks.${layer}.ln2`, stream(layer, 'hook_resid_post'));
    directions[layer] = await beforeStream(anatomy, layer, direction, (name) =>
      back(direction, name, written[layer] ?? undefined),
    );
    if (norm === 'post') direction = await back(direction, `blocks.${layer}.ln1`, stream(layer, 'hook_resid_mid'));
  }
  return directions;
}

/** Some blocks have a norm between their FFN and the stream. */
async function beforeStream(
  anatomy: Anatomy,
  layer: number,
  direction: Float32Array | null,
  back: (name: string) => Promise<Float32Array | null>,
): Promise<Float32Array | null> {
  const between = behindFfn(anatomy.subject, anatomy.norms, anatomy.blocks[layer] as Block);
  // Anything else, a factor for instance, is not followed.
  return between === 'nothing' ? direction : between === 'norm' ? back(`blocks.${layer}.ln2_post`) : null;
}

/** The logit's gradient [D] where the head begins, or behind the last norm of a head that is only norm and unembedding. */
async function headDirection(
  model: Internals,
  anatomy: Anatomy,
  trace: Trace,
  token: number,
): Promise<Float32Array | null> {
  const { data: column } = await model.unembedding(token);
  if (!hasTransform(anatomy)) return column;
  const state = trace.get(lastStream(anatomy))?.data;
  if (state === undefined) return null;
  const width = state.length;
  const step = STEP * Math.sqrt(state.reduce((sum, each) => sum + each ** 2, 0) / width);
  const rows = new Float32Array(2 * width * width);
  for (let at = 0; at < width; at++)
    for (const [half, sign] of [1, -1].entries()) {
      const from = (half * width + at) * width;
      rows.set(state, from);
      rows[from + at] = (state[at] as number) + sign * step;
    }
  const { data, dims } = await model.runTransform({ dims: [2 * width, 1, width], data: rows });
  const inner = dims.at(-1) as number;
  const project = (row: number): number => dot(data.subarray(row * inner, (row + 1) * inner), column);
  return Float32Array.from({ length: width }, (_, at) => (project(at) - project(width + at)) / (2 * step));
}

export function dot(one: Float32Array, other: Float32Array): number {
  let sum = 0;
  for (let at = 0; at < one.length; at++) sum += (one[at] as number) * (other[at] as number);
  return sum;
}

/** y = γ⊙(x - mean x)/σ + β (or γ⊙x/rms) with σ fixed at its value for `input`: from ∂/∂y to ∂/∂x. */
export function beforeNorm(
  direction: Float32Array,
  input: Float32Array,
  kind: 'layer' | 'rms',
  scale: Float32Array,
  epsilon: number,
): Float32Array {
  const width = input.length;
  const mean = kind === 'layer' ? input.reduce((sum, each) => sum + each, 0) / width : 0;
  const variance = input.reduce((sum, each) => sum + (each - mean) ** 2, 0) / width;
  const size = Math.sqrt(variance + epsilon);
  const scaled = direction.map((each, at) => (each * (scale[at] as number)) / size);
  if (kind === 'rms') return scaled;
  const average = scaled.reduce((sum, each) => sum + each, 0) / width;
  return scaled.map((each) => each - average);
}

/** Of a layer: m·v for each memory, added up [D], without the bias. */
export function writtenBy(activations: Float32Array, values: Activation): Float32Array {
  const width = values.dims[1] as number;
  const sum = new Float64Array(width);
  activations.forEach((activation, neuron) => {
    if (activation === 0) return;
    const from = neuron * width;
    for (let at = 0; at < width; at++) sum[at] = (sum[at] as number) + activation * (values.data[from + at] as number);
  });
  return Float32Array.from(sum);
}
