/**
 * A value at some tokens only, [B,M,…] instead of [B,T,…], computed without the rest of the last block: from keys and values on every
 * token goes its own way. Beside the graph a second one is made, of copies of the last block's operators that read what is gathered:
 *
 *     queries [B,H,T,d] → gather [B,H,M,d] → · keysᵀ → softmax → · values → … + gather(stream) [B,M,D] → … → [B,M,D]
 *
 * The walk begins at the value that is wanted and goes back as long as operators treat tokens alike. Where one does not, or where all
 * tokens are needed anyway (what keys and values are made of, and all below), its result is gathered. So whatever the graph looks
 * like, the numbers are those of the whole; the less of it is known, the less is spared.
 */
import type { Anatomy } from '../anatomy/anatomy';
import { isActivationProduct, type Subject } from '../anatomy/subject';
import { attributes, encodeTensor, INT64, newNode, outerValues, renamed, sizeOf, type GraphNode } from '../onnx/model';

/** Int64 [B,M]: the tokens wanted of each text. */
export const POSITIONS_INPUT = 'onnx_lens.positions';

/** Linear layers whose result for a row depends on that row alone (so not DynamicQuantizeMatMul); data is input 0. */
export const LINEAR: ReadonlySet<string> = new Set([
  'MatMul',
  'Gemm',
  'FusedMatMul',
  'FusedGemm',
  'MatMulNBits',
  'MatMulBnb4',
  'MatMulInteger',
  'MatMulIntegerToFloat',
  'QLinearMatMul',
]);
const ELEMENTWISE = new Set([
  ...['Add', 'Sub', 'Mul', 'Div', 'Pow', 'Max', 'Min', 'Where', 'Cast', 'Identity', 'Neg', 'Reciprocal', 'Sqrt', 'Exp'],
  ...['Erf', 'Tanh', 'Sigmoid', 'Relu', 'LeakyRelu', 'Elu', 'Softplus', 'Gelu', 'FastGelu', 'BiasGelu', 'QuickGelu'],
]);
const NORMS = new Set(['LayerNormalization', 'SimplifiedLayerNormalization', 'RMSNormalization']);
const SKIP_NORMS = new Set(['SkipLayerNormalization', 'SkipSimplifiedLayerNormalization']);
const REDUCTIONS = new Set(['ReduceMean', 'ReduceSum', 'ReduceMax']);
/** Before, GatherND takes no batch axis. */
const LEAST_OPSET = 12;
/** Before, softmax joined all axes from its own on, and Unsqueeze and Squeeze had their axes as attributes. */
const NEWER_FORMS = 13;
/** Operators one behind the other; a block has far fewer. */
const MOST_STEPS = 400;

/** Nodes that make `value` [B,M,…], or [B·M,…] of [B·T,…]; what they read is of the graph with fused operators taken apart. */
export interface AtTokens {
  nodes: readonly GraphNode[];
  value: string;
  /** The value of the graph that it is at all tokens. */
  of: string;
}

/** `wanted` at `POSITIONS_INPUT`; null where nothing of the last block can be spared. */
export function atTokens({ subject, blocks, cross }: Anatomy, wanted: string): AtTokens | null {
  const last = blocks.at(-1);
  if (last === undefined || cross.length > 0 || subject.opset < LEAST_OPSET) return null;
  const { wires } = subject;
  const { pattern, scoring } = last.attention;
  const mixing = wires.readers(pattern).find((node) => isActivationProduct(wires, node) && node.inputs[0] === pattern);
  const keys = wires.maker(scoring)?.inputs[1];
  const values = mixing?.inputs[1];
  if (keys === undefined || values === undefined) return null;
  const copies = new Copies(subject, madeFrom(subject, last.residPre), makersOf(subject, [keys, values]));
  const dims = subject.values.get(wanted)?.dims ?? [];
  const value = copies.copyOf(wanted, dims[0] === subject.batch && dims[1] === subject.length ? 1 : 0, 0);
  return value === null ? null : { nodes: copies.nodes, value, of: wanted };
}

/** What is computed from a value. */
function madeFrom({ wires }: Subject, value: string): Set<string> {
  const found = new Set([value]);
  for (const name of found)
    for (const { outputs } of wires.readers(name)) for (const output of outputs) if (output !== '') found.add(output);
  found.delete(value);
  return found;
}

/** Values and what they are computed from; of an operator one result comes with all. */
function makersOf({ wires }: Subject, values: readonly string[]): Set<string> {
  const found = new Set(values);
  for (const name of found) {
    const maker = wires.maker(name);
    if (maker === undefined) continue;
    for (const value of [...maker.outputs, ...maker.inputs, ...outerValues(maker)]) if (value !== '') found.add(value);
  }
  return found;
}

/** Axis 0 stands for the rows of all texts, [B·T,…]; otherwise axis 0 is that of the texts and `axis` that of the tokens. */
class Copies {
  readonly nodes: GraphNode[] = [];
  private readonly known = new Map<string, string | null>();
  private names = 0;

  constructor(
    private readonly subject: Subject,
    /** What lies behind the stream before the last block: only there something is spared. */
    private readonly behind: ReadonlySet<string>,
    /** What is needed of all tokens. */
    private readonly whole: ReadonlySet<string>,
  ) {}

  /** A value computed by a copy of its maker. Null: it is made in a way that does not treat tokens alike, or is there anyway. */
  copyOf(value: string, axis: number, step: number): string | null {
    const { wires } = this.subject;
    const node = wires.maker(value);
    if (node === undefined || step > MOST_STEPS || !this.behind.has(value) || this.whole.has(value)) return null;
    if (!this.hasTokens(value, axis)) return null;
    const inputs = this.inputsOf(node, value, axis, step + 1);
    if (inputs === null) return null;
    const copied = (name: string): string => (name === '' ? '' : `onnx_lens.tokens${axis}.${name}`);
    const names = new Map([
      ...node.inputs.map((input, at): [string, string] => [input, inputs[at] ?? '']),
      ...node.outputs.map((output): [string, string] => [output, copied(output)]),
    ]);
    this.nodes.push(
      node.opType === 'Reshape'
        ? newNode('Reshape', inputs, node.outputs.map(copied))
        : renamed(node, (name) => names.get(name) ?? copied(name), new Map()),
    );
    for (const output of node.outputs) this.known.set(`${axis} ${output}`, copied(output));
    return copied(value);
  }

  /** A value at the tokens wanted, copied or gathered; it keeps its rank. Null: neither can be done. */
  private at(value: string, axis: number, step: number): string | null {
    const key = `${axis} ${value}`;
    const known = this.known.get(key);
    if (known !== undefined) return known;
    const name = this.copyOf(value, axis, step) ?? this.gathered(value, axis, this.dims(value)?.length ?? 0);
    this.known.set(key, name);
    return name;
  }

  private dims(value: string | undefined): readonly number[] | undefined {
    return this.subject.values.get(value ?? '')?.dims;
  }

  private hasTokens(value: string | undefined, axis: number): boolean {
    const { batch, length } = this.subject;
    const dims = this.dims(value);
    return axis === 0 ? dims?.[0] === batch * length : dims?.[0] === batch && dims[axis] === length;
  }

  /** What a copy of the node reads, so that its result `value` has the tokens wanted on `axis`. */
  private inputsOf(node: GraphNode, value: string, axis: number, step: number): string[] | null {
    const { opType, inputs } = node;
    const [data = '', ...others] = inputs;
    const rank = this.dims(value)?.length ?? 0;
    const rest = (from: string | null): string[] | null => (from === null ? null : [from, ...others]);
    /** Data of the same rank whose axes are those of the result; all else is constant. */
    const alone = (): string[] | null =>
      this.dims(data)?.length === rank && others.every((other) => this.isFixed(other))
        ? rest(this.at(data, axis, step))
        : null;
    const options = attributes(node);
    const from = (at: number): number => (at < 0 ? at + rank : at);
    if (ELEMENTWISE.has(opType)) return all(inputs.map((input) => this.operand(input, value, axis, step)));
    if (LINEAR.has(opType)) return this.linearInputs(node, rank, axis, step);
    if (NORMS.has(opType)) return from(options.get('axis')?.int ?? -1) > axis ? alone() : null;
    if (SKIP_NORMS.has(opType)) {
      const [, skip = '', ...fixed] = inputs;
      const both = all([data, skip].map((input) => (this.hasTokens(input, axis) ? this.at(input, axis, step) : null)));
      return both !== null && fixed.every((input) => this.isFixed(input)) ? [...both, ...fixed] : null;
    }
    if (opType === 'Softmax') {
      const own = from(options.get('axis')?.int ?? (this.subject.opset < NEWER_FORMS ? 1 : -1));
      return own === rank - 1 && axis !== own ? alone() : null;
    }
    if (REDUCTIONS.has(opType)) {
      const axes = options.get('axes')?.ints ?? this.subject.wires.elements(others[0]);
      const isKept = (options.get('keepdims')?.int ?? 1) === 1;
      return axes != null && isKept && [...axes].every((each) => from(each) > axis) ? alone() : null;
    }
    if (opType === 'Split' || opType === 'Concat') {
      if (from(options.get('axis')?.int ?? 0) <= axis) return null;
      return opType === 'Split'
        ? alone()
        : all(inputs.map((input) => (this.hasTokens(input, axis) ? this.at(input, axis, step) : null)));
    }
    if (opType === 'Slice') {
      const axes = this.subject.wires.elements(inputs[3]);
      return axes !== null && [...axes].every((each) => from(each) > axis) ? alone() : null;
    }
    if (opType === 'Transpose') {
      const permutation = options.get('perm')?.ints;
      const source = permutation?.[axis];
      // Texts stay first.
      return source === undefined || axis === 0 || permutation?.[0] !== 0 ? null : rest(this.at(data, source, step));
    }
    return opType === 'Reshape' ? this.reshapeInputs(data, value, axis, step) : null;
  }

  private isFixed(input: string): boolean {
    return this.subject.wires.isConstant(input) || sizeOf(this.dims(input) ?? [0]) === 1;
  }

  /** One of several factors, addends … that are spread over each other's axes from the last one on. */
  private operand(input: string, value: string, axis: number, step: number): string | null {
    const dims = this.dims(input);
    const result = this.dims(value);
    if (input === '') return '';
    if (dims === undefined || result === undefined) return null;
    const own = axis - (result.length - dims.length);
    if (own < 0 || dims[own] === 1) return input;
    if (dims.length === result.length && dims[0] === result[0]) return this.at(input, axis, step);
    return axis === 0 ? null : this.gathered(input, own, result.length);
  }

  private linearInputs(node: GraphNode, rank: number, axis: number, step: number): string[] | null {
    const [data = '', matrix = '', ...others] = node.inputs;
    const options = attributes(node);
    const isTurned = ['transA', 'transBatchA', 'transBatchB'].some((name) => options.get(name)?.int);
    if (isTurned || this.dims(data)?.length !== rank || axis > rank - 2) return null;
    // A matrix for each text or head, but not for each token.
    if (axis < rank - 2 && node.opType.endsWith('MatMul') && (this.dims(matrix)?.length ?? 3) > 2) return null;
    // Gemm adds what may have a row for each of its own.
    const isRow = (input: string): boolean => (this.dims(input)?.slice(0, -1) ?? []).every((size) => size === 1);
    if (!others.every((other) => this.isFixed(other) && isRow(other))) return null;
    const from = this.at(data, axis, step);
    return from === null ? null : [from, matrix, ...others];
  }

  /** Only the axes behind the tokens are reshaped, and texts and tokens joined to rows or parted. */
  private reshapeInputs(data: string, value: string, axis: number, step: number): string[] | null {
    if (axis > 1) return null;
    const kept = (this.dims(value) ?? []).slice(axis + 1);
    const source = [1, 0].find(
      (each) => this.hasTokens(data, each) && sizeOf(this.dims(data)?.slice(each + 1) ?? []) === sizeOf(kept),
    );
    const from = source === undefined ? null : this.at(data, source, step);
    if (from === null) return null;
    if (axis === 1 && source === 0)
      return [from, this.add('Concat', [this.add('Shape', [POSITIONS_INPUT]), this.constant(kept)], { axis: 0 })];
    return [from, this.constant(axis === 1 ? [0, 0, ...kept] : [-1, ...kept])];
  }

  /** Picked out of the whole value, which gets `rank` axes and one for the texts if it had none. */
  private gathered(value: string, axis: number, rank: number): string | null {
    const { batch, length } = this.subject;
    const dims = this.dims(value) ?? [];
    if (axis === 0) {
      if (!this.hasTokens(value, 0)) return null;
      const rest = dims.slice(1);
      const texts = this.add('Gather', [this.add('Shape', [POSITIONS_INPUT]), this.constant([0])], { axis: 0 });
      const apart = this.add('Concat', [texts, this.constant([-1, ...rest])], { axis: 0 });
      const picked = this.picked(this.add('Reshape', [value, apart]), 1, rank + 1);
      return this.add('Reshape', [picked, this.constant([-1, ...rest])]);
    }
    if (dims.length === rank && dims[0] === batch)
      return this.hasTokens(value, axis) ? this.picked(value, axis, rank) : null;
    if (dims[axis] !== length || (dims.length === rank && dims[0] !== 1)) return null;
    const missing = Array.from({ length: rank - dims.length }, (_, index) => index);
    const whole = missing.length === 0 ? value : this.withAxes('Unsqueeze', value, missing);
    const own = axis + missing.length;
    // [1,…,T,…] → [1,…,B,M,…] → [B,1,…,M,…]
    const gathered = this.add('Gather', [whole, POSITIONS_INPUT], { axis: own });
    const axes = Array.from({ length: rank + 1 }, (_, index) => index);
    const perm = [own, ...axes.filter((each) => each !== own)];
    return this.withAxes('Squeeze', this.add('Transpose', [gathered], { perm }), [1]);
  }

  /** From a value with an axis of texts. */
  private picked(value: string, axis: number, rank: number): string {
    const indices = this.withAxes('Unsqueeze', POSITIONS_INPUT, [2]);
    const pick = (from: string): string => this.add('GatherND', [from, indices], { batch_dims: 1 });
    if (axis === 1) return pick(value);
    const others = Array.from({ length: rank }, (_, index) => index).filter((index) => index !== 0 && index !== axis);
    const there = [0, axis, ...others];
    const back = Array.from({ length: rank }, (_, index) => there.indexOf(index));
    return this.add('Transpose', [pick(this.add('Transpose', [value], { perm: there }))], { perm: back });
  }

  private withAxes(opType: 'Squeeze' | 'Unsqueeze', value: string, axes: readonly number[]): string {
    return this.subject.opset < NEWER_FORMS
      ? this.add(opType, [value], { axes })
      : this.add(opType, [value, this.constant(axes)]);
  }

  private add(
    opType: string,
    inputs: readonly string[],
    options: Readonly<Record<string, number | readonly number[]>> = {},
  ): string {
    const name = `onnx_lens.tokens.${this.names++}`;
    this.nodes.push(newNode(opType, inputs, [name], options));
    return name;
  }

  private constant(values: readonly number[]): string {
    const name = `onnx_lens.tokens.${this.names++}`;
    this.nodes.push(newNode('Constant', [], [name], { value: encodeTensor(INT64, [values.length], values) }));
    return name;
  }
}

const all = (names: readonly (string | null)[]): string[] | null =>
  names.every((name) => name !== null) ? (names as string[]) : null;
