/** The .safetensors format: u64 header length, JSON header, data. Reads float32 tensors only. */
import { closeSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { LensError } from '../../extension/protocol/errors';

export interface ReferenceTensor {
  shape: number[];
  data: Float32Array;
}

export function readSafetensors(path: string): Map<string, ReferenceTensor> {
  const file = readFileSync(path);
  const headerBytes = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.subarray(8, 8 + headerBytes).toString('utf8')) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const tensors = new Map<string, ReferenceTensor>();
  for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries(header)) {
    if (name === '__metadata__' || dtype !== 'F32') continue;
    const bytes = file.subarray(8 + headerBytes + offsets[0], 8 + headerBytes + offsets[1]);
    tensors.set(name, { shape, data: new Float32Array(new Uint8Array(bytes).buffer) });
  }
  return tensors;
}

/** The file's bytes, in chunks. Values of `metadata` are texts, as the format wants. */
export function* encodeSafetensors(
  tensors: readonly { name: string; dims: readonly number[]; data: Float32Array | Int32Array }[],
  metadata: Readonly<Record<string, string>>,
): Generator<Uint8Array> {
  let offset = 0;
  const entries = tensors.map(({ name, dims, data }): [string, object] => {
    const start = offset;
    offset += data.byteLength;
    return [name, { dtype: data instanceof Int32Array ? 'I32' : 'F32', shape: dims, data_offsets: [start, offset] }];
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
