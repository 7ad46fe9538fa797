/** Feed-forward networks: a linear layer back, an activation, and one or two linear layers before it. */
import { nearestLinears } from './attention';
import { columnsOf, follow, unlessIdentity, valuesBetween } from './columns';
import type { Linear } from './linears';
import { rowWidth, type Subject } from './subject';

export interface Ffn {
  /** Before the activation: part of a linear layer's output. */
  pre: { linear: Linear; columns: Int32Array | null } | string;
  /** The other factor of a gated network. */
  up: { linear: Linear; columns: Int32Array | null } | null;
  /** [B,T,F] or [B·T,F]: what the last linear layer reads. */
  post: string;
  out: Linear;
  width: number;
  activation: string;
}

/** Operators of activation functions. Erf and Tanh are those of GELU; Sigmoid that of SiLU. */
const ACTIVATIONS = new Set([
  ...[
    'Erf',
    'Tanh',
    'Sigmoid',
    'Relu',
    'Gelu',
    'FastGelu',
    'QuickGelu',
    'Softplus',
    'Elu',
    'LeakyRelu',
    'Selu',
    'HardSwish',
  ],
  ...['Mish', 'HardSigmoid', 'Swish', 'ThresholdedRelu', 'BiasGelu'],
]);

/** The network whose last linear layer is `out`; null when there is no activation before it. */
export function findFfn(subject: Subject, linears: ReadonlyMap<string, Linear>, out: Linear): Ffn | null {
  const { wires } = subject;
  const post = out.data;
  const before = nearestLinears(subject, linears, post);
  const width = rowWidth(subject, post);
  if (before.length === 0 || before.length > 2 || width === undefined) return null;
  const between = (linear: Linear, target = post): Set<string> => valuesBetween(subject, linear.output, target);
  const isActive = (names: Iterable<string>): boolean => activeValue(subject, names) !== null;
  const all = new Set(before.flatMap((linear) => [...between(linear)]));
  // A softmax in between is an attention's output projection, not a network.
  if ([...all].some((name) => /^(Softmax|ReduceMax)$/.test(wires.maker(name)?.opType ?? ''))) return null;
  const activation = activationOf(subject, all)?.name;
  if (activation === undefined) return null;
  const [single] = before as [Linear];
  const singleWidth = rowWidth(subject, single.output);
  if (before.length === 1 && singleWidth === width)
    return { pre: { linear: single, columns: null }, up: null, post, out, width, activation };

  // Gated: the last Mul has the activated branch on one side and the other on the other.
  const gate = lastProduct(subject, post);
  const sides = gate?.inputs.map((input) => {
    const linear = nearestLinears(subject, linears, input)[0];
    return linear === undefined ? null : { input, linear, active: isActive(between(linear, input)) };
  });
  const active = sides?.find((side) => side?.active === true);
  const passive = sides?.find((side) => side?.active === false);
  if (active == null || passive == null) return null;
  const columns = (side: { input: string; linear: Linear }): { linear: Linear; columns: Int32Array | null } | null => {
    const whole = rowWidth(subject, side.linear.output) ?? 0;
    const followed = follow(subject, side.linear.output, side.input);
    const list = followed === null ? null : columnsOf(subject, followed, whole);
    return list?.length === width ? { linear: side.linear, columns: unlessIdentity(list, whole) } : null;
  };
  return {
    pre: columns(active) ?? 'its gate could not be followed from the fused projection',
    up: columns(passive),
    post,
    out,
    width,
    activation,
  };
}

/** The first of some values that an activation function's operator makes. */
function activeValue({ wires }: Subject, names: Iterable<string>): { value: string; opType: string } | null {
  for (const value of names) {
    const opType = wires.maker(value)?.opType;
    if (opType !== undefined && ACTIVATIONS.has(opType)) return { value, opType };
  }
  return null;
}

/** The activation function among some values, in Hugging Face's words. */
export function activationOf(subject: Subject, values: ReadonlySet<string>): { value: string; name: string } | null {
  const active = activeValue(subject, values);
  return active === null ? null : { value: active.value, name: activationName(subject, active.opType, values) };
}

/** Back from the network's middle through views and casts to a product of two activations. */
function lastProduct({ wires }: Subject, post: string): ReturnType<Subject['wires']['maker']> {
  let name = post;
  for (let step = 0; step < 6; step++) {
    const maker = wires.maker(name);
    if (maker === undefined) return undefined;
    if (maker.opType === 'Mul' && maker.inputs.every((input) => !wires.isConstant(input))) return maker;
    const [input] = maker.inputs.filter((each) => !wires.isConstant(each));
    if (input === undefined) return undefined;
    name = input;
  }
  return undefined;
}

function activationName({ wires }: Subject, operator: string, between: ReadonlySet<string>): string {
  const has = (opType: string): boolean => [...between].some((name) => wires.maker(name)?.opType === opType);
  switch (operator) {
    case 'Erf':
    case 'Gelu':
    case 'BiasGelu':
      return 'gelu';
    case 'FastGelu':
      return 'gelu_new';
    case 'Tanh':
      return has('Pow') || has('Mul') ? 'gelu_new' : 'tanh';
    case 'Sigmoid':
      return 'silu';
    default:
      return operator.toLowerCase();
  }
}
