/**
 * Vectors of the words of files, on disk: a part for each file, valid for one model, layer, and state of the file. What is cut short, of
 * another version or of a file that was changed is made anew; what is done stays when the work is stopped.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { replaceFile, storageError } from '../../../files/replaceFile';
import type { IndexedWord, VectorLayer } from '../../../protocol/embeddings';
import { counted } from '../../../protocol/format';
import { placeIn } from '../../../protocol/places';
import type { RunContext } from '../../session/languageModel';
import { SkipList } from '../attention/headState';
import { corpusSentences, type CorpusSentence } from '../corpora/sentences';
import { throwIfCancelled } from '../forward';
import { tracedRuns } from '../runs';
import { fitsRun, vectorsAt, type Embedder } from './embed';
import { checkVectors, hiddenStates, hooksOf, layerName } from './layers';
import { unit } from './maths';
import { meanOf } from './pooling';
import { textRow, type TextRow } from './texts';

const VERSION = 1;
const [BEGIN, END] = ['LENSIDX1', 'LENSEND1'];
/** Larger files are data, not prose. */
const LARGEST_FILE = 64 * 2 ** 20;

export interface IndexFile {
  name: string;
  file: string;
}

/** What a part says of itself. */
interface Header {
  version: number;
  model: string;
  layer: string;
  name: string;
  modified: number;
  bytes: number;
  width: number;
  sentences: string[];
  /** Of each word: sentence, start and end in it, line and column in the file. */
  words: number[];
}

const PER_WORD = 5;

export interface CorpusIndex {
  width: number;
  /** Directions of all words [n,D]. */
  rows: Float32Array;
  word(row: number): IndexedWord;
  /** What was done to bring it up to date. */
  files: number;
  built: number;
  removed: number;
  /** On disk. */
  bytes: number;
  skipped: { name: string; why: string }[];
}

/** Brings the index up to date and reads it. `model`: the fingerprint of its files. Throws `storage`, `bad-input`. */
export async function openIndex(
  embedder: Embedder,
  model: string,
  { folder, files, layer }: { folder: string; files: readonly IndexFile[]; layer: VectorLayer },
  context: RunContext,
): Promise<CorpusIndex> {
  const key = createHash('sha256')
    .update(JSON.stringify([VERSION, model, layer]))
    .digest('hex')
    .slice(0, 24);
  const own = join(folder, key);
  inStorage(own, () => mkdirSync(own, { recursive: true }));
  const skipped = new SkipList();
  const parts: { path: string; header: Header; rows: Float32Array }[] = [];
  let built = 0;
  for (const [index, { name, file }] of files.entries()) {
    throwIfCancelled(context.signal);
    const stats = statSync(file, { throwIfNoEntry: false });
    if (stats?.isFile() !== true || stats.size > LARGEST_FILE) {
      skipped.add(name, stats === undefined ? 'there is no such file' : 'it is no file, or larger than 64 MB');
      continue;
    }
    const path = join(own, `${createHash('sha256').update(file).digest('hex').slice(0, 32)}.part`);
    const what = {
      version: VERSION,
      model,
      layer: JSON.stringify(layer),
      name: file,
      modified: stats.mtimeMs,
      bytes: stats.size,
    };
    let part = readPart(path, what);
    if (part === null) {
      context.progress({ message: `Reading ${name}`, fraction: index / files.length });
      const made = await vectorsOfFile(embedder, { name, file }, layer, skipped, context);
      const header: Header = { ...what, width: made.width, sentences: made.sentences, words: made.words };
      await replaceFile(path, encodePart(header, made.rows));
      built++;
      part = { header, rows: made.rows };
    }
    parts.push({ path, ...part });
  }
  const kept = new Set(parts.map(({ path }) => path));
  const others = readdirSync(own)
    .map((each) => join(own, each))
    .filter((path) => !kept.has(path));
  for (const path of others) inStorage(path, () => rmSync(path, { force: true }));
  const filled = parts.filter(({ rows }) => rows.length > 0);
  const width = filled[0]?.header.width ?? 0;
  const rows = new Float32Array(filled.reduce((sum, part) => sum + part.rows.length, 0));
  const starts: { first: number; name: string; header: Header }[] = [];
  let at = 0;
  for (const part of filled) {
    rows.set(part.rows, at);
    const name = files.find(({ file }) => file === part.header.name)?.name ?? part.header.name;
    starts.push({ first: at / width, name, header: part.header });
    at += part.rows.length;
  }
  return {
    ...{ width, rows, files: parts.length, built, removed: others.length, skipped: skipped.list },
    bytes: parts.reduce((sum, { path }) => sum + statSync(path).size, 0),
    word: (row) => {
      const part = starts.findLast(({ first }) => first <= row) as (typeof starts)[number];
      const place = (row - part.first) * PER_WORD;
      const [sentence = 0, start = 0, end = 0, line = 0, column = 0] = part.header.words.slice(place, place + PER_WORD);
      const text = part.header.sentences[sentence] ?? '';
      return {
        source: part.name,
        file: part.header.name,
        line,
        column,
        sentence: text,
        range: { start, end },
        word: text.slice(start, end),
      };
    },
  };
}

/** Vectors of length one of every word of a file. */
async function vectorsOfFile(
  model: Embedder,
  source: IndexFile,
  layer: VectorLayer,
  skipped: SkipList,
  { signal, progress }: RunContext,
): Promise<{ width: number; sentences: string[]; words: number[]; rows: Float32Array }> {
  const states = await hiddenStates(model);
  const hooks = hooksOf(model, states, [layer]);
  const table = layer === 'static' ? await model.weight('embed.W_E') : null;
  const found: (TextRow & { sentence: CorpusSentence; first: number; index: number })[] = [];
  const words: number[] = [];
  for await (const sentence of corpusSentences([source], (name, why) => skipped.add(name, why))) {
    const row = textRow(model, sentence.text);
    const own = row.words.filter(({ range }) => /\p{L}|\p{N}/u.test(sentence.text.slice(range?.start, range?.end)));
    if (own.length === 0) continue;
    const first = words.length / PER_WORD;
    for (const { range } of own) {
      const { start = 0, end = 0 } = range ?? {};
      const { line, column } = placeIn(sentence, start);
      words.push(found.length, start, end, line, column);
    }
    found.push({ ...row, words: own, sentence, first, index: found.length });
  }
  const sentences = found.map(({ sentence }) => sentence.text);
  const total = words.length / PER_WORD;
  const made: { rows: Float32Array; width: number } = { rows: new Float32Array(0), width: 0 };
  let done = 0;
  const keep = (text: (typeof found)[number], vectors: ReturnType<typeof vectorsAt>): void => {
    checkVectors(vectors, model.info.id, layer);
    const { width } = vectors;
    if (made.width === 0) Object.assign(made, { width, rows: new Float32Array(total * width) });
    text.words.forEach(({ tokens }, word) => {
      made.rows.set(unit(meanOf(vectors, tokens)), (text.first + word) * width);
    });
  };
  if (hooks.length === 0) for (const text of found) keep(text, vectorsAt(new Map(), states, table, text, 0, 'static'));
  else
    for await (const { items, trace } of tracedRuns(
      model,
      found,
      hooks,
      fitsRun(hooks.length, model.info.hiddenSize ?? 1),
      signal,
    )) {
      items.forEach((text, place) => keep(text, vectorsAt(trace, states, table, text, place, layer)));
      done += items.length;
      progress({ message: `${source.name}: ${counted(done, 'sentence')} of ${found.length} at ${layerName(layer)}` });
    }
  return { ...made, sentences, words };
}

function encodePart(header: Header, rows: Float32Array): Buffer {
  const json = Buffer.from(JSON.stringify(header), 'utf8');
  // Numbers begin at a multiple of four.
  const padded = Buffer.alloc(Math.ceil(json.length / 4) * 4, ' ');
  json.copy(padded);
  const size = Buffer.alloc(4);
  size.writeUInt32LE(padded.length);
  return Buffer.concat([
    Buffer.from(BEGIN),
    size,
    padded,
    Buffer.from(rows.buffer, rows.byteOffset, rows.byteLength),
    Buffer.from(END),
  ]);
}

/** Null: not there, of another state of file, model or layer, cut short, or damaged. */
function readPart(
  path: string,
  what: Omit<Header, 'width' | 'sentences' | 'words'>,
): { header: Header; rows: Float32Array } | null {
  if (!existsSync(path)) return null;
  try {
    const bytes = readFileSync(path);
    const begin = BEGIN.length + 4;
    if (bytes.toString('latin1', 0, BEGIN.length) !== BEGIN) return null;
    const size = bytes.readUInt32LE(BEGIN.length);
    const header = JSON.parse(bytes.toString('utf8', begin, begin + size)) as Header;
    for (const [name, value] of Object.entries(what)) if (header[name as keyof Header] !== value) return null;
    const count = (header.words.length / PER_WORD) * header.width;
    const end = begin + size + 4 * count;
    if (bytes.length !== end + END.length || bytes.toString('latin1', end) !== END) return null;
    const data = new Uint8Array(bytes.subarray(begin + size, end));
    return { header, rows: new Float32Array(data.buffer) };
  } catch {
    return null;
  }
}

function inStorage(path: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    throw storageError(path, error);
  }
}
