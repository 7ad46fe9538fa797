/**
 * Ways to spoil a graph, each as one small change. They all take a model that was read and give one that no exporter wrote; the
 * bytes of a file are spoilt by those at the end.
 */
import { randomBelow } from '../../extension/engine/analysis/random';
import {
  encodeTensor,
  newNode,
  newValueInfo,
  withInputs,
  withOutputs,
  type AttributeValue,
  type GraphNode,
  type Initializer,
  type OnnxModel,
} from '../../extension/engine/onnx/model';
import { bytesField, concat, integerField, textField } from '../../extension/engine/onnx/wire';
import { constant, FLOAT, graphAttribute, nodeWith } from './onnxParts';

export type Random = () => number;
export type Mutator = (model: OnnxModel, random: Random) => OnnxModel;

export const pick = <T>(list: readonly T[], random: Random): T => list[randomBelow(random, list.length)] as T;

const INT64 = 7;
const ABSURD = [
  0,
  1,
  -1,
  2,
  3,
  5,
  7,
  -2,
  64,
  1000,
  2 ** 18,
  2 ** 31,
  -(2 ** 31),
  1e9,
  -1e9,
  2 ** 40,
  2 ** 62,
  -(2 ** 63),
];
const NASTY_NAMES = [
  '',
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  'a\u0000b\u001b[2J\u202e',
  '../../etc/passwd',
  'onnx_lens.rows',
  'input_ids',
  'x'.repeat(5000),
];
const OPERATORS = [
  ...[
    'Add',
    'Mul',
    'Div',
    'Sub',
    'Where',
    'Max',
    'Sum',
    'MatMul',
    'Gemm',
    'Einsum',
    'Softmax',
    'ReduceMean',
    'ReduceProd',
  ],
  ...[
    'Reshape',
    'Transpose',
    'Squeeze',
    'Unsqueeze',
    'Flatten',
    'Slice',
    'Split',
    'Gather',
    'GatherND',
    'GatherElements',
  ],
  ...[
    'Concat',
    'Expand',
    'Tile',
    'Shape',
    'Size',
    'Range',
    'ConstantOfShape',
    'OneHot',
    'Trilu',
    'Cast',
    'CumSum',
    'Identity',
  ],
  ...['LayerNormalization', 'EmbedLayerNormalization', 'SkipLayerNormalization', 'Attention', 'QAttention', 'BiasGelu'],
  ...[
    'MultiHeadAttention',
    'GroupQueryAttention',
    'MatMulInteger',
    'QLinearMatMul',
    'MatMulNBits',
    'GatherBlockQuantized',
  ],
  ...[
    'DynamicQuantizeLinear',
    'DequantizeLinear',
    'Constant',
    'If',
    'Loop',
    'Sqrt',
    'Exp',
    'Tanh',
    'Erf',
    'NoSuchOperator',
  ],
  ...['__proto__', 'constructor', 'toString', 'hasOwnProperty', ''],
];
const ATTRIBUTES = [
  ...[
    'perm',
    'axis',
    'axes',
    'keepdims',
    'num_heads',
    'kv_num_heads',
    'q_num_heads',
    'qkv_hidden_sizes',
    'local_window_size',
  ],
  ...[
    'transA',
    'transB',
    'to',
    'allowzero',
    'N',
    'start',
    'end',
    'starts',
    'ends',
    'split',
    'batch_dims',
    'value_ints',
    'upper',
  ],
];

const absurd = (random: Random): number => pick(ABSURD, random);
const absurdList = (random: Random): number[] => Array.from({ length: randomBelow(random, 6) }, () => absurd(random));

const withNodes = (model: OnnxModel, nodes: readonly GraphNode[]): OnnxModel => ({
  ...model,
  graph: { ...model.graph, nodes },
});
const addNodes = (model: OnnxModel, nodes: readonly GraphNode[]): OnnxModel =>
  withNodes(model, [...model.graph.nodes, ...nodes]);

/** Another node in place of one. */
function replaced(model: OnnxModel, random: Random, change: (node: GraphNode) => GraphNode): OnnxModel {
  const at = randomBelow(random, model.graph.nodes.length);
  return withNodes(
    model,
    model.graph.nodes.map((node, index) => (index === at ? change(node) : node)),
  );
}

/** A change before may have left no node. */
const anyValue = (model: OnnxModel, random: Random): string =>
  random() < 0.2
    ? pick([...model.graph.initializers.keys(), ''], random)
    : (pick([...model.graph.nodes, undefined], random)?.outputs[0] ?? '');

/** One input of one node from elsewhere. */
const rewired =
  (source: (model: OnnxModel, random: Random) => string): Mutator =>
  (model, random) =>
    replaced(model, random, (node) => {
      const at = randomBelow(random, node.inputs.length);
      return withInputs(
        node,
        node.inputs.map((input, index) => (index === at ? source(model, random) : input)),
      );
    });

const cutWire = rewired(() => 'no such value');
const crossWire = rewired(anyValue);
const absentInput = rewired(() => '');

const ownCycle: Mutator = (model, random) => replaced(model, random, (node) => withInputs(node, [...node.outputs]));

const swappedInputs: Mutator = (model, random) =>
  replaced(model, random, (node) => withInputs(node, [...node.inputs].reverse()));

const fewerInputs: Mutator = (model, random) =>
  replaced(model, random, (node) =>
    withInputs(node, node.inputs.slice(0, randomBelow(random, node.inputs.length + 1))),
  );

const noOutputs: Mutator = (model, random) =>
  replaced(model, random, (node) => withOutputs(node, pick([[], ['']], random)));

const duplicateOutput: Mutator = (model, random) =>
  replaced(model, random, (node) => withOutputs(node, [anyValue(model, random)]));

const droppedNode: Mutator = (model, random) => {
  const at = randomBelow(random, model.graph.nodes.length);
  return withNodes(
    model,
    model.graph.nodes.filter((_, index) => index !== at),
  );
};

const shuffledNodes: Mutator = (model) => withNodes(model, [...model.graph.nodes].reverse());

/** One value under another name wherever it stands. */
const nastyName: Mutator = (model, random) => {
  const old = anyValue(model, random);
  const fresh = pick(NASTY_NAMES, random);
  const rename = (names: readonly string[]): string[] => names.map((name) => (name === old ? fresh : name));
  return withNodes(
    model,
    model.graph.nodes.map((node) =>
      node.inputs.includes(old) || node.outputs.includes(old)
        ? withOutputs(withInputs(node, rename(node.inputs)), rename(node.outputs))
        : node,
    ),
  );
};

const otherOperator: Mutator = (model, random) =>
  replaced(model, random, (node) =>
    newNode(pick(OPERATORS, random), node.inputs, node.outputs, {}, pick(['', 'com.microsoft', '__proto__'], random)),
  );

const extraAttribute: Mutator = (model, random) =>
  replaced(model, random, ({ opType, domain, inputs, outputs }) => {
    const value: AttributeValue = pick([absurd(random), absurdList(random), { float: NaN }, { float: 1e38 }], random);
    return newNode(opType, inputs, outputs, { [pick(ATTRIBUTES, random)]: value }, domain);
  });

/** The fused operators and the views have attributes that sizes are computed from. */
const absurdHeads: Mutator = (model, random) => {
  const targets = model.graph.nodes.filter(({ opType }) => /Attention$|^(Transpose|Split|Gather|Concat)$/.test(opType));
  if (targets.length === 0) return model;
  const target = pick(targets, random);
  const names = ['num_heads', 'kv_num_heads', 'q_num_heads', 'axis', 'local_window_size'];
  const chosen = Object.fromEntries(names.map((name) => [name, absurd(random)]));
  const options = { ...chosen, perm: absurdList(random), qkv_hidden_sizes: absurdList(random) };
  return withNodes(
    model,
    model.graph.nodes.map((node) =>
      node === target ? newNode(node.opType, node.inputs, node.outputs, options, node.domain) : node,
    ),
  );
};

const changedInitializer = (model: OnnxModel, random: Random, change: (old: Initializer) => Uint8Array): OnnxModel => {
  const [name, old] = pick([...model.graph.initializers], random);
  const initializers = new Map(model.graph.initializers);
  initializers.set(name, { ...old, header: concat([textField(8, name), change(old)]) });
  return { ...model, graph: { ...model.graph, initializers } };
};

const otherElementType: Mutator = (model, random) =>
  changedInitializer(model, random, ({ dims }) =>
    concat([...dims.map((dim) => integerField(1, dim)), integerField(2, randomBelow(random, 26))]),
  );

const otherDimensions: Mutator = (model, random) =>
  changedInitializer(model, random, ({ dataType }) =>
    concat([...absurdList(random).map((dim) => integerField(1, dim)), integerField(2, dataType)]),
  );

const otherInput: Mutator = (model, random) => {
  const { inputs } = model.graph;
  const at = randomBelow(random, inputs.length);
  return {
    ...model,
    graph: {
      ...model.graph,
      inputs: inputs.map((input, index) =>
        index === at ? newValueInfo(input.name, randomBelow(random, 18), absurdList(random)) : input,
      ),
    },
  };
};

const otherOutput: Mutator = (model, random) => {
  const name = pick(['no such value', '', '__proto__', 'logits', anyValue(model, random)], random);
  const outputs = [...model.graph.outputs, newValueInfo(name, FLOAT, absurdList(random))];
  return { ...model, graph: { ...model.graph, outputs: random() < 0.5 ? outputs : outputs.slice(-1) } };
};

const integers = (output: string, values: readonly number[]): GraphNode =>
  newNode('Constant', [], [output], { value: encodeTensor(INT64, [values.length], values) });
const scalar = (output: string, value: number): GraphNode =>
  newNode('Constant', [], [output], { value: encodeTensor(INT64, [], [value]) });

/** A node's input goes through an operator whose result may be of any size. */
const absurdShape: Mutator = (model, random) => {
  const at = randomBelow(random, model.graph.nodes.length);
  const node = model.graph.nodes[at] as GraphNode;
  const [data = ''] = node.inputs;
  const size = pick([2 ** 18, 2 ** 40, absurd(random)], random);
  const list = pick([absurdList(random), new Array<number>(80).fill(1), [size]], random);
  const options = { axis: absurd(random) };
  const makers: (() => GraphNode)[] = [
    () => newNode('Reshape', [data, 'fuzz.list'], ['fuzz.out']),
    () => newNode('Expand', [data, 'fuzz.list'], ['fuzz.out']),
    () => newNode('Tile', [data, 'fuzz.list'], ['fuzz.out']),
    () => newNode('ConstantOfShape', ['fuzz.list'], ['fuzz.out']),
    () => newNode('Range', ['fuzz.zero', 'fuzz.size', 'fuzz.step'], ['fuzz.out']),
    () => newNode('OneHot', [data, 'fuzz.size', 'fuzz.list'], ['fuzz.out'], options),
    () => newNode('Slice', [data, 'fuzz.list', 'fuzz.list', 'fuzz.list', 'fuzz.list'], ['fuzz.out']),
    () => newNode('Unsqueeze', [data, 'fuzz.list'], ['fuzz.out']),
    () => newNode('Split', [data, 'fuzz.list'], ['fuzz.out', 'fuzz.second'], options),
    () => newNode('Gather', [data, 'fuzz.list'], ['fuzz.out'], options),
    () => newNode('Concat', [data, data], ['fuzz.out'], options),
    () => newNode('Transpose', [data], ['fuzz.out'], { perm: list }),
    () => newNode('Trilu', [data, 'fuzz.size'], ['fuzz.out']),
  ];
  const changed = [...model.graph.nodes];
  changed[at] = withInputs(node, ['fuzz.out', ...node.inputs.slice(1)]);
  const given = [integers('fuzz.list', list), scalar('fuzz.zero', 0), scalar('fuzz.size', size)];
  return withNodes(model, [...given, scalar('fuzz.step', absurd(random)), pick(makers, random)(), ...changed]);
};

// Large ones

/** The same operator on one value, over and over. */
const manyReaders: Mutator = (model, random) => {
  const softmax = model.graph.nodes.find(({ opType }) => opType === 'Softmax')?.inputs[0];
  const value = random() < 0.5 && softmax !== undefined ? softmax : anyValue(model, random);
  const opType = pick(['Softmax', 'Add', 'Mul', 'MatMul', 'Where', 'LayerNormalization'], random);
  return addNodes(
    model,
    Array.from({ length: 3000 }, (_, index) => newNode(opType, [value, value, value], [`fuzz.reader${index}`])),
  );
};

/** Thousands of softmaxes before one product, behind one sum of thousands. */
const manyAttentions: Mutator = (model, random) => {
  const value = anyValue(model, random);
  const count = 2000;
  const names = (kind: string): string[] => Array.from({ length: count }, (_, index) => `fuzz.${kind}${index}`);
  const [scores, patterns] = [names('scores'), names('pattern')];
  return addNodes(model, [
    ...scores.map((name) => newNode('Mul', [value, value], [name])),
    newNode('Max', scores, ['fuzz.max']),
    ...patterns.map((name) => newNode('Softmax', ['fuzz.max'], [name])),
    ...patterns.map((name, index) => newNode('Where', patterns.slice(index, index + 3), [`${name}.kept`])),
    ...patterns.map((name) => newNode('MatMul', [`${name}.kept`, value], [`${name}.mixed`])),
  ]);
};

/** A node's input comes out of a very long chain. */
const longChain: Mutator = (model, random) => {
  const length = 20_000;
  const opType = pick(
    ['Identity', 'Cast', 'Transpose', 'Reshape', 'Mul', 'Neg', 'DequantizeLinear', 'Unsqueeze'],
    random,
  );
  const from = anyValue(model, random);
  const chain = Array.from({ length }, (_, index) =>
    newNode(opType, [index === 0 ? from : `fuzz.chain${index - 1}`], [`fuzz.chain${index}`]),
  );
  const at = randomBelow(random, model.graph.nodes.length);
  const nodes = model.graph.nodes.map((node, index) =>
    index === at || (random() < 0.1 && node.inputs.includes(from))
      ? withInputs(
          node,
          node.inputs.map((input, place) => (place === 0 || input === from ? `fuzz.chain${length - 1}` : input)),
        )
      : node,
  );
  return withNodes(model, [...nodes, ...chain]);
};

/** 2^60 ways from one end to the other. */
const doublings: Mutator = (model, random) => {
  const opType = pick(['Mul', 'Add', 'Where', 'Concat', 'MatMul'], random);
  const at = randomBelow(random, model.graph.nodes.length);
  const target = model.graph.nodes[at] as GraphNode;
  const step = (index: number): string => (index < 0 ? (target.inputs[0] ?? '') : `fuzz.double${index}`);
  const chain = Array.from({ length: 60 }, (_, index) =>
    newNode(opType, [step(index - 1), step(index - 1), step(index - 1)], [step(index)], { axis: 0 }),
  );
  const nodes = [...model.graph.nodes];
  nodes[at] = withInputs(target, [step(59), ...target.inputs.slice(1)]);
  return withNodes(model, [...nodes, ...chain]);
};

/** Every node reads all of the last row of nodes. */
const tangle: Mutator = (model, random) => {
  const [rows, columns] = [12, 60];
  const opType = pick(['Where', 'Mul', 'Max', 'Add'], random);
  const source = model.graph.nodes.find((node) => node.opType === 'Softmax')?.outputs[0] ?? anyValue(model, random);
  const name = (row: number, column: number): string => (row < 0 ? source : `fuzz.tangle${row}.${column}`);
  const range = (length: number): number[] => [...new Array(length).keys()];
  return addNodes(
    model,
    range(rows).flatMap((row) =>
      range(columns).map((column) =>
        newNode(
          opType,
          range(columns).map((each) => name(row - 1, each)),
          [name(row, column)],
        ),
      ),
    ),
  );
};

const wideNode: Mutator = (model, random) => {
  const input = textField(1, anyValue(model, random));
  const inputs = new Array<Uint8Array>(pick([5000, 150_000], random)).fill(input);
  const opType = pick(['Concat', 'Max', 'Sum', 'Einsum', 'Add'], random);
  return addNodes(model, [
    // As bytes: read here, the larger one would be refused here.
    nodeWith(opType, [], ['fuzz.wide'], concat(inputs)),
    newNode('Softmax', ['fuzz.wide'], ['fuzz.soft']),
  ]);
};

/** Large tensors of known elements, thousands of times. */
const hugeConstants: Mutator = (model, random) => {
  const opType = pick(['Neg', 'Add', 'Transpose', 'Concat'], random);
  const chain = Array.from({ length: 2000 }, (_, index) => {
    const before = index === 0 ? 'fuzz.filled' : `fuzz.huge${index - 1}`;
    return newNode(opType, opType === 'Add' ? [before, before] : [before], [`fuzz.huge${index}`], { axis: 0 });
  });
  const filled = newNode('ConstantOfShape', ['fuzz.list'], ['fuzz.filled']);
  return addNodes(model, [integers('fuzz.list', [512, 512]), filled, ...chain]);
};

const longAttribute: Mutator = (model, random) => {
  const values = new Array<number>(200_000).fill(1);
  const lists = concat(values.map((value) => integerField(7, value)));
  const tensor = concat([integerField(1, values.length), integerField(2, INT64), lists]);
  const perm = newNode('Transpose', [anyValue(model, random)], ['fuzz.transposed'], { perm: values });
  return addNodes(model, [
    constant('fuzz.constant', tensor),
    perm,
    newNode('Reshape', ['fuzz.transposed', 'fuzz.constant'], ['fuzz.out']),
  ]);
};

// Subgraphs and functions

const graphOf = (nodes: readonly GraphNode[], outputs: readonly string[]): Uint8Array =>
  concat([
    ...nodes.map((node) => bytesField(1, node.bytes)),
    textField(2, 'body'),
    ...outputs.map((output) => bytesField(12, newValueInfo(output, FLOAT).bytes)),
  ]);

const nestedSubgraphs: Mutator = (model, random) => {
  const value = anyValue(model, random);
  const condition = pick(['use_cache_branch', 'fuzz.condition', value], random);
  let inner = newNode('Identity', [value], ['fuzz.inner']);
  for (let depth = 0; depth < pick([1, 3, 20, 80], random); depth++) {
    const body = graphOf([inner], [inner.outputs[0] as string]);
    const branches = [
      graphAttribute('then_branch', body),
      graphAttribute('else_branch', body.subarray(0, body.length)),
    ];
    const named = random() < 0.9 ? branches.slice(0, 1) : branches.slice(1);
    inner = nodeWith(pick(['If', 'Loop'], random), [condition], [`fuzz.if${depth}`], ...named);
  }
  const switched = { ...model.graph, inputs: [...model.graph.inputs, newValueInfo(condition, 9, [1])] };
  return addNodes(random() < 0.5 ? { ...model, graph: switched } : model, [inner]);
};

const functionOf = (name: string, nodes: readonly GraphNode[], ...opset: Uint8Array[]): Uint8Array =>
  bytesField(
    25,
    concat([
      textField(1, name),
      textField(4, 'x'),
      textField(5, 'y'),
      ...nodes.map((node) => bytesField(7, node.bytes)),
      ...opset,
      textField(10, 'fuzz'),
    ]),
  );
const call = (name: string, input: string, output: string): GraphNode => newNode(name, [input], [output], {}, 'fuzz');
const withFunctions = (model: OnnxModel, functions: readonly Uint8Array[], node: GraphNode): OnnxModel =>
  addNodes({ ...model, rest: [...model.rest, ...functions] }, [node]);

const recursiveFunction: Mutator = (model, random) =>
  withFunctions(model, [functionOf('F', [call('F', 'x', 'y')])], call('F', anyValue(model, random), 'fuzz.called'));

/** Each function calls the next ten times; the last does something, or nothing. */
const laughingFunctions: Mutator = (model, random) => {
  const levels = 30;
  const functions = Array.from({ length: levels }, (_, level) =>
    functionOf(
      `F${level}`,
      Array.from({ length: 10 }, (_unused, index) => call(`F${level + 1}`, 'x', index === 0 ? 'y' : `y${index}`)),
    ),
  );
  const last = random() < 0.5 ? [] : [newNode('Identity', ['x'], ['y'])];
  const whole = [...functions, functionOf(`F${levels}`, last)];
  return withFunctions(model, whole, call('F0', anyValue(model, random), 'fuzz.called'));
};

/** One large body, called thousands of times. */
const heavyFunction: Mutator = (model, random) => {
  const body = functionOf('F', [constant('y', encodeTensor(INT64, [20_000], new Array<number>(20_000).fill(1)))]);
  const calls = Array.from({ length: 5000 }, (_, index) => call('F', anyValue(model, random), `fuzz.called${index}`));
  return addNodes({ ...model, rest: [...model.rest, body] }, calls);
};

const nastyOpset: Mutator = (model, random) => {
  const opset = (field: number): Uint8Array =>
    bytesField(field, concat([textField(1, pick(NASTY_NAMES, random)), integerField(2, absurd(random))]));
  const body = functionOf('F', [newNode('Identity', ['x'], ['y'])], opset(9));
  return withFunctions(
    { ...model, rest: [...model.rest, opset(8)] },
    [body],
    call('F', anyValue(model, random), 'fuzz.called'),
  );
};

/** Changes of wires, operators and attributes: what the runtime is shown too. */
export const SMALL: Readonly<Record<string, Mutator>> = {
  ...{ cutWire, crossWire, absentInput, ownCycle, swappedInputs, fewerInputs, noOutputs, duplicateOutput, droppedNode },
  ...{
    shuffledNodes,
    nastyName,
    otherOperator,
    extraAttribute,
    absurdHeads,
    otherElementType,
    otherOutput,
    nastyOpset,
  },
};
/** With sizes that no machine has. */
export const ABSURD_SIZES: Readonly<Record<string, Mutator>> = { otherDimensions, otherInput, absurdShape };
/** Each takes a while, so there are fewer of these. */
export const LARGE: Readonly<Record<string, Mutator>> = {
  ...{
    manyReaders,
    manyAttentions,
    longChain,
    doublings,
    tangle,
    wideNode,
    hugeConstants,
    longAttribute,
    nestedSubgraphs,
  },
  ...{ recursiveFunction, laughingFunctions, heavyFunction },
};

// Bytes of a file

type ByteMutator = (bytes: Uint8Array, random: Random) => Uint8Array;

const truncated: ByteMutator = (bytes, random) => bytes.subarray(0, randomBelow(random, bytes.length));

const flipped: ByteMutator = (bytes, random) => {
  const copy = bytes.slice();
  for (let count = 1 + randomBelow(random, 8); count > 0; count--)
    copy[randomBelow(random, copy.length)] = randomBelow(random, 256);
  return copy;
};

const repeated: ByteMutator = (bytes, random) => {
  const [from, length] = [randomBelow(random, bytes.length), randomBelow(random, 200)];
  return concat([bytes.subarray(0, from + length), bytes.subarray(from)]);
};

const cut: ByteMutator = (bytes, random) => {
  const from = randomBelow(random, bytes.length);
  return concat([bytes.subarray(0, from), bytes.subarray(from + 1 + randomBelow(random, 20))]);
};

export const BYTES: Readonly<Record<string, ByteMutator>> = { truncated, flipped, repeated, cut };
