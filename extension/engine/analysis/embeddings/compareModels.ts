/**
 * Whether two models say the same of the same words: linear CKA (Kornblith et al. 2019) of every layer of one with every layer of the
 * other. Both read the same sentences; of each, one place is taken. Where both cut all of these sentences into the same tokens, it is a
 * token; otherwise a word that both see, as the mean over its pieces.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { CompareModelsParams, CompareModelsResult } from '../../../protocol/embeddings';
import type { ModelInfo } from '../../../protocol/engine';
import { LensError } from '../../../protocol/errors';
import { counted } from '../../../protocol/format';
import type { InputRow, RunContext } from '../../session/languageModel';
import type { LensTokenizer } from '../../text/tokenizer';
import { SkipList } from '../attention/headState';
import { corpusSentences } from '../corpora/sentences';
import { throwIfCancelled } from '../forward';
import { randomBelow, seededRandom, shuffle } from '../random';
import { tracedRuns } from '../runs';
import { fitsRun, type Embedder } from './embed';
import { checkVectors, hiddenStates, hooksOf, layerVectors, readableLayers } from './layers';
import { centredKernel, gram, linearCka } from './maths';
import { joinRows } from './occurrences';
import { meanOf } from './pooling';
import { textRow, type TextRow, type Unit } from './texts';

/** Fewer things are alike by chance. */
const LEAST_SAMPLES = 10;

/** As much of a model as reads a text: no weights. */
export interface Reader {
  tokenizer: LensTokenizer;
  info: ModelInfo;
}

/** What one model is to look at: the same place in each text. */
interface Place {
  row: InputRow;
  tokens: number[];
}

interface CommonPlaces {
  unit: CompareModelsResult['unit'];
  places: [Place[], Place[]];
  sentences: number;
  skipped: CompareModelsResult['skipped'];
}

/**
 * `withModel` loads one of the two for some work: one after the other, since both need not fit into memory at once. Throws `bad-input`,
 * `model-unsupported`, `numeric`, `cancelled`.
 */
export async function compareModels(
  readers: readonly [Reader, Reader],
  withModel: <T>(which: 0 | 1, work: (model: Embedder) => Promise<T>) => Promise<T>,
  params: Omit<CompareModelsParams, 'model' | 'other'>,
  context: RunContext,
): Promise<CompareModelsResult> {
  const started = performance.now();
  const { unit, places, sentences, skipped } = await commonPlaces(readers, params, context);
  const kernels = (which: 0 | 1): Promise<LayerKernels> =>
    withModel(which, (model) =>
      kernelsOf(model, places[which], {
        signal: context.signal,
        progress: ({ message, fraction = 0 }) => context.progress({ message, fraction: (which + fraction) / 2 }),
      }),
    );
  const [first, second] = [await kernels(0), await kernels(1)];
  return {
    models: [readers[0].info.id, readers[1].info.id],
    layers: [first.layers, second.layers],
    cka: crossCka(first, second),
    ...{ unit, samples: places[0].length, sentences, skipped },
    elapsed: performance.now() - started,
  };
}

async function commonPlaces(
  readers: readonly [Reader, Reader],
  { sources, limit, samples, seed }: Pick<CompareModelsParams, 'sources' | 'limit' | 'samples' | 'seed'>,
  { signal, progress }: RunContext,
): Promise<CommonPlaces> {
  const skipped = new SkipList();
  const pairs: [TextRow, TextRow][] = [];
  for await (const { text, index } of corpusSentences(sources, (name, why) => skipped.add(name, why))) {
    if (index % 256 === 0) throwIfCancelled(signal);
    if (pairs.length >= limit) break;
    pairs.push([textRow(readers[0], text), textRow(readers[1], text)]);
    if (index % 256 === 0) progress({ message: `Reading ${counted(pairs.length, 'sentence')}` });
  }
  const random = seededRandom(seed);
  const chosen = shuffle([...pairs.keys()], random)
    .slice(0, samples)
    .map((index) => pairs[index] as [TextRow, TextRow]);
  const contentOf = ({ tokens }: TextRow): Unit[] => tokens.filter(({ special, range }) => !special && range !== null);
  const same = chosen.every(([one, other]) => sameRanges(contentOf(one), contentOf(other)));
  const places: CommonPlaces['places'] = [[], []];
  for (const [one, other] of chosen) {
    const [own, theirs] = same ? [contentOf(one), contentOf(other)] : [one.words, other.words];
    const known = new Map(theirs.map((each) => [keyOf(each), each]));
    const common = own.flatMap((each) => {
      const match = known.get(keyOf(each));
      return match === undefined ? [] : [[each, match] as const];
    });
    const pair = common[randomBelow(random, Math.max(1, common.length))];
    if (pair === undefined) continue;
    places[0].push({ row: one.row, tokens: pair[0].tokens });
    places[1].push({ row: other.row, tokens: pair[1].tokens });
  }
  if (places[0].length < LEAST_SAMPLES)
    throw new LensError(
      'bad-input',
      `Both models see the same word in ${counted(places[0].length, 'sentence')}${skipped.first}; ${LEAST_SAMPLES} are needed.`,
      'Choose more text.',
    );
  return { unit: same ? 'token' : 'word', places, sentences: pairs.length, skipped: skipped.list };
}

const keyOf = ({ range }: Unit): string => `${range?.start}–${range?.end}`;
const sameRanges = (one: readonly Unit[], other: readonly Unit[]): boolean =>
  one.length === other.length && one.every((each, at) => keyOf(each) === keyOf(other[at] as Unit));

interface LayerKernels {
  layers: number[];
  /** Centred Gram matrices [n,n] of length one. */
  kernels: Float64Array[];
}

/** Of every hidden state of a model that can be read. */
async function kernelsOf(
  model: Embedder,
  places: readonly Place[],
  { signal, progress }: RunContext,
): Promise<LayerKernels> {
  const states = await hiddenStates(model);
  const layers = readableLayers(model, states);
  const hooks = hooksOf(model, states, layers);
  const vectors = layers.map(() => new Array<Float32Array>(places.length));
  const width = model.info.hiddenSize ?? 1;
  const items = places.map((place, index) => ({ ...place, index }));
  let done = 0;
  for await (const run of tracedRuns(model, items, hooks, fitsRun(hooks.length, width), signal)) {
    run.items.forEach(({ row, tokens, index }, place) =>
      layers.forEach((layer, at) => {
        const own = layerVectors(run.trace, states, place, row.ids.length, layer);
        checkVectors(own, model.info.id, layer);
        (vectors[at] as Float32Array[])[index] = meanOf(own, tokens);
      }),
    );
    done += run.items.length;
    progress({
      message: `${model.info.id}: ${counted(done, 'sentence')} of ${items.length}`,
      fraction: done / items.length,
    });
  }
  const kernels: Float64Array[] = [];
  for (const each of vectors) {
    kernels.push(centredKernel(gram(joinRows(each))));
    await nextTurn();
    throwIfCancelled(signal);
  }
  return { layers, kernels };
}

/** [one's layers, other's layers]. */
const crossCka = (one: LayerKernels, other: LayerKernels): Float32Array =>
  Float32Array.from(one.kernels.flatMap((a) => other.kernels.map((b) => linearCka(a, b))));
