/**
 * Parts of values taken inside the graph, so that the rest is never copied out. Which elements they are is an input, so that one
 * session does for every head and every position.
 */
import { encodeTensor, FLOAT, INT64, newNode, newValueInfo, type GraphNode, type ValueInfo } from '../onnx/model';

/** Elements of a value along some axes, then perhaps the mean along one, which stays with one element. */
export interface Pick {
  value: string;
  axes: readonly number[];
  mean: number | null;
}

/** Before, ReduceMean takes its axes as an attribute. */
const MEAN_AXES_AS_INPUT = 18;

export const pickOutput = ({ value, axes, mean }: Pick): string =>
  `onnx_lens.pick.${axes.join('.')}${mean === null ? '' : `.mean${mean}`}.${value}`;

/** Input with the indices [n] along an axis. */
export const pickInput = (pick: Pick, axis: number): string => `${pickOutput(pick)}.at${axis}`;

/** The nodes that make a part, in float32 where it is a mean, and their inputs. `type` is the value's. */
export function pickNodes(pick: Pick, type: number, opset: number): { nodes: GraphNode[]; inputs: ValueInfo[] } {
  const output = pickOutput(pick);
  const nodes: GraphNode[] = [];
  let last = pick.value;
  const add = (
    opType: string,
    inputs: readonly string[],
    options: Readonly<Record<string, number | number[]>>,
  ): void => {
    const name = `${output}.${nodes.length}`;
    nodes.push(newNode(opType, [last, ...inputs], [name], options));
    last = name;
  };
  for (const axis of pick.axes) add('Gather', [pickInput(pick, axis)], { axis });
  if (pick.mean !== null) {
    if (type !== FLOAT) add('Cast', [], { to: FLOAT });
    if (opset < MEAN_AXES_AS_INPUT) add('ReduceMean', [], { axes: [pick.mean] });
    else {
      const axes = `${output}.axes`;
      nodes.push(newNode('Constant', [], [axes], { value: encodeTensor(INT64, [1], [pick.mean]) }));
      add('ReduceMean', [axes], {});
    }
  }
  nodes.push(newNode('Identity', [last], [output]));
  return {
    nodes,
    inputs: pick.axes.map((axis) => newValueInfo(pickInput(pick, axis), INT64, [`${pickInput(pick, axis)}.n`])),
  };
}
