/** Memories whose key or value points where that of one memory does, over all layers. */
import type { NeuronRef, SimilarMemories, SimilarMemoriesParams } from '../../../protocol/ffn';
import { LensError } from '../../../protocol/errors';
import type { Activation, Internals } from '../../session/internals';
import type { RunContext } from '../../session/languageModel';
import { topK as largest } from '../../session/topK';
import { throwIfCancelled } from '../forward';
import { checkNeurons } from '../interventions';
import { dot } from './paths';

/** What a memory has vectors of: what its activation function reads, the other factor of a gated network, and what it writes. */
const KINDS = ['keys', 'linear', 'values'] as const;
type Kind = (typeof KINDS)[number];
type Similar = NeuronRef & { cosine: number };

/** Throws `bad-input`, `model-unsupported` when the layer's values cannot be read. */
export async function similarMemories(
  model: Pick<Internals, 'info' | 'anatomy' | 'weight'>,
  { layer, neuron, topK }: Omit<SimilarMemoriesParams, 'model'>,
  { signal, progress }: RunContext,
): Promise<SimilarMemories> {
  const started = performance.now();
  const anatomy = await model.anatomy();
  checkNeurons(anatomy, [{ layer, neuron }]);
  const unread = new Set<string>();
  const weightOf = async (kind: Kind, at: number): Promise<Activation | null> => {
    const ffn = anatomy.blocks[at]?.ffn;
    if (ffn == null || (kind === 'linear' && ffn.up === null)) return null;
    const part = kind === 'values' ? 'W_out' : kind === 'keys' && ffn.up !== null ? 'W_gate' : 'W_in';
    try {
      return await model.weight(`blocks.${at}.mlp.${part}`);
    } catch (thrown) {
      if (!(thrown instanceof LensError) || thrown.code !== 'model-unsupported') throw thrown;
      if (kind === 'values' && at === layer) throw thrown;
      unread.add(`${part} of layer ${at}`);
      return null;
    }
  };

  const own = new Map<Kind, Float32Array>();
  const found = new Map<Kind, Similar[]>();
  let done = 0;
  for (const kind of KINDS) {
    const weight = await weightOf(kind, layer);
    if (weight === null) continue;
    const vector = vectorOf(kind, weight, neuron);
    own.set(kind, vector);
    const similar: Similar[] = [];
    for (const other of anatomy.blocks.keys()) {
      throwIfCancelled(signal);
      progress({ message: `The ${kind} of layer ${other}`, fraction: done++ / (KINDS.length * anatomy.layers) });
      const theirs = other === layer ? weight : await weightOf(kind, other);
      if (theirs === null) continue;
      const cosines = cosinesWith(kind, theirs, vector);
      const isOther = (index: number): boolean => other !== layer || index !== neuron;
      similar.push(
        ...largest(cosines, topK, isOther).map((index) => ({
          ...{ layer: other, neuron: index, cosine: cosines[index] as number },
        })),
      );
    }
    similar.sort((a, b) => b.cosine - a.cosine || a.layer - b.layer || a.neuron - b.neuron);
    found.set(kind, similar.slice(0, topK));
  }
  const [key, value] = [own.get('keys'), own.get('values') as Float32Array];
  return {
    ...{ model: model.info.id, layer, neuron },
    keys: found.get('keys') ?? null,
    linear: found.get('linear') ?? null,
    values: found.get('values') ?? [],
    keyValue: key === undefined ? null : dot(key, value) / Math.sqrt(dot(key, key) * dot(value, value)),
    method: `cosines of ${own.has('linear') ? 'columns of W_gate (keys) and W_in (the other factor)' : 'columns of W_in (keys)'} and rows of W_out (values), as the run multiplies them; the scale of a norm before them is not in the keys`,
    notes: unread.size === 0 ? [] : [`Cannot be read: ${[...unread].join(', ')}.`],
    elapsed: performance.now() - started,
  };
}

/** A row of W_out [F,D], or a column of W_in [D,F]. */
function vectorOf(kind: Kind, { dims, data }: Activation, neuron: number): Float32Array {
  const [rows, columns] = dims as [number, number];
  if (kind === 'values') return data.slice(neuron * columns, (neuron + 1) * columns);
  return Float32Array.from({ length: rows }, (_, row) => data[row * columns + neuron] as number);
}

/** Cosines [F] of a vector with those of a layer; −1 for what has no direction. */
function cosinesWith(kind: Kind, { dims, data }: Activation, vector: Float32Array): Float32Array {
  const [rows, columns] = dims as [number, number];
  const isRow = kind === 'values';
  const count = isRow ? rows : columns;
  const [products, squares] = [new Float64Array(count), new Float64Array(count)];
  for (let row = 0; row < rows; row++)
    for (let column = 0, at = row * columns; column < columns; column++, at++) {
      const index = isRow ? row : column;
      const place = isRow ? column : row;
      const each = data[at] as number;
      products[index] = (products[index] as number) + each * (vector[place] as number);
      squares[index] = (squares[index] as number) + each * each;
    }
  const length = Math.sqrt(dot(vector, vector));
  return Float32Array.from(products, (product, index) => {
    const size = length * Math.sqrt(squares[index] as number);
    return size === 0 ? -1 : product / size;
  });
}
