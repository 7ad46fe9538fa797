/** Linear layers, in every form in which exporters and quantisers write `x·W + b`. */
import { attributes, type GraphNode } from '../onnx/model';
import { isScalar, type Subject } from './subject';

export interface Linear {
  node: GraphNode;
  /** x, [B,T,in] or [B·T,in], in floating point: before dynamic quantisation. */
  data: string;
  /** W as the operator reads it (it may be dequantised or transposed on the way). */
  weight: string;
  bias: string | null;
  /** x·W, with the scales of quantised products applied. */
  product: string;
  /** x·W + b, of the dimensions of `product`. */
  output: string;
}

/** Operators that multiply data with a matrix, and the inputs that are data and matrix. */
const FORMS = new Map<string, readonly [data: number, weight: number, bias: number]>(
  Object.entries({
    MatMul: [0, 1, -1],
    FusedMatMul: [0, 1, -1],
    Gemm: [0, 1, 2],
    FusedGemm: [0, 1, 2],
    MatMulInteger: [0, 1, -1],
    MatMulIntegerToFloat: [0, 1, 6],
    DynamicQuantizeMatMul: [0, 1, 4],
    QLinearMatMul: [0, 3, -1],
    MatMulNBits: [0, 1, 5],
    MatMulBnb4: [0, 1, -1],
  }),
);

export interface Linears {
  /** In the order of the graph. */
  byOutput: ReadonlyMap<string, Linear>;
  /** The last one of those that read the same. */
  byData: ReadonlyMap<string, Linear>;
}

export function findLinears(subject: Subject): Linears {
  const byOutput = new Map<string, Linear>();
  const byData = new Map<string, Linear>();
  for (const node of subject.wires.nodes) {
    const linear = linearAt(subject, node);
    if (linear === null) continue;
    byOutput.set(linear.output, linear);
    byData.set(linear.data, linear);
  }
  return { byOutput, byData };
}

function linearAt(subject: Subject, node: GraphNode): Linear | null {
  const { wires } = subject;
  const form = FORMS.get(node.opType);
  if (form === undefined) return null;
  const [dataAt, weightAt, biasAt] = form;
  const weight = node.inputs[weightAt];
  const operand = node.inputs[dataAt];
  if (operand === undefined || weight === undefined || !wires.isConstant(weight) || wires.isConstant(operand))
    return null;
  const quantiser = wires.maker(operand);
  const data = (quantiser?.opType === 'DynamicQuantizeLinear' ? quantiser.inputs[0] : undefined) ?? operand;
  let product = node.outputs[0] as string;
  if (node.opType === 'MatMulInteger') {
    // int32 → Cast → Mul by the scales of both factors, one of which was found at run time
    const scaled = only(subject, only(subject, product, 'Cast'), 'Mul');
    if (scaled === undefined) return null;
    product = scaled;
  } else if (node.opType === 'QLinearMatMul') {
    product = only(subject, product, 'DequantizeLinear') ?? product;
  }
  const own = biasAt < 0 ? undefined : node.inputs[biasAt];
  if (own !== undefined && own !== '') return { node, data, weight, bias: own, product, output: product };
  const biased = biasAfter(subject, product);
  return { node, data, weight, bias: biased?.bias ?? null, product, output: biased?.output ?? product };
}

/** The output of the only reader of a value, if it is such an operator. */
function only({ wires }: Subject, value: string | undefined, opType: string): string | undefined {
  if (value === undefined) return undefined;
  const readers = wires.readers(value);
  return readers.length === 1 && readers[0]?.opType === opType ? readers[0].outputs[0] : undefined;
}

/**
 * A vector that is added to the product, on either side of the Add (exporters differ); also after the product was parted into heads,
 * as a matrix [N,d]. A number is no bias.
 */
function biasAfter(subject: Subject, product: string): { bias: string; output: string } | undefined {
  const { wires, values } = subject;
  const parted = only(subject, product, 'Reshape');
  const dims = values.get(product)?.dims;
  for (const value of parted === undefined ? [product] : [product, parted]) {
    const readers = wires.readers(value);
    const [reader] = readers;
    if (reader?.opType !== 'Add' || readers.length !== 1) continue;
    const bias = reader.inputs.find((input) => input !== value);
    if (bias === undefined || !wires.isConstant(bias) || isScalar(subject, bias)) continue;
    const shape = values.get(value)?.dims.slice(value === product ? -1 : 2);
    const biasDims = values.get(bias)?.dims;
    if (shape === undefined || biasDims?.slice(-shape.length).join() !== shape.join()) continue;
    if (biasDims.slice(0, -shape.length).some((dim) => dim !== 1)) continue;
    // Rows of tokens must stay rows.
    if (value !== product && shape.reduce((size, dim) => size * dim, 1) !== dims?.at(-1)) continue;
    return { bias, output: reader.outputs[0] as string };
  }
  return undefined;
}

/** The axis of a weight that counts a layer's outputs; null where the operator packs the matrix, or does more than multiply. */
export function outputsAxis({ node, data, weight }: Linear, dims: readonly number[]): number | null {
  if (dims.length !== 2 || node.inputs[0] !== data || node.inputs[1] !== weight) return null;
  const option = (name: string): number | undefined => attributes(node).get(name)?.int;
  if (node.opType === 'MatMul') return 1;
  if (node.opType !== 'Gemm' || (option('transA') ?? 0) !== 0 || (attributes(node).get('alpha')?.float ?? 1) !== 1)
    return null;
  return (option('transB') ?? 0) === 0 ? 1 : 0;
}
