/** Parts of ONNX files that tests put together: field numbers are those of onnx.proto. */
import { newNode, type GraphNode } from '../../extension/engine/onnx/model';
import { bytesField, concat, integerField, textField } from '../../extension/engine/onnx/wire';

export const FLOAT = 1;
const INT64 = 7;
const ATTRIBUTE_TENSOR = 4;
const ATTRIBUTE_GRAPH = 5;
const ATTRIBUTE_TENSORS = 9;

/** A TensorProto of four floats whose values are in another file. */
export function externalTensor(name: string, location: string): Uint8Array {
  const entries = Object.entries({ location, offset: '0', length: '16' });
  return concat([
    integerField(1, 4),
    integerField(2, FLOAT),
    textField(8, name),
    ...entries.map(([key, value]) => bytesField(13, concat([textField(1, key), textField(2, value)]))),
    integerField(14, 1),
  ]);
}

export function int64Tensor(values: readonly number[]): Uint8Array {
  return concat([
    integerField(1, values.length),
    integerField(2, INT64),
    ...values.map((value) => integerField(7, value)),
  ]);
}

/** Floats that are all zero. */
export function zeros(...dims: number[]): Uint8Array {
  const bytes = 4 * dims.reduce((a, b) => a * b, 1);
  return concat([
    ...dims.map((dim) => integerField(1, dim)),
    integerField(2, FLOAT),
    bytesField(9, new Uint8Array(bytes)),
  ]);
}

export const sparseTensor = (values: Uint8Array): Uint8Array =>
  concat([bytesField(1, values), bytesField(2, int64Tensor([0, 1, 2, 3])), integerField(3, 8)]);

const attribute = (name: string, field: number, value: Uint8Array, type: number): Uint8Array =>
  bytesField(5, concat([textField(1, name), bytesField(field, value), integerField(20, type)]));
export const tensorAttribute = (name: string, tensor: Uint8Array): Uint8Array =>
  attribute(name, 5, tensor, ATTRIBUTE_TENSOR);
export const tensorsAttribute = (name: string, tensor: Uint8Array): Uint8Array =>
  attribute(name, 10, tensor, ATTRIBUTE_TENSORS);
export const graphAttribute = (name: string, graph: Uint8Array): Uint8Array =>
  attribute(name, 6, graph, ATTRIBUTE_GRAPH);

export function nodeWith(
  opType: string,
  inputs: readonly string[],
  outputs: readonly string[],
  ...attributes: Uint8Array[]
): GraphNode {
  const node = newNode(opType, inputs, outputs);
  return { ...node, bytes: concat([node.bytes, ...attributes]) };
}

export const constant = (output: string, tensor: Uint8Array): GraphNode =>
  nodeWith('Constant', [], [output], tensorAttribute('value', tensor));
