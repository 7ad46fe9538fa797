/** Heads and neurons that are scaled, as changes of the activations that a run begins to read from. */
import { LensError } from '../../protocol/errors';
import {
  isNeuronScale,
  type HeadScale,
  type NeuronRef,
  type NeuronScale,
  type Scale,
} from '../../protocol/interventions';
import type { Anatomy } from '../anatomy/anatomy';
import { blockHook } from '../anatomy/hooks';
import type { Intervention } from '../session/internals';
import { checkHeads, checkLayer } from './attention/input';

/** Throws `bad-input` for heads, neurons and tokens that are not there. `length` is T. */
export function scaleInterventions(
  anatomy: Pick<Anatomy, 'layers' | 'blocks'>,
  scales: readonly Scale[],
  length: number,
): Intervention[] {
  for (const { position } of scales)
    if (position !== undefined && position >= length)
      throw new LensError(
        'bad-input',
        `There is no token ${position}; the text has tokens 0 to ${length - 1}.`,
        'Remove the change that holds there only, or look at a longer text.',
      );
  const heads = scales.filter((scale): scale is HeadScale => !isNeuronScale(scale));
  return [
    ...headInterventions(anatomy, heads, length),
    ...neuronInterventions(anatomy, scales.filter(isNeuronScale), length),
  ];
}

/**
 * Heads times their scales, as changes of z [B,T,H,d] (Michel et al. 2019: a gate on the head's mixed values before W_O): one for all
 * heads of a block.
 */
function headInterventions(
  anatomy: Pick<Anatomy, 'layers' | 'blocks'>,
  scales: readonly HeadScale[],
  length: number,
): Intervention[] {
  checkHeads(anatomy, scales);
  return layersOf(scales).map((layer) => {
    const heads = anatomy.blocks[layer]?.attention.heads as number;
    const { tokens, data } = factors(
      scales.filter((each) => each.layer === layer).map(({ head, ...rest }) => ({ ...rest, column: head })),
      heads,
      length,
    );
    return { hook: blockHook(layer, 'attn.hook_z'), scale: { dims: [1, tokens, heads, 1], data } };
  });
}

const layersOf = (parts: readonly { layer: number }[]): number[] =>
  [...new Set(parts.map(({ layer }) => layer))].sort((a, b) => a - b);

/** Products of scales [1|T, width]: one row for all tokens where none is bound to one of them. */
function factors(
  scales: readonly { column: number; scale: number; position?: number }[],
  width: number,
  length: number,
): { tokens: number; data: Float32Array } {
  const tokens = scales.some(({ position }) => position !== undefined) ? length : 1;
  const data = new Float32Array(tokens * width).fill(1);
  for (const { column, scale, position } of scales)
    for (let token = 0; token < tokens; token++)
      if (position === undefined || position === token)
        data[token * width + column] = (data[token * width + column] as number) * scale;
  return { tokens, data };
}

/** What heads of a layer are multiplied with at each token [T,H]. */
export function headFactors(scales: readonly Scale[], layer: number, heads: number, length: number): Float32Array {
  const own = scales.filter((each): each is HeadScale => !isNeuronScale(each) && each.layer === layer);
  const { tokens, data } = factors(
    own.map(({ head, ...rest }) => ({ ...rest, column: head })),
    heads,
    length,
  );
  if (tokens === length) return data;
  const all = new Float32Array(length * heads);
  for (let token = 0; token < length; token++) all.set(data, token * heads);
  return all;
}

/** Throws `bad-input` for neurons that the model does not have. */
export function checkNeurons(anatomy: Pick<Anatomy, 'layers' | 'blocks'>, neurons: readonly NeuronRef[]): void {
  for (const { layer, neuron } of neurons) {
    const { ffn } = checkLayer(anatomy, layer);
    if (ffn === null)
      throw new LensError(
        'bad-input',
        `The feed-forward network of layer ${layer} was not found, so it has no neurons.`,
      );
    if (neuron >= ffn.width)
      throw new LensError(
        'bad-input',
        `There is no neuron ${neuron} in layer ${layer}; it has neurons 0 to ${ffn.width - 1}.`,
      );
  }
}

/** Neurons times their scales, as changes of `mlp.hook_post` [B,T,F]: one for all neurons of a block. */
function neuronInterventions(
  anatomy: Pick<Anatomy, 'layers' | 'blocks'>,
  scales: readonly NeuronScale[],
  length: number,
): Intervention[] {
  checkNeurons(anatomy, scales);
  return layersOf(scales).map((layer) => {
    const width = anatomy.blocks[layer]?.ffn?.width as number;
    const { tokens, data } = factors(
      scales.filter((each) => each.layer === layer).map(({ neuron, ...rest }) => ({ ...rest, column: neuron })),
      width,
      length,
    );
    return { hook: blockHook(layer, 'mlp.hook_post'), scale: { dims: [1, tokens, width], data } };
  });
}
