/** What is changed in a model while it runs: the outputs of heads and neurons, scaled. Layers, heads, neurons and tokens count from 0. */

export interface HeadRef {
  layer: number;
  head: number;
}

/** A memory of a feed-forward network: key (column of W_in), activation m, value (row of W_out). */
export interface NeuronRef {
  layer: number;
  neuron: number;
}

/** The head's output z times `scale`: 0 switches it off. Several changes of a head are multiplied. */
export interface HeadScale extends HeadRef {
  scale: number;
  /** Only at this token of the model's input; everywhere when absent. */
  position?: number;
}

/** The activation times `scale`: 0 switches the memory off. Several changes of a neuron are multiplied. */
export interface NeuronScale extends NeuronRef {
  scale: number;
  /** Only at this token of the model's input; everywhere when absent. */
  position?: number;
}

export type Scale = HeadScale | NeuronScale;

export const isNeuronScale = (scale: Scale): scale is NeuronScale => 'neuron' in scale;

/** Nothing but what a change is, in one order, so that two can be compared as text. */
export function plainScale(change: Scale): Scale {
  const { layer, scale, position } = change;
  const rest = { scale, ...(position === undefined ? {} : { position }) };
  return isNeuronScale(change) ? { layer, neuron: change.neuron, ...rest } : { layer, head: change.head, ...rest };
}

/** Of the same head or neuron, at the same token or both everywhere: what one says, the other says anew. */
export const samePart = (one: Scale, other: Scale): boolean =>
  one.layer === other.layer &&
  one.position === other.position &&
  (isNeuronScale(one)
    ? isNeuronScale(other) && one.neuron === other.neuron
    : !isNeuronScale(other) && one.head === other.head);

/** With this part scaled so; by 1 it is as the model has it. In the order of layers, heads before neurons. */
export function withIntervention(present: readonly Scale[], change: Scale): Scale[] {
  const others = present.filter((each) => !samePart(each, change));
  const all = change.scale === 1 ? others : [...others, plainScale(change)];
  const index = (scale: Scale): number => (isNeuronScale(scale) ? scale.neuron : scale.head);
  return all.sort(
    (one, other) =>
      one.layer - other.layer ||
      Number(isNeuronScale(one)) - Number(isNeuronScale(other)) ||
      index(one) - index(other) ||
      (one.position ?? -1) - (other.position ?? -1),
  );
}
