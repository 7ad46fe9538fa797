/** What a run over a corpus has found so far: sums that can be saved, gone on from, and added. */
import type { HeadCorpusParams, HeadCorpusResult, HeadCorpusState } from '../../../protocol/attention';
import type { Fields } from '../../requests/fields';
import { addTo, joinDone, numbers, SkipList, skippedOf, unfit, wholeNumber } from './headState';
import { classicalScaling } from './scaling';
import { emptySums, statisticsOf, STATISTICS, type StatisticSums } from './statistics';

/** With the sums that `statistics.ts` adds to. */
export interface CorpusSums extends HeadCorpusState {
  sums: StatisticSums;
}

type What = Pick<HeadCorpusState, 'model' | 'layers' | 'heads' | 'packing'>;

export function newCorpusState({ model, layers, heads, packing }: What): CorpusSums {
  return {
    ...{ model, layers, heads, packing, done: [], documents: 0, tokens: 0 },
    sums: emptySums(layers * heads),
    distances: null,
    skipped: [],
  };
}

export const newDistances = (heads: number): NonNullable<HeadCorpusState['distances']> => ({
  tokens: 0,
  sums: new Float64Array(heads * heads),
});

/** A state from a file or another process. Throws `bad-input` when it is none, or one of something else than `what`. */
export function readCorpusState(value: HeadCorpusState, what?: What): CorpusSums {
  const state = value as unknown as Fields;
  const packing = readPacking(state['packing']);
  const shape = {
    model: String(state['model']),
    layers: wholeNumber(state['layers'], 'layers'),
    heads: wholeNumber(state['heads'], 'heads'),
    packing,
  };
  for (const name of ['model', 'layers', 'heads'] as const)
    if (what !== undefined && shape[name] !== what[name])
      throw unfit(`it is of ${name} ${shape[name]}, and this is ${name} ${what[name]}`);
  if (what !== undefined && packingName(packing) !== packingName(what.packing))
    throw unfit(`its documents are ${packingName(packing)}, and these are ${packingName(what.packing)}`);
  const size = shape.layers * shape.heads;
  const sums = (state['sums'] ?? {}) as Fields;
  const distances = state['distances'] as Fields | null | undefined;
  return {
    ...shape,
    done: Array.from(numbers(state['done'], 'done')),
    documents: wholeNumber(state['documents'], 'documents'),
    tokens: wholeNumber(state['tokens'], 'tokens'),
    sums: Object.fromEntries(
      STATISTICS.map((name) => [name, Float64Array.from(numbers(sums[name], `sums.${name}`, size))]),
    ) as StatisticSums,
    distances:
      distances == null
        ? null
        : {
            tokens: wholeNumber(distances['tokens'], 'distances.tokens'),
            sums: Float64Array.from(numbers(distances['sums'], 'distances.sums', size * size)),
          },
    skipped: skippedOf(state['skipped']),
  };
}

function readPacking(value: unknown): HeadCorpusParams['packing'] {
  const { kind, tokens } = (value ?? {}) as Fields;
  if (kind === 'text') return { kind };
  if (kind === 'pairs') return { kind, tokens: wholeNumber(tokens, 'packing.tokens') };
  throw unfit('it does not say what its documents are');
}

const packingName = (packing: HeadCorpusParams['packing']): string =>
  packing.kind === 'text' ? 'paragraphs' : `pairs of ${packing.tokens} tokens`;

/** Of shards of one corpus. Throws `bad-input` for states of different work, and for documents that are in both. */
export function mergeCorpusStates(first: HeadCorpusState, second: HeadCorpusState): CorpusSums {
  const [a, b] = [readCorpusState(first), readCorpusState(second, first)];
  for (const name of STATISTICS) addTo(a.sums[name], b.sums[name]);
  if (a.distances !== null && b.distances !== null) {
    addTo(a.distances.sums, b.distances.sums);
    a.distances.tokens += b.distances.tokens;
  }
  return {
    ...a,
    done: joinDone(a.done, b.done, 'documents'),
    documents: a.documents + b.documents,
    tokens: a.tokens + b.tokens,
    distances: a.distances ?? b.distances,
    skipped: new SkipList(a.skipped, b.skipped).list,
  };
}

/** Means over documents. `placed`: with the map of the heads, which takes a moment. */
export function corpusResult(state: CorpusSums, placed: boolean, elapsed: number): HeadCorpusResult {
  const { layers, heads, documents, distances } = state;
  const blockMeans = (sums: Float64Array): Float32Array =>
    Float32Array.from({ length: layers }, (_, layer) => {
      const own = sums.subarray(layer * heads, (layer + 1) * heads);
      return own.reduce((sum, value) => sum + value, 0) / (heads * Math.max(1, documents));
    });
  const { separator, punctuation, separatorToSeparator, entropy } = state.sums;
  return {
    state,
    statistics: statisticsOf(state.sums, documents),
    blocks: {
      separator: blockMeans(separator),
      punctuation: blockMeans(punctuation),
      separatorToSeparator: blockMeans(separatorToSeparator),
      entropy: blockMeans(entropy),
    },
    map:
      placed && distances !== null && distances.tokens > 0
        ? classicalScaling(
            distances.sums.map((sum) => sum / distances.tokens),
            layers * heads,
          )
        : null,
    elapsed,
  };
}
