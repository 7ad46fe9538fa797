/** Heads and neurons that are scaled, as they come in, checked. Whether the model has them is for the analysis to say. */
import type { HeadRef, NeuronRef, Scale } from '../../protocol/interventions';
import { fields, integer, list, numeric, optional, type Fields } from './fields';

export const MOST_LAYERS = 1_000;
const MOST_HEADS = 1_024;
const MOST_NEURONS = 1_000_000;
const MOST_CHANGES = 4_096;
const MOST_TOKENS = 10 * 2 ** 20;
const LARGEST_SCALE = 1e6;

export const headOf = (value: unknown, name: string): HeadRef => {
  const { layer, head } = fields(value, name);
  return {
    layer: integer(layer, `${name}.layer`, 0, MOST_LAYERS),
    head: integer(head, `${name}.head`, 0, MOST_HEADS),
  };
};

export const neuronOf = (value: unknown, name: string): NeuronRef => {
  const { layer, neuron } = fields(value, name);
  return {
    layer: integer(layer, `${name}.layer`, 0, MOST_LAYERS),
    neuron: integer(neuron, `${name}.neuron`, 0, MOST_NEURONS),
  };
};

/** What is scaled, by how much, and where. */
export const scalesOf = (value: unknown, name: string): Scale[] =>
  list(value, name, MOST_CHANGES).map((each, index) => {
    const at = `${name}[${index}]`;
    const { neuron, scale, position } = fields(each, at);
    return {
      ...(neuron === undefined ? headOf(each, at) : neuronOf(each, at)),
      scale: numeric(scale, `${at}.scale`, -LARGEST_SCALE, LARGEST_SCALE),
      ...(position === undefined ? {} : { position: integer(position, `${at}.position`, 0, MOST_TOKENS) }),
    };
  });

/** The field of changes in force, where it is given. */
export const interventionsOf = (params: Fields): { interventions?: Scale[] } =>
  optional(params, 'interventions', scalesOf);
