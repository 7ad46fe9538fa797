/** Parts of hooks: as elements to pick inside the graph where its tensor has the axes for it, and from the whole where it has not. */
import type { Tensor } from 'onnxruntime-node';
import { LensError } from '../../protocol/errors';
import { canonicalDims, type Layout, type Site } from '../anatomy/hooks';
import type { Subject } from '../anatomy/subject';
import { pickOutput, SORTED_TOP, type Pick } from '../instrument/picks';
import { sizeOf } from '../onnx/model';
import type { Activation, Part } from './internals';
import { unexpectedShape } from './layout';
import { floats } from './runtime';
import { topK } from './topK';

/** A part as the graph can take it. */
export interface PartPlan {
  pick: Pick;
  /** What is picked along each of its axes, for a batch and a length. */
  indices(batch: number, length: number): number[][];
}

/** A hook as a run reads it. */
export interface Read {
  hook: string;
  site: Site;
  part: Part | undefined;
  /** How the graph takes the part; null: the whole is fetched. */
  plan: PartPlan | null;
}

/** Of two parts of one tensor (hooks of neighbouring blocks may share it), only the first is taken in the graph. */
export function planReads(
  subject: Subject,
  sites: ReadonlyMap<string, Site>,
  parts: ReadonlyMap<string, Part>,
): Read[] {
  const taken = new Set<string>();
  return [...sites].map(([hook, site]) => {
    const part = parts.get(hook);
    const plan = part === undefined ? null : planPart(subject, site, part);
    if (plan === null || taken.has(pickOutput(plan.pick))) return { hook, site, part, plan: null };
    taken.add(pickOutput(plan.pick));
    return { hook, site, part, plan };
  });
}

const range = (length: number): number[] => Array.from({ length }, (_, index) => index);

/** Null where the whole must be fetched: the tensor has heads and tokens in one axis that something else is in too. */
function planPart(
  { values, batch, length, opset }: Subject,
  { value, layout }: Site,
  { heads, positions, mean, columns: picked, top, end = 'largest' }: Part,
): PartPlan | null {
  const dims = values.get(value)?.dims;
  if (dims === undefined || layout.kind === 'plain' || layout.kind === 'factor') return null;
  if (top !== undefined && (opset < SORTED_TOP || !isLastAxis(layout, dims))) return null;
  const along = new Map<number, (batch: number, length: number) => number[]>();
  const rank = dims.length;
  const flat = (count: number | null, picked: readonly number[]) => (rows: number, tokens: number) =>
    range(rows).flatMap((row) => picked.map((index) => row * (count ?? tokens) + index));
  const plain = (picked: readonly number[]) => () => [...picked];
  if (layout.kind === 'pairs') {
    if (rank !== 4 && mean !== undefined) return null;
    if (heads !== undefined) along.set(rank === 4 ? 1 : 0, rank === 4 ? plain(heads) : flat(layout.heads, heads));
    if (positions !== undefined) along.set(rank - 2, plain(positions));
  } else {
    if (mean !== undefined || rank < 2 || rank > 4 || (rank > 2 && (dims[0] !== batch || dims[1] !== length)))
      return null;
    if (positions !== undefined) along.set(rank === 2 ? 0 : 1, rank === 2 ? flat(null, positions) : plain(positions));
    const columns = tensorColumns(layout, heads, picked);
    if (rank === 4) {
      if (layout.columns !== null || picked !== undefined || dims[2] !== layout.rest[0]) return null;
      if (heads !== undefined) along.set(2, plain(heads));
    } else if (columns !== null) along.set(rank - 1, plain(columns));
  }
  const axes = [...along.keys()].sort((one, other) => one - other);
  return {
    pick: { value, axes, mean: mean === undefined ? null : 1, end: top === undefined ? null : end },
    indices: (rows, tokens) =>
      axes.map((axis) => (along.get(axis) as (batch: number, length: number) => number[])(rows, tokens)),
  };
}

/** Whether the tensor's last axis, as far as columns are taken of it, is the last of the hook. */
function isLastAxis(layout: Extract<Layout, { kind: 'tokens' | 'pairs' }>, dims: readonly number[]): boolean {
  if (layout.kind === 'pairs') return true;
  const { rest, columns } = layout;
  return rest.length === 1 ? columns !== null || dims.at(-1) === rest[0] : dims.length === 4;
}

/** Columns of the tensor that the heads are in, or some columns of the hook; null: all in order. */
function tensorColumns(
  { rest, columns }: Extract<Layout, { kind: 'tokens' }>,
  heads: readonly number[] | undefined,
  picked: readonly number[] | undefined,
): readonly number[] | null {
  const width = sizeOf(rest.slice(1));
  const wanted = picked ?? heads?.flatMap((head) => range(width).map((place) => head * width + place));
  if (wanted === undefined) return columns === null ? null : [...columns];
  return columns === null ? wanted : wanted.map((index) => columns[index] as number);
}

/** The hook's canonical shape with only the part in it. Throws `bad-input` for a part that the hook does not have. */
export function partDims(hook: string, layout: Layout, part: Part, batch: number, length: number): number[] {
  const { heads, positions, mean, columns, top } = part;
  const wrong = (why: string): LensError => new LensError('bad-input', `There is no such part of ${hook}: ${why}.`);
  const whole = canonicalDims(layout, batch, length);
  if (whole === null) throw wrong('its shape is the graph’s own');
  const headAxis = layout.kind === 'pairs' ? 1 : 2;
  const count = whole.length === 4 ? (whole[headAxis] as number) : null;
  if (count === null && (heads !== undefined || mean !== undefined)) throw wrong('it has no heads');
  const width = whole.length === 3 ? (whole[2] as number) : null;
  if (columns !== undefined && width === null) throw wrong('it is not one row of numbers a token');
  const inside = (index: number, size: number): boolean => Number.isInteger(index) && index >= 0 && index < size;
  if (heads?.every((head) => inside(head, count ?? 0)) === false) throw wrong(`it has ${count} heads`);
  if (positions?.every((position) => inside(position, length)) === false) throw wrong(`it has ${length} positions`);
  if (columns?.every((column) => inside(column, width ?? 0)) === false) throw wrong(`it has ${width} columns`);
  if (top !== undefined && !(Number.isInteger(top) && top > 0)) throw wrong('at least one number must be wanted');
  const [tokens, those] = [positions?.length ?? length, mean === undefined ? (heads?.length ?? count) : 1];
  const tokenAxis = layout.kind === 'pairs' ? 2 : 1;
  const dims = whole.map((size, axis) => {
    if (axis === tokenAxis) return tokens;
    if (axis === 2 && columns !== undefined) return columns.length;
    return axis === headAxis && those !== null ? those : size;
  });
  const last = dims.pop() as number;
  return [...dims, Math.min(last, top ?? last)];
}

/** The part of a whole. */
export function takePart(
  whole: Activation,
  layout: Layout,
  { heads, positions, mean, columns, top, end }: Part,
): Activation {
  const [headAxis, tokenAxis] = layout.kind === 'pairs' ? [1, 2] : [2, 1];
  let part = whole;
  if (positions !== undefined) part = take(part, tokenAxis, positions);
  if (heads !== undefined) part = take(part, headAxis, heads);
  if (columns !== undefined) part = take(part, 2, columns);
  if (mean !== undefined) part = meanOver(part, headAxis);
  return top === undefined ? part : extremes(part, top, end);
}

function extremes({ dims, data }: Activation, top: number, end: Part['end']): Activation {
  const size = dims.at(-1) as number;
  const count = Math.min(top, size);
  const rows = data.length / size;
  const found = { dims: [...dims.slice(0, -1), count], data: new Float32Array(rows * count) };
  const indices = new Int32Array(rows * count);
  for (let row = 0; row < rows; row++) {
    const own = data.subarray(row * size, (row + 1) * size);
    const order = topK(end === 'smallest' ? own.map((each) => -each) : own, count);
    indices.set(order, row * count);
    order.forEach((index, place) => (found.data[row * count + place] = own[index] as number));
  }
  return { ...found, indices };
}

function take({ dims, data }: Activation, axis: number, indices: readonly number[]): Activation {
  const inner = sizeOf(dims.slice(axis + 1));
  const size = dims[axis] as number;
  const outer = sizeOf(dims.slice(0, axis));
  const taken = new Float32Array(outer * indices.length * inner);
  for (let block = 0; block < outer; block++)
    indices.forEach((index, place) => {
      const from = (block * size + index) * inner;
      taken.set(data.subarray(from, from + inner), (block * indices.length + place) * inner);
    });
  return { dims: dims.map((each, at) => (at === axis ? indices.length : each)), data: taken };
}

function meanOver({ dims, data }: Activation, axis: number): Activation {
  const inner = sizeOf(dims.slice(axis + 1));
  const size = dims[axis] as number;
  const means = new Float32Array(data.length / size);
  for (let at = 0; at < means.length; at++) {
    const start = Math.floor(at / inner) * size * inner + (at % inner);
    let sum = 0;
    for (let index = 0; index < size; index++) sum += data[start + index * inner] as number;
    means[at] = sum / size;
  }
  return { dims: dims.map((each, at) => (at === axis ? 1 : each)), data: means };
}

/** What the graph took, in the shape of the part. Throws `model-unsupported` when it has other elements. */
export function partOf(tensor: Tensor, indices: Tensor | undefined, dims: readonly number[], hook: string): Activation {
  const data = floats(tensor);
  if (data.length !== sizeOf(dims)) throw unexpectedShape(hook, tensor.dims);
  if (indices === undefined) return { dims, data };
  return { dims, data, indices: Int32Array.from(indices.data as BigInt64Array, Number) };
}
