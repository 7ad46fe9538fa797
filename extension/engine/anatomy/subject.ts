/** What the anatomy looks at: a graph with fused operators taken apart, and what is known of its values. */
import { evaluate, MAX_ELEMENTS, type Value } from '../onnx/evaluate';
import { Wires } from '../onnx/graph';
import { lowered } from '../onnx/lower';
import { BFLOAT16, FLOAT16, INT32, INT64, sizeOf, type GraphNode, type OnnxModel, type ValueInfo } from '../onnx/model';

/** Sizes of the imagined run: small, so that tensors can be followed element by element, and unlike each other. */
const BATCH = 2;
const LENGTH = 3;

export interface Subject {
  model: OnnxModel;
  opset: number;
  /** Of the graph with every fused operator taken apart. */
  wires: Wires;
  /** Of the imagined run: `BATCH` and `LENGTH`, or what the export has fixed. */
  batch: number;
  length: number;
  /** For inputs of that size and empty caches. */
  values: ReadonlyMap<string, Value>;
  /** Fused node → what it is equal to. */
  lowerings: ReadonlyMap<GraphNode, readonly GraphNode[]>;
  /** Operators that look like attention but whose form is not known; for the person. */
  opaque: readonly GraphNode[];
}

export function prepare(model: OnnxModel): Subject {
  const opset = model.opset.get('') ?? model.opset.get('ai.onnx') ?? 0;
  const wires = new Wires(model.graph);
  const inputs = imaginedInputs(model.graph.inputs, BATCH, LENGTH);
  const [batch = BATCH, length = LENGTH] = inputs.get('input_ids')?.dims ?? [...inputs.values()][0]?.dims ?? [];
  const values = evaluate(wires, inputs, opset);
  const lowerings = new Map<GraphNode, readonly GraphNode[]>();
  const opaque: GraphNode[] = [];
  for (const node of wires.nodes) {
    const parts = lowered(node, wires, values, opset);
    if (parts !== null) lowerings.set(node, parts);
    else if (node.opType.endsWith('Attention')) opaque.push(node);
  }
  if (lowerings.size === 0) return { model, opset, wires, batch, length, values, lowerings, opaque };
  const nodes = wires.nodes.flatMap((node) => lowerings.get(node) ?? [node]);
  const apart = new Wires({ ...model.graph, nodes });
  return { model, opset, wires: apart, batch, length, values: evaluate(apart, inputs, opset), lowerings, opaque };
}

/** Values for the inputs of a text model: any ids, nothing masked, nothing cached. */
export function imaginedInputs(inputs: readonly ValueInfo[], batch: number, length: number): Map<string, Value> {
  const values = new Map<string, Value>();
  for (const { name, type, shape } of inputs) {
    const element = type === 'int64' ? INT64 : type === 'int32' ? INT32 : 1;
    const isCache = name.startsWith('past');
    // A cache is [B,K,0,d], or [2,B,K,0,d] with keys and values in one.
    const [batchAxis, lengthAxis] = isCache ? [shape.length - 4, shape.length - 2] : [0, 1];
    const dims = shape.map((dim, axis) => {
      if (typeof dim === 'number') return dim;
      if (axis === batchAxis) return batch;
      return isCache ? Number(axis !== lengthAxis) : length;
    });
    const count = sizeOf(dims);
    const fill = (valueAt: (index: number) => number): Float64Array =>
      Float64Array.from({ length: count }, (_, index) => valueAt(index));
    const isKnown = count <= MAX_ELEMENTS && dims.every((dim) => dim >= 0);
    const data =
      isCache || !isKnown
        ? null
        : name.includes('mask')
          ? fill(() => 1)
          : name.includes('position')
            ? fill((index) => index % length)
            : fill(() => 0);
    values.set(name, { dims, data, type: element });
  }
  return values;
}

/** Whether activations have 16 bits. */
export const hasHalfFloats = ({ values }: Subject): boolean =>
  [...values.values()].some(({ type }) => type === FLOAT16 || type === BFLOAT16);

/** The one input that is not constant; undefined when there are none or several. */
export function onlyInput(wires: Wires, node: GraphNode): string | undefined {
  const data = node.inputs.filter((input) => !wires.isConstant(input));
  return data.length === 1 ? data[0] : undefined;
}

/** A constant of one element. */
export function isScalar({ wires, values }: Subject, name: string | undefined): boolean {
  if (name === undefined || !wires.isConstant(name)) return false;
  const dims = values.get(name)?.dims;
  return dims?.every((dim) => dim === 1) ?? false;
}

export const isProduct = ({ opType }: GraphNode): boolean => /^(MatMul|FusedMatMul|Einsum)$/.test(opType);

/** A product of two activations. */
export const isActivationProduct = (wires: Wires, node: GraphNode): boolean =>
  isProduct(node) && node.inputs.length === 2 && node.inputs.every((input) => !wires.isConstant(input));

/** Elements of a value for each token; undefined where its rows are not tokens. */
export function rowWidth({ values, batch, length }: Subject, name: string): number | undefined {
  const dims = values.get(name)?.dims;
  if (dims === undefined) return undefined;
  const width = sizeOf(dims) / (batch * length);
  return Number.isInteger(width) ? width : undefined;
}
