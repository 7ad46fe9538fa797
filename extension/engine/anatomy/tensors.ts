/**
 * The tensors that a file stores, and what each is: learned parameters (in floating point or quantised), what quantisation adds to
 * them, or plain constants. Packed formats are counted as the matrix that they stand for.
 */
import type { PartWeight } from '../../protocol/engine';
import type { Wires } from '../onnx/graph';
import { attributes, byteSize, elementCount, elementType, type GraphNode, type Initializer } from '../onnx/model';

export interface StoredTensor {
  name: string;
  type: string;
  shape: number[];
  /** As people say it: `float16`, `int8 per channel`, `4-bit blocks of 32`. */
  storage: string;
  kind: 'weight' | 'scale' | 'zero point' | 'constant';
  parameters: number;
  bytes: number;
  /** Another tensor of the file that is stored in the same place; it has the bytes and the parameters. */
  alias: string | null;
}

type Role = PartWeight['role'];

/** One input of a node, by its place. */
interface Read {
  node: GraphNode;
  at: number;
}

/** Places of a quantised matrix, its scales (the matrix's own last) and its zero points among an operator's inputs. */
interface QuantisedForm {
  data: readonly number[];
  scale: readonly number[];
  zero: readonly number[];
}

// Maps, since an operator may be called like a member of every object.
const QUANTISED: ReadonlyMap<string, QuantisedForm> = new Map([
  ['DequantizeLinear', { data: [0], scale: [1], zero: [2] }],
  ['QuantizeLinear', { data: [], scale: [1], zero: [2] }],
  ['MatMulInteger', { data: [0, 1], scale: [], zero: [2, 3] }],
  ['MatMulIntegerToFloat', { data: [0, 1], scale: [2, 3], zero: [4, 5] }],
  ['DynamicQuantizeMatMul', { data: [1], scale: [2], zero: [3] }],
  ['QLinearMatMul', { data: [0, 3], scale: [1, 6, 4], zero: [2, 7, 5] }],
  ['MatMulNBits', { data: [1], scale: [2], zero: [3] }],
  ['MatMulBnb4', { data: [1], scale: [2], zero: [] }],
  ['GatherBlockQuantized', { data: [0], scale: [2], zero: [3] }],
  ['QAttention', { data: [1], scale: [3, 4], zero: [6, 7] }],
  ['QEmbedLayerNormalization', { data: [2, 3, 4, 5, 6], scale: [8, 9, 10, 11, 12], zero: [13, 14, 15, 16, 17] }],
]);

/** Operators that hand a constant on, as another view of it. */
const HANDS_ON = new Set(['Identity', 'Transpose', 'Cast', 'Reshape', 'Unsqueeze', 'Squeeze', 'Expand', 'Slice']);
/** Input of an operator that is added after the product. */
const BIAS_AT: ReadonlyMap<string, number> = new Map([
  ['Add', -1],
  ['Gemm', 2],
  ['FusedGemm', 2],
  ['LayerNormalization', 2],
  ['MatMulNBits', 5],
  ['MatMulIntegerToFloat', 6],
  ['DynamicQuantizeMatMul', 4],
]);
/** From a table of frequencies to the angles of rotary positions there are few steps. */
const STEPS_TO_ANGLES = 8;

/** What a node's input is, by the operator alone; what is no quantised form is a weight or a bias. */
export function roleAt({ node, at }: Read): Role {
  const form = QUANTISED.get(node.opType);
  if (form?.scale.includes(at) === true) return 'scale';
  if (form?.zero.includes(at) === true) return 'zero point';
  const bias = BIAS_AT.get(node.opType);
  return bias === at || bias === -1 ? 'bias' : 'weight';
}

/** All tensors of a graph: its initializers, and the values of its Constant nodes. */
export function storedTensors(wires: Wires): StoredTensor[] {
  const constants = wires.nodes.flatMap((node): [string, Initializer][] => {
    const tensor = node.opType === 'Constant' ? attributes(node).get('value')?.tensor : undefined;
    return tensor === undefined ? [] : [[node.outputs[0] ?? '', tensor]];
  });
  const places = new Map<string, string>();
  return [...wires.graph.initializers, ...constants].map(([name, tensor]) => {
    const place = placeOf(tensor);
    const alias = place === null ? null : (places.get(place) ?? null);
    if (place !== null && alias === null) places.set(place, name);
    return describeTensor(wires, name, tensor, alias);
  });
}

/** Two names may stand for the same bytes of a weights file. */
const placeOf = ({ place, dims, dataType }: Initializer): string | null =>
  place.kind === 'external' ? JSON.stringify([place.location, place.offset, place.length, dims, dataType]) : null;

function describeTensor(wires: Wires, name: string, tensor: Initializer, alias: string | null): StoredTensor {
  const reads = readsOf(wires, name);
  const type = elementType(tensor.dataType);
  const quantised = reads.find(({ node, at }) => QUANTISED.get(node.opType)?.data.includes(at));
  const kind = kindOf(wires, name, tensor, type, reads, quantised !== undefined);
  const size = tensor.place.kind === 'inline' ? null : tensor.place.length;
  return {
    name,
    type,
    shape: tensor.dims,
    storage: quantised === undefined ? plainName(type) : storageName(wires, quantised, type),
    kind,
    parameters: kind !== 'weight' || alias !== null ? 0 : parametersOf(tensor, quantised),
    bytes: alias !== null ? 0 : (byteSize(tensor) ?? size ?? 0),
    alias,
  };
}

/** Who reads a constant, also behind operators that only hand it on. */
function readsOf(wires: Wires, name: string, depth = 0): Read[] {
  return wires.readers(name).flatMap((node) =>
    node.inputs.flatMap((input, at): Read[] => {
      if (input !== name) return [];
      // A table may be dequantised after its rows were looked up.
      const handsOn = (HANDS_ON.has(node.opType) || node.opType === 'Gather') && at === 0 && wires.isConstant(name);
      return handsOn && depth < STEPS_TO_ANGLES ? readsOf(wires, node.outputs[0] ?? '', depth + 1) : [{ node, at }];
    }),
  );
}

function kindOf(
  wires: Wires,
  name: string,
  tensor: Initializer,
  type: string,
  reads: readonly Read[],
  isQuantised: boolean,
): StoredTensor['kind'] {
  if (isQuantised && elementCount(tensor) > 1) return 'weight';
  const roles = reads.map((read) => (isScaleOfProduct(wires, read) ? 'scale' : roleAt(read)));
  for (const role of ['scale', 'zero point'] as const) if (roles.includes(role)) return role;
  // A single number is an ε, a root of a width, a fill.
  const isFloat = /^(b?float|double)/.test(type);
  return isFloat && elementCount(tensor) > 1 && reads.length > 0 && !feedsAngles(wires, name) ? 'weight' : 'constant';
}

/** The scale of a weight is multiplied with the one that the activations got at run time. */
const isScaleOfProduct = (wires: Wires, { node }: Read): boolean =>
  node.opType === 'Mul' && node.inputs.some((input) => wires.maker(input)?.opType === 'DynamicQuantizeLinear');

/** Frequencies, sines and cosines of rotary positions are computed, not learned. */
function feedsAngles(wires: Wires, name: string): boolean {
  let frontier = [name];
  for (let step = 0; step < STEPS_TO_ANGLES; step++) {
    const readers = frontier.flatMap((each) => wires.readers(each));
    if (readers.some(({ opType }) => opType === 'Cos' || opType === 'Sin')) return true;
    if (readers.some(({ opType, inputs }) => opType === 'RotaryEmbedding' && inputs.slice(1).includes(name)))
      return true;
    if (readers.some(({ opType, inputs }) => opType === 'GroupQueryAttention' && inputs.slice(7, 9).includes(name)))
      return true;
    frontier = [...new Set(readers.flatMap(({ outputs }) => outputs))];
  }
  return false;
}

/** Elements of the matrix that a tensor stands for. */
function parametersOf(tensor: Initializer, quantised: Read | undefined): number {
  const stored = elementCount(tensor);
  if (quantised === undefined) return stored;
  const { node } = quantised;
  const option = (name: string): number | undefined => attributes(node).get(name)?.int;
  if (node.opType === 'MatMulNBits' || node.opType === 'MatMulBnb4')
    return (option('N') ?? 0) * (option('K') ?? 0) || stored;
  // Two numbers of four bits in a byte.
  if (node.opType === 'GatherBlockQuantized' && elementType(tensor.dataType) === 'uint8')
    return stored * (8 / (option('bits') ?? 4));
  return stored;
}

/** ONNX leaves the bits out where C does. */
const plainName = (type: string): string => ({ float: 'float32', double: 'float64' })[type] ?? type;

function storageName(wires: Wires, { node }: Read, type: string): string {
  const option = (name: string): number | undefined => attributes(node).get(name)?.int;
  if (node.opType === 'MatMulNBits' || node.opType === 'GatherBlockQuantized')
    return `${option('bits') ?? 4}-bit blocks of ${option('block_size') ?? (node.opType === 'MatMulNBits' ? '?' : 128)}`;
  if (node.opType === 'MatMulBnb4') return `4-bit blocks of ${option('block_size') ?? '?'}`;
  const block = option('block_size') ?? 0;
  if (node.opType === 'DequantizeLinear' && block > 0) return `${type} blocks of ${block}`;
  const scale =
    QUANTISED.get(node.opType)
      ?.scale.map((at) => node.inputs[at])
      .at(-1) ?? scaleAfter(wires, node);
  const count = wires.initializer(scale)?.dims.reduce((product, dim) => product * dim, 1) ?? 1;
  return `${type} per ${count > 1 ? 'channel' : 'tensor'}`;
}

/** MatMulInteger gives whole numbers; the scale is multiplied in behind it. */
function scaleAfter(wires: Wires, product: GraphNode): string | undefined {
  const cast = wires.readers(product.outputs[0] ?? '')[0];
  const scaled = wires.readers(cast?.outputs[0] ?? '').find(({ opType }) => opType === 'Mul');
  const scales = wires.maker(scaled?.inputs.find((input) => input !== cast?.outputs[0]));
  return scales?.inputs.find((input) => wires.isConstant(input));
}
