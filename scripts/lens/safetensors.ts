/** The .safetensors format: u64 header length, JSON header, data. Reads and writes 32- and 64-bit floats, and 32-bit whole numbers. */
import { closeSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { LensError } from '../../extension/protocol/errors';

const TYPES = { F32: Float32Array, F64: Float64Array, I32: Int32Array } as const;
type Dtype = keyof typeof TYPES;
type TensorData = Float32Array | Float64Array | Int32Array;

export interface Tensor<Data extends TensorData = TensorData> {
  shape: number[];
  data: Data;
}
export type ReferenceTensor = Tensor<Float32Array>;

interface TensorFile {
  metadata: Record<string, string>;
  /** Those whose type is known. */
  tensors: Map<string, Tensor>;
}

/** All of a file. Its numbers are not copied where they lie at a multiple of their size. Throws `bad-input`. */
export function readTensors(path: string): TensorFile {
  let file: Buffer;
  try {
    file = readFileSync(path);
  } catch (error) {
    throw unreadable(path, error instanceof Error ? error.message : String(error));
  }
  const start = 8 + (file.length < 8 ? Infinity : Number(file.readBigUInt64LE(0)));
  if (start > file.length) throw unreadable(path, 'it is cut short, or no .safetensors file');
  let header: Record<string, unknown> | null;
  try {
    header = JSON.parse(file.toString('utf8', 8, start)) as Record<string, unknown> | null;
  } catch {
    throw unreadable(path, 'it is no .safetensors file');
  }
  const { __metadata__: metadata, ...entries } = header ?? {};
  const tensors = new Map<string, Tensor>();
  for (const [name, entry] of Object.entries(entries)) {
    const { dtype, shape, data_offsets: offsets } = (entry ?? {}) as Record<string, unknown>;
    const [from, to] = (Array.isArray(offsets) ? offsets : []) as unknown[];
    if (!isWhole(from) || !isWhole(to) || from > to || !Array.isArray(shape) || !shape.every(isWhole))
      throw unreadable(path, `“${name}” is no tensor`);
    if (start + to > file.length)
      throw unreadable(path, `it is cut short: “${name}” ends at byte ${start + to} of ${file.length}`);
    if (dtype !== 'F32' && dtype !== 'F64' && dtype !== 'I32') continue;
    const type = TYPES[dtype];
    const size = shape.reduce((product, dim) => product * dim, 1);
    if (size * type.BYTES_PER_ELEMENT !== to - from)
      throw unreadable(path, `the size of “${name}” is not that of its shape`);
    const at = file.byteOffset + start + from;
    const data =
      at % type.BYTES_PER_ELEMENT === 0
        ? new type(file.buffer as ArrayBuffer, at, size)
        : new type(new Uint8Array(file.subarray(start + from, start + to)).buffer);
    tensors.set(name, { shape, data });
  }
  return { metadata: (metadata ?? {}) as Record<string, string>, tensors };
}

const isWhole = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

const unreadable = (path: string, why: string): LensError =>
  new LensError('bad-input', `${path} cannot be read: ${why}.`, 'Name another file, or write it anew.');

/** Tensors of 32-bit floats only. */
export function readSafetensors(path: string): Map<string, ReferenceTensor> {
  const floats = new Map<string, ReferenceTensor>();
  for (const [name, { shape, data }] of readTensors(path).tensors)
    if (data instanceof Float32Array) floats.set(name, { shape, data });
  return floats;
}

/** The file's bytes, in chunks. Values of `metadata` are texts, as the format wants. */
export function* encodeSafetensors(
  tensors: readonly { name: string; dims: readonly number[]; data: TensorData }[],
  metadata: Readonly<Record<string, string>>,
): Generator<Uint8Array> {
  let offset = 0;
  const entries = tensors.map(({ name, dims, data }): [string, object] => {
    const start = offset;
    offset += data.byteLength;
    return [name, { dtype: dtypeOf(data), shape: dims, data_offsets: [start, offset] }];
  });
  const json = JSON.stringify({ __metadata__: metadata, ...Object.fromEntries(entries) });
  const header = new TextEncoder().encode(json);
  // The data begins at a multiple of eight.
  const padded = new Uint8Array(Math.ceil(header.length / 8) * 8).fill(0x20);
  padded.set(header);
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(padded.length), true);
  yield length;
  yield padded;
  for (const { data } of tensors) yield new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

const dtypeOf = (data: TensorData): Dtype =>
  data instanceof Int32Array ? 'I32' : data instanceof Float64Array ? 'F64' : 'F32';

/** Writes a file whole or not at all: beside its place, then moved there. Throws `storage`. */
export function writeChunks(path: string, chunks: Iterable<Uint8Array>): void {
  const partial = `${path}.${process.pid}.partial`;
  try {
    const file = openSync(partial, 'wx');
    try {
      for (const chunk of chunks) for (let at = 0; at < chunk.length;) at += writeSync(file, chunk, at);
    } finally {
      closeSync(file);
    }
    renameSync(partial, path);
  } catch (error) {
    rmSync(partial, { force: true });
    throw new LensError(
      'storage',
      `${path} could not be written: ${error instanceof Error ? error.message : String(error)}.`,
      'Choose a folder that exists and can be written, on a disk with space.',
      { cause: error },
    );
  }
}
