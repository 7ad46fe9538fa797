/**
 * The language-model head only where it is wanted. The head is the largest product of a short run; so a gather is put before it:
 *
 *     hidden [B,T,D] → Flatten [B·T,D] → Gather(rows [N]) [N,D] → head → logits [N,V]
 *
 * From the logits back through element-wise operators with constants to a linear layer. Where that is not what the graph looks
 * like, nothing is changed and the caller picks rows from all logits. Of the last block, too, no more is computed than is wanted,
 * as far as its structure is known (tokens.ts): then hidden is [B,M,D], at M tokens of each text.
 */
import type { Anatomy } from '../anatomy/anatomy';
import type { Subject } from '../anatomy/subject';
import { nearestFirst, type Wires } from '../onnx/graph';
import {
  attributes,
  FLOAT,
  INT64,
  newNode,
  newValueInfo,
  outerValues,
  valueInfoName,
  withInputs,
  type GraphNode,
  type OnnxModel,
} from '../onnx/model';
import { needed, openNodes } from './instrument';
import { atTokens, LINEAR, POSITIONS_INPUT } from './tokens';

export const ROWS_INPUT = 'onnx_lens.rows';
const FLAT = 'onnx_lens.flat';
const GATHERED = 'onnx_lens.gathered';

const ELEMENTWISE = new Set(['Add', 'Sub', 'Mul', 'Div', 'Cast', 'Tanh', 'Identity', 'DequantizeLinear', 'Reshape']);
const MAX_STEPS = 12;
/** Before, Flatten takes no negative axis. */
const LEAST_OPSET = 11;

export interface HeadRows {
  /** It answers with `logits` [N,V] and nothing else. */
  model: OnnxModel;
  /** `ROWS_INPUT` counts the M tokens at `POSITIONS_INPUT` of each text, row·M + place, instead of all of them, row·T + position. */
  atPositions: boolean;
}

/** The model with logits only at `ROWS_INPUT` (int64 [N]), or null where that is not safe. */
export function withHeadRows(
  anatomy: Anatomy,
  logits: string,
  lastBlock: 'at positions' | 'whole' = 'at positions',
): HeadRows | null {
  const { subject } = anatomy;
  const { model, wires, values, opset } = subject;
  const { graph } = model;
  const chain = opset < LEAST_OPSET ? null : headChain(wires, values, logits);
  const own = new Set(graph.nodes);
  // A part that stands inside a fused operator cannot be parted from it here.
  if (!chain?.every((node) => own.has(node))) return null;
  const linear = chain.at(-1) as GraphNode;
  const hidden = linear.inputs[0] as string;
  const few = lastBlock === 'whole' ? null : atTokens(anatomy, hidden);
  const read = new Set(few?.nodes.flatMap(({ inputs }) => inputs));
  const head = chain.toReversed().map((node) => {
    if (node === linear) return withInputs(node, [GATHERED, ...node.inputs.slice(1)]);
    // [N,V] it is already.
    return node.opType === 'Reshape' ? newNode('Identity', [node.inputs[0] as string], node.outputs) : node;
  });
  const nodes = needed(
    [
      ...openNodes(subject, read, new Set()).filter((node) => !chain.includes(node)),
      ...(few?.nodes ?? []),
      newNode('Flatten', [few?.value ?? hidden], [FLAT], { axis: -1 }),
      newNode('Gather', [FLAT, ROWS_INPUT], [GATHERED], { axis: 0 }),
      ...head,
    ],
    [logits],
  );
  const used = new Set(nodes.flatMap((node) => [...node.inputs, ...outerValues(node)]));
  return {
    atPositions: few !== null,
    model: {
      ...model,
      graph: {
        ...graph,
        nodes,
        initializers: new Map([...graph.initializers].filter(([name]) => used.has(name))),
        inputs: [
          ...graph.inputs,
          newValueInfo(ROWS_INPUT, INT64, ['rows']),
          ...(few === null ? [] : [newValueInfo(POSITIONS_INPUT, INT64, ['texts', 'places'])]),
        ],
        outputs: [newValueInfo(logits, values.get(logits)?.type ?? FLOAT)],
        // Stated shapes of values after the gather would be wrong now.
        rest: graph.rest.filter((field) => valueInfoName(field) === null),
      },
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
