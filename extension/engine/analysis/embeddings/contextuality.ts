/**
 * How contextual vectors are, layer by layer, over a corpus (Ethayarajh 2019). All pairs of occurrences count, not a sample of them: the
 * mean cosine of n vectors of length one is (‖Σu‖² − n) / (n(n − 1)), for which their sum is enough.
 *
 * The corpus is read twice: for the counts of its pieces, from which everything that is chosen is chosen, and to be run. So shards choose as
 * the whole does, and their sums can be added (contextualityState.ts).
 */
import { createHash } from 'node:crypto';
import type {
  ContextualityParams,
  ContextualityResult,
  ContextualityShardParams,
  ContextualityState,
} from '../../../protocol/embeddings';
import { LensError } from '../../../protocol/errors';
import { count, counted } from '../../../protocol/format';
import type { RunContext } from '../../session/languageModel';
import { quantisesActivations } from '../attention/changedRuns';
import { SentenceScan, type ScannedSentence, type ScanState } from '../corpora/scan';
import { randomBelow, seededRandom, shuffle } from '../random';
import { tracedRuns } from '../runs';
import { contextualityResult, offsetsOf } from './contextualityState';
import { fitsRun, type Embedder } from './embed';
import { checkVectors, hiddenStates, hooksOf, layerVectors, readableLayers } from './layers';
import { dot, norm, rowAt, type Rows } from './maths';

/** Sums of directions, one for each piece and layer. */
const MOST_SUM_BYTES = 512 * 2 ** 20;
/** Occurrences kept for the explainable variance. */
const MOST_KEPT_BYTES = 192 * 2 ** 20;
const MOST_KEPT_OF_A_PIECE = 50;
/** Sentences that are read before it is told. */
const TELLING = 1024;

/** A piece of the vocabulary whose occurrences are summed. */
interface Piece {
  id: number;
  /** In the whole corpus. */
  count: number;
  /** The first so many are kept; 0: it was not chosen. */
  kept: number;
}

/** What is looked at in the whole corpus. */
interface Plan {
  /** SHA-256 of all tokens. */
  corpus: string;
  /** Of each sentence: how many of its tokens are not special. */
  lengths: ReadonlyMap<number, number>;
  /** Of sentences of which a token goes into the baseline: which one, among those that are not special, and its row there. */
  sampled: ReadonlyMap<number, { token: number; row: number }>;
  pieces: readonly Piece[];
  /** Of each piece the sentences of its first occurrences, in their order, one sentence as often as it has them. */
  firsts: ReadonlyMap<number, readonly number[]>;
}

type Params = Omit<ContextualityParams, 'model' | 'interventions'>;

export async function contextuality(
  model: Embedder,
  params: Params,
  { signal, progress }: RunContext,
): Promise<ContextualityResult> {
  const started = performance.now();
  const part =
    (from: number, to: number): RunContext['progress'] =>
    ({ message, fraction }) =>
      progress({ message, ...(fraction === undefined ? {} : { fraction: from + (to - from) * fraction }) });
  const state = await measureContextuality(model, params, { signal, progress: part(0, 0.9) });
  const result = await contextualityResult(state, { signal, progress: part(0.9, 1) });
  return { ...result, elapsed: performance.now() - started };
}

/** Of all sentences, or of a shard of them. Throws `bad-input`, `model-unsupported`, `numeric`, `cancelled`. */
export async function measureContextuality(
  model: Embedder,
  params: Params & Pick<ContextualityShardParams, 'shard'>,
  { signal, progress }: RunContext,
): Promise<Omit<ContextualityState, 'fingerprint' | 'changes'>> {
  const states = await hiddenStates(model);
  const layers = readableLayers(model, states);
  const hooks = hooksOf(model, states, layers);
  const width = model.info.hiddenSize ?? 1;
  const { leastContexts, samples, seed } = params;
  const plan = await planOf(model, params, layers.length * width, { signal, progress });
  const { pieces } = plan;
  const kept = Int32Array.from(pieces, (piece) => piece.kept);
  const offsets = offsetsOf(kept);
  const places = new Map(pieces.map(({ id }, at) => [id, at]));
  const keptInAll = kept.reduce((sum, rows) => sum + rows, 0);
  const sums = new Float64Array(pieces.length * layers.length * width);
  const occurrences = new Float32Array(layers.length * keptInAll * width);
  const baseline = new Float32Array(layers.length * plan.sampled.size * width);
  const intra = new Float64Array(layers.length);
  let intraSentences = 0;

  /** Row of each token that is kept among the kept ones; −1 for others. */
  const keptRows = ({ row, content, sentence }: ScannedSentence): number[] => {
    const seen = new Map<number, number>();
    return content.map((token) => {
      const id = row.ids[token] as number;
      const at = places.get(id);
      const first = plan.firsts.get(id)?.indexOf(sentence.index) ?? -1;
      if (at === undefined || first < 0) return -1;
      const before = seen.get(id) ?? 0;
      seen.set(id, before + 1);
      const nth = first + before;
      return nth < (kept[at] as number) ? (offsets[at] as number) + nth : -1;
    });
  };
  const addSentence = (item: ScannedSentence, at: number, vectors: Rows, rows: readonly number[]): void => {
    const { row, content, sentence } = item;
    if (content.length > 1) intra[at] = (intra[at] as number) + intraSentence(vectors, content);
    content.forEach((token, nth) => {
      const place = places.get(row.ids[token] as number);
      if (place === undefined) return;
      const vector = rowAt(vectors, token);
      const from = (place * layers.length + at) * width;
      addDirection(sums.subarray(from, from + width), vector);
      const keptRow = rows[nth] as number;
      if (keptRow >= 0) occurrences.set(vector, (at * keptInAll + keptRow) * width);
    });
    const sample = plan.sampled.get(sentence.index);
    if (sample !== undefined)
      baseline.set(rowAt(vectors, content[sample.token] as number), (at * plan.sampled.size + sample.row) * width);
  };

  const { index, of } = params.shard ?? { index: 0, of: 1 };
  const all = [...plan.lengths.keys()].filter((sentence) => sentence % of === index).length;
  const found: ScanState = { done: [], sentences: 0, tokens: 0, skipped: [] };
  const scan = new SentenceScan(model, params, found);
  const fits = fitsRun(hooks.length, width);
  // Activations that are quantised together would depend on what else is in the batch.
  const isAlone = quantisesActivations(await model.anatomy());
  await scan.addAll(
    tracedRuns(model, scan.rows(signal), hooks, (rows, length) => !isAlone && fits(rows, length), signal),
    ({ items, trace }) => {
      for (const [place, item] of items.entries()) {
        const { content, sentence, row } = item;
        if (content.length !== plan.lengths.get(sentence.index))
          throw new LensError('bad-input', 'The texts were changed while they were read.', 'Measure again.');
        const rows = keptRows(item);
        layers.forEach((layer, at) => {
          const vectors = layerVectors(trace, states, place, row.ids.length, layer);
          checkVectors(vectors, model.info.id, layer);
          addSentence(item, at, vectors, rows);
        });
        if (content.length > 1) intraSentences++;
        found.sentences++;
        found.tokens += content.length;
      }
    },
    () =>
      progress({
        message: `${counted(found.sentences, 'sentence')} of ${count(all)}`,
        fraction: found.sentences / all,
      }),
    () => ({}),
  );
  return {
    ...{ model: model.info.id, corpus: plan.corpus, leastContexts, samples, seed, layers, width },
    ...found,
    ...{ intraSentences, intra, kept, sums, occurrences, baseline },
    pieces: Int32Array.from(pieces, ({ id }) => id),
    counts: Int32Array.from(pieces, ({ count }) => count),
  };
}

/** Reads the whole corpus, whatever the shard. `numbers`: of one vector at all layers. Throws `bad-input` for one without a sentence. */
async function planOf(
  model: Embedder,
  { sources, limit, leastContexts, samples, seed }: Params,
  numbers: number,
  { signal, progress }: RunContext,
): Promise<Plan> {
  const hash = createHash('sha256');
  const lengths = new Map<number, number>();
  const counts = new Map<number, number>();
  const firsts = new Map<number, number[]>();
  const scan = new SentenceScan(model, { sources, limit }, { done: [], sentences: 0, tokens: 0, skipped: [] });
  for await (const { row, content, sentence } of scan.rows(signal)) {
    hash.update(Int32Array.of(row.ids.length)).update(row.ids);
    lengths.set(sentence.index, content.length);
    for (const token of content) {
      const id = row.ids[token] as number;
      const before = counts.get(id) ?? 0;
      counts.set(id, before + 1);
      if (before === 0) firsts.set(id, []);
      if (before < MOST_KEPT_OF_A_PIECE) firsts.get(id)?.push(sentence.index);
    }
    if (lengths.size % TELLING === 0) progress({ message: `Reading ${counted(lengths.size, 'sentence')}` });
  }
  if (lengths.size === 0) throw scan.nothing;
  const random = seededRandom(seed);
  const chosen = shuffle([...lengths.keys()], random).slice(0, samples);
  return {
    ...{ corpus: hash.digest('hex'), lengths, firsts },
    sampled: new Map(
      chosen.map((index, row) => [index, { token: randomBelow(random, lengths.get(index) as number), row }]),
    ),
    pieces: choosePieces(counts, leastContexts, numbers, random),
  };
}

/** Mean cosine of the tokens with the mean of the sentence. */
function intraSentence(vectors: Rows, content: readonly number[]): number {
  const middle = new Float64Array(vectors.width);
  for (const token of content)
    rowAt(vectors, token).forEach((value, at) => {
      middle[at] = (middle[at] as number) + value;
    });
  const length = norm(middle);
  const sum = content.reduce(
    (total, token) => total + dot(rowAt(vectors, token), middle) / (norm(rowAt(vectors, token)) * length),
    0,
  );
  return sum / content.length;
}

/** As many pieces with enough contexts as memory has room for, at random where there are more. */
function choosePieces(
  counts: ReadonlyMap<number, number>,
  leastContexts: number,
  numbers: number,
  random: () => number,
): Piece[] {
  const enough = [...counts].filter(([, count]) => count >= leastContexts);
  const room = Math.max(1, Math.floor(MOST_SUM_BYTES / (numbers * 8)));
  let left = MOST_KEPT_BYTES;
  return shuffle(enough, random)
    .slice(0, room)
    .map(([id, count]) => {
      const kept = Math.min(count, MOST_KEPT_OF_A_PIECE);
      left -= kept * numbers * 4;
      return { id, count, kept: left < 0 ? 0 : kept };
    });
}

function addDirection(sum: Float64Array, vector: Float32Array): void {
  const length = norm(vector);
  for (let at = 0; at < sum.length; at++) sum[at] = (sum[at] as number) + (vector[at] as number) / length;
}
