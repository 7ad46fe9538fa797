/**
 * Vectors of the words, or of the sentences, of files, on disk: parts of each file, valid for one model, layer, and state of the file.
 * What is cut short, of another version or of a file that was changed is made anew; what is done stays when the work is stopped.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { replaceFile, storageError } from '../../../files/replaceFile';
import { ABOUT, aboutIndex, INDEX_VERSION, readAbout, type IndexAbout } from '../../../files/vectorIndexes';
import type { IndexInfo, IndexPool, IndexedPlace, IndexSource, VectorLayer } from '../../../protocol/embeddings';
import { LensError } from '../../../protocol/errors';
import { counted } from '../../../protocol/format';
import { placeIn } from '../../../protocol/places';
import type { RunContext } from '../../session/languageModel';
import { SkipList } from '../attention/headState';
import { corpusSentences, type CorpusSentence } from '../corpora/sentences';
import { throwIfCancelled } from '../forward';
import { embed, type Embedder } from './embed';
import type { IndexMemory, KnownPart, RowBlock } from './indexMemory';
import { encodePart, PER_WORD, rowsOf, type PartHeader, type PartKey } from './indexParts';
import { checkVectors, layerName } from './layers';
import { unit } from './maths';

/** Larger files are data, not prose. */
const LARGEST_FILE = 64 * 2 ** 20;
/** As much as is made at once, and lost when the work is stopped. */
const SENTENCES_PER_PART = 512;

/** Which index: of a model, of what, and where all of them are. */
export interface IndexPlace {
  folder: string;
  /** Of the model's files. */
  fingerprint: string;
  layer: VectorLayer;
  pool: IndexPool;
}

/** An index as it is now. */
export interface CorpusIndex {
  parts: KnownPart[];
  info: IndexInfo;
  /** The source by the name that it has for the person. */
  placeOf(block: RowBlock, row: number): IndexedPlace;
}

export function indexFolder({ folder, fingerprint, layer, pool }: IndexPlace): string {
  const key = createHash('sha256')
    .update(JSON.stringify([INDEX_VERSION, fingerprint, layer, pool]))
    .digest('hex');
  return join(folder, key.slice(0, 24));
}

/** Brings the index up to date. Throws `storage`, `bad-input`, `cancelled`. */
export async function updateIndex(
  embedder: Embedder,
  place: IndexPlace,
  files: readonly IndexSource[],
  memory: IndexMemory,
  context: RunContext,
): Promise<CorpusIndex> {
  const own = indexFolder(place);
  inStorage(own, () => mkdirSync(own, { recursive: true }));
  const about = await describe(own, embedder, place);
  const skipped = new SkipList();
  const parts: KnownPart[] = [];
  const work = files.map((source) => ({ source, stats: statSync(source.file, { throwIfNoEntry: false }) }));
  const total = work.reduce((sum, { stats }) => sum + (stats?.size ?? 0), 0);
  const done = { bytes: 0, files: 0, built: 0 };
  for (const { source, stats } of work) {
    throwIfCancelled(context.signal);
    if (stats?.isFile() !== true || stats.size > LARGEST_FILE) {
      skipped.add(source.name, stats === undefined ? 'there is no such file' : 'it is no file, or larger than 64 MB');
      continue;
    }
    const keyOf = (part: number): PartKey => ({
      ...{ version: INDEX_VERSION, model: place.fingerprint, layer: JSON.stringify(place.layer), pool: place.pool },
      ...{ file: source.file, modified: stats.mtimeMs, bytes: stats.size, part },
    });
    const pathOf = (part: number): string => join(own, `${hashOf(source.file)}-${part}.part`);
    const known = knownParts(memory, pathOf, keyOf);
    parts.push(...known);
    if (known.at(-1)?.header.last !== true) {
      done.built++;
      const made = partsOfFile(embedder, place, source, known.length, {
        signal: context.signal,
        progress: ({ message, fraction = 0 }) =>
          context.progress({ message, fraction: (done.bytes + fraction * stats.size) / Math.max(1, total) }),
      });
      for await (const { header, rows } of made) {
        const path = pathOf(header.part);
        await replaceFile(path, encodePart({ ...header, ...keyOf(header.part) }, rows));
        const written = memory.header(path, keyOf(header.part));
        if (written === null) throw new LensError('storage', `${path} could not be read back.`, 'Try again.');
        parts.push({ path, header: written });
      }
    }
    for (const { header } of parts.slice(parts.length - 1))
      for (const why of header.skipped) skipped.add(source.name, why);
    done.bytes += stats.size;
    done.files++;
  }
  const kept = new Set([...parts.map(({ path }) => path), join(own, ABOUT)]);
  const others = readdirSync(own)
    .map((each) => join(own, each))
    .filter((path) => !kept.has(path));
  for (const path of others) {
    memory.forget(path);
    inStorage(path, () => rmSync(path, { force: true }));
  }
  if (!about.finished) await writeAbout(own, { ...about, finished: true });
  const names = new Map(files.map(({ name, file }) => [file, name]));
  return {
    parts,
    info: {
      words: parts.reduce((sum, { header }) => sum + rowsOf(header), 0),
      ...{ files: done.files, built: done.built, removed: filesOf(others) },
      bytes: parts.reduce((sum, { path }) => sum + statSync(path).size, 0),
      skipped: skipped.list,
    },
    placeOf: (block, row) => {
      const part = block.parts.findLast(({ first }) => first <= row) as RowBlock['parts'][number];
      return indexedPlace(part.header, row - part.first, names);
    },
  };
}

/** Parts have the name of their file, and a number. */
const filesOf = (paths: readonly string[]): number =>
  new Set(paths.map((path) => path.replace(/-\d+\.part$/u, ''))).size;

const hashOf = (file: string): string => createHash('sha256').update(file).digest('hex').slice(0, 32);

function knownParts(
  memory: IndexMemory,
  pathOf: (part: number) => string,
  keyOf: (part: number) => PartKey,
): KnownPart[] {
  const known: KnownPart[] = [];
  while (known.at(-1)?.header.last !== true) {
    const path = pathOf(known.length);
    const header = memory.header(path, keyOf(known.length));
    if (header === null) break;
    known.push({ path, header });
  }
  return known;
}

async function describe(own: string, { info }: Embedder, place: IndexPlace): Promise<IndexAbout> {
  const known = readAbout(own);
  if (known?.version === INDEX_VERSION) return known;
  const { fingerprint, layer, pool } = place;
  const model = { id: info.id, folder: info.folder };
  const about = aboutIndex({ fingerprint, model, layer, pool, finished: false });
  await writeAbout(own, about);
  return about;
}

const writeAbout = async (own: string, about: IndexAbout): Promise<void> =>
  replaceFile(join(own, ABOUT), Buffer.from(`${JSON.stringify(about)}\n`));

type MadePart = Omit<PartHeader, keyof PartKey | 'checksum'> & { part: number };

/** What a file still lacks, from its part `from` on. */
async function* partsOfFile(
  model: Embedder,
  { layer, pool }: IndexPlace,
  source: IndexSource,
  from: number,
  { signal, progress }: RunContext,
): AsyncGenerator<{ header: MadePart; rows: Float32Array }> {
  const size = Math.max(1, statSync(source.file, { throwIfNoEntry: false })?.size ?? 1);
  const skipped = new SkipList();
  const sentences = corpusSentences([source], (name, why) => skipped.add(name, why));
  let [read, part] = [0, 0];
  for (let more = true; more; part++) {
    const together: CorpusSentence[] = [];
    while (more && together.length < SENTENCES_PER_PART) {
      const next = await sentences.next();
      if (next.done === true) more = false;
      else together.push(next.value);
    }
    throwIfCancelled(signal);
    const before = read;
    read += together.reduce((sum, { text }) => sum + text.length, 0);
    if (part < from && more) continue;
    const own = together.filter(({ text }) => SAYS_SOMETHING.test(text));
    const made = await vectorsOf(model, own, layer, pool, {
      signal,
      progress: ({ fraction = 0 }) =>
        progress({
          message: `${source.name}: ${counted(own.length, 'sentence')} at ${layerName(layer)}`,
          fraction: Math.min(1, (before + fraction * (read - before)) / size),
        }),
    });
    yield {
      header: {
        ...{ part, last: !more, width: made.width, sentences: own.map(({ text }) => text) },
        ...{ tags: made.tags, words: made.words, skipped: skipped.list.map(({ why }) => why) },
      },
      rows: made.rows,
    };
  }
}

const SAYS_SOMETHING = /\p{L}|\p{N}/u;

/** Vectors of length one, and their places. */
async function vectorsOf(
  model: Embedder,
  sentences: readonly CorpusSentence[],
  layer: VectorLayer,
  pool: IndexPool,
  context: RunContext,
): Promise<{ width: number; tags: string[]; words: number[]; rows: Float32Array }> {
  const nothing = { width: 0, tags: [], words: [], rows: new Float32Array(0) };
  if (sentences.length === 0) return nothing;
  const { units, vectors } = await embed(
    model,
    { texts: sentences.map(({ text }) => text), layers: pool === 'pooler' ? [] : [layer], pool },
    context,
    'empty',
  );
  const [first] = vectors;
  if (first === undefined || units.length === 0) return nothing;
  const width = first.dims[1];
  checkVectors({ width, data: first.data }, model.info.id, layer);
  const tags: string[] = [];
  const tagOf = (sentence: CorpusSentence, start: number): number => {
    const tag = sentence.words?.find(({ range }) => range.start <= start && start < range.end)?.tag;
    if (tag === undefined || tag === '_') return -1;
    return tags.includes(tag) ? tags.indexOf(tag) : tags.push(tag) - 1;
  };
  const words: number[] = [];
  const rows = new Float32Array(first.data.length);
  let count = 0;
  units.forEach(({ text, range }, index) => {
    const sentence = sentences[text] as CorpusSentence;
    const { start, end } = pool === 'word' && range !== null ? range : { start: 0, end: sentence.text.length };
    if (!SAYS_SOMETHING.test(sentence.text.slice(start, end))) return;
    const { line, column } = placeIn(sentence, start);
    words.push(text, start, end, line, column, pool === 'word' ? tagOf(sentence, start) : -1);
    rows.set(unit(first.data.subarray(index * width, (index + 1) * width)), width * count++);
  });
  return { width, tags, words, rows: rows.slice(0, width * count) };
}

function indexedPlace(header: PartHeader, row: number, names: ReadonlyMap<string, string>): IndexedPlace {
  const at = row * PER_WORD;
  const [sentence = 0, start = 0, end = 0, line = 0, column = 0, tag = -1] = header.words.slice(at, at + PER_WORD);
  const text = header.sentences[sentence] ?? '';
  return {
    source: names.get(header.file) ?? header.file,
    file: header.file,
    ...{ line, column, sentence: text, range: { start, end }, word: text.slice(start, end) },
    tag: header.tags[tag] ?? null,
  };
}

/** What there is of an index, without reading it. */
export function indexState(place: IndexPlace): 'none' | 'begun' | 'finished' {
  const about = readAbout(indexFolder(place));
  if (about?.version !== INDEX_VERSION) return 'none';
  return about.finished ? 'finished' : 'begun';
}

function inStorage(path: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    throw storageError(path, error);
  }
}
