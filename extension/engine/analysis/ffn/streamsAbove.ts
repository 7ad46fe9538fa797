/**
 * Runs with a neuron scaled at one token, entered above its layer: W_out is linear, so that the stream after its network is the unchanged one
 * plus (scale − 1)·m·v at that token, and the layer itself is not run again.
 */
import type { NeuronScale } from '../../../protocol/ffn';
import type { Anatomy } from '../../anatomy/anatomy';
import { behindFfn, type Block } from '../../anatomy/blocks';
import { blockHook, lastStream } from '../../anatomy/hooks';
import { hasHalfFloats } from '../../anatomy/subject';
import type { Activation, Internals, Trace } from '../../session/internals';

/** Of the largest number in the stream: what the runtime's order of sums leaves. */
const SAME_SHARE = 1e-4;

/** What an unchanged run must hand out at the token, so that runs can be entered above their neurons' layers. */
export const hooksAbove = (anatomy: Anatomy): string[] =>
  [
    ...anatomy.blocks.flatMap((_, layer) => [blockHook(layer, 'mlp.hook_post'), blockHook(layer, 'hook_resid_post')]),
    ...(anatomy.layers === 0 ? [] : [lastStream(anatomy)]),
  ].filter((hook) => anatomy.hooks.sites.has(hook));

/** The stream at the token [D] above the layer of each change. */
export type StreamsAbove = ReadonlyMap<NeuronScale, Float32Array>;

/**
 * Null where that cannot be told exactly: 16-bit streams, a norm between the network and the stream, or hooks that the model has not.
 * `clean`: what the unchanged run gave, with `hooksAbove` and the streams before blocks. All changes are at `position`.
 */
export async function streamsAbove(
  model: Pick<Internals, 'weight' | 'runBlockEnd'>,
  anatomy: Anatomy,
  clean: Trace,
  position: number,
  changes: readonly NeuronScale[],
): Promise<StreamsAbove | null> {
  const { blocks, layers, subject, norms } = anatomy;
  if (hasHalfFloats(subject)) return null;
  const streams = new Map<NeuronScale, Float32Array>();
  for (const layer of new Set(changes.map((change) => change.layer))) {
    const own = changes.filter((change) => change.layer === layer);
    const at = (hook: string): Float32Array | null => tokenOf(clean.get(hook), position);
    const activations = at(blockHook(layer, 'mlp.hook_post'));
    const sum = at(blockHook(layer, 'hook_resid_post'));
    const above = at(layer + 1 < layers ? blockHook(layer + 1, 'hook_resid_pre') : lastStream(anatomy));
    const isDirect = behindFfn(subject, norms, blocks[layer] as Block) === 'nothing';
    if (activations === null || sum === null || above === null || !isDirect) return null;
    const { data: values } = await model.weight(`blocks.${layer}.mlp.W_out`);
    const width = sum.length;
    // The first is the unchanged one: it must come out as it did.
    const sums = new Float32Array((own.length + 1) * width);
    sums.set(sum);
    for (const [index, { neuron, scale, position: place }] of own.entries()) {
      if (place !== position) return null;
      const factor = (scale - 1) * (activations[neuron] as number);
      const [from, to] = [neuron * width, (index + 1) * width];
      for (let each = 0; each < width; each++)
        sums[to + each] = (sum[each] as number) + factor * (values[from + each] as number);
    }
    const { data } = await model.runBlockEnd(layer, { dims: [own.length + 1, 1, width], data: sums });
    if (!isSame(data.subarray(0, width), above)) return null;
    for (const [index, change] of own.entries())
      streams.set(change, data.subarray((index + 1) * width, (index + 2) * width));
  }
  return streams;
}

/** One token's numbers in [1,T,D], or in the part [1,1,D] that has only this one. */
export function tokenOf(activation: Activation | undefined, position: number): Float32Array | null {
  if (activation === undefined) return null;
  const { dims, data } = activation;
  const [, tokens, width] = dims as [number, number, number];
  const from = tokens === 1 ? 0 : position * width;
  return data.subarray(from, from + width);
}

function isSame(one: Float32Array, other: Float32Array): boolean {
  let [worst, largest] = [0, 0];
  one.forEach((value, at) => {
    worst = Math.max(worst, Math.abs(value - (other[at] as number)));
    largest = Math.max(largest, Math.abs(value));
  });
  return worst <= SAME_SHARE * largest;
}
