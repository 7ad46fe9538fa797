/** Arrays of numbers as files of NumPy (.npy, format 1.0) and as tab-separated lines. */

/** The file's bytes, in chunks: float32, row-major. */
export function* encodeNpy(dims: readonly number[], data: readonly Float32Array[]): Generator<Uint8Array> {
  const shape = dims.length === 1 ? `${dims[0]},` : dims.join(', ');
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${shape}), }`;
  // The data begins at a multiple of 64; the header ends with a line feed.
  const size = Math.ceil((10 + text.length + 1) / 64) * 64;
  const header = new Uint8Array(size).fill(0x20);
  header.set([0x93, ...new TextEncoder().encode('NUMPY'), 1, 0]);
  new DataView(header.buffer).setUint16(8, size - 10, true);
  header.set(new TextEncoder().encode(text), 10);
  header[size - 1] = 0x0a;
  yield header;
  for (const part of data) yield new Uint8Array(part.buffer, part.byteOffset, part.byteLength);
}

/** Rows of a matrix [n,D], every digit of a float32. */
export function* encodeTsv(width: number, data: readonly Float32Array[]): Generator<Uint8Array> {
  const encoder = new TextEncoder();
  for (const part of data)
    for (let at = 0; at < part.length; at += width)
      yield encoder.encode(`${Array.from(part.subarray(at, at + width), shortest).join('\t')}\n`);
}

/** The fewest digits from which the float32 comes back: nine at most. */
function shortest(value: number): string {
  for (let digits = 6; digits < 9; digits++) {
    const text = value.toPrecision(digits);
    if (Math.fround(Number(text)) === value) return String(Number(text));
  }
  return String(Number(value.toPrecision(9)));
}

/** A line of tab-separated cells; what would end a cell or line is a space. */
export const tsvLine = (cells: readonly (string | number)[]): string =>
  `${cells.map((cell) => String(cell).replace(/[\t\r\n]+/gu, ' ')).join('\t')}\n`;
