/**
 * Heads and neurons scaled for good. What they write is a product of a linear layer: its rows of the weight are scaled where the file
 * has them as numbers of their own, or as a scale of their own; where it has not (packed or shared weights, rows without a scale), a Mul
 * stands before the layer.
 */
import type { Linear } from '../anatomy/linears';
import { outputsAxis } from '../anatomy/linears';
import type { Subject } from '../anatomy/subject';
import { attributes, encodeTensor, FLOAT, newNode, withOutputs, type GraphNode, type OnnxModel } from '../onnx/model';
import { openNodes } from './instrument';

/** Factors of what a linear layer reads, one a column. */
export interface Scaling {
  linear: Linear;
  factors: Float32Array;
}

/** Rows (axis 0) or columns of a float32 tensor that are to be multiplied. */
export interface ScaledTensor {
  axis: 0 | 1;
  factors: Float32Array;
}

export interface Baked {
  model: OnnxModel;
  /** Initializers whose numbers change. */
  tensors: ReadonlyMap<string, ScaledTensor>;
  /** How each scaling was done, in their order. */
  how: ('weight rows' | 'row scales' | 'inserted Mul')[];
}

export function bake(subject: Subject, scalings: readonly Scaling[]): Baked {
  const tensors = new Map<string, ScaledTensor>();
  const before = new Map<string, Float32Array>();
  const how = scalings.map(({ linear, factors }): Baked['how'][number] => {
    const rows = rowsOf(subject, linear);
    const scales = rows === null ? rowScales(subject, linear, factors) : null;
    const found = rows ?? scales;
    if (found === null) {
      before.set(linear.data, factors);
      return 'inserted Mul';
    }
    tensors.set(found.name, { axis: found.axis, factors });
    return rows === null ? 'row scales' : 'weight rows';
  });
  return { model: withFactors(subject, before), tensors, how };
}

/** The file's own float32 matrix of a layer, which nothing else reads, and the axis that counts its inputs. */
function rowsOf({ model, wires, values }: Subject, linear: Linear): { name: string; axis: 0 | 1 } | null {
  const outputs = outputsAxis(linear, values.get(linear.weight)?.dims ?? []);
  const stored = model.graph.initializers.get(linear.weight);
  if (outputs === null || stored?.dataType !== FLOAT || !isOwn(model, linear.node)) return null;
  if (stored.place.kind === 'inline' && stored.raw === null) return null;
  return wires.readers(linear.weight).length === 1 ? { name: linear.weight, axis: outputs === 1 ? 0 : 1 } : null;
}

/** The scales of a quantised matrix, where each of the layer's inputs has its own. */
function rowScales(
  { model, wires, values }: Subject,
  linear: Linear,
  factors: Float32Array,
): { name: string; axis: 0 } | null {
  const outputs = outputsAxis(linear, values.get(linear.weight)?.dims ?? []);
  const maker = wires.maker(linear.weight);
  const name = maker?.inputs[1];
  if (outputs === null || maker?.opType !== 'DequantizeLinear' || name === undefined) return null;
  const scale = model.graph.initializers.get(name);
  const { axis, block_size: block } = Object.fromEntries(attributes(maker)) as Record<string, { int?: number }>;
  // A scale below zero is none.
  if (scale?.dataType !== FLOAT || scale.dims.length !== 1 || factors.some((factor) => factor < 0)) return null;
  if (scale.place.kind === 'inline' && scale.raw === null) return null;
  const isByRow = ((axis?.int ?? 1) + 2) % 2 === 1 - outputs && (block?.int ?? 0) === 0;
  const isAlone = [name, linear.weight].every((value) => wires.readers(value).length === 1);
  return isByRow && isAlone && scale.dims[0] === factors.length && isOwn(model, linear.node) ? { name, axis: 0 } : null;
}

const isOwn = (model: OnnxModel, node: GraphNode): boolean => model.graph.nodes.includes(node);

/** The model with a Mul behind each of these values. */
function withFactors(subject: Subject, factors: ReadonlyMap<string, Float32Array>): OnnxModel {
  const { model, values } = subject;
  if (factors.size === 0) return model;
  const nodes = openNodes(subject, new Set(), new Set(factors.keys())).flatMap((node) => {
    const scaled = node.outputs.filter((output) => factors.has(output));
    if (scaled.length === 0) return [node];
    const open = (value: string): string => (factors.has(value) ? `onnx_lens.unscaled.${value}` : value);
    return [
      withOutputs(node, node.outputs.map(open)),
      ...scaled.flatMap((value) => {
        const vector = factors.get(value) as Float32Array;
        const name = `onnx_lens.factors.${value}`;
        const type = values.get(value)?.type ?? FLOAT;
        const tensor = encodeTensor(FLOAT, [vector.length], [...vector]);
        return [
          newNode('Constant', [], [name], { value: tensor }),
          ...(type === FLOAT ? [] : [newNode('Cast', [name], [`${name}.cast`], { to: type })]),
          newNode('Mul', [open(value), type === FLOAT ? name : `${name}.cast`], [value]),
        ];
      }),
    ];
  });
  return { ...model, graph: { ...model.graph, nodes } };
}
