/**
 * Protobuf's wire format, as far as ONNX needs it: fields are found by skipping, so that gigabytes of weights are never read.
 * Everything that comes from the file is checked before it is believed.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { LensError } from '../../protocol/errors';

export const VARINT = 0;
export const FIXED64 = 1;
export const BYTES = 2;
export const FIXED32 = 5;

/** One field of a message. `start`…`end` is its value (for BYTES without the length); `fieldStart` is where its tag begins. */
export interface Field {
  number: number;
  wire: number;
  fieldStart: number;
  start: number;
  end: number;
  /** VARINT only. Negative 64-bit numbers come out negative. */
  value: number;
}

/** Bytes that can be read at any place. */
export interface ByteSource {
  readonly size: number;
  /** A view, valid until the next call. */
  read(start: number, end: number): Uint8Array;
}

const WINDOW_BYTES = 1 << 16;
/** More than any part of a model that is not a weight; a larger claim is damage. */
const MAX_READ_BYTES = 512 * 2 ** 20;

const invalid = (what: string): LensError =>
  new LensError('model-invalid', `This is not a valid ONNX file: ${what}.`, 'Export or download the model again.');

/** A file read in windows: neighbouring small reads cost one system call. */
export class FileSource implements ByteSource {
  readonly size: number;
  private readonly fd: number;
  private window = new Uint8Array(0);
  private windowStart = 0;

  constructor(path: string) {
    this.fd = openSync(path, 'r');
    this.size = fstatSync(this.fd).size;
  }

  read(start: number, end: number): Uint8Array {
    if (start < 0 || end > this.size || end < start) throw invalid('a length points past the end of the file');
    if (end - start > MAX_READ_BYTES) throw invalid('a part that is not a weight is larger than 512 MB');
    if (start < this.windowStart || end > this.windowStart + this.window.length) {
      const bytes = Math.min(this.size - start, Math.max(end - start, WINDOW_BYTES));
      const window = new Uint8Array(bytes);
      let filled = 0;
      while (filled < bytes) {
        const count = readSync(this.fd, window, filled, bytes - filled, start + filled);
        if (count === 0) throw invalid('the file ended while it was read');
        filled += count;
      }
      this.window = window;
      this.windowStart = start;
    }
    return this.window.subarray(start - this.windowStart, end - this.windowStart);
  }

  close(): void {
    closeSync(this.fd);
  }
}

/** Bytes in memory. */
export class MemorySource implements ByteSource {
  readonly size: number;
  constructor(private readonly bytes: Uint8Array) {
    this.size = bytes.length;
  }
  read(start: number, end: number): Uint8Array {
    if (start < 0 || end > this.size || end < start) throw invalid('a length points past the end of its message');
    return this.bytes.subarray(start, end);
  }
}

/** A varint at `at` and where it ends. 64-bit two's complement becomes a negative number. */
function readVarint(source: ByteSource, at: number, limit: number): [value: number, end: number] {
  const bytes = source.read(at, Math.min(at + 10, limit));
  let low = 0;
  let high = 0;
  for (let index = 0; index < bytes.length; index++) {
    const byte = bytes[index] as number;
    const bits = byte & 0x7f;
    const shift = 7 * index;
    if (shift < 28) low |= bits << shift;
    else if (shift === 28) {
      low |= (bits & 0xf) << 28;
      high |= bits >>> 4;
    } else high |= bits << (shift - 32);
    if (byte < 0x80) return [(high | 0) * 2 ** 32 + (low >>> 0), at + index + 1];
  }
  throw invalid('a number does not end');
}

/** The fields of the message at `start`…`end`, in order. Throws `model-invalid`. */
export function* fields(source: ByteSource, start = 0, end = source.size): Generator<Field> {
  let at = start;
  while (at < end) {
    const fieldStart = at;
    let tag: number;
    [tag, at] = readVarint(source, at, end);
    const number = Math.floor(tag / 8);
    const wire = tag % 8;
    if (number < 1 || number > 0x1fffffff) throw invalid(`field number ${number}`);
    let value = 0;
    let valueStart = at;
    if (wire === VARINT) [value, at] = readVarint(source, at, end);
    else if (wire === FIXED64) at += 8;
    else if (wire === FIXED32) at += 4;
    else if (wire === BYTES) {
      const [length, after] = readVarint(source, at, end);
      if (length < 0) throw invalid('a negative length');
      valueStart = after;
      at = after + length;
    } else throw invalid(`wire type ${wire}`);
    if (at > end) throw invalid('a length points past the end of its message');
    yield { number, wire, fieldStart, start: valueStart, end: at, value };
  }
}

const decoder = new TextDecoder();
export const text = (source: ByteSource, field: Field): string => decoder.decode(source.read(field.start, field.end));
/** A copy of a field's value. */
export const copy = (source: ByteSource, field: Field): Uint8Array => source.read(field.start, field.end).slice();
/** A copy of a whole field, tag and length included. */
export const copyField = (source: ByteSource, field: Field): Uint8Array =>
  source.read(field.fieldStart, field.end).slice();

/** A repeated integer, packed or not: what one of its fields holds. */
export function integers(source: ByteSource, field: Field): number[] {
  if (field.wire === VARINT) return [field.value];
  const values: number[] = [];
  for (let at = field.start; at < field.end;) {
    let value: number;
    [value, at] = readVarint(source, at, field.end);
    values.push(value);
  }
  return values;
}

/** A repeated float, packed or not: what one of its fields holds. */
export function floats(source: ByteSource, field: Field): number[] {
  const bytes = copy(source, field);
  const view = new DataView(bytes.buffer);
  return Array.from({ length: bytes.length >> 2 }, (_, index) => view.getFloat32(4 * index, true));
}

// Writing

const encoder = new TextEncoder();

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  while (rest >= 0x80n) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return bytes;
}

export const integerField = (number: number, value: number): Uint8Array =>
  Uint8Array.from([...varint(number * 8 + VARINT), ...varint(value)]);

export function floatField(number: number, value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setFloat32(0, value, true);
  return concat([Uint8Array.from(varint(number * 8 + FIXED32)), bytes]);
}

export const bytesField = (number: number, value: Uint8Array): Uint8Array =>
  concat([Uint8Array.from([...varint(number * 8 + BYTES), ...varint(value.length)]), value]);

export const textField = (number: number, value: string): Uint8Array => bytesField(number, encoder.encode(value));
