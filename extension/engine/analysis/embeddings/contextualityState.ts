/** What was found of contextuality: sums over shards that can be saved and added, and the numbers that come of them. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ContextualityLayer, ContextualityResult, ContextualityState } from '../../../protocol/embeddings';
import type { Fields } from '../../requests/fields';
import { scalesOf } from '../../requests/interventions';
import type { RunContext } from '../../session/languageModel';
import { addTo, numbers, skippedOf, unfit, wholeNumber } from '../attention/headState';
import { joinScans, readDone } from '../corpora/scan';
import { throwIfCancelled } from '../forward';
import { centredKernel, gram, linearCka, rowCount, symmetric, type Rows } from './maths';
import { meanCosine, meanCosineOfSum } from './occurrences';
import { firstShare, largestEigenpairs } from './pca';

/** Where the kept rows of each piece begin. */
export function offsetsOf(kept: Int32Array): Int32Array {
  let next = 0;
  return kept.map((rows) => {
    const own = next;
    next += rows;
    return own;
  });
}

type Columns = typeof Float64Array | typeof Float32Array | typeof Int32Array;

/** Finite numbers of a type; not copied, since they may be hundreds of megabytes. */
function column<C extends Columns>(state: Fields, name: string, type: C, length?: number): InstanceType<C> {
  const value = state[name];
  if (value instanceof type && (length ?? value.length) === value.length && value.every(Number.isFinite))
    return value as InstanceType<C>;
  throw unfit(`“${name}” is no list of ${length === undefined ? '' : `${length} `}numbers`);
}

/** A state from a file. Throws `bad-input` when it is none. */
export function readContextuality(value: object): ContextualityState {
  const state = value as Fields;
  const whole = (name: string): number => wholeNumber(state[name], name);
  const [width, leastContexts, samples, seed] = [
    whole('width'),
    whole('leastContexts'),
    whole('samples'),
    whole('seed'),
  ];
  const layers = Array.from(numbers(state['layers'], 'layers'), (layer) => wholeNumber(layer, 'layers'));
  const [sentences, tokens, intraSentences] = [whole('sentences'), whole('tokens'), whole('intraSentences')];
  const pieces = column(state, 'pieces', Int32Array);
  const counts = column(state, 'counts', Int32Array, pieces.length);
  const kept = column(state, 'kept', Int32Array, pieces.length);
  if (kept.some((rows, at) => rows < 0 || rows > (counts[at] as number))) throw unfit('“kept” is more than there is');
  const perRow = layers.length * width;
  const rows = kept.reduce((sum, each) => sum + each, 0);
  const baseline = column(state, 'baseline', Float32Array);
  if (perRow === 0 || baseline.length % perRow !== 0) throw unfit('“baseline” has no whole rows');
  return {
    ...{ model: String(state['model']), fingerprint: String(state['fingerprint']), corpus: String(state['corpus']) },
    ...{ changes: scalesOf(state['changes'], 'changes'), leastContexts, samples, seed, layers, width },
    ...{ done: readDone(state['done']), sentences, tokens, skipped: skippedOf(state['skipped']) },
    ...{ intraSentences, intra: column(state, 'intra', Float64Array, layers.length), pieces, counts, kept },
    sums: column(state, 'sums', Float64Array, pieces.length * perRow),
    occurrences: column(state, 'occurrences', Float32Array, rows * perRow),
    baseline,
  };
}

/**
 * Shards of one corpus, as `readContextuality` gives them; the second is added into the arrays of the first. What is kept of one is 0 in the
 * other, so that only the sums depend on the order, by the last bits of doubles. Throws `bad-input` for states of different work.
 */
export function mergeContextuality(a: ContextualityState, b: ContextualityState): ContextualityState {
  requireSame(a, b);
  const scan = joinScans(a, b);
  for (const name of ['intra', 'sums', 'occurrences', 'baseline'] as const) addTo(a[name], b[name]);
  return {
    ...a,
    ...scan,
    intraSentences: a.intraSentences + b.intraSentences,
  };
}

function requireSame(a: ContextualityState, b: ContextualityState): void {
  // The name is that of a folder, which may be another on another machine.
  if (a.fingerprint !== b.fingerprint)
    throw unfit(
      a.model === b.model
        ? `it is of another ${a.model}, with other files`
        : `its model is ${b.model}, and this is ${a.model}`,
    );
  const same = <K extends keyof ContextualityState>(name: K): boolean =>
    JSON.stringify(a[name]) === JSON.stringify(b[name]);
  if (!same('changes')) throw unfit('other heads or neurons are changed in it');
  if (a.corpus !== b.corpus) throw unfit('it is of other texts');
  for (const [name, says] of [
    ['leastContexts', 'number of contexts'],
    ['samples', 'number of samples'],
    ['seed', 'seed'],
  ] as const)
    if (a[name] !== b[name]) throw unfit(`its ${says} is ${b[name]}, and this is ${a[name]}`);
  for (const name of ['layers', 'width', 'pieces', 'counts', 'kept'] as const)
    if (!same(name)) throw unfit(`its ${name} are others`);
  if (a.baseline.length !== b.baseline.length) throw unfit('its baseline has another size');
}

/** Of all sentences. Throws `cancelled`. */
export async function contextualityResult(
  state: Omit<ContextualityState, 'fingerprint' | 'changes'>,
  { signal, progress }: RunContext,
): Promise<ContextualityResult> {
  const { layers, width, counts, kept, intraSentences } = state;
  const samples = state.baseline.length / (layers.length * width);
  const keptInAll = kept.reduce((sum, rows) => sum + rows, 0);
  const offsets = offsetsOf(kept);
  const rowsOf = (data: Float32Array, from: number, rows: number): Rows => ({
    width,
    data: data.subarray(from * width, (from + rows) * width),
  });
  const kernels: Float64Array[] = [];
  const results: ContextualityLayer[] = [];
  for (const [at, layer] of layers.entries()) {
    const sample = rowsOf(state.baseline, at * samples, samples);
    const product = gram(sample);
    kernels.push(centredKernel(product));
    const selves = Array.from(counts, (count, piece) => {
      const from = (piece * layers.length + at) * width;
      return meanCosineOfSum(state.sums.subarray(from, from + width), count);
    });
    const shares = Array.from(kept, (rows, piece) =>
      rows === 0 ? [] : [firstShare(rowsOf(state.occurrences, at * keptInAll + (offsets[piece] as number), rows))],
    ).flat();
    results.push({
      layer,
      selfSimilarity: mean(selves),
      intraSentence: intraSentences === 0 ? NaN : (state.intra[at] as number) / intraSentences,
      anisotropy: meanCosine(sample),
      explainable: mean(shares),
      explainableBaseline: (largestEigenpairs(product, 1)[0]?.value ?? NaN) / traceOf(product, rowCount(sample)),
    });
    progress({ message: `Variance at layer ${layer}`, fraction: (at + 1) / layers.length });
    await nextTurn();
    throwIfCancelled(signal);
  }
  return {
    model: state.model,
    sentences: state.sentences,
    tokens: state.tokens,
    pieces: counts.length,
    occurrences: counts.reduce((sum, count) => sum + count, 0),
    explainedPieces: kept.filter((rows) => rows > 0).length,
    ...{ samples, layers: results, cka: ckaOf(kernels), skipped: state.skipped, elapsed: 0 },
  };
}

/** [N,N]. */
const ckaOf = (kernels: readonly Float64Array[]): Float32Array =>
  symmetric(kernels.length, (a, b) => linearCka(kernels[a] as Float64Array, kernels[b] as Float64Array));

const mean = (values: readonly number[]): number =>
  values.length === 0 ? NaN : values.reduce((sum, value) => sum + value, 0) / values.length;

function traceOf(matrix: Float64Array, n: number): number {
  let sum = 0;
  for (let row = 0; row < n; row++) sum += matrix[row * n + row] as number;
  return sum;
}
