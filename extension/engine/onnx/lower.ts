/**
 * Fused operators as the standard ones they are equal to. The anatomy is found in the graph with all of them taken apart; a run
 * takes apart only those inside which a hook or a gate is asked for, so the rest stays fused and fast.
 *
 * Formulas: onnxruntime's ContribOperators.md and the ONNX operator reference (Attention-23/24).
 * Symbols: B batch, S queries, T keys, N heads, K key/value heads, d head width.
 */
import type { Value } from './evaluate';
import type { Wires } from './graph';
import {
  attributes,
  BOOL,
  encodeTensor,
  FLOAT,
  FLOAT16,
  INT64,
  newNode,
  type AttributeValue,
  type GraphNode,
} from './model';

/** What a node becomes. The last one makes the outputs of the node that it replaces. */
export type Lowering = readonly GraphNode[];

/** Opset from which Squeeze and Unsqueeze take their axes as an input. */
const AXES_AS_INPUT = 13;

/** The standard operators that a node is equal to; null when it is not a fused operator, or a form of it that is not known. */
export function lowered(
  node: GraphNode,
  wires: Wires,
  values: ReadonlyMap<string, Value>,
  opset: number,
): Lowering | null {
  const lower = LOWERINGS[`${node.domain}/${node.opType}`];
  return lower === undefined ? null : lower(new Builder(node, wires, values, opset));
}

/** Writes the nodes that replace one. */
class Builder {
  private readonly nodes: GraphNode[] = [];

  /** Element type of the activations. */
  private readonly type: number;

  constructor(
    readonly node: GraphNode,
    private readonly wires: Wires,
    private readonly values: ReadonlyMap<string, Value>,
    private readonly opset: number,
  ) {
    this.type = values.get(node.outputs[0] ?? '')?.type ?? FLOAT;
  }

  /** Added to the scores of keys that must not be seen: their softmax is 0, and differences of such rows stay finite. */
  get masked(): number {
    return this.type === FLOAT16 ? -3e4 : -1e30;
  }

  /** A product with a weight, before its bias. */
  isProduct(name: string): boolean {
    const maker = this.wires.maker(this.wires.origin(name, ({ opType }) => /^(Reshape|Cast)$/.test(opType)));
    return maker !== undefined && /MatMul|Gemm/.test(maker.opType);
  }

  isBoolean(name: string): boolean {
    return this.values.get(name)?.type === BOOL;
  }

  input(index: number): string | undefined {
    const name = this.node.inputs[index];
    return name === '' ? undefined : name;
  }

  output(index: number): string | undefined {
    const name = this.node.outputs[index];
    return name === '' ? undefined : name;
  }

  dims(name: string | undefined): readonly number[] | undefined {
    return name === undefined ? undefined : this.values.get(name)?.dims;
  }

  int(name: string, fallback: number): number {
    return attributes(this.node).get(name)?.int ?? fallback;
  }

  ints(name: string): readonly number[] | undefined {
    return attributes(this.node).get(name)?.ints;
  }

  float(name: string, fallback: number): number {
    return attributes(this.node).get(name)?.float ?? fallback;
  }

  /** Adds a node with one output and gives its name. */
  add(
    opType: string,
    inputs: readonly string[],
    options: Readonly<Record<string, AttributeValue>> = {},
    { output, domain = '' }: { output?: string | undefined; domain?: string } = {},
  ): string {
    const name = output ?? `onnx_lens.${this.node.outputs.find((each) => each !== '') ?? ''}.${this.nodes.length}`;
    this.nodes.push(newNode(opType, inputs, [name], options, domain));
    return name;
  }

  integers(values: readonly number[], scalar = false): string {
    return this.add('Constant', [], { value: encodeTensor(INT64, scalar ? [] : [values.length], values) });
  }

  /** A scalar of the activations' type. */
  number(value: number): string {
    const single = this.add('Constant', [], { value: encodeTensor(FLOAT, [], [value]) });
    return this.type === FLOAT ? single : this.add('Cast', [single], { to: this.type });
  }

  reshape(value: string, dims: readonly number[], output?: string): string {
    return this.add('Reshape', [value, this.integers(dims)], {}, { output });
  }

  transpose(value: string, perm: readonly number[]): string {
    return this.add('Transpose', [value], { perm });
  }

  slice(value: string, axis: number, start: number, end: number): string {
    return this.add('Slice', [value, this.integers([start]), this.integers([end]), this.integers([axis])]);
  }

  unsqueeze(value: string, axes: readonly number[]): string {
    return this.opset < AXES_AS_INPUT
      ? this.add('Unsqueeze', [value], { axes })
      : this.add('Unsqueeze', [value, this.integers(axes)]);
  }

  /** One dimension of a value as an int64 scalar. */
  size(value: string, axis: number): string {
    return this.add('Gather', [this.add('Shape', [value]), this.integers([axis], true)], { axis: 0 });
  }

  range(from: string, to: string): string {
    return this.add('Range', [from, to, this.integers([1], true)]);
  }

  done(): Lowering {
    return this.nodes;
  }
}

/** More than any model has of heads, or a head of columns. */
const MAX_HEADS = 1 << 16;

/** Numbers of heads and their widths: whole, and of a size that can be written into a graph. */
const areHeads = (...counts: readonly number[]): boolean =>
  counts.every((count) => Number.isInteger(count) && count > 0 && count <= MAX_HEADS);

interface Heads {
  /** [B,N,S,d]. */
  query: string;
  /** [B,K,T,d]; T counts what a cache brings. */
  key: string;
  value: string;
  queryHeads: number;
  keyHeads: number;
  scale: number;
  softcap?: number;
  causal?: boolean;
  /** Keys farther back than that are not seen; below 1: no limit. */
  window?: number;
  /** Added to the scores; broadcast to [B,N,S,T]. */
  biases: string[];
  /** Rows without any visible key give 0 instead of a mean (ai.onnx). */
  zeroWhenBlind?: boolean;
}

/** softmax(scale·q·kᵀ + biases)·v. Gives z [B,N,S,d]; the product that it comes from reads the pattern. */
function attend(b: Builder, heads: Heads): string {
  const { queryHeads, keyHeads } = heads;
  const key = repeatHeads(b, heads.key, queryHeads / keyHeads, queryHeads);
  const value = repeatHeads(b, heads.value, queryHeads / keyHeads, queryHeads);
  let scores = b.add('MatMul', [heads.query, b.transpose(key, [0, 1, 3, 2])]);
  scores = b.add('Mul', [scores, b.number(heads.scale)]);
  if (heads.softcap !== undefined && heads.softcap > 0) {
    const cap = b.number(heads.softcap);
    scores = b.add('Mul', [b.add('Tanh', [b.add('Div', [scores, cap])]), cap]);
  }
  for (const bias of heads.biases) scores = b.add('Add', [scores, bias]);
  if (heads.causal === true || (heads.window ?? 0) > 0) scores = b.add('Add', [scores, nearMask(b, heads)]);
  let pattern = b.add('Softmax', [scores], { axis: 3 });
  if (heads.zeroWhenBlind === true) {
    // The largest score of such a row is the mask's own number.
    const top = b.add('ReduceMax', b.node.domain === '' ? [scores, b.integers([3])] : [scores], { keepdims: 1 });
    const blind = b.add('Less', [top, b.number(b.masked / 2)]);
    pattern = b.add('Where', [blind, b.number(0), pattern]);
  }
  return b.add('MatMul', [pattern, value]);
}

/** [B,K,T,d] → [B,K·times,T,d], each head `times` times in a row. */
function repeatHeads(b: Builder, value: string, times: number, total: number): string {
  if (times === 1) return value;
  // Repeating by Concat needs no run-time shape: [B,K,1,T,d] × times → [B,K,times,T,d] → [B,N,T,d].
  const single = b.unsqueeze(value, [2]);
  const repeated = b.add('Concat', new Array<string>(times).fill(single), { axis: 2 });
  const shape = b.add('Shape', [value]);
  const target = b.add('Concat', [b.slice(shape, 0, 0, 1), b.integers([total]), b.slice(shape, 0, 2, 4)], { axis: 0 });
  return b.add('Reshape', [repeated, target]);
}

/** 0 where query i may see key j, by position alone. [S,T]. Queries are the last S of the T positions. */
function nearMask(b: Builder, { query, key, causal, window = 0 }: Heads): string {
  const zero = b.integers([0], true);
  const queries = b.size(query, 2);
  const keys = b.size(key, 2);
  const columns = b.unsqueeze(b.range(zero, keys), [0]);
  const rows = b.unsqueeze(b.range(b.add('Sub', [keys, queries]), keys), [1]);
  let hidden: string | undefined;
  if (causal === true) hidden = b.add('Greater', [columns, rows]);
  if (window > 0) {
    const far = b.add('Less', [columns, b.add('Sub', [rows, b.integers([window - 1], true)])]);
    hidden = hidden === undefined ? far : b.add('Or', [hidden, far]);
  }
  return b.add('Where', [hidden as string, b.number(b.masked), b.number(0)]);
}

/** 0 where a key may be seen, `filter` where not: from a mask (1 = keep) of any element type. */
function filterMask(b: Builder, mask: string, filter: number, axes: readonly number[]): string {
  const keep = b.add('Cast', [mask], { to: 9 });
  const bias = b.add('Where', [keep, b.number(0), b.number(filter)]);
  return axes.length === 0 ? bias : b.unsqueeze(bias, axes);
}

/** [B] numbers of keys that may be seen, counted from the left → [B,1,1,T]. */
function lengthMask(b: Builder, lengths: string, key: string, filter: number): string {
  const columns = b.unsqueeze(b.range(b.integers([0], true), b.size(key, 2)), [0]);
  const limit = b.unsqueeze(b.add('Cast', [lengths], { to: INT64 }), [1]);
  return filterMask(b, b.add('Less', [columns, limit]), filter, [1, 2]);
}

/** [B,S,N·d] → [B,N,S,d]. */
const splitHeads = (b: Builder, value: string, count: number, width: number): string =>
  b.transpose(b.reshape(value, [0, 0, count, width]), [0, 2, 1, 3]);

/** [B,N,S,d] → [B,S,N·d], under the name of the node's first output. */
const mergeHeads = (b: Builder, value: string, width: number): string =>
  b.reshape(b.transpose(value, [0, 2, 1, 3]), [0, 0, width], b.output(0));

/** Key or value after what a cache [B,K,P,d] holds; under the name of the output that continues the cache. */
function withPast(b: Builder, past: string | undefined, present: string, output: string | undefined): string {
  if (past !== undefined) return b.add('Concat', [past, present], { axis: 2 }, { output });
  return output === undefined ? present : b.add('Identity', [present], {}, { output });
}

/** com.microsoft Attention and its quantised form: one product makes q, k and v. */
function packedAttention(
  b: Builder,
  product: string,
  mask: string | undefined,
  past: string | undefined,
  bias?: string,
): Lowering | null {
  const count = b.int('num_heads', 0);
  const width = b.dims(b.node.inputs[1])?.[1];
  const sizes = b.ints('qkv_hidden_sizes') ?? (width === undefined ? undefined : [width / 3, width / 3, width / 3]);
  // Rotary positions inside: no exporter in use writes them.
  if (count === 0 || sizes === undefined || b.int('do_rotary', 0) === 1) return null;
  const [q, k, v] = sizes as [number, number, number];
  if (!areHeads(count, q / count, k / count, v / count)) return null;
  const query = splitHeads(b, b.slice(product, 2, 0, q), count, q / count);
  // The cache [2,B,N,P,d] holds keys, then values.
  const cached = (value: string, index: number): string =>
    past === undefined
      ? value
      : b.add('Concat', [b.add('Gather', [past, b.integers([index], true)], { axis: 0 }), value], { axis: 2 });
  const key = cached(splitHeads(b, b.slice(product, 2, q, q + k), count, k / count), 0);
  const value = cached(splitHeads(b, b.slice(product, 2, q + k, q + k + v), count, v / count), 1);
  const present = b.output(1);
  if (present !== undefined)
    b.add('Concat', [b.unsqueeze(key, [0]), b.unsqueeze(value, [0])], { axis: 0 }, { output: present });
  const biases = bias === undefined ? [] : [bias];
  const filter = b.float('mask_filter_value', -10000);
  const keys = maskBias(b, mask, key, filter);
  if (keys === null) return null;
  if (keys !== undefined) biases.push(keys);
  const z = attend(b, {
    query,
    key,
    value,
    queryHeads: count,
    keyHeads: count,
    scale: b.float('scale', 0) || 1 / Math.sqrt(q / count),
    causal: b.int('unidirectional', 0) === 1,
    biases,
  });
  mergeHeads(b, z, v);
  return b.done();
}

/** A mask of the com.microsoft operators as something to add to the scores; null for forms that are not known. */
function maskBias(b: Builder, mask: string | undefined, key: string, filter: number): string | undefined | null {
  if (mask === undefined) return undefined;
  const dims = b.dims(mask);
  if (dims?.length === 2) return filterMask(b, mask, filter, [1, 2]);
  if (dims?.length === 3) return filterMask(b, mask, filter, [1]);
  // One number a row: how many keys it has. Two (start and end) or three a row are other forms.
  const batch = b.dims(b.node.inputs[0])?.[0];
  return dims?.length === 1 && dims[0] === batch ? lengthMask(b, mask, key, filter) : null;
}

const attention = (b: Builder): Lowering | null => {
  const [input, weights] = b.node.inputs as [string, string];
  let product = b.add('MatMul', [input, weights]);
  const bias = b.input(2);
  if (bias !== undefined) product = b.add('Add', [product, bias]);
  return packedAttention(b, product, b.input(3), b.input(4), b.input(5));
};

const quantisedAttention = (b: Builder): Lowering | null => {
  const [input, weights, bias, inputScale, weightScale, mask, inputZero, weightZero, past] = Array.from(
    { length: 9 },
    (_, index) => b.input(index),
  );
  if (input === undefined || weights === undefined || inputScale === undefined || weightScale === undefined)
    return null;
  const axis = (b.dims(weightScale)?.length ?? 0) > 0 ? { axis: 1 } : {};
  const data = b.add('DequantizeLinear', [input, inputScale, ...(inputZero === undefined ? [] : [inputZero])]);
  const matrix = b.add(
    'DequantizeLinear',
    [weights, weightScale, ...(weightZero === undefined ? [] : [weightZero])],
    axis,
  );
  let product = b.add('MatMul', [data, matrix]);
  if (bias !== undefined) product = b.add('Add', [product, bias]);
  return packedAttention(b, product, mask, past);
};

const multiHeadAttention = (b: Builder): Lowering | null => {
  const count = b.int('num_heads', 0);
  const queryDims = b.dims(b.input(0));
  // Packed as [B,S,N,3,d], or with key and value together: kernels for GPUs only.
  if (count === 0 || queryDims?.length !== 3 || b.input(1) === undefined || b.input(2) === undefined) return null;
  const hidden = queryDims[2] as number;
  const width = hidden / count;
  const keyDims = b.dims(b.input(1));
  const bias = b.input(3);
  const part = (index: number, start: number, size: number): string => {
    const value = b.input(index) as string;
    return bias === undefined ? value : b.add('Add', [value, b.slice(bias, 0, start, start + size)]);
  };
  // Of a cross-attention the keys may come as heads already.
  const asHeads = (index: number, start: number, size: number): string =>
    b.dims(b.input(index))?.length === 4
      ? (b.input(index) as string)
      : splitHeads(b, part(index, start, size), count, size / count);
  const valueWidth = b.dims(b.input(2))?.length === 4 ? hidden : (b.dims(b.input(2))?.[2] ?? hidden);
  if (keyDims === undefined || !areHeads(count, width, valueWidth)) return null;
  const query = splitHeads(b, part(0, 0, hidden), count, width);
  const key = withPast(b, b.input(6), asHeads(1, hidden, hidden), b.output(1));
  const value = withPast(b, b.input(7), asHeads(2, 2 * hidden, valueWidth), b.output(2));
  const biases: string[] = [];
  const bias4 = b.input(5);
  if (bias4 !== undefined) biases.push(bias4);
  const keys = maskBias(b, b.input(4), key, b.float('mask_filter_value', -10000));
  if (keys === null || b.output(3) !== undefined) return null;
  if (keys !== undefined) biases.push(keys);
  const z = attend(b, {
    query,
    key,
    value,
    queryHeads: count,
    keyHeads: count,
    scale: b.float('scale', 0) || 1 / Math.sqrt(width),
    causal: b.int('unidirectional', 0) === 1,
    biases,
  });
  mergeHeads(b, z, valueWidth);
  return b.done();
};

const groupQueryAttention = (b: Builder): Lowering | null => {
  const count = b.int('num_heads', 0);
  const groups = b.int('kv_num_heads', count);
  const queryDims = b.dims(b.input(0));
  if (count === 0 || queryDims?.length !== 3 || b.int('smooth_softmax', 0) === 1 || b.input(11) !== undefined)
    return null;
  const packed = b.input(1) === undefined;
  const width = (queryDims[2] as number) / (packed ? count + 2 * groups : count);
  if (!areHeads(count, groups, count / groups, width)) return null;
  const cut = (start: number, size: number): string =>
    b.slice(b.input(0) as string, 2, start * width, (start + size) * width);
  const past = b.input(3);
  const rotated = (value: string): string => {
    const [cos, sin] = [b.input(7), b.input(8)];
    if (b.int('do_rotary', 0) !== 1 || cos === undefined || sin === undefined) return value;
    // A single position: where the first query stands.
    const first = past === undefined ? b.integers([0]) : b.reshape(b.size(past, 2), [1]);
    return b.add(
      'RotaryEmbedding',
      [value, first, cos, sin],
      { interleaved: b.int('rotary_interleaved', 0), ...rotaryWidth(b, cos, width) },
      { domain: 'com.microsoft' },
    );
  };
  const query = rotated(splitHeads(b, packed ? cut(0, count) : (b.input(0) as string), count, width));
  const ownKey = rotated(splitHeads(b, packed ? cut(count, groups) : (b.input(1) as string), groups, width));
  const ownValue = splitHeads(b, packed ? cut(count + groups, groups) : (b.input(2) as string), groups, width);
  const key = withPast(b, past, ownKey, b.output(1));
  const value = withPast(b, b.input(4), ownValue, b.output(2));
  const biases: string[] = [];
  const bias = b.input(10);
  if (bias !== undefined) biases.push(bias);
  // The last key of each row; what is behind it is padding.
  const last = b.input(5);
  if (last !== undefined) {
    const lengths = b.add('Add', [b.reshape(b.add('Cast', [last], { to: INT64 }), [-1]), b.integers([1])]);
    biases.push(lengthMask(b, lengths, key, b.masked));
  }
  if (b.output(3) !== undefined) return null;
  const z = attend(b, {
    query,
    key,
    value,
    queryHeads: count,
    keyHeads: groups,
    scale: b.float('scale', 0) || 1 / Math.sqrt(width),
    softcap: b.float('softcap', 0),
    causal: true,
    window: b.int('local_window_size', -1),
    biases,
  });
  mergeHeads(b, z, count * width);
  return b.done();
};

/** Rotary positions on a part of each head: the cache [positions, r/2] is narrower than the head. */
function rotaryWidth(b: Builder, cos: string, width: number): Record<string, number> {
  const rotary = 2 * (b.dims(cos)?.[1] ?? width / 2);
  return rotary < width ? { rotary_embedding_dim: rotary, num_heads: b.int('num_heads', 0) } : {};
}

/** ai.onnx Attention-23: q, k, v as heads [B,N,S,d], or merged [B,S,N·d] with the numbers of heads as attributes. */
const standardAttention = (b: Builder): Lowering | null => {
  const queryDims = b.dims(b.input(0));
  const keyDims = b.dims(b.input(1));
  const valueDims = b.dims(b.input(2));
  if (queryDims === undefined || keyDims === undefined || valueDims === undefined || b.output(3) !== undefined)
    return null;
  const merged = queryDims.length === 3;
  const count = merged ? b.int('q_num_heads', 0) : (queryDims[1] as number);
  const groups = merged ? b.int('kv_num_heads', count) : (keyDims[1] as number);
  if (count === 0 || groups === 0 || b.input(6) !== undefined) return null;
  const width = merged ? (queryDims[2] as number) / count : (queryDims[3] as number);
  const valueWidth = merged ? (valueDims[2] as number) / groups : (valueDims[3] as number);
  if (!areHeads(count, groups, count / groups, width, valueWidth)) return null;
  const asHeads = (index: number, heads: number, each: number): string =>
    merged ? splitHeads(b, b.input(index) as string, heads, each) : (b.input(index) as string);
  const query = asHeads(0, count, width);
  const key = withPast(b, b.input(4), asHeads(1, groups, width), b.output(1));
  const value = withPast(b, b.input(5), asHeads(2, groups, valueWidth), b.output(2));
  const mask = b.input(3);
  const biases: string[] = [];
  // True keeps; a float is added.
  const keeps = mask !== undefined && b.isBoolean(mask);
  if (mask !== undefined) biases.push(keeps ? filterMask(b, mask, b.masked, []) : mask);
  const z = attend(b, {
    query,
    key,
    value,
    queryHeads: count,
    keyHeads: groups,
    scale: b.float('scale', 0) || 1 / Math.sqrt(width),
    softcap: b.float('softcap', 0),
    causal: b.int('is_causal', 0) === 1,
    biases,
    zeroWhenBlind: keeps,
  });
  if (merged) mergeHeads(b, z, count * valueWidth);
  else b.add('Identity', [z], {}, { output: b.output(0) });
  return b.done();
};

const skipNorm =
  (norm: 'LayerNormalization' | 'SimplifiedLayerNormalization') =>
  (b: Builder): Lowering | null => {
    const simplified = norm === 'SimplifiedLayerNormalization';
    const [input, skip, gamma] = b.node.inputs as [string, string, string];
    const beta = simplified ? undefined : b.input(3);
    const bias = b.input(simplified ? 3 : 4);
    // Mean and deviation as outputs are for training.
    if (b.output(1) !== undefined || b.output(2) !== undefined) return null;
    // The bias is that of the linear layer whose product comes in, at either place.
    const [product, stream] = b.isProduct(skip) && !b.isProduct(input) ? [skip, input] : [input, skip];
    const branch = bias === undefined ? product : b.add('Add', [product, bias]);
    const sum = b.add('Add', [branch, stream], {}, { output: b.output(3) });
    const options = { axis: -1, epsilon: { float: b.float('epsilon', 1e-12) } };
    b.add(norm, beta === undefined ? [sum, gamma] : [sum, gamma, beta], options, { output: b.output(0) });
    return b.done();
  };

const withBias =
  (activation: string) =>
  (b: Builder): Lowering | null => {
    const [input, bias] = [b.input(0) as string, b.input(1)];
    if (bias === undefined) return null;
    b.add(activation, [b.add('Add', [input, bias])], {}, { output: b.output(0), domain: 'com.microsoft' });
    return b.done();
  };

/** Gemm with an activation of its own. */
const fusedGemm = (b: Builder): Lowering | null => {
  const activation = attributes(b.node).get('activation')?.text ?? '';
  if (!/^(Relu|Tanh|Sigmoid)$/.test(activation)) return null;
  const product = b.add('Gemm', b.node.inputs, {
    alpha: { float: b.float('alpha', 1) },
    beta: { float: b.float('beta', 1) },
    transA: b.int('transA', 0),
    transB: b.int('transB', 0),
  });
  b.add(activation, [product], {}, { output: b.output(0) });
  return b.done();
};

/** A product of two tensors by letters (Keras writes attention so) as MatMul between transpositions. */
const einsum = (b: Builder): Lowering | null => {
  const [inputs, output] = (attributes(b.node).get('equation')?.text ?? '').replaceAll(' ', '').split('->');
  const [left, right] = inputs?.split(',') ?? [];
  const [first, second] = b.node.inputs;
  if (!left || !right || !output || first === undefined || second === undefined || `${left}${right}`.includes('.'))
    return null;
  const both = [...left].filter((letter) => right.includes(letter));
  const summed = both.filter((letter) => !output.includes(letter));
  const shared = both.filter((letter) => output.includes(letter));
  const leftOnly = [...left].filter((letter) => !both.includes(letter));
  const rightOnly = [...right].filter((letter) => !both.includes(letter));
  const sizes = new Map<string, number>();
  [...right].forEach((letter, axis) => sizes.set(letter, b.dims(second)?.[axis] ?? NaN));
  const size = (letters: readonly string[]): number =>
    letters.reduce((product, letter) => product * (sizes.get(letter) as number), 1);
  // A letter of one factor alone that is summed, twice in a factor, or of unknown size: no product that is met here.
  const isPlain = new Set(left).size === left.length && new Set(right).size === right.length;
  if (!isPlain || [...leftOnly, ...rightOnly].some((letter) => !output.includes(letter))) return null;
  if ([...sizes.values()].some(Number.isNaN)) return null;
  const isWeight = shared.length === 0 && left.endsWith(summed.join('')) && right.startsWith(summed.join(''));
  if (isWeight && leftOnly.length === 2 && output === [...leftOnly, ...rightOnly].join('')) {
    // x [B,T,…]·W: a linear layer whose data or result is parted into heads
    const data = summed.length === 1 ? first : b.reshape(first, [0, 0, size(summed)]);
    const weight = b.reshape(second, [size(summed), size(rightOnly)]);
    if (rightOnly.length === 1) b.add('MatMul', [data, weight], {}, { output: b.output(0) });
    else
      b.reshape(
        b.add('MatMul', [data, weight]),
        [0, 0, ...rightOnly.map((letter) => sizes.get(letter) as number)],
        b.output(0),
      );
    return b.done();
  }
  if (summed.length !== 1 || leftOnly.length !== 1 || rightOnly.length !== 1) return null;
  // The factor whose own axis comes first in the output is the left one.
  const swapped = output.indexOf(rightOnly[0] as string) < output.indexOf(leftOnly[0] as string);
  const [a, c] = swapped
    ? [
        { name: second, letters: right },
        { name: first, letters: left },
      ]
    : [
        { name: first, letters: left },
        { name: second, letters: right },
      ];
  const [rows, columns] = swapped ? [rightOnly, leftOnly] : [leftOnly, rightOnly];
  const inOrder = (factor: { name: string; letters: string }, order: readonly string[]): string =>
    order.join('') === factor.letters
      ? factor.name
      : b.transpose(
          factor.name,
          order.map((letter) => factor.letters.indexOf(letter)),
        );
  const x = inOrder(a, [...shared, ...rows, ...summed]);
  const y = inOrder(c, [...shared, ...summed, ...columns]);
  const product = [...shared, ...rows, ...columns];
  if (product.join('') === output) b.add('MatMul', [x, y], {}, { output: b.output(0) });
  else {
    const perm = [...output].map((letter) => product.indexOf(letter));
    b.add('Transpose', [b.add('MatMul', [x, y])], { perm }, { output: b.output(0) });
  }
  return b.done();
};

const LOWERINGS: Readonly<Record<string, (b: Builder) => Lowering | null>> = {
  'com.microsoft/Attention': attention,
  'com.microsoft/QAttention': quantisedAttention,
  'com.microsoft/MultiHeadAttention': multiHeadAttention,
  'com.microsoft/GroupQueryAttention': groupQueryAttention,
  '/Attention': standardAttention,
  '/Einsum': einsum,
  'com.microsoft/FusedGemm': fusedGemm,
  'com.microsoft/SkipLayerNormalization': skipNorm('LayerNormalization'),
  'com.microsoft/SkipSimplifiedLayerNormalization': skipNorm('SimplifiedLayerNormalization'),
  'com.microsoft/BiasGelu': withBias('Gelu'),
  'com.microsoft/FastGelu': withBias('FastGelu'),
};
