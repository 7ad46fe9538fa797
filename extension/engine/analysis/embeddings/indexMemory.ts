/** Vectors of indexes that were searched lately: a search reads nothing from disk that was read before and has not changed since. */
import { statSync } from 'node:fs';
import { readHeader, readRows, rowsOf, type PartHeader, type PartKey } from './indexParts';

/** Rows that are multiplied at once, and kept or let go together. */
const BLOCK_BYTES = 64 * 2 ** 20;
/** As much as 170,000 vectors of 768 numbers. */
const MOST_BYTES = 512 * 2 ** 20;

/** A part that is known to be good. */
export interface KnownPart {
  path: string;
  header: PartHeader;
}

/** Parts one after the other. */
export interface RowBlock {
  parts: (KnownPart & { first: number })[];
  /** [n,D], of length one. */
  rows: Float32Array;
}

export class IndexMemory {
  private readonly headers = new Map<string, { stamp: string; header: PartHeader }>();
  private readonly blocks = new Map<string, RowBlock>();
  private bytes = 0;

  constructor(
    private readonly mostBytes = MOST_BYTES,
    private readonly blockBytes = BLOCK_BYTES,
  ) {}

  /** Bytes of the rows that are kept. */
  get held(): number {
    return this.bytes;
  }

  /** Null when the part is not there, of something else, or damaged. */
  header(path: string, key: PartKey): PartHeader | null {
    const stamp = stampOf(path, key);
    if (stamp === null) return null;
    const known = this.headers.get(path);
    if (known?.stamp === stamp) return known.header;
    const header = readHeader(path, key);
    if (header === null) this.headers.delete(path);
    else this.headers.set(path, { stamp, header });
    return header;
  }

  /** Headers of parts that an index has no more. */
  forget(path: string): void {
    this.headers.delete(path);
  }

  /** The rows of all parts, block by block. Throws `DamagedPart`. */
  *blocksOf(parts: readonly KnownPart[]): Generator<RowBlock> {
    const groups = this.grouped(parts);
    const own = new Set(groups.map(keyOf));
    for (const group of groups) yield this.block(group, own);
  }

  private grouped(parts: readonly KnownPart[]): KnownPart[][] {
    const groups: KnownPart[][] = [];
    let size = Infinity;
    for (const part of parts) {
      const bytes = 4 * rowsOf(part.header) * part.header.width;
      if (bytes === 0) continue;
      if (size + bytes > this.blockBytes) {
        groups.push([]);
        size = 0;
      }
      groups.at(-1)?.push(part);
      size += bytes;
    }
    return groups;
  }

  /** `own`: keys of the index that is searched. Others go first; what does not fit then is read at every search. */
  private block(parts: readonly KnownPart[], own: ReadonlySet<string>): RowBlock {
    const key = keyOf(parts);
    const known = this.blocks.get(key);
    if (known !== undefined) return known;
    const width = parts[0]?.header.width ?? 0;
    const rows = new Float32Array(width * parts.reduce((sum, { header }) => sum + rowsOf(header), 0));
    let first = 0;
    const placed = parts.map((part) => {
      const end = first + rowsOf(part.header);
      if (!readRows(part.path, part.header, rows.subarray(first * width, end * width)))
        throw new DamagedPart(part.path);
      const placedPart = { ...part, first };
      first = end;
      return placedPart;
    });
    const block: RowBlock = { parts: placed, rows };
    for (const [old, { rows: theirs }] of this.blocks) {
      if (this.bytes + rows.byteLength <= this.mostBytes) break;
      if (own.has(old)) continue;
      this.blocks.delete(old);
      this.bytes -= theirs.byteLength;
    }
    if (this.bytes + rows.byteLength > this.mostBytes) return block;
    this.blocks.set(key, block);
    this.bytes += rows.byteLength;
    return block;
  }
}

const keyOf = (parts: readonly KnownPart[]): string =>
  JSON.stringify(parts.map(({ path, header: { checksum, modified, bytes } }) => [path, checksum, modified, bytes]));

/** Its numbers are not those that were written. */
export class DamagedPart extends Error {
  constructor(readonly path: string) {
    super(path);
  }
}

/** State of the part's own file, and what it must be of. */
function stampOf(path: string, key: PartKey): string | null {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats === undefined ? null : JSON.stringify([stats.mtimeMs, stats.size, key]);
}
