/**
 * The head of a model as a graph of our own that can be differentiated: from a state of the residual stream through an affine map and the
 * frozen head to the divergence from the model's own distribution, and back to the gradients of the map. The rules are written out for the
 * few parts that heads are made of; weights are fed, not copied.
 */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { EngineSettings } from '../../protocol/engine';
import { LensError } from '../../protocol/errors';
import { encodeTensor, FLOAT, INT64, newNode, type AttributeValue, type GraphNode } from '../onnx/model';
import type { HeadLayer } from './internals';
import { floats, runtimeError, threadsOf } from './runtime';
import { smallModel } from './smallModel';

/** h' = h + h·A + b for rows h [n,D]. */
export interface AffineMap {
  /** [D,D], input by output. */
  matrix: Float32Array;
  /** [D]. */
  bias: Float32Array;
}

/** Sums over the rows. */
export interface MapGradients {
  /** Σ KL(p ‖ q), in nats. */
  loss: number;
  matrix: Float32Array;
  bias: Float32Array;
}

/** Stands for minus infinity, of which a product with 0 would be no number. */
const NEVER = -1e30;

type Dims = readonly (string | number)[];

/** A value, and from the gradient by it that by what it was computed from. */
interface Step {
  value: string;
  back(gradient: string): string;
}

class Builder {
  readonly nodes: GraphNode[] = [];
  readonly inputs: Record<string, Dims> = {};

  input(name: string, dims: Dims): string {
    this.inputs[name] = dims;
    return name;
  }

  add(opType: string, inputs: readonly string[], attributes: Readonly<Record<string, AttributeValue>> = {}): string {
    const output = `v${this.nodes.length}`;
    this.nodes.push(newNode(opType, inputs, [output], attributes));
    return output;
  }

  number(value: number): string {
    return this.add('Constant', [], { value: encodeTensor(FLOAT, [], [value]) });
  }

  integers(values: readonly number[]): string {
    return this.add('Constant', [], { value: encodeTensor(INT64, [values.length], values) });
  }

  /** Along the last axis, which stays with one element. */
  mean(value: string): string {
    return this.add('ReduceMean', [value], { axes: [-1], keepdims: 1 });
  }

  sum(value: string, axis: number): string {
    return this.add('ReduceSum', [value, this.integers([axis])], { keepdims: 0 });
  }

  mul(...values: string[]): string {
    return values.reduce((product, value) => this.add('Mul', [product, value]));
  }

  plus(a: string, b: string): string {
    return this.add('Add', [a, b]);
  }

  minus(a: string, b: string): string {
    return this.add('Sub', [a, b]);
  }

  named(name: string, value: string): string {
    this.nodes.push(newNode('Identity', [value], [name]));
    return name;
  }
}

/** ε: y = γ·(x − μ)/√(σ² + ε) + β, without μ for RMSNorm. */
function normStep(to: Builder, x: string, layer: HeadLayer & { kind: 'norm' }, name: string): Step {
  const width = layer.scale.length;
  const [scale, shift] = [to.input(`${name}.scale`, [width]), to.input(`${name}.shift`, [width])];
  const centred = layer.norm === 'layer' ? to.minus(x, to.mean(x)) : x;
  const variance = to.plus(to.mean(to.mul(centred, centred)), to.number(layer.epsilon));
  const inverse = to.add('Reciprocal', [to.add('Sqrt', [variance])]);
  const normed = to.mul(centred, inverse);
  return {
    value: to.plus(to.mul(normed, scale), shift),
    back: (gradient) => {
      const scaled = to.mul(gradient, scale);
      const along = to.minus(scaled, to.mul(normed, to.mean(to.mul(scaled, normed))));
      return to.mul(layer.norm === 'layer' ? to.minus(along, to.mean(scaled)) : along, inverse);
    },
  };
}

function linearStep(to: Builder, x: string, layer: HeadLayer & { kind: 'linear' }, name: string): Step {
  const [inputs, outputs] = [layer.weight.length / layer.bias.length, layer.bias.length];
  const [weight, bias] = [to.input(`${name}.weight`, [inputs, outputs]), to.input(`${name}.bias`, [outputs])];
  return {
    value: to.add('Gemm', [x, weight, bias]),
    back: (gradient) => to.add('Gemm', [gradient, weight], { transB: 1 }),
  };
}

/** φ(x), and from its value φ'(x). */
const ACTIVATIONS: Readonly<Record<string, (to: Builder, x: string) => { value: string; slope: () => string }>> = {
  relu: (to, x) => {
    const value = to.add('Relu', [x]);
    return { value, slope: () => to.add('Sign', [value]) };
  },
  tanh: (to, x) => {
    const value = to.add('Tanh', [x]);
    return { value, slope: () => to.minus(to.number(1), to.mul(value, value)) };
  },
  silu: (to, x) => {
    const gate = to.add('Sigmoid', [x]);
    const value = to.mul(x, gate);
    return {
      value,
      // σ(x)·(1 + x·(1 − σ(x)))
      slope: () => to.plus(gate, to.mul(value, to.minus(to.number(1), gate))),
    };
  },
  gelu: (to, x) => {
    const erf = to.add('Erf', [to.mul(x, to.number(Math.SQRT1_2))]);
    const below = to.mul(to.plus(erf, to.number(1)), to.number(0.5));
    return {
      value: to.mul(x, below),
      // Φ(x) + x·φ(x)
      slope: () => {
        const density = to.mul(to.add('Exp', [to.mul(x, x, to.number(-0.5))]), to.number(1 / Math.sqrt(2 * Math.PI)));
        return to.plus(below, to.mul(x, density));
      },
    };
  },
  /** The approximation by tanh. */
  gelu_new: (to, x) => {
    const [rate, cubic] = [Math.sqrt(2 / Math.PI), 0.044715];
    const square = to.mul(x, x);
    const inner = to.mul(x, to.number(rate), to.plus(to.mul(square, to.number(cubic)), to.number(1)));
    const tanh = to.add('Tanh', [inner]);
    const below = to.mul(to.plus(tanh, to.number(1)), to.number(0.5));
    return {
      value: to.mul(x, below),
      slope: () => {
        const innerSlope = to.mul(to.plus(to.mul(square, to.number(3 * cubic)), to.number(1)), to.number(rate));
        const steep = to.minus(to.number(1), to.mul(tanh, tanh));
        return to.plus(below, to.mul(x, steep, innerSlope, to.number(0.5)));
      },
    };
  },
};

function activationStep(to: Builder, x: string, name: string): Step {
  const activation = ACTIVATIONS[name];
  if (activation === undefined)
    throw new LensError('model-unsupported', `The head’s activation function ${name} has no gradient here.`);
  const { value, slope } = activation(to, x);
  return { value, back: (gradient) => to.mul(gradient, slope()) };
}

function headSteps(to: Builder, x: string, layers: readonly HeadLayer[]): Step {
  const steps: Step[] = [];
  let value = x;
  for (const [index, layer] of layers.entries()) {
    const name = `layer${index}`;
    const step =
      layer.kind === 'norm'
        ? normStep(to, value, layer, name)
        : layer.kind === 'linear'
          ? linearStep(to, value, layer, name)
          : activationStep(to, value, layer.name);
    steps.push(step);
    ({ value } = step);
  }
  return { value, back: (gradient) => steps.reduceRight((by, step) => step.back(by), gradient) };
}

/**
 * Rows of several states, one state's rows after the other's [k·n,V], each state beside the same expectations [n,V]: the weights are read once
 * for all. From the output's gradient q − p back to the rows (`gradients`), or no further than the divergence.
 */
function divergenceModel(layers: readonly HeadLayer[], width: number, vocab: number, gradients: boolean): Uint8Array {
  const to = new Builder();
  const head = headSteps(to, to.input('mapped', ['m', width]), layers);
  const expected = to.input('expected', ['n', vocab]);
  const stack = to.add('Concat', [to.integers([-1]), to.add('Shape', [expected])], { axis: 0 });
  const found = to.add('Reshape', [to.add('LogSoftmax', [head.value], { axis: -1 }), stack]);
  const probability = to.add('Exp', [expected]);
  to.named('loss', to.sum(to.mul(probability, to.minus(expected, found)), 2));
  const outputs: Record<string, Dims> = { loss: ['k', 'n'] };
  if (gradients) {
    const output = to.minus(to.add('Exp', [found]), probability);
    to.named('dMapped', head.back(to.add('Reshape', [output, to.integers([-1, vocab])])));
    outputs['dMapped'] = ['m', width];
  }
  return smallModel(to.nodes, to.inputs, outputs);
}

/** h + h·A + b. */
function mapModel(width: number): Uint8Array {
  const to = new Builder();
  const state = to.input('state', ['n', width]);
  const moved = to.add('Gemm', [state, to.input('matrix', [width, width]), to.input('bias', [width])]);
  to.named('mapped', to.plus(state, moved));
  return smallModel(to.nodes, to.inputs, { mapped: ['n', width] });
}

/** Back from that to A and b. */
function mapGradientModel(width: number): Uint8Array {
  const to = new Builder();
  const [state, gradient] = [to.input('state', ['n', width]), to.input('dMapped', ['n', width])];
  to.named('dMatrix', to.add('Gemm', [state, gradient], { transA: 1 }));
  to.named('dBias', to.sum(gradient, 0));
  return smallModel(to.nodes, to.inputs, { dMatrix: [width, width], dBias: [width] });
}

function distributionModel(layers: readonly HeadLayer[], width: number, vocab: number): Uint8Array {
  const to = new Builder();
  const head = headSteps(to, to.input('state', ['n', width]), layers);
  to.named('logprobs', to.add('LogSoftmax', [head.value], { axis: -1 }));
  return smallModel(to.nodes, to.inputs, { logprobs: ['n', vocab] });
}

const KINDS = ['distribution', 'map', 'divergence', 'gradients', 'mapGradient'] as const;
type Kind = (typeof KINDS)[number];

export class HeadGraph {
  private constructor(
    readonly width: number,
    readonly vocab: number,
    private readonly weights: Readonly<Record<string, Tensor>>,
    private readonly sessions: Readonly<Record<Kind, InferenceSession>>,
    private readonly model: string,
  ) {}

  /** Throws `model-unsupported` for parts that cannot be differentiated here, `memory`. */
  static async create(
    layers: readonly HeadLayer[],
    width: number,
    settings: EngineSettings,
    model: string,
  ): Promise<HeadGraph> {
    const last = layers.at(-1);
    if (last?.kind !== 'linear')
      throw new LensError('model-unsupported', `The head of ${model} does not end with the unembedding.`);
    const vocab = last.bias.length;
    const weights: Record<string, Tensor> = {};
    const put = (name: string, data: Float32Array, dims: number[]): void => {
      weights[name] = new Tensor('float32', data, dims);
    };
    for (const [index, layer] of layers.entries()) {
      const name = `layer${index}`;
      if (layer.kind === 'norm') {
        put(`${name}.scale`, layer.scale, [layer.scale.length]);
        put(`${name}.shift`, layer.shift, [layer.shift.length]);
      } else if (layer.kind === 'linear') {
        const outputs = layer.bias.length;
        put(`${name}.weight`, layer.weight, [layer.weight.length / outputs, outputs]);
        // Some exports mask rows of the vocabulary that no token has.
        put(
          `${name}.bias`,
          layer.bias.map((each) => Math.max(each, NEVER)),
          [outputs],
        );
      }
    }
    const models: Record<Kind, Uint8Array> = {
      distribution: distributionModel(layers, width, vocab),
      divergence: divergenceModel(layers, width, vocab, false),
      gradients: divergenceModel(layers, width, vocab, true),
      map: mapModel(width),
      mapGradient: mapGradientModel(width),
    };
    const sessions: Partial<Record<Kind, InferenceSession>> = {};
    try {
      for (const kind of KINDS)
        sessions[kind] = await InferenceSession.create(models[kind], {
          executionProviders: ['cpu'],
          intraOpNumThreads: threadsOf(settings),
          logSeverityLevel: 3,
        });
    } catch (thrown) {
      for (const session of Object.values(sessions)) await session.release();
      throw runtimeError(thrown, model);
    }
    return new HeadGraph(width, vocab, weights, sessions as Record<Kind, InferenceSession>, model);
  }

  /** Log-probabilities [n,V] that the head gives to states [n,D]. */
  async distribution(states: Float32Array): Promise<Float32Array> {
    const { logprobs } = await this.run('distribution', { state: this.rows(states, this.width) });
    return floats(logprobs as Tensor);
  }

  /**
   * KL(p ‖ q) of each row [n] of each state, where p has the log-probabilities `expected` [n,V] and q is read from the states [n,D] through
   * their maps.
   */
  async divergence(
    states: readonly Float32Array[],
    maps: readonly AffineMap[],
    expected: Float32Array,
  ): Promise<Float32Array[]> {
    const { loss } = await this.run('divergence', await this.feeds(states, maps, expected));
    return parted(floats(loss as Tensor), states.length);
  }

  /** The sums of these over the rows of each state, and their gradients by its map. */
  async gradients(
    states: readonly Float32Array[],
    maps: readonly AffineMap[],
    expected: Float32Array,
  ): Promise<MapGradients[]> {
    const { loss, dMapped } = await this.run('gradients', await this.feeds(states, maps, expected));
    const losses = parted(floats(loss as Tensor), states.length);
    const backs = parted(floats(dMapped as Tensor), states.length);
    const found: MapGradients[] = [];
    for (const [index, state] of states.entries()) {
      const back = this.rows(backs[index] as Float32Array, this.width);
      const { dMatrix, dBias } = await this.run('mapGradient', { state: this.rows(state, this.width), dMapped: back });
      found.push({
        loss: (losses[index] as Float32Array).reduce((sum, each) => sum + each, 0),
        ...{ matrix: floats(dMatrix as Tensor), bias: floats(dBias as Tensor) },
      });
    }
    return found;
  }

  async release(): Promise<void> {
    for (const session of Object.values(this.sessions)) await session.release();
  }

  private async feeds(
    states: readonly Float32Array[],
    maps: readonly AffineMap[],
    expected: Float32Array,
  ): Promise<Record<string, Tensor>> {
    const all = new Float32Array(states.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const [index, state] of states.entries()) {
      const { matrix, bias } = maps[index] as AffineMap;
      const { mapped } = await this.run('map', {
        ...{ state: this.rows(state, this.width), matrix: this.rows(matrix, this.width) },
        bias: new Tensor('float32', bias, [this.width]),
      });
      all.set(floats(mapped as Tensor), at);
      at += state.length;
    }
    return { mapped: this.rows(all, this.width), expected: this.rows(expected, this.vocab) };
  }

  private rows(data: Float32Array, width: number): Tensor {
    return new Tensor('float32', data, [data.length / width, width]);
  }

  private async run(kind: Kind, feeds: Record<string, Tensor>): Promise<Record<string, Tensor>> {
    try {
      return await this.sessions[kind].run(kind.startsWith('map') ? feeds : { ...feeds, ...this.weights });
    } catch (thrown) {
      throw runtimeError(thrown, this.model);
    }
  }
}

/** As many parts of one length. */
const parted = (numbers: Float32Array, parts: number): Float32Array[] =>
  Array.from({ length: parts }, (_, part) =>
    numbers.subarray((part * numbers.length) / parts, ((part + 1) * numbers.length) / parts),
  );
