/** A piece of the model's graph that can be run alone: from values that are fed to values that are read. */
import type { Subject } from '../anatomy/subject';
import { FLOAT, INT64, newNode, newValueInfo, outerValues, type GraphNode, type OnnxModel } from '../onnx/model';

/** The input that feeds a value in a piece. */
export const fedInput = (value: string): string => `onnx_lens.fed.${value}`;

/** `fed` are values, of the graph with fused operators taken apart, that become float32 inputs (int64 for indices). */
export function cut(
  { model, wires, values }: Subject,
  fed: ReadonlyMap<string, 'numbers' | 'indices'>,
  output: string,
): OnnxModel {
  const kept = new Set<GraphNode>();
  const queue = [output];
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    const maker = fed.has(name) ? undefined : wires.maker(name);
    if (maker === undefined || kept.has(maker)) continue;
    kept.add(maker);
    queue.push(...maker.inputs, ...outerValues(maker));
  }
  // Values are fed in float32 and have the graph's own type inside.
  const feeding = [...fed].map(([name]) =>
    newNode('Cast', [fedInput(name)], [name], { to: values.get(name)?.type ?? FLOAT }),
  );
  const nodes = [...feeding, ...wires.nodes.filter((node) => kept.has(node))];
  const read = new Set(nodes.flatMap((node) => [...node.inputs, ...outerValues(node)]));
  return {
    ...model,
    graph: {
      ...model.graph,
      nodes,
      initializers: new Map([...model.graph.initializers].filter(([name]) => read.has(name) && !fed.has(name))),
      inputs: [
        ...model.graph.inputs.filter(({ name }) => read.has(name) && !fed.has(name)),
        ...[...fed].map(([name, kind]) => newValueInfo(fedInput(name), kind === 'numbers' ? FLOAT : INT64)),
      ],
      outputs: [newValueInfo(output, values.get(output)?.type ?? FLOAT)],
      rest: [],
    },
  };
}
