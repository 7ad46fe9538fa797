/**
 * Weights by their role, under TransformerLens's names and orientations, as float32 whatever the file stores:
 *
 *     embed.W_E [V,D] · pos_embed.W_pos [positions,D] · unembed.W_U [D,V], b_U [V]
 *     blocks.{l}.attn.W_Q [H,D,d], W_K and W_V [K,D,d], W_O [H,d,D], b_Q [H,d], b_K and b_V [K,d], b_O [D]
 *     blocks.{l}.ln1.w and b [D], and its ε as ln1.eps [1]: of post-norm blocks, the norm after attention; ln2 the one after the FFN;
 *     ln2_post the norm that some pre-norm blocks put on the FFN's output; ln_final.w … the norm before the head of pre-norm models
 *     blocks.{l}.mlp.W_in [D,F] (keys are its columns), W_gate [D,F], W_out [F,D] (values are its rows), b_in [F], b_gate [F], b_out [D]
 *
 * A gated network's W_gate is the factor with the activation. They are read by running the layer itself on unit vectors: what comes
 * out is what the model computes with, dequantised and transposed as it does it, and nothing else of the model is loaded.
 */
import { basename } from 'node:path';
import { Tensor } from 'onnxruntime-node';
import type { EngineSettings } from '../../protocol/engine';
import { LensError } from '../../protocol/errors';
import { normAt } from '../anatomy/ends';
import { headOf } from '../anatomy/head';
import { outputsAxis, type Linear } from '../anatomy/linears';
import type { Norm } from '../anatomy/norms';
import { cut, fedInput } from '../instrument/cut';
import { encodeModel, encodeTensor, FLOAT, INT64, newNode, newValueInfo, sizeOf, type OnnxModel } from '../onnx/model';
import type { Subject } from '../anatomy/subject';
import type { Description } from './describe';
import type { Activation, HeadLayer } from './internals';
import { createSession, floats, runtimeError, weightsFile } from './runtime';

/** A part of a linear layer as a weight: which columns of its output, and the shape they have. */
interface Role {
  linear: Linear;
  /** Of the output's columns (`out`), or of the input's (`in`): in the order of `shape`. Null: all. */
  columns: Int32Array | null;
  side: 'in' | 'out';
  /** [heads, width] or [width] of that side. */
  shape: readonly number[];
}

const CONSTANT = 'onnx_lens.constant';

/** The model that gives a constant, or one element of it along an axis. */
function constantModel(subject: Subject, value: string, picked: { axis: number; index: number } | null): OnnxModel {
  const model = cut(subject, new Map(), value);
  const at = `${CONSTANT}.at`;
  const reading =
    picked === null
      ? [newNode('Identity', [value], [CONSTANT])]
      : [
          newNode('Constant', [], [at], { value: encodeTensor(INT64, [], [picked.index]) }),
          newNode('Gather', [value, at], [CONSTANT], { axis: picked.axis }),
        ];
  return {
    ...model,
    graph: {
      ...model.graph,
      nodes: [...model.graph.nodes, ...reading],
      initializers: new Map([
        ...model.graph.initializers,
        ...[...subject.model.graph.initializers].filter(([name]) => name === value),
      ]),
      outputs: [newValueInfo(CONSTANT, subject.values.get(value)?.type ?? FLOAT)],
    },
  };
}

export class Weights {
  constructor(
    private readonly description: Description,
    private readonly settings: EngineSettings,
  ) {}

  /** Throws `bad-input` for unknown names, `model-unsupported` for weights that the model does not have or hides. */
  async read(name: string): Promise<Activation> {
    const { anatomy } = this.description;
    const table = { 'embed.W_E': anatomy.embeddings.word, 'pos_embed.W_pos': anatomy.embeddings.position }[name];
    if (table !== undefined) return this.rows(table ?? this.missing(name));
    const [, norm, part] = /^(blocks\.\d+\.(?:ln1|ln2|ln2_post)|ln_final)\.(w|b|eps)$/.exec(name) ?? [];
    if (norm !== undefined) return this.norm(norm, part as 'w' | 'b' | 'eps', name);
    const bias = /(^|\.)b_/.test(name);
    const role = this.role(name.replace(/(^|\.)b_/, '$1W_'), name);
    return bias ? this.bias(role) : this.matrix(role);
  }

  /** Throws `model-unsupported` when there is no head, or its numbers are hidden. */
  async headLayers(): Promise<HeadLayer[]> {
    const layers: HeadLayer[] = [];
    for (const part of headOf(this.description.anatomy)) {
      if (part.kind === 'activation') layers.push(part);
      else if (part.kind === 'linear') {
        const { weight, bias } = await this.apply(part.linear);
        layers.push({ kind: 'linear', weight, bias });
      } else {
        const read = async (which: 'w' | 'b' | 'eps'): Promise<Float32Array> =>
          (await this.normPart(part.norm, which, 'norm before the logits')).data;
        const [scale, shift, epsilon] = [await read('w'), await read('b'), (await read('eps'))[0] as number];
        layers.push({ kind: 'norm', norm: part.norm.kind, scale, shift, epsilon });
      }
    }
    return layers.length === 0 ? this.missing('head') : layers;
  }

  /** Rows of a table of embeddings [n,D]; all of them when `ids` are left out. */
  async rows(table: string, ids?: Int32Array): Promise<Activation> {
    const { subject } = this.description.anatomy;
    const dims = subject.values.get(table)?.dims;
    const lookup = subject.wires.readers(table).find(({ opType }) => /^(Gather|GatherBlockQuantized)$/.test(opType));
    const [indices, output] = [lookup?.inputs[1], lookup?.outputs[0]];
    if (dims === undefined || indices === undefined || output === undefined) return this.missing(table);
    const wanted = ids ?? Int32Array.from({ length: dims[0] as number }, (_, id) => id);
    const fed = new Tensor('int64', BigInt64Array.from(wanted, BigInt), [1, wanted.length]);
    const tensor = await this.run(new Map([[indices, { kind: 'indices' as const, fed }]]), output);
    return { dims: [wanted.length, tensor.dims.at(-1) as number], data: floats(tensor) };
  }

  /** Column `id` of W_U [D]. Where the file has it as a matrix of numbers, nothing else is computed. */
  async unembedding(id: number): Promise<Activation> {
    const { anatomy } = this.description;
    const linear = anatomy.unembedding?.linear ?? this.missing('unembed.W_U');
    const { embeddings, unembedding, subject } = anatomy;
    if (unembedding?.tied === true && embeddings.word !== null) {
      const { dims, data } = await this.rows(embeddings.word, Int32Array.of(id));
      return { dims: [dims[1] as number], data };
    }
    const dims = subject.values.get(linear.weight)?.dims ?? [];
    const axis = outputsAxis(linear, dims);
    if (axis === null) {
      const { weight, inputs, outputs } = await this.apply(linear);
      return {
        dims: [inputs],
        data: Float32Array.from({ length: inputs }, (_, row) => weight[row * outputs + id] as number),
      };
    }
    const tensor = await this.constant(linear.weight, { axis, index: id });
    const data = floats(tensor);
    return { dims: [data.length], data };
  }

  /**
   * γ, β and ε of a norm, from its answers to x, -x and a small x, where x has the mean 0: ε does not count beside a large variance, and
   * does beside a small one.
   */
  private async norm(which: string, part: 'w' | 'b' | 'eps', name: string): Promise<Activation> {
    const norm = normAt(this.description.anatomy, which);
    return typeof norm === 'string' ? this.missing(name, norm) : this.normPart(norm, part, name);
  }

  private async normPart(norm: Norm, part: 'w' | 'b' | 'eps', name: string): Promise<Activation> {
    const { subject } = this.description.anatomy;
    const dims = subject.values.get(norm.input)?.dims ?? this.missing(name);
    const width = dims.at(-1) as number;
    const [large, small] = [1e3, 1e-3];
    // 1, -1, 1, -1 …, and 1, 1, -2 at an odd end.
    const unit = Float32Array.from({ length: width }, (_, at) => (at % 2 === 0 ? 1 : -1));
    if (width % 2 === 1) unit.set([1, 1, -2], width - 3);
    const rows = [large, -large, small, -small].flatMap((size) => Array.from(unit, (element) => size * element));
    const shape = [...(dims.length === 2 ? [] : [1]), 4, width];
    const fed = new Tensor('float32', Float32Array.from(rows), shape);
    const answers = floats(await this.run(new Map([[norm.input, { kind: 'numbers' as const, fed }]]), norm.output));
    const at = (row: number, column: number): number => answers[row * width + column] as number;
    const shift = Float32Array.from({ length: width }, (_, column) => (at(0, column) + at(1, column)) / 2);
    if (part === 'b') return { dims: [width], data: shift };
    const variance = unit.reduce((sum, element) => sum + element ** 2, 0) / width;
    const half = (row: number, column: number): number => (at(row, column) - at(row + 1, column)) / 2;
    const scale = Float32Array.from(unit, (element, column) => (half(0, column) / element) * Math.sqrt(variance));
    if (part === 'w') return { dims: [width], data: scale };
    // Where γ is largest the answer is most exact: small·x·γ / √(small²·var + ε).
    const widest = scale.reduce(
      (best, each, column) => (Math.abs(each) > Math.abs(scale[best] as number) ? column : best),
      0,
    );
    const root = (small * (unit[widest] as number) * (scale[widest] as number)) / half(2, widest);
    return { dims: [1], data: Float32Array.of(Math.max(0, root ** 2 - small ** 2 * variance)) };
  }

  private async matrix({ linear, columns, side, shape }: Role): Promise<Activation> {
    const { weight, inputs, outputs } = await this.apply(linear);
    const [own, other] = side === 'out' ? [outputs, inputs] : [inputs, outputs];
    const picked = columns ?? Int32Array.from({ length: own }, (_, column) => column);
    const at = (ownIndex: number, otherIndex: number): number =>
      weight[side === 'out' ? otherIndex * outputs + ownIndex : ownIndex * outputs + otherIndex] as number;
    const [heads, width] = shape.length === 2 ? (shape as [number, number]) : [1, shape[0] as number];
    const data = new Float32Array(heads * width * other);
    for (let head = 0; head < heads; head++)
      for (let place = 0; place < width; place++) {
        const column = picked[head * width + place] as number;
        for (let index = 0; index < other; index++) {
          const to = side === 'out' ? (head * other + index) * width + place : (head * width + place) * other + index;
          data[to] = at(column, index);
        }
      }
    const inner = side === 'out' ? [other, width] : [width, other];
    return { dims: shape.length === 2 ? [heads, ...inner] : inner, data };
  }

  private async bias({ linear, columns, side, shape }: Role): Promise<Activation> {
    const { bias, outputs } = await this.apply(linear);
    // The bias belongs to the output, whichever side the role looks at.
    if (side === 'in') return { dims: [outputs], data: bias };
    const data = columns === null ? bias : Float32Array.from(columns, (column) => bias[column] as number);
    return { dims: shape, data };
  }

  /** W [in,out] row by row, and b [out]: the layer's answers to unit vectors and to zero. */
  private async apply(
    linear: Linear,
  ): Promise<{ weight: Float32Array; bias: Float32Array; inputs: number; outputs: number }> {
    const { subject } = this.description.anatomy;
    const direct = await this.stored(linear);
    if (direct !== null) return direct;
    const dims = subject.values.get(linear.data)?.dims as readonly number[];
    const inputs = sizeOf(dims.slice(dims.length === 2 ? 1 : 2));
    const units = new Float32Array((inputs + 1) * inputs);
    for (let index = 0; index < inputs; index++) units[index * inputs + index] = 1;
    const fed = new Tensor('float32', units, [
      ...(dims.length === 2 ? [] : [1]),
      inputs + 1,
      ...dims.slice(dims.length === 2 ? 1 : 2),
    ]);
    const answers = floats(await this.run(new Map([[linear.data, { kind: 'numbers' as const, fed }]]), linear.output));
    const outputs = answers.length / (inputs + 1);
    const bias = answers.slice(inputs * outputs);
    const weight = answers.subarray(0, inputs * outputs);
    for (let index = 0; index < weight.length; index++)
      weight[index] = (weight[index] as number) - (bias[index % outputs] as number);
    return { weight, bias, inputs, outputs };
  }

  /** The same where the file has it as a matrix of numbers, perhaps quantised: without a run on as many vectors as it has rows. */
  private async stored(
    linear: Linear,
  ): Promise<{ weight: Float32Array; bias: Float32Array; inputs: number; outputs: number } | null> {
    const { subject } = this.description.anatomy;
    const axis = outputsAxis(linear, subject.values.get(linear.weight)?.dims ?? []);
    const biasDims = linear.bias === null ? null : (subject.values.get(linear.bias)?.dims ?? null);
    if (axis === null || (linear.bias !== null && biasDims === null)) return null;
    const tensor = await this.constant(linear.weight);
    const [rows, columns] = tensor.dims as [number, number];
    const [inputs, outputs] = axis === 1 ? [rows, columns] : [columns, rows];
    if (biasDims !== null && sizeOf(biasDims) !== outputs) return null;
    const numbers = floats(tensor);
    const bias = linear.bias === null ? new Float32Array(outputs) : floats(await this.constant(linear.bias)).slice();
    return { weight: axis === 1 ? numbers : transposed(numbers, rows, columns), bias, inputs, outputs };
  }

  private run(fed: ReadonlyMap<string, { kind: 'numbers' | 'indices'; fed: Tensor }>, output: string): Promise<Tensor> {
    const kinds = new Map([...fed].map(([value, { kind }]) => [value, kind]));
    const feeds = Object.fromEntries([...fed].map(([value, each]) => [fedInput(value), each.fed]));
    return this.runOnce(cut(this.description.anatomy.subject, kinds, output), feeds, output);
  }

  /** A constant of the graph, computed as the model computes it (dequantised, cast, transposed); or one element along an axis. */
  private constant(value: string, picked: { axis: number; index: number } | null = null): Promise<Tensor> {
    return this.runOnce(constantModel(this.description.anatomy.subject, value, picked), {}, CONSTANT);
  }

  private async runOnce(model: OnnxModel, feeds: Record<string, Tensor>, output: string): Promise<Tensor> {
    const { description, settings } = this;
    const weights = weightsFile(description);
    const session = await createSession(
      encodeModel(model, basename(weights)),
      weights,
      settings,
      description.info.id,
      'one run',
    );
    try {
      return (await session.run(feeds, [output]))[output] as Tensor;
    } catch (thrown) {
      throw runtimeError(thrown, description.info.id);
    } finally {
      await session.release();
    }
  }

  private role(name: string, asked: string): Role {
    const { anatomy } = this.description;
    if (name === 'unembed.W_U') {
      const linear = anatomy.unembedding?.linear ?? this.missing(asked);
      return {
        linear,
        columns: null,
        side: 'out',
        shape: [anatomy.subject.values.get(linear.output)?.dims.at(-1) as number],
      };
    }
    const [, layer, part] = /^blocks\.(\d+)\.(attn\.W_[QKVO]|mlp\.W_(?:in|gate|out))$/.exec(name) ?? [];
    if (layer === undefined || part === undefined)
      throw new LensError(
        'bad-input',
        `There is no weight “${asked}”.`,
        'Names are those of TransformerLens: blocks.0.attn.W_Q, blocks.0.mlp.W_out, embed.W_E …',
      );
    const block = anatomy.blocks[Number(layer)] ?? this.missing(asked);
    const { attention, ffn } = block;
    const projection = { 'attn.W_Q': attention.query, 'attn.W_K': attention.key, 'attn.W_V': attention.value }[part];
    if (projection !== undefined) {
      if (typeof projection === 'string') return this.missing(asked, projection);
      return {
        linear: projection.linear,
        columns: projection.columns,
        side: 'out',
        shape: [projection.heads, attention.headWidth],
      };
    }
    if (part === 'attn.W_O')
      return {
        linear: attention.output,
        columns: attention.zColumns,
        side: 'in',
        shape: [attention.heads, attention.headWidth],
      };
    if (ffn === null) return this.missing(asked);
    if (part === 'mlp.W_out') return { linear: ffn.out, columns: null, side: 'in', shape: [ffn.width] };
    // Ungated networks have one layer, W_in, before the activation; in gated ones that is W_gate.
    const before = part === 'mlp.W_gate' ? (ffn.up === null ? null : ffn.pre) : (ffn.up ?? ffn.pre);
    if (before === null || typeof before === 'string') return this.missing(asked, before ?? undefined);
    return { linear: before.linear, columns: before.columns, side: 'out', shape: [ffn.width] };
  }

  private missing(name: string, why = 'this model has no such part'): never {
    throw new LensError(
      'model-unsupported',
      `${this.description.info.id} has no ${name}: ${why}.`,
      '“lens inspect” lists what was found.',
    );
  }
}

function transposed(data: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(data.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      result[column * rows + row] = data[row * columns + column] as number;
  return result;
}
