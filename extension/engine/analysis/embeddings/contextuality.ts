/**
 * How contextual vectors are, layer by layer, over a corpus (Ethayarajh 2019). All pairs of occurrences count, not a sample of them: the
 * mean cosine of n vectors of length one is (‖Σu‖² − n) / (n(n − 1)), for which their sum is enough.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ContextualityLayer, ContextualityParams, ContextualityResult } from '../../../protocol/embeddings';
import { LensError } from '../../../protocol/errors';
import { count, counted } from '../../../protocol/format';
import type { InputRow, RunContext } from '../../session/languageModel';
import { SkipList } from '../attention/headState';
import { corpusSentences } from '../corpora/sentences';
import { throwIfCancelled } from '../forward';
import { randomBelow, seededRandom, shuffle } from '../random';
import { tracedRuns } from '../runs';
import { fitsRun, type Embedder } from './embed';
import { checkVectors, hiddenStates, hooksOf, layerVectors, readableLayers } from './layers';
import { centredKernel, dot, gram, linearCka, norm, rowAt, type Rows } from './maths';
import { joinRows, meanCosine, meanCosineOfSum } from './occurrences';
import { firstShare, largestEigenpairs } from './pca';
import { textRow } from './texts';

/** Sums of directions, one for each piece and layer. */
const MOST_SUM_BYTES = 512 * 2 ** 20;
/** Occurrences kept for the explainable variance. */
const MOST_KEPT_BYTES = 192 * 2 ** 20;
const MOST_KEPT_OF_A_PIECE = 50;

interface SentenceRow {
  row: InputRow;
  /** Indices of its tokens that are not special. */
  content: number[];
  /** The token that goes into the baseline; null for none. */
  sample: number | null;
}

/** What is summed for a piece of the vocabulary. */
interface PieceSums {
  count: number;
  /** Σu at each layer. */
  sums: Float64Array[];
  /** The first occurrences at each layer; null for pieces that were not chosen. */
  kept: Float32Array[][] | null;
}

export async function contextuality(
  model: Embedder,
  { sources, limit, leastContexts, samples, seed }: Omit<ContextualityParams, 'model'>,
  { signal, progress }: RunContext,
): Promise<ContextualityResult> {
  const started = performance.now();
  const states = await hiddenStates(model);
  const layers = readableLayers(model, states);
  const hooks = hooksOf(model, states, layers);
  const skipped = new SkipList();
  const random = seededRandom(seed);

  const rows: SentenceRow[] = [];
  const counts = new Map<number, number>();
  for await (const { text, index } of corpusSentences(sources, (name, why) => skipped.add(name, why))) {
    if (index % 256 === 0) throwIfCancelled(signal);
    if (rows.length >= limit) break;
    const { row, tokens } = textRow(model, text);
    const content = tokens.flatMap(({ special, range }, token) => (special || range === null ? [] : [token]));
    if (content.length === 0) continue;
    rows.push({ row, content, sample: null });
    for (const token of content) {
      const id = row.ids[token] as number;
      counts.set(id, (counts.get(id) ?? 0) + 1);
    }
  }
  if (rows.length === 0)
    throw new LensError(
      'bad-input',
      `There is no sentence in ${counted(sources.length, 'text')}${skipped.first}.`,
      'Choose text files in UTF-8, or a treebank.',
    );
  const sampled = shuffle([...rows.keys()], random).slice(0, samples);
  for (const index of sampled) {
    const row = rows[index] as SentenceRow;
    row.sample = row.content[randomBelow(random, row.content.length)] as number;
  }
  const width = model.info.hiddenSize ?? 1;
  const pieces = choosePieces(counts, leastContexts, layers.length, width, random);

  const baseline: Float32Array[][] = layers.map(() => []);
  const intra = new Float64Array(layers.length);
  let [intraSentences, tokens, done] = [0, 0, 0];
  for await (const { items, trace } of tracedRuns(model, rows, hooks, fitsRun(hooks.length, width), signal)) {
    for (const [place, { row, content, sample }] of items.entries()) {
      layers.forEach((layer, at) => {
        const vectors = layerVectors(trace, states, place, row.ids.length, layer);
        checkVectors(vectors, model.info.id, layer);
        if (content.length > 1) intra[at] = (intra[at] as number) + intraSentence(vectors, content);
        for (const token of content) {
          const piece = pieces.get(row.ids[token] as number);
          if (piece === undefined) continue;
          addOccurrence(piece, at, rowAt(vectors, token));
          if (at === 0) piece.count++;
        }
        if (sample !== null) baseline[at]?.push(rowAt(vectors, sample).slice());
      });
      if (content.length > 1) intraSentences++;
      tokens += content.length;
    }
    done += items.length;
    progress({
      message: `${counted(done, 'sentence')} of ${count(rows.length)}`,
      fraction: (0.9 * done) / rows.length,
    });
  }

  const kept = [...pieces.values()].filter((piece) => piece.kept !== null);
  const kernels: Float64Array[] = [];
  const results: ContextualityLayer[] = [];
  for (const [at, layer] of layers.entries()) {
    const sample = joinRows(baseline[at] as Float32Array[]);
    const product = gram(sample);
    kernels.push(centredKernel(product));
    results.push({
      layer,
      selfSimilarity: mean(
        [...pieces.values()].map((piece) => meanCosineOfSum(piece.sums[at] as Float64Array, piece.count)),
      ),
      intraSentence: intraSentences === 0 ? NaN : (intra[at] as number) / intraSentences,
      anisotropy: meanCosine(sample),
      explainable: mean(
        kept.map((piece) => firstShare(joinRows((piece.kept as Float32Array[][])[at] as Float32Array[]))),
      ),
      explainableBaseline: (largestEigenpairs(product, 1)[0]?.value ?? NaN) / trace(product),
    });
    progress({ message: `Variance at layer ${layer}`, fraction: 0.9 + (0.1 * (at + 1)) / layers.length });
    await nextTurn();
    throwIfCancelled(signal);
  }
  const cka = new Float32Array(layers.length ** 2);
  for (let a = 0; a < layers.length; a++)
    for (let b = 0; b <= a; b++) {
      const value = linearCka(kernels[a] as Float64Array, kernels[b] as Float64Array);
      cka[a * layers.length + b] = value;
      cka[b * layers.length + a] = value;
    }
  return {
    model: model.info.id,
    sentences: rows.length,
    tokens,
    pieces: pieces.size,
    occurrences: [...pieces.values()].reduce((sum, piece) => sum + piece.count, 0),
    explainedPieces: kept.length,
    samples: sampled.length,
    layers: results,
    cka,
    skipped: skipped.list,
    elapsed: performance.now() - started,
  };
}

const mean = (values: readonly number[]): number =>
  values.length === 0 ? NaN : values.reduce((sum, value) => sum + value, 0) / values.length;

const trace = (matrix: Float64Array): number => {
  const n = Math.sqrt(matrix.length);
  let sum = 0;
  for (let row = 0; row < n; row++) sum += matrix[row * n + row] as number;
  return sum;
};

/** Mean cosine of the tokens with the mean of the sentence. */
function intraSentence(vectors: Rows, content: readonly number[]): number {
  const middle = new Float64Array(vectors.width);
  for (const token of content)
    rowAt(vectors, token).forEach((value, at) => {
      middle[at] = (middle[at] as number) + value;
    });
  const length = norm(middle);
  return mean(content.map((token) => dot(rowAt(vectors, token), middle) / (norm(rowAt(vectors, token)) * length)));
}

/** As many pieces with enough contexts as memory has room for, at random where there are more. */
function choosePieces(
  counts: ReadonlyMap<number, number>,
  leastContexts: number,
  layers: number,
  width: number,
  random: () => number,
): Map<number, PieceSums> {
  const enough = [...counts].filter(([, times]) => times >= leastContexts);
  const room = Math.max(1, Math.floor(MOST_SUM_BYTES / (layers * width * 8)));
  let left = MOST_KEPT_BYTES;
  return new Map(
    shuffle(enough, random)
      .slice(0, room)
      .map(([id, times]): [number, PieceSums] => {
        left -= Math.min(times, MOST_KEPT_OF_A_PIECE) * layers * width * 4;
        return [
          id,
          {
            count: 0,
            sums: Array.from({ length: layers }, () => new Float64Array(width)),
            kept: left < 0 ? null : Array.from({ length: layers }, () => []),
          },
        ];
      }),
  );
}

/** Is called for each layer of an occurrence. */
function addOccurrence({ sums, kept }: PieceSums, layer: number, vector: Float32Array): void {
  const sum = sums[layer] as Float64Array;
  const length = norm(vector);
  for (let at = 0; at < sum.length; at++) sum[at] = (sum[at] as number) + (vector[at] as number) / length;
  const own = kept?.[layer];
  if (own !== undefined && own.length < MOST_KEPT_OF_A_PIECE) own.push(vector.slice());
}
