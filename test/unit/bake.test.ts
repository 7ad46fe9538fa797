/** Where a scale goes: into a matrix's rows, into the scales of its rows, or before the layer. */
import assert from 'node:assert/strict';
import { prepare } from '../../extension/engine/anatomy/subject';
import { findLinears } from '../../extension/engine/anatomy/linears';
import { bake } from '../../extension/engine/instrument/bake';
import {
  FLOAT,
  newNode,
  newValueInfo,
  type GraphNode,
  type Initializer,
  type OnnxModel,
} from '../../extension/engine/onnx/model';

const INT8 = 3;
const tensor = (name: string, dims: number[], dataType = FLOAT): Initializer => ({
  ...{ name, dims, dataType, header: new Uint8Array(), raw: null },
  place: { kind: 'file', offset: 0, length: 4 * dims.reduce((product, dim) => product * dim, 1) },
});

/** x [B,T,4] through `nodes` to y. */
function modelOf(nodes: GraphNode[], initializers: Initializer[]): OnnxModel {
  return {
    irVersion: 8,
    producer: 'test',
    opset: new Map([['', 17]]),
    graph: {
      nodes,
      initializers: new Map(initializers.map((each) => [each.name, each])),
      inputs: [newValueInfo('x', FLOAT, ['batch', 'length', 4])],
      outputs: [newValueInfo('y', FLOAT)],
      rest: [],
    },
    hiddenExternal: [],
    rest: [],
  };
}

function bakeInto(nodes: GraphNode[], initializers: Initializer[], factors = [0, 1, 2, 1]): ReturnType<typeof bake> {
  const subject = prepare(modelOf(nodes, initializers));
  const linear = findLinears(subject).byData.get('m');
  assert.ok(linear !== undefined);
  return bake(subject, [{ linear, factors: Float32Array.from(factors) }]);
}

const relu = newNode('Relu', ['x'], ['m']);
const product = (transB: number): GraphNode => newNode('Gemm', ['m', 'w'], ['y'], { transB });
const dequantised = (axis: number): GraphNode[] => [
  relu,
  newNode('DequantizeLinear', ['q', 's'], ['w'], { axis }),
  newNode('MatMul', ['m', 'w'], ['y']),
];
const quantised = (scales: number): Initializer[] => [tensor('q', [4, 6], INT8), tensor('s', [scales])];

describe('scales in weights', () => {
  it('multiply the rows of a matrix, whichever way it lies', () => {
    const plain = bakeInto([relu, newNode('MatMul', ['m', 'w'], ['y'])], [tensor('w', [4, 6])]);
    assert.deepEqual([plain.how, plain.tensors.get('w')?.axis], [['weight rows'], 0]);
    const turned = bakeInto([relu, product(1)], [tensor('w', [6, 4])]);
    assert.deepEqual([turned.how, turned.tensors.get('w')?.axis], [['weight rows'], 1]);
    assert.equal(turned.model.graph.nodes.length, 2);
  });

  it('multiply the scales of a quantised matrix where each row has one', () => {
    const byRow = bakeInto(dequantised(0), quantised(4));
    assert.deepEqual([byRow.how, [...byRow.tensors.keys()]], [['row scales'], ['s']]);
    // One a column, and none for what turns round.
    assert.deepEqual(bakeInto(dequantised(1), quantised(6)).how, ['inserted Mul']);
    assert.deepEqual(bakeInto(dequantised(0), quantised(4), [1, 1, -1, 1]).how, ['inserted Mul']);
  });

  it('stand before a layer whose matrix another layer reads too', () => {
    const shared = bakeInto(
      [relu, newNode('MatMul', ['m', 'w'], ['y']), newNode('MatMul', ['x', 'w'], ['z'])],
      [tensor('w', [4, 6])],
    );
    assert.deepEqual([shared.how, shared.tensors.size], [['inserted Mul'], 0]);
    const [first, constant, mul, ...rest] = shared.model.graph.nodes;
    assert.deepEqual([first?.opType, constant?.opType, mul?.opType, rest.length], ['Relu', 'Constant', 'Mul', 2]);
    assert.deepEqual(mul?.inputs, [first?.outputs[0], constant?.outputs[0]]);
    assert.deepEqual(mul?.outputs, ['m']);
  });
});
