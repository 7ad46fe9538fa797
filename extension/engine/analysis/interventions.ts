/** Heads and neurons that are scaled, as changes of the activations that a run begins to read from. */
import type { HeadScale } from '../../protocol/attention';
import type { NeuronRef, NeuronScale, Scale } from '../../protocol/ffn';
import { LensError } from '../../protocol/errors';
import type { Anatomy } from '../anatomy/anatomy';
import { blockHook } from '../anatomy/hooks';
import type { Intervention } from '../session/internals';
import { checkLayer, headInterventions } from './attention/input';

export const isNeuron = (scale: Scale): scale is NeuronScale => 'neuron' in scale;

/** Throws `bad-input` for heads, neurons and tokens that are not there. `length` is T. */
export function scaleInterventions(
  anatomy: Pick<Anatomy, 'layers' | 'blocks'>,
  scales: readonly Scale[],
  length: number,
): Intervention[] {
  return [
    ...headInterventions(
      anatomy,
      scales.filter((scale): scale is HeadScale => !isNeuron(scale)),
      length,
    ),
    ...neuronInterventions(anatomy, scales.filter(isNeuron), length),
  ];
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
  for (const { position } of scales)
    if (position !== undefined && position >= length)
      throw new LensError('bad-input', `There is no token ${position}; the text has tokens 0 to ${length - 1}.`);
  const layers = [...new Set(scales.map(({ layer }) => layer))].sort((a, b) => a - b);
  return layers.map((layer) => {
    const width = anatomy.blocks[layer]?.ffn?.width as number;
    const own = scales.filter((each) => each.layer === layer);
    const tokens = own.some(({ position }) => position !== undefined) ? length : 1;
    const data = new Float32Array(tokens * width).fill(1);
    for (const { neuron, scale, position } of own)
      for (let token = 0; token < tokens; token++)
        if (position === undefined || position === token)
          data[token * width + neuron] = (data[token * width + neuron] as number) * scale;
    return { hook: blockHook(layer, 'mlp.hook_post'), scale: { dims: [1, tokens, width], data } };
  });
}
