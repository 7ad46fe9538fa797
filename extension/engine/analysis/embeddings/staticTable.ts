/**
 * Static embeddings as models: GloVe's text (word v₁ … v_D), word2vec's text and .vec (a first line “count D”), and word2vec's binary
 * form (that line, then for each word its bytes, a space, and D little-endian float32). Read a piece at a time; what a line has wrong
 * costs no more than the line.
 */
import { createReadStream, statSync } from 'node:fs';
import { LensError } from '../../../protocol/errors';
import { count, counted } from '../../../protocol/format';
import type { RunContext } from '../../session/languageModel';
import { throwIfCancelled } from '../forward';
import { topK as largest } from '../../session/topK';

/** Rows of one array: tables grow without being copied. */
const BLOCK_ROWS = 8_192;
const MOST_WIDTH = 10_000;
const LONGEST_LINE = 2 ** 20;
const MOST_BYTES = 4 * 2 ** 30;
const TOLD_LINES = 20;
const [TAB, LINE_FEED, RETURN, SPACE] = [0x09, 0x0a, 0x0d, 0x20];

export interface TableNeighbour {
  word: string;
  cosine: number;
}

/** Words with their vectors, in the order of the file: the most frequent ones first, where it is as usual. */
export class StaticTable {
  readonly words: string[] = [];
  private readonly index = new Map<string, number>();
  private readonly blocks: Float32Array[] = [];
  private norms = new Float32Array(BLOCK_ROWS);
  /** What was left out. */
  skipped = 0;
  readonly told: { line: number; why: string }[] = [];

  constructor(readonly width: number) {}

  get size(): number {
    return this.words.length;
  }

  /** False for a word that is there already: the first one counts. */
  add(word: string, vector: ArrayLike<number>): boolean {
    if (this.index.has(word)) return false;
    const row = this.size;
    if ((row + 1) * this.width * 4 > MOST_BYTES)
      throw new LensError(
        'memory',
        `The table has more than ${count(row)} rows of ${this.width} numbers.`,
        'Cut the file.',
      );
    const place = row % BLOCK_ROWS;
    if (place === 0) this.blocks.push(new Float32Array(BLOCK_ROWS * this.width));
    const block = this.blocks.at(-1) as Float32Array;
    block.set(vector, place * this.width);
    if (row === this.norms.length) {
      const more = new Float32Array(2 * row);
      more.set(this.norms);
      this.norms = more;
    }
    let square = 0;
    for (let at = 0; at < this.width; at++) square += (vector[at] as number) ** 2;
    this.norms[row] = Math.sqrt(square);
    this.index.set(word, row);
    this.words.push(word);
    return true;
  }

  skip(line: number, why: string): void {
    this.skipped++;
    if (this.told.length < TOLD_LINES) this.told.push({ line, why });
  }

  /** As it is written, or in lower case. */
  find(word: string): number | undefined {
    return this.index.get(word) ?? this.index.get(word.toLowerCase());
  }

  vector(row: number): Float32Array {
    const place = row % BLOCK_ROWS;
    return (this.blocks[Math.floor(row / BLOCK_ROWS)] as Float32Array).subarray(
      place * this.width,
      (place + 1) * this.width,
    );
  }

  /** Divided by its length. */
  unit(row: number): Float64Array {
    const length = this.norms[row] as number;
    return Float64Array.from(this.vector(row), (value) => (length === 0 ? 0 : value / length));
  }

  /** Rows that a vector points to, nearest first, ties in the order of the file; of the first `most` rows. */
  nearest(
    vector: ArrayLike<number>,
    topK: number,
    excluded: ReadonlySet<number> = new Set(),
    most = Infinity,
  ): TableNeighbour[] {
    const rows = Math.min(this.size, most);
    const likeness = new Float32Array(rows);
    const { width } = this;
    let square = 0;
    for (let at = 0; at < width; at++) square += (vector[at] as number) ** 2;
    const asked = Float32Array.from(vector, (value) => value / Math.sqrt(square));
    for (let row = 0; row < rows; row++) {
      const block = this.blocks[Math.floor(row / BLOCK_ROWS)] as Float32Array;
      const start = (row % BLOCK_ROWS) * width;
      let product = 0;
      for (let at = 0; at < width; at++) product += (block[start + at] as number) * (asked[at] as number);
      const length = this.norms[row] as number;
      likeness[row] = length === 0 || excluded.has(row) ? -Infinity : product / length;
    }
    return largest(likeness, topK, (row) => likeness[row] !== -Infinity).map((row) => ({
      word: this.words[row] as string,
      cosine: likeness[row] as number,
    }));
  }

  /** b − a + c on vectors of length one (3CosAdd, Mikolov et al. 2013): what is to c as b is to a. */
  offset(a: number, b: number, c: number): Float64Array {
    const [from, to, start] = [this.unit(a), this.unit(b), this.unit(c)];
    return to.map((value, at) => value - (from[at] as number) + (start[at] as number));
  }
}

/** Throws `bad-input` for files that are no table. */
export async function readStaticTable(file: string, { signal, progress }: RunContext): Promise<StaticTable> {
  const stats = statSync(file, { throwIfNoEntry: false });
  if (stats?.isFile() !== true)
    throw new LensError('bad-input', `There is no file ${file}.`, 'Name a file of GloVe or word2vec vectors.');
  const reader = new TableReader(file);
  let read = 0;
  let told = 0;
  for await (const chunk of createReadStream(file, { highWaterMark: 2 ** 22 }) as AsyncIterable<Buffer>) {
    throwIfCancelled(signal);
    reader.take(chunk);
    read += chunk.length;
    if (performance.now() - told < 100) continue;
    told = performance.now();
    progress({ message: `Reading ${counted(reader.table?.size ?? 0, 'word')}`, fraction: read / stats.size });
  }
  return reader.finish();
}

class TableReader {
  table: StaticTable | null = null;
  private rest: Buffer = Buffer.alloc(0);
  private line = 0;
  private form: 'unknown' | 'text' | 'binary' = 'unknown';
  private left = Infinity;
  private numbers = new Float64Array(0);

  constructor(private readonly file: string) {}

  take(chunk: Buffer): void {
    const bytes = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
    let at = 0;
    if (this.form === 'unknown') {
      const end = bytes.indexOf(LINE_FEED);
      if (end < 0) {
        this.keep(bytes, 0);
        return;
      }
      at = this.begin(bytes.subarray(0, end), end + 1, bytes);
    }
    at = this.form === 'binary' ? this.takeBinary(bytes, at) : this.takeText(bytes, at);
    this.keep(bytes, at);
  }

  finish(): StaticTable {
    const { table } = this;
    if (this.form === 'unknown' && this.rest.length > 0) this.takeLast();
    else if (this.form === 'text' && this.rest.length > 0) this.takeLine(this.rest, 0, this.rest.length);
    else if (this.form === 'binary' && this.left > 0 && table !== null)
      table.skip(table.size + 1, `the file ends ${counted(this.left, 'word')} early`);
    const read = this.table;
    if (read === null || read.size === 0)
      throw new LensError(
        'bad-input',
        `${this.file} has no words with vectors${read?.told[0] === undefined ? '' : `: line ${read.told[0].line}: ${read.told[0].why}`}.`,
        'Name a file of GloVe or word2vec vectors: text, .vec or .bin.',
      );
    return read;
  }

  private takeLast(): void {
    const { rest } = this;
    this.form = 'text';
    this.takeLine(rest, 0, rest.length);
  }

  private keep(bytes: Buffer, at: number): void {
    this.rest = Buffer.from(bytes.subarray(at));
    if (this.form !== 'binary' && this.rest.length > LONGEST_LINE)
      throw new LensError(
        'bad-input',
        `${this.file} has a line of more than ${count(LONGEST_LINE)} bytes.`,
        'It is no table of vectors.',
      );
  }

  /** The first line says what follows. Gives where that begins. */
  private begin(first: Buffer, next: number, bytes: Buffer): number {
    const [, rows, width] = /^(\d+) (\d+)\s*$/u.exec(first.toString('latin1')) ?? [];
    if (rows === undefined || width === undefined) {
      this.form = 'text';
      return 0;
    }
    this.line = 1;
    this.start(Number(width));
    // A text has nothing but printable characters and ends of lines after the first word.
    const sample = bytes.subarray(next, next + 4096);
    this.form = sample.some((byte) => byte < SPACE && byte !== LINE_FEED && byte !== RETURN && byte !== TAB)
      ? 'binary'
      : 'text';
    this.left = Number(rows);
    return next;
  }

  private start(width: number): StaticTable {
    if (!Number.isInteger(width) || width < 1 || width > MOST_WIDTH)
      throw new LensError('bad-input', `${this.file} has vectors of ${width} numbers.`, 'It is no table of vectors.');
    this.numbers = new Float64Array(width);
    this.table = new StaticTable(width);
    return this.table;
  }

  private takeBinary(bytes: Buffer, from: number): number {
    const table = this.table as StaticTable;
    let at = from;
    while (this.left > 0) {
      let begin = at;
      // Some writers end each vector with a line feed.
      while (begin < bytes.length && bytes[begin] === LINE_FEED) begin++;
      const space = bytes.indexOf(SPACE, begin);
      if (space < 0 || space - begin > LONGEST_LINE) {
        if (bytes.length - begin > LONGEST_LINE)
          throw new LensError('bad-input', `${this.file} is damaged after ${counted(table.size, 'word')}.`);
        return at;
      }
      const end = space + 1 + 4 * table.width;
      if (end > bytes.length) return at;
      const view = new DataView(bytes.buffer, bytes.byteOffset + space + 1, 4 * table.width);
      for (let each = 0; each < table.width; each++) this.numbers[each] = view.getFloat32(4 * each, true);
      const word = bytes.toString('utf8', begin, space);
      this.line++;
      if (!this.numbers.every(Number.isFinite))
        table.skip(this.line, `“${word.slice(0, 40)}” has a number that is none`);
      else if (!table.add(word, this.numbers)) table.skip(this.line, `“${word.slice(0, 40)}” is there twice`);
      this.left--;
      at = end;
    }
    return bytes.length;
  }

  private takeText(bytes: Buffer, from: number): number {
    let at = from;
    for (;;) {
      const end = bytes.indexOf(LINE_FEED, at);
      if (end < 0) return at;
      this.takeLine(bytes, at, end);
      at = end + 1;
    }
  }

  /** `word v₁ … v_D`: the numbers are the last D; what is before is the word, spaces and all. */
  private takeLine(bytes: Buffer, from: number, to: number): void {
    this.line++;
    let end = to;
    while (end > from && isBlank(bytes[end - 1] as number)) end--;
    if (end === from) return;
    const table = this.table ?? this.start(countFields(bytes, from, end) - 1);
    let at = end;
    for (let place = table.width - 1; place >= 0; place--) {
      let begin = at;
      while (begin > from && !isBlank(bytes[begin - 1] as number)) begin--;
      const value = begin === from ? NaN : parseNumber(bytes, begin, at);
      if (Number.isNaN(value)) {
        const why =
          begin === from
            ? `it has ${table.width - 1 - place} numbers instead of ${table.width}`
            : `“${bytes.toString('utf8', begin, Math.min(at, begin + 20))}” is no number`;
        table.skip(this.line, why);
        return;
      }
      this.numbers[place] = value;
      at = begin;
      while (at > from && isBlank(bytes[at - 1] as number)) at--;
    }
    const word = bytes.toString('utf8', from, at);
    // A line with more numbers would begin with a number for its word and another one after it.
    if (/^\S+(\s-?\d+(\.\d+)?(e[-+]?\d+)?)+$/iu.test(word))
      table.skip(this.line, `it has more than ${table.width} numbers`);
    else if (!table.add(word, this.numbers)) table.skip(this.line, `“${word.slice(0, 40)}” is there twice`);
  }
}

const isBlank = (byte: number): boolean => byte === SPACE || byte === TAB || byte === RETURN;

function countFields(bytes: Buffer, from: number, to: number): number {
  let fields = 0;
  for (let at = from; at < to; at++)
    if (!isBlank(bytes[at] as number) && (at === from || isBlank(bytes[at - 1] as number))) fields++;
  return fields;
}

const POWERS = Array.from({ length: 23 }, (_, power) => 10 ** power);

/** A decimal number; NaN when it is none. Exact to the last digits of a double, and far beyond those of a float32. */
function parseNumber(bytes: Buffer, from: number, to: number): number {
  let at = from;
  const negative = bytes[at] === 0x2d;
  if (negative || bytes[at] === 0x2b) at++;
  let [mantissa, digits, fraction] = [0, 0, 0];
  let seen = false;
  let point = false;
  for (; at < to; at++) {
    const byte = bytes[at] as number;
    if (byte === 0x2e && !point) point = true;
    else if (byte >= 0x30 && byte <= 0x39) {
      seen = true;
      if (digits < 15) {
        mantissa = mantissa * 10 + byte - 0x30;
        if (mantissa > 0) digits++;
        if (point) fraction++;
      } else if (!point) fraction--;
    } else break;
  }
  if (at < to || !seen || Math.abs(fraction) > 22) {
    // Exponents and the like are rare.
    const text = bytes.toString('latin1', from, to);
    return /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/iu.test(text) ? Number(text) : NaN;
  }
  const power = POWERS[Math.abs(fraction)] as number;
  const value = fraction >= 0 ? mantissa / power : mantissa * power;
  return negative ? -value : value;
}
