/**
 * Which columns of a projection are which head: the projection's output is filled with its own element numbers, and these are
 * followed through Reshape, Transpose, Split, Slice … to where the heads are taken apart. Whatever the order (q|k|v blocks,
 * interleaved per head, grouped), the numbers tell it.
 */
import { evaluateNode, MAX_ELEMENTS, VIEWS, type Value } from '../onnx/evaluate';
import { FLOAT, sizeOf } from '../onnx/model';
import { isScalar, type Subject } from './subject';

/** Operators that read a value's dimensions, not its elements. */
const READS_SHAPE = new Set(['Shape', 'Size']);

/** All values on the ways from `source` to `target`, both included; empty when there is no way. */
export function valuesBetween({ wires }: Subject, source: string, target: string): Set<string> {
  // What is made before the source cannot lie after it.
  const start = wires.position(source);
  const behind = new Set<string>([target]);
  for (const name of behind) {
    if (name === source) continue;
    const maker = wires.maker(name);
    if (maker === undefined || READS_SHAPE.has(maker.opType)) continue;
    for (const input of maker.inputs) if (!wires.isConstant(input) && wires.position(input) >= start) behind.add(input);
  }
  const between = new Set<string>();
  if (!behind.has(source)) return between;
  between.add(source);
  for (const name of between) {
    if (name === target) continue;
    for (const reader of wires.readers(name))
      if (!READS_SHAPE.has(reader.opType))
        for (const output of reader.outputs) if (behind.has(output)) between.add(output);
  }
  return between;
}

/** Where views of `source` end on the way to `target`, with the element numbers of `source` in it. Null: there is no way. */
export function follow(subject: Subject, source: string, target: string): Value | null {
  const { wires, opset } = subject;
  const dims = subject.values.get(source)?.dims;
  if (dims === undefined) return null;
  const between = valuesBetween(subject, source, target);
  if (between.size === 0) return null;
  const count = sizeOf(dims);
  if (count > MAX_ELEMENTS) return null;
  let value: Value = { dims, data: Float64Array.from({ length: count }, (_, index) => index), type: FLOAT };
  let name = source;
  while (name !== target) {
    const next = wires.readers(name).filter(({ outputs }) => outputs.some((output) => between.has(output)));
    const [node] = next;
    const outputs = node?.outputs.filter((output) => between.has(output));
    // A fork (rotary positions, a norm over heads) or arithmetic: the views end here.
    if (node === undefined || next.length !== 1 || outputs?.length !== 1) return value;
    const isScaling =
      (node.opType === 'Mul' || node.opType === 'Div') && node.inputs.some((input) => isScalar(subject, input));
    const output = outputs[0] as string;
    let reached: Value | undefined;
    if (isScaling) reached = value;
    else if (VIEWS.has(node.opType) && node.inputs[0] === name) {
      const values = new Map(
        node.inputs.flatMap((input) => {
          const known = input === name ? value : subject.values.get(input);
          return known === undefined ? [] : [[input, known] as const];
        }),
      );
      evaluateNode(node, values, wires, opset);
      reached = values.get(output);
    } else return node.opType === 'Add' && node.inputs.some((input) => wires.isConstant(input)) ? null : value;
    if (reached?.data == null) return null;
    value = reached;
    name = output;
  }
  return value;
}

/**
 * From a followed value: for every head and place in it, in this order, the column of the source [B,T,width] or [B·T,width].
 * Null when tokens or texts were mixed, or when heads do not come as a whole.
 */
export function columnsOf({ batch, length }: Subject, followed: Value, width: number): Int32Array | null {
  const perToken = new Map<number, number[]>();
  for (const element of followed.data ?? []) {
    const token = Math.floor(element / width);
    const columns = perToken.get(token) ?? [];
    columns.push(element % width);
    perToken.set(token, columns);
  }
  const [first, ...rest] = [...perToken.values()];
  if (first === undefined || perToken.size !== batch * length) return null;
  if (rest.some((columns) => columns.length !== first.length || columns.some((column, at) => column !== first[at])))
    return null;
  return Int32Array.from(first);
}

/** Null when the columns are all of them in order, which needs no list. */
export const unlessIdentity = (columns: Int32Array, width: number): Int32Array | null =>
  columns.length === width && columns.every((column, index) => column === index) ? null : columns;
