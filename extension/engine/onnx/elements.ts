/** The elements of a tensor as numbers, whatever type they are stored in. */
import { append, byteSize, elementCount, type Initializer } from './model';
import { fields, floats, integers, MemorySource } from './wire';

/** Decoders of raw_data, by onnx.TensorProto.DataType. int64 is read as a double: exact up to 2^53. */
const READERS: Record<number, readonly [bytes: number, read: (view: DataView, at: number) => number]> = {
  1: [4, (view, at) => view.getFloat32(at, true)],
  2: [1, (view, at) => view.getUint8(at)],
  3: [1, (view, at) => view.getInt8(at)],
  4: [2, (view, at) => view.getUint16(at, true)],
  5: [2, (view, at) => view.getInt16(at, true)],
  6: [4, (view, at) => view.getInt32(at, true)],
  7: [8, (view, at) => Number(view.getBigInt64(at, true))],
  9: [1, (view, at) => view.getUint8(at)],
  10: [2, (view, at) => halfToFloat(view.getUint16(at, true))],
  11: [8, (view, at) => view.getFloat64(at, true)],
  12: [4, (view, at) => view.getUint32(at, true)],
  13: [8, (view, at) => Number(view.getBigUint64(at, true))],
  16: [2, (view, at) => bfloatToFloat(view.getUint16(at, true))],
};

/** Elements of a small tensor that stands in the graph itself; null for weights that lie in a file, and for other types. */
export function inlineElements(tensor: Initializer): Float64Array | null {
  if (tensor.place.kind !== 'inline') return null;
  const count = elementCount(tensor);
  if (tensor.raw !== null)
    return (byteSize(tensor) ?? Infinity) <= tensor.raw.length
      ? decodeElements(tensor.dataType, tensor.raw, count)
      : null;
  const values: number[] = [];
  const source = new MemorySource(tensor.header);
  for (const field of fields(source))
    if (field.number === 4) append(values, floats(source, field));
    else if (field.number === 5 || field.number === 7 || field.number === 11) append(values, integers(source, field));
    else if (field.number === 10) return null; // double_data: no exporter writes it
  if (values.length !== count) return null;
  // int32_data holds the bits of the 16-bit floats.
  if (tensor.dataType === 10) return Float64Array.from(values, halfToFloat);
  if (tensor.dataType === 16) return Float64Array.from(values, bfloatToFloat);
  return Float64Array.from(values);
}

/** The first `count` elements of raw data; null for types that have no numbers (strings) or are packed (4 bit). */
export function decodeElements(dataType: number, raw: Uint8Array, count: number): Float64Array | null {
  const reader = READERS[dataType];
  if (reader === undefined) return null;
  const [bytes, read] = reader;
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  return Float64Array.from({ length: count }, (_, index) => read(view, index * bytes));
}

/** IEEE 754 half precision. */
export function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The nearest half; beyond its range, infinity. */
export function floatToHalf(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (Number.isNaN(value)) return 0x7e00;
  if (size >= 65520) return sign | 0x7c00;
  // Below 2^-14 the steps are those of the smallest normal numbers.
  const exponent = Math.max(-14, Math.floor(Math.log2(size || 2 ** -14)));
  const steps = Math.round(size / 2 ** (exponent - 10));
  // Steps that carry over into the next exponent add up by themselves.
  return sign + (exponent + 14) * 1024 + steps;
}

const scratch = new DataView(new ArrayBuffer(4));
/** The upper half of a float32. */
function bfloatToFloat(bits: number): number {
  scratch.setUint32(0, bits * 65536);
  return scratch.getFloat32(0);
}
