/**
 * The files of an index: vectors of some sentences of one source file, and where they stand. A part begins with a mark, the length of
 * its header and the header (JSON), then has the rows (float32, little-endian), and ends with another mark, so that what was cut short
 * is seen without reading it; a checksum says whether the numbers are those that were written.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { crc32 } from 'node:zlib';

const [BEGIN, END] = ['LENSIDX2', 'LENSEND2'];
const HEAD = BEGIN.length + 4;
/** A longer header is none of ours. */
const LONGEST_HEADER = 2 ** 28;

/** What a part must be of; anything else makes it worthless. */
export interface PartKey {
  version: number;
  model: string;
  /** As JSON. */
  layer: string;
  pool: string;
  file: string;
  modified: number;
  bytes: number;
  /** Which part of the file it is. */
  part: number;
}

export interface PartHeader extends PartKey {
  /** The file has no more. */
  last: boolean;
  width: number;
  sentences: string[];
  /** Parts of speech that occur. */
  tags: string[];
  /** Of each vector: sentence, start and end in it, line and column in the file, part of speech (−1: not known). */
  words: number[];
  /** What could not be read of the file. */
  skipped: string[];
  checksum: number;
}

export const PER_WORD = 6;

export const rowsOf = ({ words }: PartHeader): number => words.length / PER_WORD;

const bytesOf = (rows: Float32Array): Uint8Array => new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength);

export function encodePart(header: Omit<PartHeader, 'checksum'>, rows: Float32Array): Buffer {
  const json = Buffer.from(JSON.stringify({ ...header, checksum: crc32(bytesOf(rows)) }), 'utf8');
  const size = Buffer.alloc(4);
  size.writeUInt32LE(json.length);
  return Buffer.concat([Buffer.from(BEGIN), size, json, bytesOf(rows), Buffer.from(END)]);
}

/** Null: it is not there, of something else, cut short, or damaged. The rows are not read. */
export function readHeader(path: string, key: PartKey): PartHeader | null {
  return withFile(path, (file, bytes) => {
    const head = readAt(file, 0, HEAD);
    if (head.toString('latin1', 0, BEGIN.length) !== BEGIN) return null;
    const length = head.readUInt32LE(BEGIN.length);
    if (length > Math.min(LONGEST_HEADER, bytes)) return null;
    const header = JSON.parse(readAt(file, HEAD, length).toString('utf8')) as PartHeader;
    for (const [name, value] of Object.entries(key)) if (header[name as keyof PartHeader] !== value) return null;
    const end = HEAD + length + 4 * header.width * rowsOf(header);
    if (bytes !== end + END.length) return null;
    return readAt(file, end, END.length).toString('latin1') === END ? header : null;
  });
}

/** Puts the rows of a part where they are wanted. False when they are not what was written. */
export function readRows(path: string, { width, checksum, ...header }: PartHeader, into: Float32Array): boolean {
  const wanted = 4 * width * (header.words.length / PER_WORD);
  const found = withFile(path, (file, bytes) => {
    const target = bytesOf(into);
    const from = bytes - END.length - wanted;
    if (from < HEAD || target.length !== wanted) return null;
    for (let at = 0; at < wanted;) {
      const read = readSync(file, target, at, wanted - at, from + at);
      if (read === 0) return null;
      at += read;
    }
    return crc32(target) === checksum ? true : null;
  });
  return found === true;
}

/** Null when anything is wrong with it. */
function withFile<T>(path: string, work: (file: number, bytes: number) => T | null): T | null {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch {
    return null;
  }
  try {
    return work(file, fstatSync(file).size);
  } catch {
    return null;
  } finally {
    closeSync(file);
  }
}

function readAt(file: number, position: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  const read = readSync(file, bytes, 0, length, position);
  return bytes.subarray(0, read);
}
