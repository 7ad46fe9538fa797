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
  int64Values,
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
/** What changes a weight's values, or nothing, and not its shape. */
const SAME_SHAPE = new Set(['Identity', 'Cast', 'DequantizeLinear']);
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
      const recognised = weightsConstant && node.inputs[0] !== undefined && !isConstant(node.inputs[0]);
      return recognised && keepRows(graph, producers, node, reshapes) ? { linear: node, reshapes } : null;
    }
    if (!ELEMENTWISE.has(node.opType)) return null;
    if (node.opType === 'Reshape') reshapes.push(node);
    const data =
      node.opType === 'Reshape'
        ? [node.inputs[0] as string]
        : node.inputs.filter((input) => !isConstant(input) && !isScale(input));
    if (data.length !== 1) return null;
    // A constant with a value for each position would be added to the wrong rows, or to none.
    const constants = node.opType === 'Reshape' ? [] : node.inputs.filter((input) => isConstant(input));
    if (
      constants.some((input) =>
        constantShape(graph, producers, input)
          .slice(0, -1)
          .some((size) => size !== 1),
      )
    )
      return null;
    name = data[0] as string;
  }
  return null;
}

/** The zero point of a dynamically quantised input. */
const isZeroPoint = (producers: Map<string, GraphNode>, name: string): boolean =>
  producers.get(name)?.opType === 'DynamicQuantizeLinear' && producers.get(name)?.outputs[2] === name;

/** Whether the reshapes behind the linear layer only part its rows into batch and sequence: their last dimension stays its width. */
function keepRows(
  graph: Graph,
  producers: Map<string, GraphNode>,
  linear: GraphNode,
  reshapes: readonly GraphNode[],
): boolean {
  if (reshapes.length === 0) return true;
  const width = outputWidth(graph, producers, linear);
  return width !== null && reshapes.every(({ inputs }) => lastEntry(graph, producers, inputs[1] ?? '') === width);
}

/** Columns of a linear layer's result; null where its weight does not tell. */
function outputWidth(graph: Graph, producers: Map<string, GraphNode>, linear: GraphNode): number | null {
  const options = attributes(linear);
  if (linear.opType === 'MatMulNBits' || linear.opType === 'MatMulBnb4') return options.get('N')?.int ?? null;
  if (options.get('transBatchB')?.int) return null;
  const [rows, columns, ...more] = constantShape(
    graph,
    producers,
    linear.inputs[linear.opType === 'QLinearMatMul' ? 3 : 1],
  );
  if (rows === undefined || columns === undefined || more.length > 0) return null;
  return options.get('transB')?.int ? rows : columns;
}

/** The shape of a constant, also of one that is dequantised or transposed; empty where it is not known. */
function constantShape(graph: Graph, producers: Map<string, GraphNode>, name = '', depth = 0): readonly number[] {
  const initializer = graph.initializers.get(name);
  if (initializer !== undefined) return initializer.dims;
  const producer = producers.get(name);
  if (producer === undefined || depth > MAX_STEPS) return [];
  if (producer.opType === 'Constant') return attributes(producer).get('value')?.tensor?.dims ?? [];
  const shape = (): readonly number[] => constantShape(graph, producers, producer.inputs[0], depth + 1);
  if (SAME_SHAPE.has(producer.opType)) return shape();
  // Of a matrix; others have no use here.
  return producer.opType === 'Transpose' ? [...shape()].reverse() : [];
}

/** The last entry of a shape, as far as it is known before a run; -1 and 0, which are not sizes, are given as they are. */
function lastEntry(graph: Graph, producers: Map<string, GraphNode>, name: string, depth = 0): number | null {
  const initializer = graph.initializers.get(name);
  if (initializer !== undefined) return int64Values(initializer)?.at(-1) ?? null;
  const producer = producers.get(name);
  if (producer === undefined || depth > MAX_STEPS) return null;
  if (producer.opType === 'Constant') {
    const options = attributes(producer);
    const tensor = options.get('value')?.tensor;
    return (tensor == null ? options.get('value_ints')?.ints : int64Values(tensor))?.at(-1) ?? null;
  }
  // Batch and sequence length are looked up, the width is written.
  const from = producer.opType === 'Concat' ? producer.inputs.at(-1) : undefined;
  return from === undefined ? null : lastEntry(graph, producers, from, depth + 1);
}
