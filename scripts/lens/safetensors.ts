/** Reads float32 tensors of a .safetensors file: u64 header length, JSON header, data. */
import { readFileSync } from 'node:fs';

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
