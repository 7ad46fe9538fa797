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
  floats,
  FIXED32,
  floatField,
  integerField,
  integers,
  MemorySource,
  text,
  textField,
  type ByteSource,
  type Field,
} from './wire';

/** onnx.TensorProto.DataType → name, and bits of one element (0: not fixed). */
const ELEMENT_TYPES: Readonly<Record<number, readonly [name: string, bits: number]>> = {
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

export const FLOAT = 1;
export const UINT8 = 2;
export const INT32 = 6;
export const INT64 = 7;
export const BOOL = 9;
export const FLOAT16 = 10;
export const BFLOAT16 = 16;

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

/** One attribute of a node, as far as it is set. */
export interface Attribute {
  int?: number;
  float?: number;
  text?: string;
  ints?: number[];
  floats?: number[];
  /** The value of a Constant, the fill of a ConstantOfShape. */
  tensor?: Initializer;
  /** Has a subgraph (If, Loop, Scan). */
  graph?: true;
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

/** Domain ('' is ai.onnx) → version. */
export type Opset = ReadonlyMap<string, number>;

export interface OnnxModel {
  irVersion: number;
  producer: string;
  opset: Opset;
  graph: Graph;
  /** Tensors outside the file that are no initializers of the graph: those in attributes, subgraphs, functions and sparse tensors. */
  hiddenExternal: readonly Initializer[];
  /** Everything of the ModelProto but the graph, field by field as it was. */
  rest: readonly Uint8Array[];
}

/** Far above any real graph; a file of millions of empty nodes would fill the memory. */
const MAX_PARTS = 500_000;

export const MAX_DIMS = 64;
/** Inputs and outputs of one node. */
const MAX_NODE_VALUES = 16_384;
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
  const opset = new Map<string, number>();
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
      opset.set(...readOpset(source, field));
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
  if (inputs.length + outputs.length > MAX_NODE_VALUES)
    throw invalid(`the node ${node.name} has more than ${MAX_NODE_VALUES} inputs and outputs`);
  return node;
}

/** A list may be too long to be the arguments of a call. */
export function append<T>(list: T[], more: readonly T[]): void {
  for (const each of more) list.push(each);
}

const attributesOf = new WeakMap<GraphNode, ReadonlyMap<string, Attribute>>();

/** The attributes of a node, read when they are first needed. */
export function attributes(node: GraphNode): ReadonlyMap<string, Attribute> {
  let found = attributesOf.get(node);
  if (found === undefined) attributesOf.set(node, (found = readAttributes(node)));
  return found;
}

function readAttributes(node: GraphNode): Map<string, Attribute> {
  const found = new Map<string, Attribute>();
  const source = new MemorySource(node.bytes);
  for (const field of fields(source)) {
    if (field.number !== 5 || field.wire !== BYTES) continue;
    const attribute: Attribute = {};
    let name = '';
    for (const part of fields(source, field.start, field.end))
      if (part.number === 1) name = text(source, part);
      else if (part.number === 2 && part.wire === FIXED32) attribute.float = floats(source, part)[0] as number;
      else if (part.number === 3) attribute.int = part.value;
      else if (part.number === 4) attribute.text = text(source, part);
      else if (part.number === 5) attribute.tensor = readInitializer(source, part);
      else if (part.number === 6 || part.number === 11) attribute.graph = true;
      else if (part.number === 7) append((attribute.floats ??= []), floats(source, part));
      else if (part.number === 8) append((attribute.ints ??= []), integers(source, part));
    found.set(name, attribute);
  }
  return found;
}

/** Values of the graph around it that the subgraphs of a node (If, Loop, Scan) may read. */
export function outerValues(node: GraphNode): readonly string[] {
  if (!hasSubgraph(node)) return [];
  const names = new Set<string>();
  collectSubgraphInputs(node.bytes, names, 0);
  return [...names];
}

function collectSubgraphInputs(node: Uint8Array, names: Set<string>, depth: number): void {
  if (depth > MAX_NESTING) throw invalid(`its subgraphs are nested more than ${MAX_NESTING} deep`);
  const source = new MemorySource(node);
  for (const attribute of fields(source)) {
    if (attribute.number !== 5 || attribute.wire !== BYTES) continue;
    for (const graph of fields(source, attribute.start, attribute.end)) {
      if ((graph.number !== 6 && graph.number !== 11) || graph.wire !== BYTES) continue;
      for (const part of fields(source, graph.start, graph.end)) {
        // A subgraph may also hand a value of the outer graph straight on as its output.
        if (part.number === 12 && part.wire === BYTES) names.add(readValueInfo(copy(source, part)).name);
        if (part.number !== 1 || part.wire !== BYTES) continue;
        const inner = copy(source, part);
        for (const input of readNode(inner).inputs) names.add(input);
        collectSubgraphInputs(inner, names, depth + 1);
      }
    }
  }
}

/** Whether a node runs graphs of its own (If, Loop, Scan). */
export const hasSubgraph = (node: GraphNode): boolean =>
  [...attributes(node).values()].some(({ graph }) => graph === true);

/** A graph that is an attribute. Throws `model-invalid` when there is none of that name. */
export function subgraph(node: GraphNode, attribute: string): Graph {
  const source = new MemorySource(node.bytes);
  for (const field of fields(source)) {
    if (field.number !== 5 || field.wire !== BYTES) continue;
    const parts = [...fields(source, field.start, field.end)];
    const name = parts.find(({ number }) => number === 1);
    const graph = parts.find(({ number, wire }) => number === 6 && wire === BYTES);
    if (name !== undefined && graph !== undefined && text(source, name) === attribute) return readGraph(source, graph);
  }
  throw invalid(`the node ${node.name} has no ${attribute}`);
}

/** Names and encoded fields (tag included) of a node's attributes. */
export function attributeFields(node: GraphNode): [name: string, field: Uint8Array][] {
  const source = new MemorySource(node.bytes);
  return [...fields(source)]
    .filter(({ number, wire }) => number === 5 && wire === BYTES)
    .map((field) => {
      const name = [...fields(source, field.start, field.end)].find(({ number }) => number === 1);
      return [name === undefined ? '' : text(source, name), copyField(source, field)];
    });
}

/** A model-local function (FunctionProto). */
export interface FunctionBody {
  domain: string;
  name: string;
  inputs: string[];
  outputs: string[];
  nodes: GraphNode[];
  opset: Map<string, number>;
  /** Encoded attributes that hold where a call gives none, by name. */
  defaults: Map<string, Uint8Array>;
}

/** The function in a field of the ModelProto; null for other fields. */
export function readFunction(modelField: Uint8Array): FunctionBody | null {
  const source = new MemorySource(modelField);
  const [outer] = fields(source);
  if (outer?.number !== 25 || outer.wire !== BYTES) return null;
  const body: FunctionBody = {
    domain: '',
    name: '',
    inputs: [],
    outputs: [],
    nodes: [],
    opset: new Map(),
    defaults: new Map(),
  };
  for (const field of fields(source, outer.start, outer.end)) {
    if (field.wire !== BYTES) continue;
    if (body.nodes.length > MAX_PARTS) throw invalid(`a function has more than ${MAX_PARTS} nodes`);
    if (field.number === 1) body.name = text(source, field);
    else if (field.number === 4) body.inputs.push(text(source, field));
    else if (field.number === 5) body.outputs.push(text(source, field));
    else if (field.number === 7) body.nodes.push(readNode(copy(source, field)));
    else if (field.number === 9) body.opset.set(...readOpset(source, field));
    else if (field.number === 10) body.domain = text(source, field);
    else if (field.number === 11) {
      const name = [...fields(source, field.start, field.end)].find(({ number }) => number === 1);
      // In a node, attributes are field 5.
      if (name !== undefined) body.defaults.set(text(source, name), bytesField(5, copy(source, field)));
    }
  }
  return body;
}

function readOpset(source: ByteSource, field: Field): [domain: string, version: number] {
  let domain = '';
  let version = 0;
  for (const part of fields(source, field.start, field.end))
    if (part.number === 1) domain = text(source, part);
    else if (part.number === 2) version = part.value;
  return [domain, version];
}

/** A node of a function's body in a call: values under other names, attributes that refer to those of the call filled in. */
export function renamed(
  node: GraphNode,
  nameOf: (name: string) => string,
  given: ReadonlyMap<string, Uint8Array>,
): GraphNode {
  const source = new MemorySource(node.bytes);
  const parts: Uint8Array[] = [];
  for (const field of fields(source)) {
    // The node's own name too: it must be unique.
    if (field.number >= 1 && field.number <= 3) parts.push(textField(field.number, nameOf(text(source, field))));
    else if (field.number !== 5 || field.wire !== BYTES) parts.push(copyField(source, field));
    else {
      const inner = [...fields(source, field.start, field.end)];
      const reference = inner.find(({ number }) => number === 21);
      if (reference === undefined) parts.push(copyField(source, field));
      else {
        const value = given.get(text(source, reference));
        const own = inner.find(({ number }) => number === 1);
        if (value !== undefined && own !== undefined) parts.push(renamedAttribute(value, text(source, own)));
      }
    }
  }
  return readNode(concat(parts));
}

/** An encoded attribute under another name. */
function renamedAttribute(attribute: Uint8Array, name: string): Uint8Array {
  const source = new MemorySource(attribute);
  const [outer] = fields(source);
  if (outer === undefined) return attribute;
  const rest = [...fields(source, outer.start, outer.end)].filter(({ number }) => number !== 1);
  return bytesField(5, concat([textField(1, name), ...rest.map((field) => copyField(source, field))]));
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
    if (field.number === 1) append(dims, integers(source, field));
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
  if (!Number.isSafeInteger(dims.reduce((a, b) => a * b, 1)))
    throw invalid(`the tensor ${name} has more elements than any file holds`);
  const location = external.get('location') ?? (isExternal ? '' : undefined);
  let place: WeightPlace = { kind: 'inline' };
  if (location !== undefined)
    place = {
      kind: 'external',
      location,
      offset: byteCount(external.get('offset') ?? '0', name),
      length: external.has('length') ? byteCount(external.get('length') ?? '', name) : null,
    };
  else if (raw !== null && raw.end - raw.start >= INLINE_BYTES && source instanceof FileSource)
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
          if (part.number === 1) info.type = elementType(part.value);
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

/** Name of a tensor's element type, as TensorInfo has it. */
export const elementType = (dataType: number): string => ELEMENT_TYPES[dataType]?.[0] ?? `type ${dataType}`;

/** Elements of a tensor of these dimensions. */
export const sizeOf = (dims: readonly number[]): number => dims.reduce((product, dim) => product * dim, 1);

export const elementCount = (initializer: Initializer): number => sizeOf(initializer.dims);

/** Bytes that the tensor's shape and type ask for; null for strings and unknown types. */
export function byteSize(initializer: Initializer): number | null {
  const bits = ELEMENT_TYPES[initializer.dataType]?.[1];
  return bits === undefined || bits === 0 ? null : Math.ceil((elementCount(initializer) * bits) / 8);
}

/** The name in a GraphProto field that states a value's type; null for other fields. */
export function valueInfoName(field: Uint8Array): string | null {
  const source = new MemorySource(field);
  const [info] = fields(source);
  return info?.number === 13 && info.wire === BYTES ? readValueInfo(copy(source, info)).name : null;
}

// Writing

/** A NodeProto with other inputs; all else as it was. */
export function withInputs(node: GraphNode, inputs: readonly string[]): GraphNode {
  return withNames(node, 1, inputs);
}

function withNames(node: GraphNode, field: 1 | 2, names: readonly string[]): GraphNode {
  const source = new MemorySource(node.bytes);
  const rest = [...fields(source)].filter(({ number }) => number !== field).map((each) => copyField(source, each));
  return readNode(concat([...names.map((name) => textField(field, name)), ...rest]));
}

/** An attribute to write. A bare number is an integer. */
export type AttributeValue = number | { float: number } | readonly number[] | Uint8Array;

/** A node; `attributes` that are bytes are an encoded TensorProto. */
export function newNode(
  opType: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributeValues: Readonly<Record<string, AttributeValue>> = {},
  domain = '',
): GraphNode {
  return readNode(
    concat([
      ...inputs.map((input) => textField(1, input)),
      ...outputs.map((output) => textField(2, output)),
      textField(4, opType),
      ...Object.entries(attributeValues).map(([name, value]) =>
        bytesField(5, concat([textField(1, name), ...encodeAttribute(value)])),
      ),
      ...(domain === '' ? [] : [textField(7, domain)]),
    ]),
  );
}

/** The value's field and AttributeProto.AttributeType. */
function encodeAttribute(value: AttributeValue): Uint8Array[] {
  if (typeof value === 'number') return [integerField(3, value), integerField(20, 2)];
  if (value instanceof Uint8Array) return [bytesField(5, value), integerField(20, 4)];
  if ('float' in value) return [floatField(2, value.float), integerField(20, 1)];
  return [...value.map((each) => integerField(8, each)), integerField(20, 7)];
}

/** An encoded TensorProto of int64 or float32. */
export function encodeTensor(
  dataType: typeof INT64 | typeof FLOAT,
  dims: readonly number[],
  values: readonly number[],
): Uint8Array {
  const data = dataType === INT64 ? BigInt64Array.from(values, BigInt) : Float32Array.from(values);
  return concat([
    ...dims.map((dim) => integerField(1, dim)),
    integerField(2, dataType),
    bytesField(9, new Uint8Array(data.buffer)),
  ]);
}

/** The same node with other outputs. */
export function withOutputs(node: GraphNode, outputs: readonly string[]): GraphNode {
  return withNames(node, 2, outputs);
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

/** A weight that lies elsewhere in the file that `encodeModel` is told of. */
export function placed(initializer: Initializer, offset: number, length: number): Initializer {
  const source = new MemorySource(initializer.header);
  // What a header says of a place is external_data and data_location.
  const kept = [...fields(source)].filter(({ number }) => number !== 13 && number !== 14);
  return {
    ...initializer,
    header: concat(kept.map((field) => copyField(source, field))),
    place: { kind: 'file', offset, length },
  };
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
