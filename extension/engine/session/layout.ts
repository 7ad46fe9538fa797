/** Between the tensors of a graph and the canonical shapes of hooks. */
import { Tensor } from 'onnxruntime-node';
import { LensError } from '../../protocol/errors';
import { canonicalDims, type Layout, type Site } from '../anatomy/hooks';
import { sizeOf } from '../onnx/model';
import type { Activation } from './internals';
import { floats } from './runtime';

/** A tensor of the graph in the hook's canonical shape. Throws `model-unsupported` when it does not have the elements for it. */
export function canonical(tensor: Tensor, { layout }: Site, batch: number, length: number, hook: string): Activation {
  const data = floats(tensor);
  if (layout.kind === 'plain') return { dims: tensor.dims, data };
  const wrong = (): LensError => unexpectedShape(hook, tensor.dims);
  if (layout.kind === 'pairs') {
    const [queries, keys] = tensor.dims.slice(-2) as [number, number];
    const dims = [batch, layout.heads, queries, keys];
    if (sizeOf(dims) !== data.length || queries !== length) throw wrong();
    return { dims, data };
  }
  if (layout.kind === 'factor') {
    const { heads, width } = layout;
    if (sizeOf([batch, length, heads, width]) !== data.length) throw wrong();
    return { dims: [batch, length, heads, width], data: tokensFirst(data, layout, batch, length) };
  }
  const rest = sizeOf(layout.rest);
  const dims = [batch, length, ...layout.rest];
  const { columns, width } = layout;
  if (batch * length * width !== data.length) throw wrong();
  if (columns === null) {
    if (width !== rest) throw wrong();
    return { dims, data };
  }
  const picked = new Float32Array(batch * length * rest);
  for (let row = 0; row < batch * length; row++)
    for (let index = 0; index < rest; index++)
      picked[row * rest + index] = data[row * width + (columns[index] as number)] as number;
  return { dims, data: picked };
}

export const unexpectedShape = (hook: string, dims: readonly number[]): LensError =>
  new LensError(
    'model-unsupported',
    `${hook} has the unexpected shape [${dims.join(', ')}].`,
    'Its graph does not do what its parts look like; export the model again.',
  );

/** What an open gate is fed: x·1 + 0, with one element or as many as its input states (`gateWidth`). */
export const openGate = (part: 'scale' | 'offset', rank: number, width: number | null): Tensor =>
  new Tensor('float32', new Float32Array(width ?? 1).fill(part === 'scale' ? 1 : 0), [
    ...new Array<number>(Math.max(0, rank - 1)).fill(1),
    width ?? 1,
  ]);

/** [B,N,T,d], or [B,N,d,T], as [B,T,N,d]. */
function tokensFirst(
  data: Float32Array,
  { heads, width, transposed }: { heads: number; width: number; transposed: boolean },
  batch: number,
  length: number,
): Float32Array {
  const result = new Float32Array(data.length);
  for (let matrix = 0; matrix < batch * heads; matrix++) {
    const from = matrix * length * width;
    let to = (Math.floor(matrix / heads) * length * heads + (matrix % heads)) * width;
    for (let token = 0; token < length; token++, to += heads * width)
      if (transposed)
        for (let place = 0, at = from + token; place < width; place++, at += length)
          result[to + place] = data[at] as number;
      else result.set(data.subarray(from + token * width, from + (token + 1) * width), to);
  }
  return result;
}

/**
 * A gate's input for the tensor as the graph has it: [B|1,T|1,W], [B·T|1,W] or, for pairs, [B|1,H|1,T|1,T|1]. `dims` are
 * the tensor's in an imagined run. Throws `bad-input` when the intervention does not fit the hook.
 */
export function gateTensor(
  hook: string,
  { layout }: Site,
  part: 'scale' | 'offset',
  given: Activation,
  dims: readonly number[],
  batch: number,
  length: number,
): Tensor {
  const rank = dims.length;
  if (layout.kind === 'plain' || layout.kind === 'factor' || (layout.kind === 'pairs' && rank !== 4))
    throw new LensError(
      'model-unsupported',
      `${hook} cannot be changed in this graph.`,
      'Change what it is computed from.',
    );
  checkFits(`The ${part} for ${hook}`, given, layout, batch, length);
  if (layout.kind === 'pairs') return new Tensor('float32', given.data, given.dims);
  const { width, columns } = layout;
  const [givenRows, givenTokens, ...inner] = given.dims as [number, number, ...number[]];
  // A tensor of [B·T,W] takes one gate for all tokens, or one for each.
  const isEach = givenRows > 1 || givenTokens > 1;
  const [rows, tokens] = rank === 2 && isEach ? [batch, length] : [givenRows, givenTokens];
  const data = new Float32Array(rows * tokens * width).fill(part === 'scale' ? 1 : 0);
  const rest = sizeOf(layout.rest);
  const innerSize = sizeOf(inner);
  for (let row = 0; row < rows; row++)
    for (let token = 0; token < tokens; token++) {
      const from = ((givenRows > 1 ? row : 0) * givenTokens + (givenTokens > 1 ? token : 0)) * innerSize;
      const to = (row * tokens + token) * width;
      for (let index = 0; index < rest; index++) {
        const column = columns === null ? index : (columns[index] as number);
        data[to + column] = given.data[from + broadcastIndex(index, layout.rest, inner)] as number;
      }
    }
  return new Tensor('float32', data, rank === 2 ? [rows * tokens, width] : [rows, tokens, ...dims.slice(2)]);
}

/** Throws `bad-input` unless a tensor broadcasts to a hook's canonical shape. */
export function checkFits(
  what: string,
  { dims, data }: Activation,
  layout: Layout,
  batch: number,
  length: number,
): void {
  const shape = canonicalDims(layout, batch, length);
  if (shape === null) return;
  const fits = dims.length === shape.length && dims.every((dim, axis) => dim === 1 || dim === shape[axis]);
  if (!fits || sizeOf(dims) !== data.length)
    throw new LensError('bad-input', `${what} has the shape [${dims.join(', ')}]; it must fit [${shape.join(', ')}].`);
}

/**
 * The residual stream as a run that begins with it takes it, [B,T,D]; one row given stands for all. Throws `bad-input` for another
 * shape than that, with `width` as D.
 */
export function streamTensor(
  { dims: given, data }: Activation,
  width: number | undefined,
  batch: number,
  length: number,
): Tensor {
  const [rows, tokens, last] = given;
  width ??= last ?? 0;
  const size = length * width;
  const fits = given.length === 3 && (rows === 1 || rows === batch) && tokens === length && last === width;
  if (!fits || data.length !== sizeOf(given))
    throw new LensError(
      'bad-input',
      `The residual stream has the shape [${given.join(', ')}]; it must be [${batch}, ${length}, ${width}].`,
    );
  const all = rows === batch ? data : new Float32Array(batch * size);
  if (all !== data) for (let row = 0; row < batch; row++) all.set(data, row * size);
  return new Tensor('float32', all, [batch, length, width]);
}

/** Index into a tensor of `dims` (1 where it repeats) for a flat index into one of `full`. */
function broadcastIndex(index: number, full: readonly number[], dims: readonly number[]): number {
  let at = 0;
  let stride = 1;
  let rest = index;
  for (let axis = full.length - 1; axis >= 0; axis--) {
    const size = full[axis] as number;
    if (dims[axis] !== 1) at += (rest % size) * stride;
    stride *= dims[axis] as number;
    rest = Math.floor(rest / size);
  }
  return at;
}
