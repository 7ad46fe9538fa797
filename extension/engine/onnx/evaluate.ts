/**
 * What can be known of every value without weights: its dimensions for inputs of a given size, and the elements of those that are
 * computed from shapes, indices and small constants. This is how the anatomy knows heads and widths, and follows a column of a
 * projection through Reshape, Transpose, Split and Slice to its head (the column's number is the element).
 *
 * Sizes are plain numbers, not symbols: two runs with different sizes tell a fixed dimension from one that moves with the text.
 */
import { inlineElements } from './elements';
import type { Wires } from './graph';
import {
  attributes,
  MAX_DIMS,
  BOOL,
  FLOAT,
  INT32,
  INT64,
  sizeOf,
  UINT8,
  type Attribute,
  type GraphNode,
} from './model';

/** `data` is null where the elements are not known. */
interface Shaped {
  dims: readonly number[];
  data: Float64Array | null;
}

export interface Value extends Shaped {
  /** onnx.TensorProto.DataType. */
  type: number;
}

/** Tensors beyond this are known by their dimensions only. */
export const MAX_ELEMENTS = 1 << 18;
/** Of all tensors together; those of real graphs have far less. What comes after is not computed. */
const MAX_TOTAL = 1 << 24;
/** No real tensor of a run on a few tokens has more; a larger one is damage. */
const MAX_COUNT = 2 ** 40;

const unknown = (dims: readonly number[]): Shaped => ({ dims, data: null });

/** An operator's outputs, from inputs that are all known (absent optional ones are undefined). Null: cannot be told. */
type Rule = (inputs: readonly (Value | undefined)[], node: Options) => (Shaped | null)[] | Shaped | null;

/** A node's attributes with their defaults. */
class Options {
  private readonly found: ReadonlyMap<string, Attribute>;
  constructor(
    readonly node: GraphNode,
    readonly opset: number,
  ) {
    this.found = attributes(node);
  }
  int(name: string): number | undefined;
  int(name: string, fallback: number): number;
  int(name: string, fallback?: number): number | undefined {
    return this.found.get(name)?.int ?? fallback;
  }
  ints(name: string): readonly number[] | undefined {
    return this.found.get(name)?.ints;
  }
  text(name: string): string | undefined {
    return this.found.get(name)?.text;
  }
  has(name: string): boolean {
    return this.found.has(name);
  }
}

/** Values of all tensors, for inputs whose dimensions (and, for token ids and masks, elements) are given. */
export function evaluate(wires: Wires, inputs: ReadonlyMap<string, Value>, opset: number): Map<string, Value> {
  const values = new Map(inputs);
  for (const [name, { dims, dataType }] of wires.graph.initializers) {
    values.set(name, { type: dataType, dims, data: sizeOf(dims) <= MAX_ELEMENTS ? wires.elements(name) : null });
  }
  let total = 0;
  for (const node of wires.nodes) {
    evaluateNode(node, values, wires, opset);
    for (const name of node.outputs) total += values.get(name)?.data?.length ?? 0;
    if (total > MAX_TOTAL) break;
  }
  return values;
}

/** Computes the outputs of one node into `values`, where they can be told. */
export function evaluateNode(node: GraphNode, values: Map<string, Value>, wires: Wires, opset: number): void {
  if (node.opType === 'Constant') {
    const data = wires.elements(node.outputs[0]);
    const dims = wires.initializer(node.outputs[0])?.dims ?? (data === null ? null : listed(node) ? [data.length] : []);
    const type =
      wires.initializer(node.outputs[0])?.dataType ??
      ([...attributes(node).keys()].join().includes('int') ? INT64 : FLOAT);
    if (dims !== null)
      values.set(node.outputs[0] as string, { dims, data: data?.length === sizeOf(dims) ? data : null, type });
    return;
  }
  const rule = RULES.get(node.opType);
  const given = node.inputs.map((name) => (name === '' ? undefined : values.get(name)));
  if (rule === undefined || node.inputs.some((name, index) => name !== '' && given[index] === undefined)) return;
  let results: ReturnType<Rule>;
  try {
    results = rule(given, new Options(node, opset));
  } catch (error) {
    // A graph whose shapes do not fit says nothing; the runtime will say why.
    if (error instanceof RangeError || error instanceof TypeError) return;
    throw error;
  }
  const list = Array.isArray(results) ? results : [results];
  node.outputs.forEach((name, index) => {
    const result = list[index];
    if (name === '' || result == null) return;
    const count = sizeOf(result.dims);
    const isShape = result.dims.length <= MAX_DIMS && result.dims.every((dim) => Number.isInteger(dim) && dim >= 0);
    if (!isShape || count > MAX_COUNT) return;
    const type = typeOf(node, index, given);
    values.set(name, { dims: result.dims, data: count > MAX_ELEMENTS ? null : result.data, type });
  });
}

/** Element type of an output: that of the first input but for these. */
function typeOf(node: GraphNode, output: number, inputs: readonly (Value | undefined)[]): number {
  const like = (index: number): number => inputs[index]?.type ?? FLOAT;
  switch (node.opType) {
    case 'Cast':
      return attributes(node).get('to')?.int ?? FLOAT;
    case 'Shape':
    case 'Size':
      return INT64;
    case 'EmbedLayerNormalization':
      return output === 1 ? INT32 : like(2);
    case 'QEmbedLayerNormalization':
      return output === 1 ? INT32 : FLOAT;
    case 'Equal':
    case 'Less':
    case 'LessOrEqual':
    case 'Greater':
    case 'GreaterOrEqual':
    case 'IsNaN':
      return BOOL;
    case 'ConstantOfShape':
      return attributes(node).get('value')?.tensor?.dataType ?? FLOAT;
    case 'Where':
    case 'CastLike':
    case 'DequantizeLinear':
      return like(1);
    case 'DynamicQuantizeLinear':
      return output === 1 ? FLOAT : UINT8;
    case 'QuantizeLinear':
      return inputs[2]?.type ?? UINT8;
    case 'MatMulInteger':
      return INT32;
    case 'MatMulIntegerToFloat':
    case 'GatherBlockQuantized':
    case 'OneHot':
      return like(2);
    case 'QAttention':
      return like(3);
    case 'QLinearMatMul':
      return like(7);
    default:
      return like(0);
  }
}

const listed = (node: GraphNode): boolean => attributes(node).has('value_ints') || attributes(node).has('value_floats');

// Views: elements move, none is computed. They also serve to follow columns.

/** Operators whose output holds elements of their first input (Split: parts of it) at other places. */
export const VIEWS = new Set([
  'Reshape',
  'Transpose',
  'Squeeze',
  'Unsqueeze',
  'Flatten',
  'Slice',
  'Split',
  'Gather',
  'Identity',
  'Cast',
  'Dropout',
]);

function strides(dims: readonly number[]): number[] {
  const result = new Array<number>(dims.length).fill(1);
  for (let axis = dims.length - 2; axis >= 0; axis--)
    result[axis] = (result[axis + 1] as number) * (dims[axis + 1] as number);
  return result;
}

/** A tensor of `dims` whose element at a place is the element of `source` at offset + Σ place·stride. */
function gatherStrided(source: Shaped, dims: readonly number[], stride: readonly number[], offset = 0): Shaped {
  const count = sizeOf(dims);
  if (source.data === null || count > MAX_ELEMENTS) return unknown(dims);
  const data = new Float64Array(count);
  const place = new Array<number>(dims.length).fill(0);
  let at = offset;
  for (let index = 0; index < count; index++) {
    data[index] = source.data[at] as number;
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      at += stride[axis] as number;
      place[axis] = (place[axis] as number) + 1;
      if ((place[axis] as number) < (dims[axis] as number)) break;
      at -= (stride[axis] as number) * (dims[axis] as number);
      place[axis] = 0;
    }
  }
  return { dims, data };
}

const reshaped = (value: Shaped, dims: readonly number[]): Shaped | null =>
  sizeOf(dims) === sizeOf(value.dims) ? { dims, data: value.data } : null;

/** An axis (or an index), counted from the end when it is negative. */
function axisOf(axis: number, rank: number): number {
  if (!(axis >= -rank && axis < rank)) throw new RangeError('there is no such axis');
  return axis < 0 ? axis + rank : axis;
}

function transposed(value: Shaped, perm: readonly number[]): Shaped {
  if (perm.length !== value.dims.length || new Set(perm).size < perm.length)
    throw new RangeError('this is no order of the axes');
  const from = strides(value.dims);
  return gatherStrided(
    value,
    perm.map((axis) => value.dims[axis] as number),
    perm.map((axis) => from[axis] as number),
  );
}

/** Every `step`-th of start…end along one axis, as ONNX's Slice clamps them. */
function sliced(value: Shaped, axis: number, start: number, end: number, step: number): Shaped {
  const size = value.dims[axis] as number;
  const clamp = (at: number, low: number, high: number): number =>
    Math.min(Math.max(at < 0 ? at + size : at, low), high);
  const first = step > 0 ? clamp(start, 0, size) : clamp(start, 0, size - 1);
  const last = step > 0 ? clamp(end, 0, size) : clamp(end, -1, size - 1);
  const count = Math.max(0, Math.ceil((last - first) / step));
  const from = strides(value.dims);
  return gatherStrided(
    value,
    value.dims.map((dim, index) => (index === axis ? count : dim)),
    from.map((stride, index) => (index === axis ? stride * step : stride)),
    first * (from[axis] as number),
  );
}

/** Axes from the second input (newer opsets) or the attribute. */
function axesOf(inputs: readonly (Shaped | undefined)[], options: Options): readonly number[] | null | undefined {
  const given = inputs[1];
  if (given === undefined) return options.ints('axes');
  return given.data === null ? null : [...given.data];
}

const slice: Rule = ([value, starts, ends, axes, steps], options) => {
  let result = value as Shaped;
  const from = starts === undefined ? options.ints('starts') : starts.data && [...starts.data];
  const to = ends === undefined ? options.ints('ends') : ends.data && [...ends.data];
  const along = axes === undefined ? options.ints('axes') : axes.data && [...axes.data];
  const by = steps === undefined ? [] : steps.data && [...steps.data];
  if (from == null || to == null || along === null || by === null) return null;
  from.forEach((start, index) => {
    const axis = axisOf(along?.[index] ?? index, result.dims.length);
    result = sliced(result, axis, start, to[index] as number, by[index] ?? 1);
  });
  return result;
};

const split: Rule = ([value, sizes], options) => {
  const { dims } = value as Shaped;
  const axis = axisOf(options.int('axis', 0), dims.length);
  const parts = options.node.outputs.length;
  const given = sizes === undefined ? options.ints('split') : sizes.data && [...sizes.data];
  if (given === null) return null;
  const each = Math.ceil((dims[axis] as number) / parts);
  let start = 0;
  return Array.from({ length: parts }, (_, index) => {
    const end = start + (given?.[index] ?? each);
    const part = sliced(value as Shaped, axis, start, end, 1);
    start = end;
    return part;
  });
};

const gather: Rule = ([value, indices], options) => {
  const { dims, data } = value as Shaped;
  const at = indices as Shaped;
  const axis = axisOf(options.int('axis', 0), dims.length);
  const before = dims.slice(0, axis);
  const after = dims.slice(axis + 1);
  const result = [...before, ...at.dims, ...after];
  if (data === null || at.data === null || sizeOf(result) > MAX_ELEMENTS) return unknown(result);
  const width = sizeOf(after);
  const size = dims[axis] as number;
  const picked = new Float64Array(sizeOf(result));
  let out = 0;
  for (let outer = 0; outer < sizeOf(before); outer++)
    for (const index of at.data)
      for (let inner = 0; inner < width; inner++)
        picked[out++] = data[(outer * size + axisOf(index, size)) * width + inner] as number;
  return { dims: result, data: picked };
};

const gatherND: Rule = ([value, indices], options) => {
  const { dims, data } = value as Shaped;
  const at = indices as Shaped;
  const depth = at.dims.at(-1) as number;
  const batch = options.int('batch_dims', 0);
  const result = [...at.dims.slice(0, -1), ...dims.slice(depth + batch)];
  if (data === null || at.data === null || batch > 0 || sizeOf(result) > MAX_ELEMENTS) return unknown(result);
  const width = sizeOf(dims.slice(depth));
  const stride = strides(dims);
  const picked = new Float64Array(sizeOf(result));
  for (let tuple = 0; tuple * depth < at.data.length; tuple++) {
    let from = 0;
    for (let axis = 0; axis < depth; axis++)
      from += axisOf(at.data[tuple * depth + axis] as number, dims[axis] as number) * (stride[axis] as number);
    picked.set(data.subarray(from, from + width), tuple * width);
  }
  return { dims: result, data: picked };
};

const reshape: Rule = ([value, shape], options) => {
  const target = shape?.data;
  if (target == null) return null;
  const { dims } = value as Shaped;
  const wanted = [...target].map((dim, index) =>
    dim === 0 && options.int('allowzero', 0) === 0 ? (dims[index] as number) : dim,
  );
  const free = wanted.indexOf(-1);
  if (free >= 0) wanted[free] = sizeOf(dims) / -sizeOf(wanted);
  return reshaped(value as Shaped, wanted);
};

const squeeze: Rule = (inputs, options) => {
  const value = inputs[0] as Shaped;
  const axes = axesOf(inputs, options);
  if (axes === null) return null;
  const gone = new Set(axes?.map((axis) => axisOf(axis, value.dims.length)));
  return reshaped(
    value,
    value.dims.filter((dim, axis) => (axes === undefined ? dim !== 1 : !gone.has(axis))),
  );
};

const unsqueeze: Rule = (inputs, options) => {
  const value = inputs[0] as Shaped;
  const axes = axesOf(inputs, options);
  if (axes == null) return null;
  const rank = value.dims.length + axes.length;
  const added = new Set(axes.map((axis) => axisOf(axis, rank)));
  const rest = [...value.dims];
  return reshaped(
    value,
    Array.from({ length: rank }, (_, axis) => (added.has(axis) ? 1 : (rest.shift() as number))),
  );
};

const flatten: Rule = ([value], options) => {
  const { dims } = value as Shaped;
  const stated = options.int('axis', 1);
  const axis = stated === dims.length ? stated : axisOf(stated, dims.length);
  return reshaped(value as Shaped, [sizeOf(dims.slice(0, axis)), sizeOf(dims.slice(axis))]);
};

const concat: Rule = (inputs, options) => {
  const parts = inputs as Value[];
  const first = parts[0] as Shaped;
  const axis = axisOf(options.int('axis', 0), first.dims.length);
  const dims = first.dims.map((dim, index) =>
    index === axis ? parts.reduce((sum, part) => sum + (part.dims[axis] as number), 0) : dim,
  );
  if (parts.some(({ data }) => data === null) || sizeOf(dims) > MAX_ELEMENTS) return unknown(dims);
  const data = new Float64Array(sizeOf(dims));
  let out = 0;
  for (let outer = 0; outer < sizeOf(dims.slice(0, axis)); outer++)
    for (const part of parts) {
      const width = sizeOf(part.dims.slice(axis));
      data.set((part.data as Float64Array).subarray(outer * width, (outer + 1) * width), out);
      out += width;
    }
  return { dims, data };
};

// Arithmetic

function broadcast(all: readonly (readonly number[])[]): number[] {
  const rank = Math.max(...all.map((dims) => dims.length));
  return Array.from({ length: rank }, (_, axis) => {
    const sizes = all.map((dims) => dims[axis - rank + dims.length] ?? 1).filter((size) => size !== 1);
    if (sizes.some((size) => size !== sizes[0])) throw new RangeError('shapes do not fit');
    return sizes[0] ?? 1;
  });
}

function expandedTo(value: Shaped, dims: readonly number[]): Shaped {
  const from = strides(value.dims);
  const missing = dims.length - value.dims.length;
  return gatherStrided(
    value,
    dims,
    dims.map((_, axis) => (axis < missing || value.dims[axis - missing] === 1 ? 0 : (from[axis - missing] as number))),
  );
}

/** Element by element, with broadcasting. */
const elementwise =
  (compute?: (...elements: number[]) => number): Rule =>
  (inputs) => {
    const parts = inputs.filter((input) => input !== undefined);
    const dims = broadcast(parts.map((part) => part.dims));
    const count = sizeOf(dims);
    const elements = count * Math.max(1, parts.length / 4);
    if (compute === undefined || elements > MAX_ELEMENTS || parts.some(({ data }) => data === null))
      return unknown(dims);
    const columns = parts.map((part) => expandedTo(part, dims).data as Float64Array);
    const data = Float64Array.from({ length: count }, (_, index) =>
      compute(...columns.map((column) => column[index] as number)),
    );
    return { dims, data };
  };

const isInteger = (value: Shaped | undefined): boolean => value?.data?.every(Number.isInteger) ?? false;
/** Integer division truncates; types are not kept, so both operands whole means integers, which is so for shapes. */
const divide: Rule = (inputs, options) =>
  elementwise(isInteger(inputs[0]) && isInteger(inputs[1]) ? (a, b) => Math.trunc(a / b) : (a, b) => a / b)(
    inputs,
    options,
  );

const INTEGER_TYPES = new Set([2, 3, 4, 5, 6, 7, 12, 13]);
const cast: Rule = (inputs, options) => {
  const to = options.int('to', 1);
  return elementwise(to === 9 ? (a) => Number(a !== 0) : INTEGER_TYPES.has(to) ? Math.trunc : (a) => a)(
    inputs,
    options,
  );
};

const same = elementwise();
/** The dimensions of the first input, whatever the others are. */
const likeFirst: Rule = ([value]) => unknown((value as Shaped).dims);

function productDims(a: readonly number[], b: readonly number[]): number[] {
  const left = a.length === 1 ? [1, ...a] : a;
  const right = b.length === 1 ? [...b, 1] : b;
  if (left.at(-1) !== right.at(-2)) throw new RangeError('shapes do not fit');
  const dims = [...broadcast([left.slice(0, -2), right.slice(0, -2)]), left.at(-2) as number, right.at(-1) as number];
  if (b.length === 1) dims.pop();
  if (a.length === 1) dims.splice(dims.length - (b.length === 1 ? 1 : 2), 1);
  return dims;
}

const flipped = (dims: readonly number[], flip: boolean): readonly number[] =>
  flip ? [...dims.slice(0, -2), dims.at(-1) as number, dims.at(-2) as number] : dims;

const matMul: Rule = ([a, b], options) =>
  unknown(
    productDims(
      flipped((a as Shaped).dims, options.int('transA') === 1),
      flipped((b as Shaped).dims, options.int('transB') === 1),
    ),
  );
/** The second factor is input 3: QLinearMatMul(a, a_scale, a_zero, b, …). */
const quantisedMatMul: Rule = (inputs, options) => matMul([inputs[0], inputs[3]], options);
/** Blocks of 4-bit weights: N columns. */
const packedMatMul: Rule = ([a], options) => {
  const columns = options.int('N');
  return columns === undefined ? null : unknown([...(a as Shaped).dims.slice(0, -1), columns]);
};

const einsum: Rule = (inputs, options) => {
  const [left, right] = (options.text('equation') ?? '').replaceAll(' ', '').split('->');
  if (left === undefined || right === undefined || left.includes('.')) return null;
  const sizes = new Map<string, number>();
  left.split(',').forEach((letters, index) => {
    [...letters].forEach((letter, axis) => sizes.set(letter, inputs[index]?.dims[axis] as number));
  });
  return unknown([...right].map((letter) => sizes.get(letter) as number));
};

const reduce: Rule = (inputs, options) => {
  const value = inputs[0] as Shaped;
  const axes = axesOf(inputs, options);
  if (axes === null) return null;
  if ((axes === undefined || axes.length === 0) && options.int('noop_with_empty_axes', 0) === 1) return value;
  const rank = value.dims.length;
  const gone = new Set((axes ?? value.dims.map((_, axis) => axis)).map((axis) => axisOf(axis, rank)));
  const keep = options.int('keepdims', 1) === 1;
  const dims = value.dims.flatMap((dim, axis) => (gone.has(axis) ? (keep ? [1] : []) : [dim]));
  // Shapes are multiplied up by ReduceProd over everything.
  if (options.node.opType !== 'ReduceProd' || gone.size < rank || value.data === null) return unknown(dims);
  return { dims, data: Float64Array.of(value.data.reduce((product, each) => product * each, 1)) };
};

const trilu: Rule = ([value, offset], options) => {
  const { dims, data } = value as Shaped;
  if (data === null) return unknown(dims);
  const rows = dims.at(-2) as number;
  const columns = dims.at(-1) as number;
  const k = offset?.data?.[0] ?? 0;
  const upper = options.int('upper', 1) === 1;
  return {
    dims,
    data: data.map((element, index) => {
      const distance = (index % columns) - (Math.floor(index / columns) % rows) - k;
      return (upper ? distance >= 0 : distance <= 0) ? element : 0;
    }),
  };
};

const range: Rule = ([start, limit, delta]) => {
  const [from, to, by] = [start?.data?.[0], limit?.data?.[0], delta?.data?.[0]];
  if (from === undefined || to === undefined || by === undefined || by === 0) return null;
  const count = Math.max(0, Math.ceil((to - from) / by));
  if (count > MAX_ELEMENTS) return unknown([count]);
  return { dims: [count], data: Float64Array.from({ length: count }, (_, index) => from + index * by) };
};

const filled = (dims: readonly number[], fill: number): Shaped =>
  sizeOf(dims) <= MAX_ELEMENTS ? { dims, data: new Float64Array(sizeOf(dims)).fill(fill) } : unknown(dims);

/** Dimensions of the operators that the lowering takes apart; it needs those of their inputs. */
const heads =
  (widthOf: (inputs: readonly (Shaped | undefined)[], options: Options) => number): Rule =>
  (inputs, options) => {
    const [batch, length] = (inputs[0] as Shaped).dims;
    return unknown([batch as number, length as number, widthOf(inputs, options)]);
  };

const shapeOf: Rule = ([value], options) => {
  const dims = (value as Shaped).dims;
  const part = dims.slice(options.int('start', 0), options.int('end'));
  return { dims: [part.length], data: Float64Array.from(part) };
};

const RULES: ReadonlyMap<string, Rule> = new Map(
  Object.entries<Rule>({
    Reshape: reshape,
    Transpose: ([value], options) =>
      transposed(value as Shaped, options.ints('perm') ?? (value as Shaped).dims.map((_, axis) => axis).reverse()),
    Squeeze: squeeze,
    Unsqueeze: unsqueeze,
    Flatten: flatten,
    Slice: slice,
    Split: split,
    Gather: gather,
    Identity: ([value]) => value as Shaped,
    Dropout: ([value]) => value as Shaped,
    Concat: concat,
    Expand: ([value, shape]) =>
      shape?.data == null ? null : expandedTo(value as Shaped, broadcast([(value as Shaped).dims, [...shape.data]])),
    Tile: ([value, repeats]) =>
      repeats?.data == null
        ? null
        : unknown((value as Shaped).dims.map((dim, axis) => dim * (repeats.data?.[axis] ?? 1))),
    Shape: shapeOf,
    Size: ([value]) => ({ dims: [], data: Float64Array.of(sizeOf((value as Shaped).dims)) }),
    Range: range,
    ConstantOfShape: ([shape], options) => {
      if (shape?.data == null) return null;
      const fill = attributes(options.node).get('value')?.tensor;
      return filled([...shape.data], fill === undefined ? 0 : (inlineElements(fill)?.[0] ?? NaN));
    },
    Cast: cast,
    CastLike: same,
    Add: elementwise((a, b) => a + b),
    Sub: elementwise((a, b) => a - b),
    Mul: elementwise((a, b) => a * b),
    Div: divide,
    Pow: elementwise((a, b) => a ** b),
    Mod: elementwise((a, b) => ((a % b) + b) % b),
    Max: elementwise(Math.max),
    Min: elementwise(Math.min),
    And: elementwise((a, b) => Number(a !== 0 && b !== 0)),
    Or: elementwise((a, b) => Number(a !== 0 || b !== 0)),
    Xor: elementwise((a, b) => Number((a !== 0) !== (b !== 0))),
    Not: elementwise((a) => Number(a === 0)),
    Equal: elementwise((a, b) => Number(a === b)),
    Less: elementwise((a, b) => Number(a < b)),
    LessOrEqual: elementwise((a, b) => Number(a <= b)),
    Greater: elementwise((a, b) => Number(a > b)),
    GreaterOrEqual: elementwise((a, b) => Number(a >= b)),
    Where: elementwise((condition, a, b) => (condition !== 0 ? a : b)),
    Neg: elementwise((a) => -a),
    Abs: elementwise(Math.abs),
    Sign: elementwise(Math.sign),
    Sqrt: elementwise(Math.sqrt),
    Floor: elementwise(Math.floor),
    Ceil: elementwise(Math.ceil),
    Reciprocal: elementwise((a) => 1 / a),
    IsNaN: elementwise((a) => Number(Number.isNaN(a))),
    Sum: same,
    Mean: same,
    PRelu: same,
    MatMul: matMul,
    MatMulInteger: matMul,
    MatMulIntegerToFloat: matMul,
    DynamicQuantizeMatMul: matMul,
    FusedMatMul: matMul,
    Gemm: matMul,
    FusedGemm: matMul,
    QLinearMatMul: quantisedMatMul,
    MatMulNBits: packedMatMul,
    MatMulBnb4: packedMatMul,
    Einsum: einsum,
    Trilu: trilu,
    GatherElements: ([, indices]) => unknown((indices as Shaped).dims),
    GatherND: gatherND,
    GatherBlockQuantized: ([table, ids], options) => {
      // Two 4-bit numbers in a byte, where the table's type has no 4-bit numbers.
      const packed = table?.type === UINT8 && options.int('bits', 4) === 4 ? 2 : 1;
      return unknown([...(ids as Shaped).dims, ((table as Shaped).dims[1] as number) * packed]);
    },
    DynamicQuantizeLinear: ([value]) => [unknown((value as Shaped).dims), unknown([]), unknown([])],
    OneHot: ([indices, depth], options) => {
      if (depth?.data == null) return null;
      const dims = [...(indices as Shaped).dims];
      dims.splice(axisOf(options.int('axis', -1), dims.length + 1), 0, depth.data[0] as number);
      return unknown(dims);
    },
    EmbedLayerNormalization: ([ids, , table, , , , , mask]) => {
      const [batch, length] = (ids as Shaped).dims as [number, number];
      const dims = [batch, length, (table as Shaped).dims[1] as number];
      // Its second output: how many tokens each row has.
      const bits = mask?.data ?? null;
      const lengths =
        bits === null
          ? null
          : Float64Array.from({ length: batch }, (_, row) =>
              bits.subarray(row * length, (row + 1) * length).reduce((sum, bit) => sum + bit, 0),
            );
      return [unknown(dims), { dims: [batch], data: lengths }, unknown(dims)];
    },
    QEmbedLayerNormalization: ([ids, , table]) => {
      const [batch, length] = (ids as Shaped).dims as [number, number];
      return [unknown([batch, length, (table as Shaped).dims[1] as number]), unknown([batch])];
    },
    SkipLayerNormalization: ([value]) => [unknown((value as Shaped).dims), null, null, unknown((value as Shaped).dims)],
    SkipSimplifiedLayerNormalization: ([value]) => [
      unknown((value as Shaped).dims),
      null,
      null,
      unknown((value as Shaped).dims),
    ],
    MultiHeadAttention: heads(([query, , value], options) =>
      query?.dims.length === 5
        ? options.int('num_heads', 1) * (query.dims[4] as number)
        : value?.dims.length === 4
          ? (value.dims[1] as number) * (value.dims[3] as number)
          : ((value ?? query)?.dims[2] as number),
    ),
    GroupQueryAttention: heads(([query, key], options) => {
      const width = query?.dims[2] as number;
      if (key !== undefined) return width;
      const count = options.int('num_heads', 1);
      return (width / (count + 2 * options.int('kv_num_heads', count))) * count;
    }),
    QAttention: heads(([, weights]) => (weights?.dims[1] as number) / 3),
    // Both ai.onnx's and com.microsoft's: told apart by the second input, a matrix of weights in the latter.
    Attention: ([query, second, third], options) => {
      const { dims } = query as Shaped;
      if (options.node.domain !== '') {
        const sizes = options.ints('qkv_hidden_sizes');
        return unknown([
          dims[0] as number,
          dims[1] as number,
          sizes?.[2] ?? ((second as Shaped).dims[1] as number) / 3,
        ]);
      }
      const value = (third as Shaped).dims;
      if (dims.length === 4) return unknown([...dims.slice(0, 3), value[3] as number]);
      const queryHeads = options.int('q_num_heads', 1);
      const width = (value[2] as number) / options.int('kv_num_heads', queryHeads);
      return unknown([dims[0] as number, dims[1] as number, queryHeads * width]);
    },
    ...Object.fromEntries(
      ['ReduceMean', 'ReduceSum', 'ReduceMax', 'ReduceMin', 'ReduceProd', 'ReduceL2', 'ReduceSumSquare'].map((name) => [
        name,
        reduce,
      ]),
    ),
    ...Object.fromEntries(
      [
        ...[
          'Softmax',
          'LogSoftmax',
          'Erf',
          'Tanh',
          'Sigmoid',
          'Relu',
          'Gelu',
          'QuickGelu',
          'FastGelu',
          'BiasGelu',
          'Sin',
          'Cos',
        ],
        ...[
          'Exp',
          'Log',
          'LeakyRelu',
          'Elu',
          'Selu',
          'Softplus',
          'Clip',
          'HardSwish',
          'HardSigmoid',
          'Mish',
          'Round',
          'CumSum',
        ],
        ...[
          'LayerNormalization',
          'SimplifiedLayerNormalization',
          'RMSNormalization',
          'LpNormalization',
          'RotaryEmbedding',
        ],
        ...[
          'QuantizeLinear',
          'DequantizeLinear',
          'ScatterND',
          'ScatterElements',
          'BiasAdd',
          'ThresholdedRelu',
          'Swish',
        ],
      ].map((name) => [name, likeFirst]),
    ),
  }),
);
