/**
 * The language-model head only where it is wanted. The head is the largest product of a short run; so a gather is put before it:
 *
 *     hidden [B,T,D] → Flatten [B·T,D] → Gather(rows [N]) [N,D] → head → logits [N,V]
 *
 * From the logits back through element-wise operators with constants to a linear layer. Where that is not what the graph looks
 * like, nothing is changed and the caller picks rows from all logits.
 */
import type { Subject } from '../anatomy/subject';
import { nearestFirst, type Wires } from '../onnx/graph';
import {
  attributes,
  FLOAT,
  INT64,
  newNode,
  newValueInfo,
  valueInfoName,
  withInputs,
  type GraphNode,
  type OnnxModel,
} from '../onnx/model';

export const ROWS_INPUT = 'onnx_lens.rows';
const FLAT = 'onnx_lens.flat';
const GATHERED = 'onnx_lens.gathered';

/** Linear layers whose result for a row depends on that row alone (so not DynamicQuantizeMatMul); data is input 0. */
const LINEAR = new Set([
  'MatMul',
  'Gemm',
  'FusedMatMul',
  'FusedGemm',
  'MatMulNBits',
  'MatMulBnb4',
  'MatMulInteger',
  'MatMulIntegerToFloat',
  'QLinearMatMul',
]);
const ELEMENTWISE = new Set(['Add', 'Sub', 'Mul', 'Div', 'Cast', 'Tanh', 'Identity', 'DequantizeLinear', 'Reshape']);
const MAX_STEPS = 12;
/** Before, Flatten takes no negative axis. */
const LEAST_OPSET = 11;

/** The model with logits only at `ROWS_INPUT` (int64 [N], flat indices row·T + position), or null where that is not safe. */
export function withHeadRows({ model, wires, values, opset }: Subject, logits: string): OnnxModel | null {
  const { graph } = model;
  const chain = opset < LEAST_OPSET ? null : headChain(wires, values, logits);
  const own = new Set(graph.nodes);
  // A part that stands inside a fused operator cannot be parted from it here.
  if (!chain?.every((node) => own.has(node))) return null;
  const linear = chain.at(-1) as GraphNode;
  const changed = new Map<GraphNode, GraphNode[]>([
    [
      linear,
      [
        newNode('Flatten', [linear.inputs[0] as string], [FLAT], { axis: -1 }),
        newNode('Gather', [FLAT, ROWS_INPUT], [GATHERED], { axis: 0 }),
        withInputs(linear, [GATHERED, ...linear.inputs.slice(1)]),
      ],
    ],
  ]);
  // [N,V] it is already.
  for (const node of chain)
    if (node.opType === 'Reshape') changed.set(node, [newNode('Identity', [node.inputs[0] as string], node.outputs)]);
  const type = values.get(logits)?.type ?? FLOAT;
  return {
    ...model,
    graph: {
      ...graph,
      nodes: graph.nodes.flatMap((node) => changed.get(node) ?? [node]),
      inputs: [...graph.inputs, newValueInfo(ROWS_INPUT, INT64, ['rows'])],
      outputs: graph.outputs.map((value) => (value.name === logits ? newValueInfo(logits, type) : value)),
      // Stated shapes of values after the gather would be wrong now.
      rest: graph.rest.filter((field) => valueInfoName(field) === null),
    },
  };
}

/** From the logits to the linear layer, which is the last. */
function headChain(wires: Wires, values: Subject['values'], logits: string): GraphNode[] | null {
  const width = values.get(logits)?.dims.at(-1);
  const outputs = new Set(wires.graph.outputs.map(({ name }) => name));
  const chain: GraphNode[] = [];
  let name = logits;
  for (let step = 0; step < MAX_STEPS; step++) {
    const node = wires.maker(name);
    // Another reader of a value in between would see [N,V] where it expects [B,T,V].
    const readers = wires.readers(name).length + Number(outputs.has(name));
    if (node === undefined || readers !== 1) return null;
    chain.push(node);
    if (LINEAR.has(node.opType)) return isHead(wires, node) ? chain : null;
    if (!ELEMENTWISE.has(node.opType)) return null;
    const data =
      node.opType === 'Reshape'
        ? [node.inputs[0] as string]
        : node.inputs.filter((input) => !wires.isConstant(input) && !isScale(wires, input));
    const [next] = data;
    if (next === undefined || data.length !== 1) return null;
    // A reshape may only part the rows into texts and tokens.
    if (node.opType === 'Reshape' && (width === undefined || values.get(next)?.dims.at(-1) !== width)) return null;
    // A constant with a value for each position would be added to the wrong rows, or to none.
    if (node.opType !== 'Reshape' && node.inputs.some((input) => input !== next && differsByRow(values, input)))
      return null;
    name = next;
  }
  return null;
}

function isHead(wires: Wires, node: GraphNode): boolean {
  const options = attributes(node);
  if (options.get('transA')?.int || options.get('transBatchA')?.int || options.get('transBatchB')?.int) return false;
  const [data, ...others] = node.inputs;
  const isWeight = (input: string): boolean =>
    wires.isConstant(input) || isScale(wires, input) || isZeroPoint(wires, input);
  return data !== undefined && !wires.isConstant(data) && others.every(isWeight);
}

const differsByRow = (values: Subject['values'], input: string): boolean =>
  input !== '' &&
  values
    .get(input)
    ?.dims.slice(0, -1)
    .every((size) => size === 1) !== true;

/** One number a tensor: the scale of a dynamically quantised input, perhaps times a constant. */
function isScale(wires: Wires, name: string): boolean {
  const factors = (each: string): string[] => {
    const maker = wires.maker(each);
    return maker?.opType === 'Mul' ? maker.inputs.filter((input) => !wires.isConstant(input)) : [];
  };
  return [...nearestFirst(name, factors, MAX_STEPS)].every((each) => {
    const maker = wires.maker(each);
    return maker?.opType === 'Mul' || (maker?.opType === 'DynamicQuantizeLinear' && maker.outputs.indexOf(each) > 0);
  });
}

/** The zero point of a dynamically quantised input. */
const isZeroPoint = (wires: Wires, name: string): boolean => {
  const maker = wires.maker(name);
  return maker?.opType === 'DynamicQuantizeLinear' && maker.outputs[2] === name;
};
