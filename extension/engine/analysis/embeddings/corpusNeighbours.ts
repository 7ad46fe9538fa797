/** The words of files that are used like one word of a text: nearest by cosine, exactly, among all of an index. */
import type { CorpusNeighboursParams, CorpusNeighboursResult } from '../../../protocol/embeddings';
import { LensError } from '../../../protocol/errors';
import { counted } from '../../../protocol/format';
import type { RunContext } from '../../session/languageModel';
import { openIndex, type CorpusIndex } from './corpusIndex';
import { embed, type Embedder } from './embed';
import { dot, norm } from './maths';
import { meanOf } from './pooling';
import { topIds } from './top';

/** Products are in single precision: so many more are looked at in double before the order is told. */
const MORE = 32;

export type Products = (rows: Float32Array, vector: Float32Array) => Promise<Float32Array>;

export async function corpusNeighbours(
  model: Embedder,
  fingerprint: string,
  products: Products,
  { text, range, topK, layer, folder, sources }: Omit<CorpusNeighboursParams, 'model'>,
  context: RunContext,
): Promise<CorpusNeighboursResult> {
  const started = performance.now();
  const { units, vectors } = await embed(model, { texts: [text], layers: [layer], pool: 'token' }, context);
  const [first] = vectors as [(typeof vectors)[number]];
  const own = units.flatMap(({ range: place, special }, index) =>
    !special && place !== null && place.start < range.end && place.end > range.start ? [index] : [],
  );
  if (own.length === 0)
    throw new LensError('bad-input', `There is no token at ${range.start}–${range.end}.`, 'Select a word.');
  const query = meanOf({ width: first.dims[1], data: first.data }, own);
  const index = await openIndex(model, fingerprint, { folder, files: sources, layer }, context);
  if (index.rows.length === 0)
    throw new LensError(
      'bad-input',
      `There is no word in ${counted(sources.length, 'file')}.`,
      'Choose text files in UTF-8.',
    );
  const searching = performance.now();
  const found = await nearestRows(index, query, topK, products);
  const searched = performance.now() - searching;
  const word = text.slice(range.start, range.end);
  const neighbours = found.map(({ row, cosine }) => ({ ...index.word(row), cosine }));
  return {
    model: model.info.id,
    word,
    neighbours,
    sameWord: neighbours.filter((each) => each.word.toLowerCase() === word.toLowerCase()).length,
    index: {
      words: index.rows.length / index.width,
      ...{ files: index.files, built: index.built, removed: index.removed, bytes: index.bytes, skipped: index.skipped },
    },
    ...{ searched, elapsed: performance.now() - started },
  };
}

/** Rows with the largest cosines, largest first, ties by lower row. Rows are of length one. */
export async function nearestRows(
  { rows, width }: Pick<CorpusIndex, 'rows' | 'width'>,
  query: Float32Array,
  topK: number,
  products: Products,
): Promise<{ row: number; cosine: number }[]> {
  const length = norm(query);
  const direction = query.map((value) => value / length);
  return topIds(await products(rows, direction), topK + MORE)
    .map((row) => ({ row, cosine: dot(rows.subarray(row * width, (row + 1) * width), query) / length }))
    .sort((a, b) => b.cosine - a.cosine || a.row - b.row)
    .slice(0, topK);
}
