/** What may be asked of vectors, checked. */
import { POOLS, type EmbeddingEngineMethods, type LayerMix, type VectorLayer } from '../../protocol/embeddings';
import { fields, integer, list, modelOf, numeric, oneOf, textOf } from './fields';
import type { Reader } from './requests';

const MOST_LAYERS = 1_000;
const MOST_TEXTS = 100_000;
const LARGEST_WEIGHT = 1e6;

const mixOf = (value: unknown, name: string): LayerMix => {
  const { weights, gamma } = fields(value, name);
  return {
    weights: list(weights, `${name}.weights`, MOST_LAYERS).map((weight) =>
      numeric(weight, `${name}.weights`, -LARGEST_WEIGHT, LARGEST_WEIGHT),
    ),
    gamma: numeric(gamma, `${name}.gamma`, -LARGEST_WEIGHT, LARGEST_WEIGHT),
  };
};

const layerOf = (value: unknown, name: string): VectorLayer => {
  if (value === 'static') return value;
  if (typeof value === 'number') return integer(value, name, 0, MOST_LAYERS);
  return mixOf(value, name);
};

const layersOf = (value: unknown): VectorLayer[] =>
  list(value, 'layers', MOST_LAYERS).map((layer, index) => layerOf(layer, `layers[${index}]`));

export const EMBEDDING_READERS: { [M in keyof EmbeddingEngineMethods]: Reader<M> } = {
  embed: (params) => ({
    model: modelOf(params),
    texts: list(params['texts'], 'texts', MOST_TEXTS).map((text, index) => textOf(text, `texts[${index}]`)),
    layers: layersOf(params['layers']),
    pool: oneOf(params['pool'], 'pool', POOLS),
  }),
};
