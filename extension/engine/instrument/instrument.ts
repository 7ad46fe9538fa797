/**
 * A copy of the user's graph that hands out the values asked for (taps) and lets others be changed (gates: x·scale + offset, both
 * real inputs). A run may also begin in the middle: a value is fed, and what only it needed is gone. Weights stay where they are;
 * fused operators are taken apart only where a tap, a gate or the fed value lies inside them; what no output needs is left out.
 */
import type { Subject } from '../anatomy/subject';
import {
  append,
  encodeTensor,
  FLOAT,
  INT64,
  newNode,
  newValueInfo,
  outerValues,
  valueInfoName,
  withInputs,
  withOutputs,
  type GraphNode,
  type OnnxModel,
  type ValueInfo,
} from '../onnx/model';
import { fedInput } from './cut';
import { pickNodes, pickOutputs, pickValueInfos, type Pick } from './picks';
import { POSITIONS_INPUT, type AtTokens } from './tokens';

/** Names are those of values in the graph with fused operators taken apart. */
export interface Opening {
  /** Handed out whole, and in part. */
  taps: ReadonlySet<string>;
  picks?: readonly Pick[];
  gates: ReadonlySet<string>;
  /** Given in float32 instead of computed. */
  fed?: string | null;
  /** Handed out at the tokens of `POSITIONS_INPUT` only. No gate may lie behind the stream before the last block. */
  few?: AtTokens | null;
}

export interface Instrumented {
  model: OnnxModel;
  /** Inputs of the original model that are still needed. */
  inputs: ReadonlySet<string>;
}

export const scaleInput = (value: string): string => `onnx_lens.scale.${value}`;
export const offsetInput = (value: string): string => `onnx_lens.offset.${value}`;

export function instrument(
  subject: Subject,
  { taps, picks = [], gates, fed = null, few = null }: Opening,
): Instrumented {
  const { model } = subject;
  const { graph } = model;
  const addedInputs: ValueInfo[] = fed === null ? [] : [newValueInfo(fedInput(fed), FLOAT)];
  const nodes: GraphNode[] = [];
  const read = new Set([
    ...taps,
    ...picks.map(({ value }) => value),
    ...(few?.nodes.flatMap(({ inputs }) => inputs) ?? []),
  ]);
  const written = new Set([...gates, ...(fed === null ? [] : [fed])]);
  for (const node of withFed(subject, openNodes(subject, read, written), fed)) {
    const gated = node.outputs.filter((output) => gates.has(output));
    if (gated.length === 0) {
      nodes.push(node);
      continue;
    }
    nodes.push(
      withOutputs(
        node,
        node.outputs.map((output) => (gates.has(output) ? `onnx_lens.open.${output}` : output)),
      ),
    );
    for (const value of gated) {
      const type = subject.values.get(value)?.type ?? FLOAT;
      nodes.push(...gate(value, type));
      for (const input of [scaleInput(value), offsetInput(value)])
        addedInputs.push(newValueInfo(input, FLOAT, gateDims(subject, value, input)));
    }
  }
  const typeOf = (value: string): number => subject.values.get(value)?.type ?? FLOAT;
  for (const pick of picks) {
    const part = pickNodes(pick, typeOf(pick.value), subject.opset);
    append(nodes, part.nodes);
    append(addedInputs, part.inputs);
  }
  if (few !== null) {
    append(nodes, few.nodes);
    addedInputs.push(newValueInfo(POSITIONS_INPUT, INT64, ['texts', 'places']));
  }
  const spared = few === null ? [] : [few.value];
  const kept = needed(nodes, [...taps, ...picks.flatMap(pickOutputs), ...spared]);
  const made = new Set(kept.flatMap(({ outputs }) => outputs));
  const used = new Set(kept.flatMap((node) => [...node.inputs, ...outerValues(node)]));
  const stated = new Map(graph.outputs.map((output) => [output.name, output]));
  // Without a shape: a stated one that the run contradicts is a warning for nothing.
  const outputs = [
    ...[...taps].map((value) => stated.get(value) ?? newValueInfo(value, typeOf(value))),
    ...picks.flatMap((pick) => pickValueInfos(pick, typeOf(pick.value))),
    ...(few === null ? [] : [newValueInfo(few.value, typeOf(few.of))]),
  ];
  const inputs = graph.inputs.filter(({ name }) => used.has(name) && name !== fed);
  return {
    inputs: new Set(inputs.map(({ name }) => name)),
    model: {
      ...model,
      graph: {
        ...graph,
        nodes: kept,
        initializers: new Map([...graph.initializers].filter(([name]) => used.has(name))),
        inputs: [...inputs, ...addedInputs],
        outputs,
        rest: graph.rest.filter((field) => {
          const name = valueInfoName(field);
          return name === null || made.has(name);
        }),
      },
    },
  };
}

/**
 * The model's nodes, with those fused ones taken apart that hide a wanted value, or that would go on with a gated one as it was: the
 * norm inside SkipLayerNormalization reads the sum that it also hands out.
 */
export function openNodes(
  { model, lowerings }: Subject,
  taps: ReadonlySet<string>,
  gates: ReadonlySet<string>,
): GraphNode[] {
  return model.graph.nodes.flatMap((node) => {
    const parts = lowerings.get(node) ?? [];
    const isHidden = (value: string): boolean => !node.outputs.includes(value);
    const mustOpen = parts.some(
      ({ inputs, outputs }) =>
        outputs.some((value) => (taps.has(value) || gates.has(value)) && isHidden(value)) ||
        inputs.some((value) => gates.has(value) && node.outputs.includes(value)),
    );
    return mustOpen ? parts : [node];
  });
}

/**
 * For a node that reads only the shape of a value: what has that shape in a run that begins at `fed`, the fed value or its input
 * [B,T,D]; else null. The shape of the embeddings is often asked for later on, and would bring their tables along.
 */
export function shapeSource({ values, batch, length }: Subject, fed: string): (node: GraphNode) => string | null {
  const shape = values.get(fed)?.dims;
  const stream = [batch, length, shape?.at(-1)].join();
  return ({ opType, inputs: [input = ''] }) => {
    const asked = values.get(input)?.dims.join();
    if (opType !== 'Shape' || shape === undefined || asked === undefined) return null;
    if (asked === shape.join()) return fed;
    return asked === stream ? fedInput(fed) : null;
  };
}

/**
 * The fed value comes from its input [B,T,D], in the graph's own type and, where the graph has rows of all tokens, as [B·T,D]; what its
 * maker makes is another value, which nobody reads.
 */
function withFed(subject: Subject, nodes: readonly GraphNode[], fed: string | null): readonly GraphNode[] {
  if (fed === null) return nodes;
  const sourceOf = shapeSource(subject, fed);
  return [
    ...feeding(subject, fed),
    ...nodes.map((node) => {
      const source = sourceOf(node);
      if (source !== null) return withInputs(node, [source]);
      return node.outputs.includes(fed)
        ? withOutputs(
            node,
            node.outputs.map((output) => (output === fed ? `onnx_lens.unread.${fed}` : output)),
          )
        : node;
    }),
  ];
}

function feeding({ values }: Subject, fed: string): GraphNode[] {
  const { type = FLOAT, dims = [] } = values.get(fed) ?? {};
  if (dims.length !== 2) return [newNode('Cast', [fedInput(fed)], [fed], { to: type })];
  const [typed, rows] = [`${fedInput(fed)}.typed`, `${fedInput(fed)}.rows`];
  return [
    newNode('Cast', [fedInput(fed)], [typed], { to: type }),
    newNode('Constant', [], [rows], { value: encodeTensor(INT64, [2], [-1, dims[1] as number]) }),
    newNode('Reshape', [typed, rows], [fed]),
  ];
}

/**
 * The width that a gate's inputs state, that of what they change, so that the runtime still knows it behind the gate and fuses there
 * as without one. Null for tensors that are not rows of tokens, whose gates may have one element instead.
 */
export function gateWidth({ values, batch, length }: Subject, value: string): number | null {
  const dims = values.get(value)?.dims ?? [];
  const width = dims.at(-1);
  const isRows =
    dims.length === 2 ? dims[0] === batch * length : dims.length === 3 && dims[0] === batch && dims[1] === length;
  // As wide as the imagined text is long: it may be a pattern, which is not as wide in a real run.
  return width !== undefined && isRows && width !== length ? width : null;
}

function gateDims(subject: Subject, value: string, input: string): (string | number)[] | undefined {
  const width = gateWidth(subject, value);
  const rank = subject.values.get(value)?.dims.length ?? 0;
  return width === null ? undefined : [...Array.from({ length: rank - 1 }, (_, axis) => `${input}.${axis}`), width];
}

/** x·scale + offset, computed in the type of x. */
function gate(value: string, type: number): GraphNode[] {
  const open = `onnx_lens.open.${value}`;
  const scaled = `onnx_lens.scaled.${value}`;
  const nodes: GraphNode[] = [];
  const typed = (input: string): string => {
    if (type === FLOAT) return input;
    nodes.push(newNode('Cast', [input], [`${input}.cast`], { to: type }));
    return `${input}.cast`;
  };
  nodes.push(newNode('Mul', [open, typed(scaleInput(value))], [scaled]));
  nodes.push(newNode('Add', [scaled, typed(offsetInput(value))], [value]));
  return nodes;
}

/** Nodes that the outputs depend on. The runtime would run the others too. */
export function needed(nodes: readonly GraphNode[], outputs: readonly string[]): GraphNode[] {
  const makers = new Map<string, GraphNode>();
  for (const node of nodes) for (const output of node.outputs) if (output !== '') makers.set(output, node);
  const kept = new Set<GraphNode>();
  const queue = [...outputs];
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    const maker = makers.get(name);
    if (maker === undefined || kept.has(maker)) continue;
    kept.add(maker);
    for (const input of [...maker.inputs, ...outerValues(maker)]) queue.push(input);
  }
  return nodes.filter((node) => kept.has(node));
}
