/**
 * One message as bytes: typed arrays travel as they are, everything else as JSON.
 *
 *     u32 header length · u32 body length (little endian) · header, JSON · body: the arrays, each aligned to 8 bytes
 *
 * In the header an array is `{"$array":[type, offset in the body, length]}`.
 */

const ARRAY_TYPES = [
  Int8Array,
  Uint8Array,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
] as const;
type TypedArray = InstanceType<(typeof ARRAY_TYPES)[number]>;

const ALIGNMENT = 8;
const PREFIX_BYTES = 8;
/** Far above any real message; a longer claim means that the stream is out of step. */
const MAX_HEADER_BYTES = 256 * 2 ** 20;
const MAX_BODY_BYTES = 1024 * 2 ** 20;

const aligned = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

/** The bytes of a message, in chunks to be written one after the other. The arrays are not copied. */
export function encodeFrame(message: unknown): Uint8Array[] {
  const arrays: Uint8Array[] = [];
  let bodyBytes = 0;
  const header = JSON.stringify(message, (_key, value: unknown) => {
    if (!ArrayBuffer.isView(value)) return value;
    const type = ARRAY_TYPES.findIndex((constructor) => value.constructor === constructor);
    if (type < 0) throw new TypeError(`A ${value.constructor.name} cannot cross a process border.`);
    const array = value as TypedArray;
    const offset = bodyBytes;
    arrays.push(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
    const padding = aligned(array.byteLength) - array.byteLength;
    if (padding > 0) arrays.push(new Uint8Array(padding));
    bodyBytes += array.byteLength + padding;
    return { $array: [type, offset, array.length] };
  });
  const headerBytes = new TextEncoder().encode(header);
  const prefix = new Uint8Array(PREFIX_BYTES);
  const view = new DataView(prefix.buffer);
  view.setUint32(0, headerBytes.byteLength, true);
  view.setUint32(4, bodyBytes, true);
  return [prefix, headerBytes, ...arrays];
}

function decodeMessage(header: Uint8Array, body: ArrayBuffer): unknown {
  return JSON.parse(new TextDecoder().decode(header), (_key, value: unknown) => {
    if (typeof value !== 'object' || value === null || !('$array' in value)) return value;
    const [type, offset, length] = value.$array as [number, number, number];
    const constructor = ARRAY_TYPES[type];
    if (constructor === undefined) throw new RangeError(`Unknown array type ${type} in a frame.`);
    return new constructor(body, offset, length);
  }) as unknown;
}

/** Puts chunks of a stream together and gives each whole message to `onMessage`. Throws when the stream is out of step. */
export class FrameDecoder {
  private chunks: Uint8Array[] = [];
  private available = 0;

  constructor(private readonly onMessage: (message: unknown) => void) {}

  push(chunk: Uint8Array): void {
    this.chunks.push(chunk);
    this.available += chunk.byteLength;
    while (this.available >= PREFIX_BYTES) {
      const prefix = this.peek(PREFIX_BYTES);
      const view = new DataView(prefix.buffer, prefix.byteOffset);
      const headerBytes = view.getUint32(0, true);
      const bodyBytes = view.getUint32(4, true);
      if (headerBytes > MAX_HEADER_BYTES || bodyBytes > MAX_BODY_BYTES)
        throw new RangeError('The stream of frames is out of step.');
      if (this.available < PREFIX_BYTES + headerBytes + bodyBytes) return;
      this.take(PREFIX_BYTES);
      const header = this.take(headerBytes);
      // A copy of its own, so that every array is aligned and the stream's chunks can be freed.
      const body = new Uint8Array(this.take(bodyBytes)).buffer;
      this.onMessage(decodeMessage(header, body));
    }
  }

  /** The first `count` bytes, contiguous; merges chunks only where a value crosses them. */
  private peek(count: number): Uint8Array {
    const first = this.chunks[0];
    if (first !== undefined && first.byteLength >= count) return first.subarray(0, count);
    const merged = new Uint8Array(this.available);
    let at = 0;
    for (const chunk of this.chunks) {
      merged.set(chunk, at);
      at += chunk.byteLength;
    }
    this.chunks = [merged];
    return merged.subarray(0, count);
  }

  private take(count: number): Uint8Array {
    if (count === 0) return new Uint8Array(0);
    const bytes = this.peek(count);
    const first = this.chunks[0] as Uint8Array;
    if (first.byteLength === count) this.chunks.shift();
    else this.chunks[0] = first.subarray(count);
    this.available -= count;
    return bytes;
  }
}
