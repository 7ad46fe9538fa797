/** One head or neuron changed in each row of a batch: what the gates of its block are fed. */
import type { HeadRef } from '../../../protocol/attention';
import type { NeuronScale } from '../../../protocol/ffn';
import type { Activation, Intervention } from '../../session/internals';

/** The head's output z times `scale`, plus `offset` [d] at every token. */
export interface HeadChange extends HeadRef {
  scale: number;
  offset: Float32Array | null;
}

/** Null: a row in which nothing is changed but what is changed in all. */
export type RowChange = HeadChange | NeuronScale | null;

export const isHeadChange = (change: RowChange): change is HeadChange => change !== null && 'head' in change;
export const isNeuronChange = (change: RowChange): change is NeuronScale => change !== null && 'neuron' in change;

/**
 * z·scale + offset for the rows of a batch [B,1|T,H,1], [B,1,H,d]: each row's own change (only those of `layer`) on top of `base`, the
 * scales [1,1|T,H,1] that hold in all rows. Scales are multiplied.
 */
export function rowGates(
  layer: number,
  { heads, headWidth }: { heads: number; headWidth: number },
  base: Activation | undefined,
  rows: readonly RowChange[],
): Omit<Intervention, 'hook'> {
  const own = rows.map((change) => (isHeadChange(change) && change.layer === layer ? change : null));
  if (own.every((change) => change === null)) return base === undefined ? {} : { scale: base };
  const tokens = base?.dims[1] ?? 1;
  const scale = new Float32Array(rows.length * tokens * heads);
  own.forEach((change, row) => {
    for (let token = 0; token < tokens; token++) {
      const at = (row * tokens + token) * heads;
      for (let head = 0; head < heads; head++)
        scale[at + head] = (base?.data[token * heads + head] ?? 1) * (change?.head === head ? change.scale : 1);
    }
  });
  const gates = { scale: { dims: [rows.length, tokens, heads, 1], data: scale } };
  if (own.every((change) => change?.offset == null)) return gates;
  const offset = new Float32Array(rows.length * heads * headWidth);
  own.forEach((change, row) => {
    if (change !== null) offset.set(change.offset ?? [], (row * heads + change.head) * headWidth);
  });
  return { ...gates, offset: { dims: [rows.length, 1, heads, headWidth], data: offset } };
}

/**
 * The activations' scale [B,1|T,F] for the rows of a batch: each row's own change (only those of `layer`) on top of `base` [1,1|T,F],
 * which holds in all rows. `length` is T. Undefined: none changes anything.
 */
export function neuronScales(
  layer: number,
  width: number,
  length: number,
  base: Activation | undefined,
  rows: readonly RowChange[],
): Activation | undefined {
  const own = rows.map((change) => (isNeuronChange(change) && change.layer === layer ? change : null));
  if (own.every((change) => change === null)) return base;
  const isPlaced = own.some((change) => change?.position !== undefined);
  const tokens = isPlaced ? length : (base?.dims[1] ?? 1);
  const baseTokens = base?.dims[1] ?? 1;
  const scale = new Float32Array(rows.length * tokens * width).fill(1);
  own.forEach((change, row) => {
    for (let token = 0; token < tokens; token++) {
      const at = (row * tokens + token) * width;
      if (base !== undefined) {
        const from = (baseTokens > 1 ? token : 0) * width;
        scale.set(base.data.subarray(from, from + width), at);
      }
      if (change === null || (change.position !== undefined && change.position !== token)) continue;
      scale[at + change.neuron] = (scale[at + change.neuron] as number) * change.scale;
    }
  });
  return { dims: [rows.length, tokens, width], data: scale };
}

/** Mean [d] over the first `tokens` (what follows is padding) of one head's z [1,T,H,d]. */
export function meanOverTokens({ dims, data }: Activation, head: number, tokens: number): Float32Array {
  const [, , heads, width] = dims as [number, number, number, number];
  return Float32Array.from({ length: width }, (_, index) => {
    let sum = 0;
    for (let token = 0; token < tokens; token++) sum += data[(token * heads + head) * width + index] as number;
    return sum / tokens;
  });
}
