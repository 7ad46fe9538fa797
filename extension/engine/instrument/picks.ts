/**
 * Parts of values taken inside the graph, so that the rest is never copied out. Which elements they are is an input, so that one
 * session does for every head and every position.
 */
import { encodeTensor, FLOAT, INT64, newNode, newValueInfo, type GraphNode, type ValueInfo } from '../onnx/model';

/**
 * Elements of a value along some axes, then perhaps the mean along one, which stays with one element, then perhaps the largest or the
 * smallest along the last, whose number is an input too.
 */
export interface Pick {
  value: string;
  axes: readonly number[];
  mean: number | null;
  end: 'largest' | 'smallest' | null;
}

/** Before, ReduceMean takes its axes as an attribute. */
const MEAN_AXES_AS_INPUT = 18;
/** Before, TopK does not say in which order it gives what it finds. */
export const SORTED_TOP = 11;

export const pickOutput = ({ value, axes, mean, end }: Pick): string =>
  `onnx_lens.pick.${axes.join('.')}${mean === null ? '' : `.mean${mean}`}${end === null ? '' : `.${end}`}.${value}`;

/** Input with the indices [n] along an axis. */
export const pickInput = (pick: Pick, axis: number): string => `${pickOutput(pick)}.at${axis}`;

/** Input with how many of the largest or smallest [1]; output with their places along the last axis. */
export const topInput = (pick: Pick): string => `${pickOutput(pick)}.k`;
export const topIndices = (pick: Pick): string => `${pickOutput(pick)}.indices`;

/** What a session hands out of a part. */
export const pickOutputs = (pick: Pick): string[] => [
  pickOutput(pick),
  ...(pick.end === null ? [] : [topIndices(pick)]),
];

/** As they are declared; `type` is the value's. */
export const pickValueInfos = (pick: Pick, type: number): ValueInfo[] => [
  newValueInfo(pickOutput(pick), isComputed(pick) ? FLOAT : type),
  ...(pick.end === null ? [] : [newValueInfo(topIndices(pick), INT64)]),
];

/** Not merely taken: then it is in float32. */
const isComputed = ({ mean, end }: Pick): boolean => mean !== null || end !== null;

/** The nodes that make a part, and their inputs. `type` is the value's. */
export function pickNodes(pick: Pick, type: number, opset: number): { nodes: GraphNode[]; inputs: ValueInfo[] } {
  const output = pickOutput(pick);
  const nodes: GraphNode[] = [];
  let last = pick.value;
  const add = (
    opType: string,
    inputs: readonly string[],
    options: Readonly<Record<string, number | number[]>>,
    ...more: string[]
  ): void => {
    const name = `${output}.${nodes.length}`;
    nodes.push(newNode(opType, [last, ...inputs], [name, ...more], options));
    last = name;
  };
  for (const axis of pick.axes) add('Gather', [pickInput(pick, axis)], { axis });
  if (isComputed(pick) && type !== FLOAT) add('Cast', [], { to: FLOAT });
  if (pick.mean !== null) {
    if (opset < MEAN_AXES_AS_INPUT) add('ReduceMean', [], { axes: [pick.mean] });
    else {
      const axes = `${output}.axes`;
      nodes.push(newNode('Constant', [], [axes], { value: encodeTensor(INT64, [1], [pick.mean]) }));
      add('ReduceMean', [axes], {});
    }
  }
  if (pick.end !== null)
    add('TopK', [topInput(pick)], { axis: -1, largest: Number(pick.end === 'largest') }, topIndices(pick));
  nodes.push(newNode('Identity', [last], [output]));
  return {
    nodes,
    inputs: [
      ...pick.axes.map((axis) => newValueInfo(pickInput(pick, axis), INT64, [`${pickInput(pick, axis)}.n`])),
      ...(pick.end === null ? [] : [newValueInfo(topInput(pick), INT64, [1])]),
    ],
  };
}
