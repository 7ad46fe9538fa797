/** LayerNorm and RMSNorm: as one operator, or as the arithmetic that older exports write. */
import type { Wires } from '../onnx/graph';
import type { GraphNode } from '../onnx/model';
import type { Subject } from './subject';

export interface Norm {
  kind: 'layer' | 'rms';
  input: string;
  output: string;
  /** γ and β; null where there is none. */
  scale: string | null;
  shift: string | null;
}

export interface Norms {
  byOutput: ReadonlyMap<string, Norm>;
  byInput: ReadonlyMap<string, readonly Norm[]>;
}

const OPERATORS: ReadonlyMap<string, Norm['kind']> = new Map([
  ['LayerNormalization', 'layer'],
  ['SimplifiedLayerNormalization', 'rms'],
  ['RMSNormalization', 'rms'],
]);

export function findNorms({ wires }: Subject): Norms {
  const all: Norm[] = [];
  for (const node of wires.nodes) {
    const kind = OPERATORS.get(node.opType);
    const norm =
      kind !== undefined
        ? {
            kind,
            input: node.inputs[0] as string,
            output: node.outputs[0] as string,
            scale: node.inputs[1] ?? null,
            shift: node.inputs[2] ?? null,
          }
        : node.opType === 'Sqrt'
          ? fromRoot(wires, node)
          : null;
    if (norm !== null) all.push(withAffine(wires, norm));
  }
  const byInput = new Map<string, Norm[]>();
  for (const norm of all) {
    const beside = byInput.get(norm.input);
    if (beside === undefined) byInput.set(norm.input, [norm]);
    else beside.push(norm);
  }
  return { byOutput: new Map(all.map((norm) => [norm.output, norm])), byInput };
}

const other = (node: GraphNode, input: string): string | undefined => node.inputs.find((each) => each !== input);

/** y / sqrt(mean(y²) + ε) around its root, where y = x - mean(x) (LayerNorm) or y = x (RMSNorm). */
function fromRoot(wires: Wires, root: GraphNode): Norm | null {
  const sum = wires.maker(root.inputs[0]);
  if (sum?.opType !== 'Add') return null;
  const mean = sum.inputs.map((input) => wires.maker(input)).find((node) => node?.opType === 'ReduceMean');
  const square = wires.maker(mean?.inputs[0]);
  const isSquare = square?.opType === 'Pow' || (square?.opType === 'Mul' && square.inputs[0] === square.inputs[1]);
  const y = isSquare ? square.inputs[0] : undefined;
  if (y === undefined) return null;
  const centred = wires.maker(y);
  const output = divided(wires, y, root.outputs[0] as string) ?? spread(wires, centred, root.outputs[0] as string);
  if (output === undefined) return null;
  if (centred?.opType === 'Sub') {
    const x = centred.inputs[0] as string;
    const average = wires.maker(centred.inputs[1]);
    if (average?.opType === 'ReduceMean' && withoutCasts(wires, average.inputs[0]) === withoutCasts(wires, x))
      return { kind: 'layer', input: withoutCasts(wires, x), output, scale: null, shift: null };
  }
  return { kind: 'rms', input: withoutCasts(wires, y), output, scale: null, shift: null };
}

/** y divided by the root: Div, or Mul with its reciprocal. */
function divided(wires: Wires, y: string, root: string): string | undefined {
  for (const reader of wires.readers(root)) {
    const [output] = reader.outputs;
    if (reader.opType === 'Div' && reader.inputs[1] === root) {
      if (reader.inputs[0] === y || sameCentred(wires, reader.inputs[0], y)) return output;
      // 1 / root
      if (wires.isConstant(reader.inputs[0])) return multiplied(wires, y, output as string);
    }
    if (reader.opType === 'Reciprocal') return multiplied(wires, y, output as string);
  }
  return undefined;
}

/** x·m + (β - mean·m), m = γ / root: how TensorFlow writes x - mean over the root. */
function spread(wires: Wires, centred: GraphNode | undefined, root: string): string | undefined {
  if (centred?.opType !== 'Sub') return undefined;
  const [x, mean] = centred.inputs as [string, string];
  const reciprocal = wires.readers(root).find(({ opType }) => opType === 'Reciprocal')?.outputs[0];
  if (reciprocal === undefined) return undefined;
  const scaled = wires
    .readers(reciprocal)
    .find(({ opType, inputs }) => opType === 'Mul' && inputs.some((input) => wires.isConstant(input)));
  const factor = scaled?.outputs[0] ?? reciprocal;
  const [a, b] = [multiplied(wires, x, factor), multiplied(wires, mean, factor)];
  if (a === undefined || b === undefined) return undefined;
  const shift = wires.readers(b).find(({ opType, inputs }) => opType === 'Sub' && inputs[1] === b)?.outputs[0];
  return wires.readers(a).find((reader) => reader.opType === 'Add' && other(reader, a) === shift)?.outputs[0];
}

const multiplied = (wires: Wires, y: string, factor: string): string | undefined =>
  wires.readers(factor).find((reader) => reader.opType === 'Mul' && other(reader, factor) === y)?.outputs[0];

/** Some exports compute x - mean(x) twice. */
function sameCentred(wires: Wires, a: string | undefined, b: string): boolean {
  const [left, right] = [wires.maker(a), wires.maker(b)];
  return left?.opType === 'Sub' && right?.opType === 'Sub' && left.inputs.join() === right.inputs.join();
}

/** A norm is computed in float32: its input is what stood before the Cast. */
const withoutCasts = (wires: Wires, name: string | undefined): string =>
  wires.origin(name ?? '', ({ opType }) => opType === 'Cast');

/** Takes Cast, ·γ and +β after it into the norm, while nothing else reads what is in between. */
function withAffine(wires: Wires, norm: Norm): Norm {
  let { output, scale, shift } = norm;
  for (;;) {
    const readers = wires.readers(output);
    const [reader] = readers;
    if (reader === undefined || readers.length !== 1) break;
    if (reader.opType === 'Cast') output = reader.outputs[0] as string;
    else if (reader.opType === 'Mul' && scale === null && wires.isConstant(other(reader, output))) {
      scale = other(reader, output) ?? null;
      output = reader.outputs[0] as string;
    } else if (reader.opType === 'Add' && shift === null && wires.isConstant(other(reader, output))) {
      shift = other(reader, output) ?? null;
      output = reader.outputs[0] as string;
    } else break;
  }
  return { ...norm, output, scale, shift };
}
