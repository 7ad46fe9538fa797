/**
 * The language-model head only where it is wanted. The head is the largest product of a short run; so a gather is put before it:
 *
 *     hidden [B,T,D] → Flatten [B·T,D] → Gather(rows [N]) [N,D] → head → logits [N,V]
 *
 * The head is found by structure: from the logits back through element-wise operators with constants to a linear layer.
 * Where that is not what the graph looks like, nothing is changed and the caller picks rows from all logits.
 */
import {
  attributes,
  INT64,
  newNode,
  newValueInfo,
  withInputs,
  type Graph,
  type GraphNode,
  type OnnxModel,
} from './model';

export const ROWS_INPUT = 'onnx_lens.rows';
const FLAT = 'onnx_lens.flat';
const GATHERED = 'onnx_lens.gathered';

/** Linear layers whose result for a row depends on that row alone (so not DynamicQuantizeMatMul): data is input 0, weight input 1. */
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
const SUBGRAPH = new Set(['If', 'Loop', 'Scan']);
/** What may stand between an initializer and its use without making it depend on the input. */
const MAX_STEPS = 12;

/** The model with logits only at `ROWS_INPUT` (int64 [N], flat indices row·T + position), or null where that is not safe. */
export function withHeadRows(model: OnnxModel, logits: string): OnnxModel | null {
  const { graph } = model;
  const output = graph.outputs.find(({ name }) => name === logits);
  const chain = headChain(graph, logits);
  if (chain === null || output === undefined) return null;
  // Before, Flatten takes no negative axis, and the hidden state's rank is not known here.
  if ((model.opset[''] ?? 0) < 11) return null;
  const { linear, reshapes } = chain;
  const changed = new Map<GraphNode, GraphNode[]>();
  changed.set(linear, [
    newNode('Flatten', [linear.inputs[0] as string], [FLAT], { axis: -1 }),
    newNode('Gather', [FLAT, ROWS_INPUT], [GATHERED], { axis: 0 }),
    withInputs(linear, [GATHERED, ...linear.inputs.slice(1)]),
  ]);
  // [N,V] it is already.
  for (const reshape of reshapes)
    changed.set(reshape, [newNode('Identity', [reshape.inputs[0] as string], reshape.outputs)]);
  const elementType = output.type === 'float16' ? 10 : output.type === 'bfloat16' ? 16 : 1;
  return {
    ...model,
    graph: {
      ...graph,
      nodes: graph.nodes.flatMap((node) => changed.get(node) ?? [node]),
      inputs: [...graph.inputs, newValueInfo(ROWS_INPUT, INT64, ['rows'])],
      outputs: graph.outputs.map((value) => (value === output ? newValueInfo(logits, elementType) : value)),
      // Stated shapes of values after the gather would be wrong now (value_info is field 13).
      rest: graph.rest.filter((field) => field[0] !== 13 * 8 + 2),
    },
  };
}

function headChain(graph: Graph, logits: string): { linear: GraphNode; reshapes: GraphNode[] } | null {
  const producers = new Map<string, GraphNode>();
  const readers = new Map<string, number>();
  for (const node of graph.nodes) {
    for (const name of node.outputs) producers.set(name, node);
    for (const name of node.inputs) readers.set(name, (readers.get(name) ?? 0) + 1);
  }
  for (const { name } of graph.outputs) readers.set(name, (readers.get(name) ?? 0) + 1);
  // What a subgraph reads from outside is not among its node's inputs.
  if (graph.nodes.some((node) => SUBGRAPH.has(node.opType))) return null;
  const isConstant = (name: string, depth = 0): boolean => {
    if (name === '' || graph.initializers.has(name)) return true;
    const producer = producers.get(name);
    if (producer === undefined || depth > MAX_STEPS) return false;
    return (
      producer.opType === 'Constant' ||
      (producer.inputs.length > 0 && producer.inputs.every((input) => isConstant(input, depth + 1)))
    );
  };
  /** One number a tensor: the scale of a dynamically quantised input, perhaps times a constant. */
  const isScale = (name: string, depth = 0): boolean => {
    const producer = producers.get(name);
    if (producer === undefined || depth > MAX_STEPS) return false;
    if (producer.opType === 'DynamicQuantizeLinear') return producer.outputs.indexOf(name) > 0;
    return (
      producer.opType === 'Mul' && producer.inputs.every((input) => isConstant(input) || isScale(input, depth + 1))
    );
  };
  const reshapes: GraphNode[] = [];
  let name = logits;
  for (let step = 0; step < MAX_STEPS; step++) {
    const node = producers.get(name);
    // Another reader of a value in between would see [N,V] where it expects [B,T,V].
    if (node === undefined || (step > 0 && readers.get(name) !== 1)) return null;
    if (LINEAR.has(node.opType)) {
      const options = attributes(node);
      if (options.get('transA')?.int || options.get('transBatchA')?.int) return null;
      const weightsConstant = node.inputs
        .slice(1)
        .every((input) => isConstant(input) || isScale(input) || isZeroPoint(producers, input));
      return weightsConstant && node.inputs[0] !== undefined && !isConstant(node.inputs[0])
        ? { linear: node, reshapes }
        : null;
    }
    if (!ELEMENTWISE.has(node.opType)) return null;
    if (node.opType === 'Reshape') reshapes.push(node);
    const data =
      node.opType === 'Reshape'
        ? [node.inputs[0] as string]
        : node.inputs.filter((input) => !isConstant(input) && !isScale(input));
    if (data.length !== 1) return null;
    name = data[0] as string;
  }
  return null;
}

/** The zero point of a dynamically quantised input. */
const isZeroPoint = (producers: Map<string, GraphNode>, name: string): boolean =>
  producers.get(name)?.opType === 'DynamicQuantizeLinear' && producers.get(name)?.outputs[2] === name;
