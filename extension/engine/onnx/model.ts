/**
 * An ONNX file as a small graph: nodes, values and where the weights are, without the weights.
 * Field numbers are those of onnx.proto.
 */
import type { TensorInfo } from '../../protocol/engine';
import { LensError } from '../../protocol/errors';
import {
  BYTES,
  bytesField,
  concat,
  copy,
  copyField,
  fields,
  FileSource,
  FIXED32,
  integerField,
  integers,
  MemorySource,
  text,
  textField,
  type ByteSource,
  type Field,
} from './wire';

/** onnx.TensorProto.DataType → name, and bits of one element (0: not fixed). */
const ELEMENT_TYPES: Record<number, readonly [name: string, bits: number]> = {
  1: ['float', 32],
  2: ['uint8', 8],
  3: ['int8', 8],
  4: ['uint16', 16],
  5: ['int16', 16],
  6: ['int32', 32],
  7: ['int64', 64],
  8: ['string', 0],
  9: ['bool', 8],
  10: ['float16', 16],
  11: ['double', 64],
  12: ['uint32', 32],
  13: ['uint64', 64],
  14: ['complex64', 64],
  15: ['complex128', 128],
  16: ['bfloat16', 16],
  17: ['float8e4m3fn', 8],
  18: ['float8e4m3fnuz', 8],
  19: ['float8e5m2', 8],
  20: ['float8e5m2fnuz', 8],
  21: ['uint4', 4],
  22: ['int4', 4],
  23: ['float4e2m1', 4],
};

export const INT64 = 7;

/** Where a weight's bytes are. */
export type WeightPlace =
  | { kind: 'file'; offset: number; length: number }
  | { kind: 'external'; location: string; offset: number; length: number | null }
  | { kind: 'inline' };

export interface Initializer {
  name: string;
  dims: number[];
  dataType: number;
  place: WeightPlace;
  /** The encoded TensorProto without its `raw_data`. */
  header: Uint8Array;
  /** `raw_data` when it is small enough to stay in the header. */
  raw: Uint8Array | null;
}

export interface Attribute {
  name: string;
  int: number | null;
  float: number | null;
  ints: number[];
  tensor: Initializer | null;
  /** Has a subgraph (If, Loop, Scan). */
  graph: boolean;
}

export interface GraphNode {
  opType: string;
  domain: string;
  name: string;
  inputs: readonly string[];
  outputs: readonly string[];
  /** The encoded NodeProto. */
  bytes: Uint8Array;
}

export interface ValueInfo extends TensorInfo {
  bytes: Uint8Array;
}

export interface Graph {
  nodes: readonly GraphNode[];
  initializers: ReadonlyMap<string, Initializer>;
  /** Without initializers. */
  inputs: readonly ValueInfo[];
  outputs: readonly ValueInfo[];
  /** Everything else of the GraphProto, field by field as it was. */
  rest: readonly Uint8Array[];
}

export interface OnnxModel {
  irVersion: number;
  producer: string;
  /** Domain ('' is ai.onnx) → version. */
  opset: Record<string, number>;
  graph: Graph;
  /** Tensors outside the file that are no initializers of the graph: those in attributes, subgraphs, functions and sparse tensors. */
  hiddenExternal: readonly Initializer[];
  /** Everything of the ModelProto but the graph, field by field as it was. */
  rest: readonly Uint8Array[];
}

/** Far above any real graph; a file of millions of empty nodes would fill the memory. */
const MAX_PARTS = 500_000;

const MAX_DIMS = 64;
/** As protobuf's own limit: no real model nests subgraphs so deep. */
const MAX_NESTING = 100;

/** Where a message of a model may have tensors: its name → field number → the name of what is in that field. */
const TENSOR_PATHS: Readonly<Record<string, Readonly<Record<number, string>>>> = {
  graph: { 1: 'node', 5: 'tensor', 15: 'sparse' },
  node: { 5: 'attribute' },
  attribute: { 5: 'tensor', 6: 'graph', 10: 'tensor', 11: 'graph', 22: 'sparse', 23: 'sparse' },
  sparse: { 1: 'tensor', 2: 'tensor' },
  function: { 7: 'node', 11: 'attribute' },
  training: { 1: 'graph', 2: 'graph' },
};
/** Fields of the ModelProto. */
const MODEL_PARTS: Readonly<Record<number, string>> = { 7: 'graph', 20: 'training', 25: 'function' };

/** Tensors below this many bytes stay in the header: the runtime's shape inference and constant folding read them. */
const INLINE_BYTES = 1024;

const invalid = (what: string, hint = 'Export or download the model again.'): LensError =>
  new LensError('model-invalid', `This is not a valid ONNX file: ${what}.`, hint);

/** Reads the file's structure. Throws `model-invalid`; never reads a weight of 1 KB or more. */
export function readModel(path: string): OnnxModel {
  const source = new FileSource(path);
  try {
    if (source.size === 0) throw invalid('it is empty');
    return readModelProto(source);
  } finally {
    source.close();
  }
}

function readModelProto(source: ByteSource): OnnxModel {
  let irVersion = 0;
  let producer = '';
  const opset: Record<string, number> = {};
  let graph: Graph | null = null;
  const hiddenExternal: Initializer[] = [];
  const rest: Uint8Array[] = [];
  for (const field of fields(source)) {
    if (rest.length > MAX_PARTS) throw invalid(`it has more than ${MAX_PARTS} parts`);
    const part = MODEL_PARTS[field.number];
    if (part !== undefined && field.wire === BYTES)
      for (const tensor of hiddenTensors(source, part, field)) {
        if (tensor.place.kind === 'external' && hiddenExternal.push(tensor) > MAX_PARTS)
          throw invalid(`it has more than ${MAX_PARTS} tensors outside the file`);
      }
    if (field.number === 7 && field.wire === BYTES) {
      if (graph !== null) throw invalid('it has two graphs');
      graph = readGraph(source, field);
      continue;
    }
    if (field.number === 1) irVersion = field.value;
    else if (field.number === 2 && field.wire === BYTES) producer = text(source, field);
    else if (field.number === 8 && field.wire === BYTES) {
      let domain = '';
      let version = 0;
      for (const part of fields(source, field.start, field.end))
        if (part.number === 1) domain = text(source, part);
        else if (part.number === 2) version = part.value;
      opset[domain] = version;
    }
    rest.push(copyField(source, field));
  }
  if (graph === null || irVersion < 1 || irVersion > 100) throw invalid('it has no graph or no version');
  if (graph.nodes.length === 0) throw invalid('its graph is empty');
  return { irVersion, producer, opset, graph, hiddenExternal, rest };
}

function readGraph(source: ByteSource, graph: Field): Graph {
  const nodes: GraphNode[] = [];
  const initializers = new Map<string, Initializer>();
  const inputs: ValueInfo[] = [];
  const outputs: ValueInfo[] = [];
  const rest: Uint8Array[] = [];
  let parts = 0;
  for (const field of fields(source, graph.start, graph.end)) {
    if (++parts > MAX_PARTS) throw invalid(`its graph has more than ${MAX_PARTS} parts`);
    if (field.wire !== BYTES) rest.push(copyField(source, field));
    else if (field.number === 1) nodes.push(readNode(copy(source, field)));
    else if (field.number === 5) {
      const initializer = readInitializer(source, field);
      initializers.set(initializer.name, initializer);
    } else if (field.number === 11) inputs.push(readValueInfo(copy(source, field)));
    else if (field.number === 12) outputs.push(readValueInfo(copy(source, field)));
    else rest.push(copyField(source, field));
  }
  return { nodes, initializers, inputs: inputs.filter(({ name }) => !initializers.has(name)), outputs, rest };
}

/** The tensors at any depth of a message; of the model's graph all but its initializers, which `readGraph` reads. */
function* hiddenTensors(source: ByteSource, message: string, within: Field, depth = 0): Generator<Initializer> {
  if (depth > MAX_NESTING) throw invalid(`its parts are nested more than ${MAX_NESTING} deep`);
  for (const field of fields(source, within.start, within.end)) {
    const inner = TENSOR_PATHS[message]?.[field.number];
    if (inner === undefined || field.wire !== BYTES) continue;
    if (inner !== 'tensor') yield* hiddenTensors(source, inner, field, depth + 1);
    else if (message !== 'graph' || depth > 0) yield readInitializer(source, field);
  }
}

function readNode(bytes: Uint8Array): GraphNode {
  const source = new MemorySource(bytes);
  const inputs: string[] = [];
  const outputs: string[] = [];
  const node = { opType: '', domain: '', name: '', inputs, outputs, bytes };
  for (const field of fields(source))
    if (field.number === 1) inputs.push(text(source, field));
    else if (field.number === 2) outputs.push(text(source, field));
    else if (field.number === 3) node.name = text(source, field);
    else if (field.number === 4) node.opType = text(source, field);
    else if (field.number === 7) node.domain = text(source, field);
  return node;
}

/** The attributes of a node, read when they are needed. */
export function attributes(node: GraphNode): Map<string, Attribute> {
  const found = new Map<string, Attribute>();
  const source = new MemorySource(node.bytes);
  for (const field of fields(source)) {
    if (field.number !== 5) continue;
    const attribute: Attribute = { name: '', int: null, float: null, ints: [], tensor: null, graph: false };
    for (const part of fields(source, field.start, field.end))
      if (part.number === 1) attribute.name = text(source, part);
      else if (part.number === 2 && part.wire === FIXED32)
        attribute.float = new DataView(copy(source, part).buffer).getFloat32(0, true);
      else if (part.number === 3) attribute.int = part.value;
      else if (part.number === 5) attribute.tensor = readInitializer(source, part);
      else if (part.number === 8) attribute.ints.push(...integers(source, part));
      else if (part.number === 6 || part.number === 11) attribute.graph = true;
    found.set(attribute.name, attribute);
  }
  return found;
}

function readInitializer(source: ByteSource, tensor: Field): Initializer {
  const header: Uint8Array[] = [];
  const dims: number[] = [];
  let dataType = 0;
  let name = '';
  let raw: Field | null = null;
  let isExternal = false;
  const external = new Map<string, string>();
  for (const field of fields(source, tensor.start, tensor.end)) {
    if (field.number === 9 && field.wire === BYTES) {
      raw = field;
      continue;
    }
    if (field.number === 1) dims.push(...integers(source, field));
    else if (field.number === 2) dataType = field.value;
    else if (field.number === 8) name = text(source, field);
    else if (field.number === 14) isExternal = field.value === 1;
    else if (field.number === 13) {
      let key = '';
      let value = '';
      for (const part of fields(source, field.start, field.end))
        if (part.number === 1) key = text(source, part);
        else if (part.number === 2) value = text(source, part);
      external.set(key, value);
    }
    header.push(copyField(source, field));
  }
  if (dims.length > MAX_DIMS) throw invalid(`the tensor ${name} has ${dims.length} dimensions`);
  if (dims.some((dim) => dim < 0)) throw invalid(`the tensor ${name} has a negative dimension`);
  const location = external.get('location') ?? (isExternal ? '' : undefined);
  let place: WeightPlace = { kind: 'inline' };
  if (location !== undefined)
    place = {
      kind: 'external',
      location,
      offset: byteCount(external.get('offset') ?? '0', name),
      length: external.has('length') ? byteCount(external.get('length') ?? '', name) : null,
    };
  else if (raw !== null && raw.end - raw.start >= INLINE_BYTES)
    place = { kind: 'file', offset: raw.start, length: raw.end - raw.start };
  return {
    name,
    dims,
    dataType,
    place,
    header: concat(header),
    raw: raw !== null && place.kind === 'inline' ? copy(source, raw) : null,
  };
}

function byteCount(value: string, tensor: string): number {
  const count = /^\d{1,15}$/.test(value) ? Number(value) : NaN;
  if (Number.isNaN(count)) throw invalid(`the tensor ${tensor} has an external offset or length that is no number`);
  return count;
}

function readValueInfo(bytes: Uint8Array): ValueInfo {
  const source = new MemorySource(bytes);
  const info: ValueInfo = { name: '', type: 'unknown', shape: [], bytes };
  for (const field of fields(source))
    if (field.number === 1) info.name = text(source, field);
    else if (field.number === 2)
      for (const type of fields(source, field.start, field.end)) {
        if (type.number !== 1) continue; // sequences, maps, optionals: type stays unknown
        for (const part of fields(source, type.start, type.end))
          if (part.number === 1) info.type = ELEMENT_TYPES[part.value]?.[0] ?? `type ${part.value}`;
          else if (part.number === 2)
            for (const dim of fields(source, part.start, part.end)) {
              let value: number | string = '?';
              for (const size of fields(source, dim.start, dim.end))
                if (size.number === 1) value = size.value;
                else if (size.number === 2) value = text(source, size);
              info.shape.push(value);
            }
      }
  return info;
}

/** Elements of a tensor. */
export const elementCount = (initializer: Initializer): number => initializer.dims.reduce((a, b) => a * b, 1);

/** Bytes that the tensor's shape and type ask for; null for strings and unknown types. */
export function byteSize(initializer: Initializer): number | null {
  const bits = ELEMENT_TYPES[initializer.dataType]?.[1];
  return bits === undefined || bits === 0 ? null : Math.ceil((elementCount(initializer) * bits) / 8);
}

/** The values of a small int64 tensor; null for other types and for values that are not in the header. */
export function int64Values({ dataType, place, raw, header }: Initializer): number[] | null {
  if (dataType !== INT64 || place.kind !== 'inline') return null;
  if (raw === null) {
    const source = new MemorySource(header);
    return [...fields(source)].filter(({ number }) => number === 7).flatMap((field) => integers(source, field));
  }
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  return Array.from({ length: Math.floor(raw.length / 8) }, (_, index) => Number(view.getBigInt64(8 * index, true)));
}

// Writing

/** A NodeProto with other inputs; all else as it was. */
export function withInputs(node: GraphNode, inputs: readonly string[]): GraphNode {
  const source = new MemorySource(node.bytes);
  const rest = [...fields(source)].filter(({ number }) => number !== 1).map((field) => copyField(source, field));
  return readNode(concat([...inputs.map((input) => textField(1, input)), ...rest]));
}

/** A node of the standard operators. `attributes` are integers. */
export function newNode(
  opType: string,
  inputs: readonly string[],
  outputs: readonly string[],
  integerAttributes: Record<string, number> = {},
): GraphNode {
  return readNode(
    concat([
      ...inputs.map((input) => textField(1, input)),
      ...outputs.map((output) => textField(2, output)),
      textField(4, opType),
      ...Object.entries(integerAttributes).map(([name, value]) =>
        // 2 = AttributeProto.INT
        bytesField(5, concat([textField(1, name), integerField(3, value), integerField(20, 2)])),
      ),
    ]),
  );
}

/** A value of that element type and no stated shape, or with fixed and symbolic dimensions. */
export function newValueInfo(name: string, dataType: number, dims?: readonly (string | number)[]): ValueInfo {
  const shape =
    dims === undefined
      ? []
      : [
          bytesField(
            2,
            concat(
              dims.map((dim) => bytesField(1, typeof dim === 'number' ? integerField(1, dim) : textField(2, dim))),
            ),
          ),
        ];
  const tensor = concat([integerField(1, dataType), ...shape]);
  return readValueInfo(concat([textField(1, name), bytesField(2, bytesField(1, tensor))]));
}

/**
 * The model as bytes. Large weights become external data that points into `ownFile`, the name of the file they were read from, so
 * that nothing is copied: create the session with `model_external_initializers_file_folder_path` set to that file's folder.
 */
export function encodeModel(model: OnnxModel, ownFile: string): Uint8Array {
  const { graph } = model;
  const encoded = concat([
    ...graph.nodes.map((node) => bytesField(1, node.bytes)),
    ...[...graph.initializers.values()].map((initializer) => bytesField(5, encodeInitializer(initializer, ownFile))),
    ...graph.inputs.map((input) => bytesField(11, input.bytes)),
    ...graph.outputs.map((output) => bytesField(12, output.bytes)),
    ...graph.rest,
  ]);
  return concat([...model.rest, bytesField(7, encoded)]);
}

function encodeInitializer({ header, raw, place }: Initializer, ownFile: string): Uint8Array {
  if (raw !== null) return concat([header, bytesField(9, raw)]);
  if (place.kind !== 'file') return header;
  const entry = (key: string, value: string): Uint8Array =>
    bytesField(13, concat([textField(1, key), textField(2, value)]));
  return concat([
    header,
    entry('location', ownFile),
    entry('offset', String(place.offset)),
    entry('length', String(place.length)),
    integerField(14, 1), // data_location = EXTERNAL
  ]);
}
