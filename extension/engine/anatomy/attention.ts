/**
 * Attention, found from its softmax: forward to the product that mixes the values, back to the product of queries and keys, and
 * from the factors back to the linear layers that made them.
 */
import { nearestFirst } from '../onnx/graph';
import { sizeOf, type GraphNode } from '../onnx/model';
import { columnsOf, follow, unlessIdentity } from './columns';
import type { Linear, Linears } from './linears';
import { factorOf, scaleOf, type Factor } from './scoring';
import { isActivationProduct, rowWidth, type Subject } from './subject';

/** Part of a linear layer's output: which of its columns are [heads, headWidth]. */
export interface HeadColumns {
  linear: Linear;
  heads: number;
  /** [heads·headWidth]; null: all columns in order. */
  columns: Int32Array | null;
}

/** A softmax over the last axis: one operator, or exp(x - max x) over its sum. */
export interface Softmax {
  scores: string;
  output: string;
}

export interface Attention {
  /** [B,N,S,T] or [B·N,S,T]: the softmax's argument, and what the product with the values reads. */
  scores: string;
  pattern: string;
  /** The product of queries and keys, and its first factor. */
  scoring: string;
  scoringQuery: string;
  /** Both factors as they enter it, or why they cannot be read; what it is multiplied with, or why that cannot be told. */
  queryFactor: Factor | string;
  keyFactor: Factor | string;
  scale: number | string;
  heads: number;
  keyHeads: number;
  headWidth: number;
  /** q, k, v where each could be followed to a projection; else why not. */
  query: HeadColumns | string;
  key: HeadColumns | string;
  value: HeadColumns | string;
  /** z [B,T,N·d] or [B·T,N·d] as the output projection reads it. */
  z: string;
  /** [N·d] columns of z in the order of heads; null: in order. */
  zColumns: Int32Array | null;
  output: Linear;
  /** Queries and keys come from different texts. */
  cross: boolean;
}

/** Between softmax and the product that it weighs: guards against rows without keys, casts, dropout. */
const AFTER_SOFTMAX = new Set([
  'IsNaN',
  'Where',
  'Cast',
  'Dropout',
  'Identity',
  'Reshape',
  'Squeeze',
  'Unsqueeze',
  'Mul',
]);
const STEPS_AFTER = 5;
/** Between the product of queries and keys and softmax: scale, mask, position bias, soft cap. */
const BEFORE_SOFTMAX = new Set([
  ...[
    'Add',
    'Mul',
    'Div',
    'Sub',
    'Cast',
    'Where',
    'Reshape',
    'Tanh',
    'Max',
    'Min',
    'Clip',
    'Identity',
    'Squeeze',
    'Unsqueeze',
  ],
]);
const STEPS_BEFORE = 12;
/** Between a projection and a factor of the products nothing of the token axis is mixed; shapes are no way back. */
const NO_WAY_BACK = new Set(['Shape', 'Size', 'Softmax', 'Range', 'ConstantOfShape', 'NonZero', 'CumSum']);
const STEPS_TO_PROJECTION = 60;

/** Between the mixed values and the output projection. */
const AFTER_MIXING = new Set([
  ...['Transpose', 'Reshape', 'Cast', 'Identity', 'Squeeze', 'Unsqueeze', 'Flatten', 'Dropout'],
  ...['DynamicQuantizeLinear', 'QuantizeLinear', 'DequantizeLinear'],
]);

export function findSoftmaxes({ wires }: Subject): Softmax[] {
  return wires.nodes.flatMap((node): Softmax[] => {
    const [first, second] = node.inputs;
    const output = node.outputs[0] as string;
    if (node.opType === 'Softmax' && first !== undefined) return [{ scores: first, output }];
    if (node.opType !== 'Div') return [];
    const exponential = wires.maker(first);
    const sum = wires.maker(second);
    const difference = wires.maker(exponential?.inputs[0]);
    if (exponential?.opType !== 'Exp' || sum?.opType !== 'ReduceSum' || sum.inputs[0] !== first) return [];
    const [scores, top] = difference?.opType === 'Sub' ? difference.inputs : [];
    return scores !== undefined && wires.maker(top)?.opType === 'ReduceMax' ? [{ scores, output }] : [];
  });
}

/** The attention around a softmax; null when it is none (a router, a classifier), a text when it is one of an unknown form. */
export function findAttention(
  subject: Subject,
  { byOutput: linears, byData }: Linears,
  softmax: Softmax,
): Attention | string | null {
  const { wires, values } = subject;
  const mixing = findMixing(subject, softmax);
  if (mixing === null) return null;
  const { scores } = softmax;
  const scoring = findScoring(subject, scores);
  if (scoring === null) return 'the product of queries and keys before its softmax was not found';
  const pattern = mixing.inputs[0] as string;
  const dims = values.get(pattern)?.dims;
  const valueDims = values.get(mixing.inputs[1] as string)?.dims;
  const queryDims = values.get(scoring.inputs[0] as string)?.dims;
  if (dims === undefined || valueDims === undefined || queryDims === undefined)
    return 'the shapes of its tensors could not be told from the graph';
  const lead = sizeOf(dims.slice(0, -2));
  const heads = lead / subject.batch;
  const headWidth = valueDims.at(-1) as number;
  if (!Number.isInteger(heads) || dims.at(-2) !== subject.length)
    return `its pattern has the unexpected shape [${dims.join(', ')}]`;

  const mixed = mixing.outputs[0] as string;
  const output = outputProjection(subject, byData, mixed);
  if (output === null) return 'the projection after its heads was not found';
  const zColumns = columnsOfHeads(subject, mixed, output.data, heads, headWidth);
  if (zColumns === null) return 'its heads could not be followed to the output projection';

  const factor = (target: string, width: number, name: string): HeadColumns | string =>
    headColumns(subject, linears, target, width, name);
  const query = factor(scoring.inputs[0] as string, queryDims.at(-1) as number, 'query');
  const key = factor(scoring.inputs[1] as string, queryDims.at(-1) as number, 'key');
  const value = factor(mixing.inputs[1] as string, headWidth, 'value');
  const product = { scores, scoring: scoring.outputs[0] as string };
  return {
    ...product,
    pattern,
    queryFactor: factorOf(subject, product.scoring, 'query'),
    keyFactor: factorOf(subject, product.scoring, 'key'),
    scale: scaleOf(subject, product),
    scoringQuery: scoring.inputs[0] as string,
    heads,
    keyHeads: typeof value === 'string' ? heads : value.heads,
    headWidth,
    query,
    key,
    value,
    z: output.data,
    zColumns: unlessIdentity(zColumns, heads * headWidth),
    output,
    cross:
      typeof query !== 'string' &&
      typeof key !== 'string' &&
      query.linear.data !== key.linear.data &&
      !sameSource(wires, query.linear.data, key.linear.data),
  };
}

/** Forward from softmax to the product of pattern and values: the pattern is its first factor. */
function findMixing({ wires }: Subject, softmax: Softmax): GraphNode | null {
  const onward = (name: string): string[] =>
    wires.readers(name).flatMap(({ opType, outputs }) => (AFTER_SOFTMAX.has(opType) ? outputs.slice(0, 1) : []));
  for (const name of nearestFirst(softmax.output, onward, STEPS_AFTER)) {
    const mixing = wires.readers(name).find((node) => isActivationProduct(wires, node) && node.inputs[0] === name);
    if (mixing !== undefined) return mixing;
  }
  return null;
}

/** Back from the scores to the nearest product of two activations. Terms that were gathered (relative positions) are no scores yet. */
function findScoring({ wires }: Subject, scores: string): GraphNode | null {
  const back = (name: string): string[] => {
    const maker = wires.maker(name);
    return maker !== undefined && BEFORE_SOFTMAX.has(maker.opType)
      ? maker.inputs.filter((input) => !wires.isConstant(input))
      : [];
  };
  for (const name of nearestFirst(scores, back, STEPS_BEFORE)) {
    const maker = wires.maker(name);
    if (maker !== undefined && isActivationProduct(wires, maker)) return maker;
  }
  return null;
}

function outputProjection({ wires }: Subject, byData: ReadonlyMap<string, Linear>, mixed: string): Linear | null {
  let name = mixed;
  for (let step = 0; step < 12; step++) {
    const linear = byData.get(name);
    if (linear !== undefined) return linear;
    const next = wires.readers(name).filter(({ opType }) => AFTER_MIXING.has(opType));
    const [reader] = next;
    if (reader === undefined || next.length !== 1) return null;
    name = reader.outputs[0] as string;
  }
  return null;
}

/** For every head and place in it, its column in z. */
function columnsOfHeads(
  subject: Subject,
  mixed: string,
  z: string,
  heads: number,
  headWidth: number,
): Int32Array | null {
  const { length } = subject;
  const width = heads * headWidth;
  const value = mixed === z ? null : follow(subject, mixed, z);
  const data = value?.data;
  if (data?.length !== subject.batch * length * width) return null;
  const columns = new Int32Array(width);
  // The first text's first token: its row of z holds these elements of [B,N,S,d].
  for (let at = 0; at < width; at++) {
    const element = data[at] as number;
    const head = Math.floor(element / (length * headWidth));
    if (head >= heads || Math.floor(element / headWidth) % length !== 0) return null;
    columns[head * headWidth + (element % headWidth)] = at;
  }
  return columns;
}

/** The linear layer behind a factor, and which of its columns are the heads. */
function headColumns(
  subject: Subject,
  linears: ReadonlyMap<string, Linear>,
  target: string,
  headWidth: number,
  name: string,
): HeadColumns | string {
  const found = nearestLinears(subject, linears, target);
  const [linear] = found;
  if (linear === undefined) return `no linear layer was found behind the ${name}`;
  if (found.length > 1) return `${found.length} linear layers were found behind the ${name}`;
  const width = rowWidth(subject, linear.output);
  const followed = follow(subject, linear.output, target);
  const columns = followed === null || width === undefined ? null : columnsOf(subject, followed, width);
  if (columns === null || width === undefined || columns.length % headWidth !== 0)
    return `the ${name} could not be followed from its projection to the heads`;
  return { linear, heads: columns.length / headWidth, columns: unlessIdentity(columns, width) };
}

/** Linear layers behind a value with no other linear layer in between. */
export function nearestLinears({ wires }: Subject, linears: ReadonlyMap<string, Linear>, target: string): Linear[] {
  const back = (name: string): string[] => {
    const maker = wires.maker(name);
    if (linears.has(name) || maker === undefined || NO_WAY_BACK.has(maker.opType)) return [];
    return maker.inputs.filter((input) => !wires.isConstant(input));
  };
  const found = [...nearestFirst(target, back, STEPS_TO_PROJECTION - 1)].map((name) => linears.get(name));
  return found.filter((linear) => linear !== undefined);
}

/** Data that is only reshaped between two readers is the same data. */
function sameSource(wires: Subject['wires'], a: string, b: string): boolean {
  const source = (name: string): string => wires.origin(name, ({ opType }) => /^(Reshape|Cast|Identity)$/.test(opType));
  return source(a) === source(b);
}
