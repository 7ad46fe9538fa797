/** Words, or sentences, of files that are used like one of a text: nearest by cosine, exactly, among all of an index. */
import { rmSync } from 'node:fs';
import type { CorpusNeighboursParams, CorpusNeighboursResult, IndexedPlace } from '../../../protocol/embeddings';
import { LensError } from '../../../protocol/errors';
import { counted } from '../../../protocol/format';
import type { RunContext } from '../../session/languageModel';
import type { RowProducts } from '../../session/rowProducts';
import { throwIfCancelled } from '../forward';
import { updateIndex, type CorpusIndex, type IndexPlace } from './corpusIndex';
import { embed, type Embedder } from './embed';
import { DamagedPart, type IndexMemory } from './indexMemory';
import { dot, norm } from './maths';
import { meanOf } from './pooling';
import { topK as largest } from '../../session/topK';

/** Products are in single precision: so many more are looked at in double before the order is told. */
const MORE = 32;

export interface Searching {
  fingerprint: string;
  memory: IndexMemory;
  withProducts<T>(work: (products: RowProducts) => Promise<T>): Promise<T>;
}

export async function corpusNeighbours(
  model: Embedder,
  { fingerprint, memory, withProducts }: Searching,
  { text, range, topK, layer, pool, folder, sources }: Omit<CorpusNeighboursParams, 'model'>,
  context: RunContext,
): Promise<CorpusNeighboursResult> {
  const started = performance.now();
  // One text is no work to tell of.
  const query = await vectorOf(model, { text, range, layer, pool }, { ...context, progress: () => undefined });
  const place: IndexPlace = { folder, fingerprint, layer, pool };
  const ask = async (): Promise<{
    index: CorpusIndex;
    neighbours: (IndexedPlace & { cosine: number })[];
    time: number;
  }> => {
    const index = await updateIndex(model, place, sources, memory, context);
    if (index.info.words === 0)
      throw new LensError(
        'bad-input',
        `There is no word in ${counted(sources.length, 'file')}.`,
        'Choose text files in UTF-8.',
      );
    const searching = performance.now();
    const neighbours = await withProducts((products) => search(index, memory, query, topK, products, context));
    return { index, neighbours, time: performance.now() - searching };
  };
  let found: Awaited<ReturnType<typeof ask>>;
  try {
    found = await ask();
  } catch (error) {
    if (!(error instanceof DamagedPart)) throw error;
    // It is made anew.
    memory.forget(error.path);
    rmSync(error.path, { force: true });
    found = await ask();
  }
  const { index, neighbours, time } = found;
  const word = text.slice(range.start, range.end);
  return {
    model: model.info.id,
    ...{ word, layer, pool, neighbours },
    sameWord: neighbours.filter((each) => each.word.toLowerCase() === word.toLowerCase()).length,
    tags: countsOf(neighbours.flatMap(({ tag }) => (tag === null ? [] : [tag]))),
    index: index.info,
    ...{ searched: time, elapsed: performance.now() - started },
  };
}

/** Most frequent first. */
function countsOf(names: readonly string[]): { name: string; count: number }[] {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].map(([name, count]) => ({ name, count })).sort((a, b) => b.count - a.count);
}

/** Of the words in the range, or of the range as a text by itself. */
async function vectorOf(
  model: Embedder,
  { text, range, layer, pool }: Pick<CorpusNeighboursParams, 'text' | 'range' | 'layer' | 'pool'>,
  context: RunContext,
): Promise<Float32Array> {
  if (pool !== 'word') {
    const texts = [text.slice(range.start, range.end)];
    const { vectors } = await embed(model, { texts, layers: pool === 'pooler' ? [] : [layer], pool }, context);
    return (vectors[0] as (typeof vectors)[number]).data;
  }
  const { units, vectors } = await embed(model, { texts: [text], layers: [layer], pool: 'token' }, context);
  const [first] = vectors as [(typeof vectors)[number]];
  const own = units.flatMap(({ range: place, special }, index) =>
    !special && place !== null && place.start < range.end && place.end > range.start ? [index] : [],
  );
  if (own.length === 0)
    throw new LensError('bad-input', `There is no token at ${range.start}–${range.end}.`, 'Select a word.');
  return meanOf({ width: first.dims[1], data: first.data }, own);
}

async function search(
  index: CorpusIndex,
  memory: IndexMemory,
  query: Float32Array,
  topK: number,
  products: RowProducts,
  { signal }: RunContext,
): Promise<(IndexedPlace & { cosine: number })[]> {
  const found: { cosine: number; order: number; place: () => IndexedPlace }[] = [];
  let before = 0;
  for (const block of memory.blocksOf(index.parts)) {
    throwIfCancelled(signal);
    for (const { row, cosine } of await nearestRows({ rows: block.rows, width: query.length }, query, topK, products))
      found.push({ cosine, order: before + row, place: () => index.placeOf(block, row) });
    before += block.rows.length / query.length;
  }
  return found
    .sort((a, b) => b.cosine - a.cosine || a.order - b.order)
    .slice(0, topK)
    .map(({ cosine, place }) => ({ ...place(), cosine }));
}

/** Rows with the largest cosines, largest first, ties by lower row. Rows [n,width] are of length one. */
export async function nearestRows(
  { rows, width }: { rows: Float32Array; width: number },
  query: Float32Array,
  topK: number,
  products: RowProducts,
): Promise<{ row: number; cosine: number }[]> {
  const length = norm(query);
  const direction = query.map((value) => value / length);
  return largest(await products(rows, direction), topK + MORE)
    .map((row) => ({ row, cosine: dot(rows.subarray(row * width, (row + 1) * width), query) / length }))
    .sort((a, b) => b.cosine - a.cosine || a.row - b.row)
    .slice(0, topK);
}
