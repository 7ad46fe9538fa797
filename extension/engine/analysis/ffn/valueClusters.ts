/**
 * Values in groups of like direction: spherical k-means (Dhillon & Modha 2001), from centres that are drawn as in k-means++ (Arthur &
 * Vassilvitskii 2007). What the words of a group have in common is read off its centre.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ValueCluster, ValueClusters, ValueClustersParams } from '../../../protocol/ffn';
import { LensError } from '../../../protocol/errors';
import { counted } from '../../../protocol/format';
import type { Internals } from '../../session/internals';
import type { RunContext } from '../../session/languageModel';
import type { RowProducts } from '../../session/rowProducts';
import { checkLayer } from '../attention/input';
import { topK } from '../../session/topK';
import { throwIfCancelled } from '../forward';
import { randomBelow, seededRandom } from '../random';
import { dot } from './paths';
import { endsOf, scoresOf, scoresOfNothing, wordsMethod } from './valueWords';

const MOST_BYTES = 768 * 2 ** 20;
const MOST_STEPS = 50;
/** Products at once. */
const MOST_NUMBERS = 16 * 2 ** 20;
/** Centres whose words are scored at once. */
const CENTRES_AT_ONCE = 32;

/** Directions of values [n,D], and where each is from. */
interface Directions {
  data: Float32Array;
  width: number;
  count: number;
  /** First row of each layer. */
  starts: { layer: number; row: number }[];
  /** Mean length of the values. */
  length: number;
}

/** Throws `bad-input`, `model-unsupported`, `memory`, `cancelled`. */
export async function valueClusters(
  model: Internals,
  products: RowProducts,
  { layers, clusters, words, members, seed }: Omit<ValueClustersParams, 'model'>,
  context: RunContext,
): Promise<ValueClusters> {
  const started = performance.now();
  const anatomy = await model.anatomy();
  const rows = await directionsOf(model, layers, context);
  if (clusters > rows.count)
    throw new LensError('bad-input', `${counted(rows.count, 'value')} are fewer than ${clusters} clusters.`);
  const { labels, centres, isSettled } = await kMeans(rows, clusters, seed, products, context);
  const cosines = Float32Array.from(labels, (label, row) =>
    dot(rowOf(rows, row), centreOf(centres, rows.width, label)),
  );
  const own = Array.from({ length: clusters }, (): number[] => []);
  labels.forEach((label, row) => own[label]?.push(row));
  const order = [...own.keys()].filter((label) => (own[label] as number[]).length > 0);
  order.sort((a, b) => (own[b] as number[]).length - (own[a] as number[]).length || a - b);
  const ends = await wordsOf(
    model,
    order.map((label) => centreOf(centres, rows.width, label)),
    rows,
    words,
    context,
  );
  const found = order.map((label, index): ValueCluster => {
    const its = own[label] as number[];
    const near = Float32Array.from(its, (row) => cosines[row] as number);
    const perLayer = new Int32Array(anatomy.layers);
    for (const row of its) {
      const { layer } = placeOf(rows, row);
      perLayer[layer] = (perLayer[layer] as number) + 1;
    }
    return {
      size: its.length,
      cohesion: near.reduce((sum, cosine) => sum + cosine, 0) / its.length,
      layers: perLayer,
      ...(ends[index] ?? { promoted: [], suppressed: [] }),
      members: topK(near, members).map((at) => ({ ...placeOf(rows, its[at] as number), cosine: near[at] as number })),
    };
  });
  return {
    model: model.info.id,
    values: rows.count,
    cohesion: cosines.reduce((sum, cosine) => sum + cosine, 0) / rows.count,
    clusters: found,
    method: `spherical k-means of the values’ directions, seed ${seed}${ends.length === 0 ? '' : `; words of a centre, as long as a value is on average, ${wordsMethod(anatomy)}`}`,
    notes: isSettled ? [] : [`Values still moved between clusters after ${MOST_STEPS} steps.`],
    elapsed: performance.now() - started,
  };
}

async function directionsOf(
  model: Pick<Internals, 'info' | 'anatomy' | 'weight'>,
  layers: readonly number[] | undefined,
  { signal, progress }: RunContext,
): Promise<Directions> {
  const anatomy = await model.anatomy();
  const wanted = [...new Set(layers ?? anatomy.blocks.keys())].sort((a, b) => a - b);
  const readable = wanted.filter((layer) => checkLayer(anatomy, layer).ffn !== null);
  const count = readable.reduce((sum, layer) => sum + (anatomy.blocks[layer]?.ffn?.width ?? 0), 0);
  if (count === 0)
    throw new LensError(
      'model-unsupported',
      `No feed-forward network was found in ${model.info.id}, so it has no values.`,
      '“lens inspect” lists what was found in the model, and why the rest is missing.',
    );
  const starts: Directions['starts'] = [];
  let [data, width, row, lengths] = [new Float32Array(0), 0, 0, 0];
  for (const layer of readable) {
    throwIfCancelled(signal);
    progress({ message: `Values of layer ${layer}`, fraction: row / count });
    const values = await model.weight(`blocks.${layer}.mlp.W_out`);
    if (width === 0) {
      width = values.dims[1] as number;
      if (4 * count * width > MOST_BYTES)
        throw new LensError(
          'memory',
          `${counted(count, 'value')} of ${width} numbers do not fit into memory at once.`,
          'Choose fewer layers.',
        );
      data = new Float32Array(count * width);
    }
    starts.push({ layer, row });
    for (let from = 0; from < values.data.length; from += width, row++) {
      const value = values.data.subarray(from, from + width);
      const length = Math.sqrt(dot(value, value));
      lengths += length;
      // One without a direction stays zero, and belongs nowhere in particular.
      if (length > 0)
        data.set(
          value.map((each) => each / length),
          row * width,
        );
    }
  }
  return { data, width, count, starts, length: lengths / count };
}

const rowOf = ({ data, width }: Directions, row: number): Float32Array => data.subarray(row * width, (row + 1) * width);

/** Centres are kept as columns [D,k], as they are multiplied. */
const centreOf = (centres: Float32Array, width: number, label: number): Float32Array => {
  const count = centres.length / width;
  return Float32Array.from({ length: width }, (_, at) => centres[at * count + label] as number);
};

function placeOf({ starts }: Directions, row: number): { layer: number; neuron: number } {
  const { layer, row: first } = starts.findLast((each) => each.row <= row) as Directions['starts'][number];
  return { layer, neuron: row - first };
}

async function kMeans(
  rows: Directions,
  count: number,
  seed: number,
  products: RowProducts,
  { signal, progress }: RunContext,
): Promise<{ labels: Int32Array; centres: Float32Array; isSettled: boolean }> {
  const { data, width, count: n } = rows;
  const random = seededRandom(seed);
  const pause = async (message: string, fraction: number): Promise<void> => {
    progress({ message, fraction });
    await nextTurn();
    throwIfCancelled(signal);
  };
  let centres = new Float32Array(width * count);
  const put = (label: number, vector: ArrayLike<number>): void => {
    for (let at = 0; at < width; at++) centres[at * count + label] = vector[at] as number;
  };
  // Each further centre is likelier the farther it is from those before.
  const far = new Float64Array(n).fill(1);
  let next = randomBelow(random, n);
  for (let label = 0; label < count; label++) {
    const centre = rowOf(rows, next).slice();
    put(label, centre);
    const near = await products(data, centre, width);
    let sum = 0;
    for (let row = 0; row < n; row++) {
      far[row] = Math.min(label === 0 ? Infinity : (far[row] as number), Math.max(0, 1 - (near[row] as number)));
      sum += far[row] as number;
    }
    let rest = random() * sum;
    next = Math.max(
      0,
      far.findIndex((distance) => (rest -= distance) <= 0),
    );
    await pause('Choosing centres', label / count);
  }
  const labels = new Int32Array(n).fill(-1);
  const perRun = Math.max(1, Math.floor(MOST_NUMBERS / Math.max(count, width)));
  for (let step = 0; step < MOST_STEPS; step++) {
    let moved = 0;
    const sums = new Float64Array(width * count);
    for (let from = 0; from < n; from += perRun) {
      const to = Math.min(n, from + perRun);
      const cosines = await products(data.slice(from * width, to * width), centres, width);
      for (let row = from; row < to; row++) {
        const start = (row - from) * count;
        let best = 0;
        for (let label = 1; label < count; label++)
          if ((cosines[start + label] as number) > (cosines[start + best] as number)) best = label;
        if (labels[row] !== best) moved++;
        labels[row] = best;
        for (let at = 0; at < width; at++)
          sums[at * count + best] = (sums[at * count + best] as number) + (data[row * width + at] as number);
      }
      await pause(`Step ${step + 1}`, step / MOST_STEPS);
    }
    if (moved === 0) return { labels, centres, isSettled: true };
    const before = centres;
    centres = new Float32Array(width * count);
    for (let label = 0; label < count; label++) {
      let squares = 0;
      for (let at = 0; at < width; at++) squares += (sums[at * count + label] as number) ** 2;
      const length = Math.sqrt(squares);
      // Of a cluster that lost all its values the centre stays.
      for (let at = label; at < sums.length; at += count)
        centres[at] = length === 0 ? (before[at] as number) : (sums[at] as number) / length;
    }
  }
  return { labels, centres, isSettled: false };
}

/** Words of vectors in these directions, as long as values are; none for a model that predicts none. */
async function wordsOf(
  model: Internals,
  centres: readonly Float32Array[],
  { width, length }: Directions,
  words: number,
  { signal, progress }: RunContext,
): Promise<Pick<ValueCluster, 'promoted' | 'suppressed'>[]> {
  const { unembedding } = await model.anatomy();
  if (words === 0 || unembedding === null) return [];
  const nothing = await scoresOfNothing(model, width);
  const found: Pick<ValueCluster, 'promoted' | 'suppressed'>[] = [];
  for (let from = 0; from < centres.length; from += CENTRES_AT_ONCE) {
    throwIfCancelled(signal);
    progress({ message: 'Words of the centres', fraction: from / centres.length });
    const part = centres.slice(from, from + CENTRES_AT_ONCE);
    const vectors = new Float32Array(part.length * width);
    part.forEach((centre, index) =>
      vectors.set(
        centre.map((each) => each * length),
        index * width,
      ),
    );
    const { scores, vocab } = await scoresOf(model, vectors, width, nothing);
    part.forEach((_, index) =>
      found.push(endsOf(model.tokenizer, scores.subarray(index * vocab, (index + 1) * vocab), words)),
    );
  }
  return found;
}
