/** Small graphs of our own, for what the runtime does several times as fast as any loop here. */
import { FLOAT, newValueInfo, type GraphNode } from '../onnx/model';
import { bytesField, concat, integerField } from '../onnx/wire';

/** Both are old enough for every runtime. */
const [IR_VERSION, OPSET] = [8, 13];

/** A model of float32 values; a value has its dimensions, where they are known. */
export function smallModel(
  nodes: readonly GraphNode[],
  inputs: Readonly<Record<string, readonly (string | number)[]>>,
  outputs: Readonly<Record<string, readonly (string | number)[]>>,
): Uint8Array {
  const infos = (values: Readonly<Record<string, readonly (string | number)[]>>, field: number): Uint8Array[] =>
    Object.entries(values).map(([name, dims]) => bytesField(field, newValueInfo(name, FLOAT, dims).bytes));
  const graph = concat([
    ...nodes.map(({ bytes }) => bytesField(1, bytes)),
    ...infos(inputs, 11),
    ...infos(outputs, 12),
  ]);
  return concat([integerField(1, IR_VERSION), bytesField(8, integerField(2, OPSET)), bytesField(7, graph)]);
}
