/**
 * The words of every value of a model: for each the so many that it promotes and suppresses most, computed once, layer by layer, and
 * kept on disk. A layer is a file of its own: work that was interrupted goes on with the layers that are missing, and a damaged one is
 * made again.
 */
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ValueIndexInfo } from '../../../protocol/ffn';
import { LensError } from '../../../protocol/errors';
import type { Activation, Internals } from '../../session/internals';
import { requireHead, type RunContext } from '../../session/languageModel';
import { cachePlace, readCacheFile, writeCacheFile, type CachePlace } from '../cacheFile';
import { throwIfCancelled } from '../forward';
import { scoresOfNothing, wordsMethod } from './valueWords';

/** Words each way. */
export const INDEX_WORDS = 50;
/** Of what the files hold and how: another one is made anew. */
const VERSION = 1;
/** Scores at once. */
const MOST_NUMBERS = 4 * 2 ** 20;

/** One layer: [F,2,K], promoted (highest first) and suppressed (lowest first). */
export interface IndexedLayer {
  layer: number;
  neurons: number;
  words: number;
  ids: Int32Array;
  scores: Float32Array;
}

interface Header {
  version: number;
  fingerprint: string;
  layer: number;
  neurons: number;
  words: number;
}

export const indexFolder = (cache: string, fingerprint: string): CachePlace => cachePlace(cache, 'values', fingerprint);

const fileOf = ({ folder }: CachePlace, layer: number): string => join(folder, `layer-${layer}.bin`);

/** Null when the file is not there, is of another version or model, or is damaged. */
export async function readLayer(place: CachePlace, layer: number): Promise<IndexedLayer | null> {
  const file = await readCacheFile(fileOf(place, layer));
  if (file === null) return null;
  const { version, fingerprint, layer: own, neurons, words } = file.header as unknown as Header;
  const count = 2 * neurons * words;
  const isWhole =
    version === VERSION && fingerprint === place.fingerprint && own === layer && file.payload.byteLength === 8 * count;
  if (!isWhole) return null;
  return {
    ...{ layer, neurons, words },
    ids: new Int32Array(file.payload, 0, count),
    scores: new Float32Array(file.payload, 4 * count),
  };
}

/** Throws `storage`. */
async function writeLayer(place: CachePlace, { layer, neurons, words, ids, scores }: IndexedLayer): Promise<void> {
  const header: Header = { version: VERSION, fingerprint: place.fingerprint, layer, neurons, words };
  await writeCacheFile(fileOf(place, layer), header, [ids, scores]);
}

/** Makes what is missing, block by block. Throws `no-lm-head`, `model-unsupported`, `storage`, `cancelled`. */
export async function buildIndex(model: Internals, place: CachePlace, context: RunContext): Promise<ValueIndexInfo> {
  const started = performance.now();
  requireHead(model.info);
  const anatomy = await model.anatomy();
  const layers = anatomy.blocks.flatMap(({ ffn }, layer) => (ffn === null ? [] : [layer]));
  if (layers.length === 0)
    throw new LensError(
      'model-unsupported',
      `No feed-forward network was found in ${model.info.id}, so it has no values.`,
      '“lens inspect” lists what was found in the model, and why the rest is missing.',
    );
  const missing: number[] = [];
  for (const layer of layers) if ((await readLayer(place, layer)) === null) missing.push(layer);
  let nothing: Float32Array | null | undefined;
  for (const [done, layer] of missing.entries()) {
    const { dims, data } = await model.weight(`blocks.${layer}.mlp.W_out`);
    const [neurons, width] = dims as [number, number];
    nothing ??= await scoresOfNothing(model, width);
    const count = neurons * INDEX_WORDS * 2;
    const indexed = { layer, neurons, words: INDEX_WORDS, ids: new Int32Array(count), scores: new Float32Array(count) };
    const perRun = Math.max(1, Math.floor(MOST_NUMBERS / (model.info.vocabSize ?? MOST_NUMBERS)));
    for (let from = 0; from < neurons; from += perRun) {
      throwIfCancelled(context.signal);
      const to = Math.min(neurons, from + perRun);
      const vectors = data.slice(from * width, to * width);
      const ends = await model.wordEnds({ dims: [to - from, 1, width], data: vectors }, nothing, INDEX_WORDS);
      putEnds(ends, indexed, from);
      context.progress({ message: `Words of layer ${layer}`, fraction: (done + to / neurons) / missing.length });
      await nextTurn();
    }
    await writeLayer(place, indexed);
  }
  return {
    model: model.info.id,
    layers: layers.length,
    made: missing.length,
    words: INDEX_WORDS,
    method: wordsMethod(anatomy),
    folder: place.folder,
    elapsed: performance.now() - started,
  };
}

/** The words of some neurons, from `first` on, as their rows of the index. */
function putEnds(
  { largest, smallest }: { largest: Activation; smallest: Activation },
  { ids, scores, words }: IndexedLayer,
  first: number,
): void {
  for (const [end, { dims, data, indices = new Int32Array(0) }] of [largest, smallest].entries()) {
    const [neurons, , count] = dims as [number, number, number];
    for (let row = 0; row < neurons; row++) {
      const at = (2 * (first + row) + end) * words;
      ids.set(indices.subarray(row * count, (row + 1) * count), at);
      scores.set(data.subarray(row * count, (row + 1) * count), at);
      ids.fill(-1, at + count, at + words);
    }
  }
}
