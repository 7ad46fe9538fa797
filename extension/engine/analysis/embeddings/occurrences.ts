/** All occurrences of a word in texts: places, clusters and, where they are labelled, whether clusters are the labels. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type {
  Occurrence,
  OccurrenceLayer,
  OccurrencesParams,
  OccurrencesResult,
  VectorLayer,
} from '../../../protocol/embeddings';
import { LensError } from '../../../protocol/errors';
import { counted } from '../../../protocol/format';
import { placeIn } from '../../../protocol/places';
import type { InputRow, RunContext } from '../../session/languageModel';
import { SkipList } from '../attention/headState';
import { corpusSentences, type CorpusSentence } from '../corpora/sentences';
import { throwIfCancelled } from '../forward';
import { tracedRuns } from '../runs';
import { clusterRows } from './clusters';
import { fitsRun, vectorsAt, type Embedder } from './embed';
import { checkVectors, hiddenStates, hooksOf, layerName } from './layers';
import { adjustedRandIndex, rowAt, rowCount, unit, type Rows } from './maths';
import { meanOf } from './pooling';
import { LEAST_POINTS, places } from './projection';
import { textRow } from './texts';

const MOST_CLUSTERS = 8;
/** Vectors held at once. */
const MOST_BYTES = 900 * 2 ** 20;

/** A sentence with the word in it. */
interface Found {
  row: InputRow;
  sentence: CorpusSentence;
  /** Index among all occurrences, range, and the tokens there. */
  hits: { index: number; start: number; end: number; tokens: number[] }[];
}

export async function occurrences(
  model: Embedder,
  params: Omit<OccurrencesParams, 'model'>,
  context: RunContext,
): Promise<OccurrencesResult> {
  const started = performance.now();
  const { sources, layers, projection, axes, clusters, seed } = params;
  const { signal, progress } = context;
  const word = params.word.trim();
  if (word === '')
    throw new LensError('bad-input', 'No word was named.', 'Name the word whose occurrences are wanted.');
  const states = await hiddenStates(model);
  const hooks = hooksOf(model, states, layers);
  const table = layers.includes('static') ? await model.weight('embed.W_E') : null;
  const skipped = new SkipList();
  const { found, hits, truncated } = await findWord(model, word, params, skipped, signal);
  if (hits.length === 0)
    throw new LensError(
      'bad-input',
      `“${word}” does not occur as a word in ${counted(sources.length, 'text')}${skipped.first}.`,
      'Other forms of a word are other words.',
    );
  const width = table?.dims[1] ?? model.info.hiddenSize ?? 1;
  const wide = Math.max(width, model.info.hiddenSize ?? 1);
  if (hits.length * layers.length * wide * 4 > MOST_BYTES)
    throw new LensError(
      'memory',
      `${counted(hits.length, 'occurrence')} at ${counted(layers.length, 'layer')} do not fit into memory at once.`,
      'Take fewer layers or fewer occurrences.',
    );

  const rows = layers.map((): (Float32Array | undefined)[] => new Array<Float32Array | undefined>(hits.length));
  const keep = (each: Found, vectorsOf: (layer: VectorLayer) => Rows): void =>
    layers.forEach((layer, at) => {
      const vectors = vectorsOf(layer);
      checkVectors(vectors, model.info.id, layer);
      for (const { index, tokens } of each.hits) (rows[at] as Float32Array[])[index] = meanOf(vectors, tokens);
    });
  let done = 0;
  if (hooks.length === 0)
    for (const each of found) keep(each, () => vectorsAt(new Map(), states, table, each, 0, 'static'));
  else
    for await (const { items, trace } of tracedRuns(model, found, hooks, fitsRun(hooks.length, wide), signal)) {
      items.forEach((each, place) => {
        keep(each, (layer) => vectorsAt(trace, states, table, each, place, layer));
      });
      done += items.length;
      progress({
        message: `${counted(done, 'sentence')} of ${found.length}`,
        fraction: (0.8 * done) / found.length,
      });
    }

  const results: OccurrenceLayer[] = [];
  const labels = hits.map(({ label }) => label);
  const labelled = labels.every((label) => label !== null) && new Set(labels).size > 1 ? labels : null;
  for (const [at, layer] of layers.entries()) {
    const matrix = joinRows(rows[at] as Float32Array[]);
    const placed = await places(matrix, projection, axes, seed, context);
    if (projection === 'pca') alignSigns(placed.scores, results.at(-1)?.places, axes);
    const grouped = clusterRows(matrix, clusters === 'auto' ? { most: MOST_CLUSTERS } : clusters, seed);
    results.push({
      layer,
      name: layerName(layer),
      places: placed.scores,
      explained: placed.explained,
      clusters: grouped.labels,
      silhouette: grouped.silhouette,
      rand: labelled === null ? null : adjustedRandIndex(Array.from(grouped.labels), labelled),
      selfSimilarity: meanCosine(matrix),
    });
    progress({ message: `Places at ${layerName(layer)}`, fraction: 0.8 + (0.2 * (at + 1)) / layers.length });
    await nextTurn();
    throwIfCancelled(signal);
  }
  return {
    model: model.info.id,
    word,
    occurrences: hits,
    sources: sources.map(({ name }) => name),
    layers: results,
    truncated,
    skipped: skipped.list,
    notes: [
      'Each sentence went into the model by itself.',
      ...(projection === 'umap' && hits.length < LEAST_POINTS
        ? [`UMAP needs ${LEAST_POINTS} points; these are principal components.`]
        : []),
    ],
    elapsed: performance.now() - started,
  };
}

/** An axis has no sign of its own: each is turned towards that of the layer before, so that points stay on their side. */
function alignSigns(scores: Float32Array, before: Float32Array | undefined, axes: number): void {
  if (before === undefined) return;
  for (let axis = 0; axis < axes; axis++) {
    let likeness = 0;
    for (let at = axis; at < scores.length; at += axes) likeness += (scores[at] as number) * (before[at] as number);
    if (likeness < 0) for (let at = axis; at < scores.length; at += axes) scores[at] = -(scores[at] as number);
  }
}

/** Sentences with the word, each cut into tokens; occurrences are numbered in the order of the corpus. */
async function findWord(
  model: Embedder,
  word: string,
  { sources, most }: Pick<OccurrencesParams, 'sources' | 'most'>,
  skipped: SkipList,
  signal: AbortSignal,
): Promise<{ found: Found[]; hits: Occurrence[]; truncated: boolean }> {
  const pattern = new RegExp(
    `(?<![\\p{L}\\p{M}\\p{N}])${word.replace(/[\\^$.*+?()[\]{}|]/gu, '\\$&')}(?![\\p{L}\\p{M}\\p{N}])`,
    'giu',
  );
  const found: Found[] = [];
  const hits: Occurrence[] = [];
  for await (const sentence of corpusSentences(sources, (name, why) => skipped.add(name, why))) {
    if (sentence.index % 256 === 0) throwIfCancelled(signal);
    const matches = [...sentence.text.matchAll(pattern)];
    if (matches.length === 0) continue;
    const { row, tokens } = textRow(model, sentence.text);
    const own: Found = { row, sentence, hits: [] };
    for (const { index: start, 0: text } of matches) {
      const end = start + text.length;
      const inside = tokens.flatMap(({ range, special }, token) =>
        !special && range !== null && range.start < end && range.end > start ? [token] : [],
      );
      // What lies beyond the model’s window has no vector.
      if (inside.length === 0) continue;
      if (hits.length >= most) return { found: own.hits.length > 0 ? [...found, own] : found, hits, truncated: true };
      own.hits.push({ index: hits.length, start, end, tokens: inside });
      hits.push({
        source: sentence.source,
        ...placeIn(sentence, start),
        sentence: sentence.text,
        range: { start, end },
        label: sentence.label,
      });
    }
    if (own.hits.length > 0) found.push(own);
  }
  return { found, hits, truncated: false };
}

export function joinRows(rows: readonly Float32Array[]): Rows {
  const width = rows[0]?.length ?? 0;
  const data = new Float32Array(rows.length * width);
  rows.forEach((row, at) => {
    data.set(row, at * width);
  });
  return { width, data };
}

/** Mean cosine of two different rows: (‖Σu‖² − n) / (n(n − 1)). NaN of one row. */
export function meanCosine(rows: Rows): number {
  const n = rowCount(rows);
  const sum = new Float64Array(rows.width);
  for (let row = 0; row < n; row++)
    unit(rowAt(rows, row)).forEach((value, at) => {
      sum[at] = (sum[at] as number) + value;
    });
  return meanCosineOfSum(sum, n);
}

/** From the sum of n vectors of length one. */
export const meanCosineOfSum = (sum: Float64Array, n: number): number =>
  n < 2 ? NaN : (sum.reduce((total, value) => total + value * value, 0) - n) / (n * (n - 1));
