/**
 * A copy of the user's graph that hands out the values asked for (taps) and lets others be changed (gates: x·scale + offset, both
 * real inputs). A run may also begin in the middle: a value is fed, and what only it needed is gone. Weights stay where they are;
 * fused operators are taken apart only where a tap, a gate or the fed value lies inside them; what no output needs is left out.
 */
import type { Subject } from '../anatomy/subject';
import {
  FLOAT,
  newNode,
  newValueInfo,
  outerValues,
  valueInfoName,
  withOutputs,
  type GraphNode,
  type OnnxModel,
  type ValueInfo,
} from '../onnx/model';
import { fedInput } from './cut';

export interface Instrumented {
  model: OnnxModel;
  /** Inputs of the original model that are still needed. */
  inputs: ReadonlySet<string>;
}

export const scaleInput = (value: string): string => `onnx_lens.scale.${value}`;
export const offsetInput = (value: string): string => `onnx_lens.offset.${value}`;

/** `taps`, `gates` and `fed` are names of values in the graph with fused operators taken apart; `fed` is given in float32. */
export function instrument(
  subject: Subject,
  taps: ReadonlySet<string>,
  gates: ReadonlySet<string>,
  fed: string | null = null,
): Instrumented {
  const { model } = subject;
  const { graph } = model;
  const addedInputs: ValueInfo[] = fed === null ? [] : [newValueInfo(fedInput(fed), FLOAT)];
  const nodes: GraphNode[] = [];
  for (const node of withFed(subject, openNodes(subject, taps, fed === null ? gates : new Set([...gates, fed])), fed)) {
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
      addedInputs.push(newValueInfo(scaleInput(value), FLOAT), newValueInfo(offsetInput(value), FLOAT));
    }
  }
  const kept = needed(nodes, taps);
  const made = new Set(kept.flatMap(({ outputs }) => outputs));
  const read = new Set(kept.flatMap((node) => [...node.inputs, ...outerValues(node)]));
  const stated = new Map(graph.outputs.map((output) => [output.name, output]));
  const outputs = [...taps].map(
    (value) =>
      stated.get(value) ??
      // Without a shape: a stated one that the run contradicts is a warning for nothing.
      newValueInfo(value, subject.values.get(value)?.type ?? FLOAT),
  );
  const inputs = graph.inputs.filter(({ name }) => read.has(name) && name !== fed);
  return {
    inputs: new Set(inputs.map(({ name }) => name)),
    model: {
      ...model,
      graph: {
        ...graph,
        nodes: kept,
        initializers: new Map([...graph.initializers].filter(([name]) => read.has(name))),
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
function openNodes({ model, lowerings }: Subject, taps: ReadonlySet<string>, gates: ReadonlySet<string>): GraphNode[] {
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

/** The fed value comes from its input, in the graph's own type; what its maker makes is another value, which nobody reads. */
function withFed({ values }: Subject, nodes: readonly GraphNode[], fed: string | null): readonly GraphNode[] {
  if (fed === null) return nodes;
  return [
    newNode('Cast', [fedInput(fed)], [fed], { to: values.get(fed)?.type ?? FLOAT }),
    ...nodes.map((node) =>
      node.outputs.includes(fed)
        ? withOutputs(
            node,
            node.outputs.map((output) => (output === fed ? `onnx_lens.unread.${fed}` : output)),
          )
        : node,
    ),
  ];
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

/** Nodes that the taps depend on. The runtime would run the others too. */
function needed(nodes: readonly GraphNode[], taps: ReadonlySet<string>): GraphNode[] {
  const makers = new Map<string, GraphNode>();
  for (const node of nodes) for (const output of node.outputs) if (output !== '') makers.set(output, node);
  const kept = new Set<GraphNode>();
  const queue = [...taps];
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    const maker = makers.get(name);
    if (maker === undefined || kept.has(maker)) continue;
    kept.add(maker);
    for (const input of [...maker.inputs, ...outerValues(maker)]) queue.push(input);
  }
  return nodes.filter((node) => kept.has(node));
}
