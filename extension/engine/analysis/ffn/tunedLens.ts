/**
 * A tuned lens (Belrose et al. 2023): an affine map of each state of the residual stream, learned so that the model's own head says of the
 * mapped state what the model says in the end. It is kept in one file, and so is a training that is not finished.
 */
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { LensError } from '../../../protocol/errors';
import type { LensPlace, TunedLensInfo, TunedLensStatus, TuneSettings } from '../../../protocol/ffn';
import type { AffineMap } from '../../session/headGraph';
import { withRowProducts } from '../../session/rowProducts';
import { newAdam, type AdamState } from '../adam';
import { cachePlace, readCacheFile, readCacheHeader, writeCacheFile, type CachePlace } from '../cacheFile';

/** Of what the files hold and how: another one is as good as none. */
const VERSION = 1;

export const tunedFolder = (cache: string, fingerprint: string): CachePlace => cachePlace(cache, 'tuned', fingerprint);

export interface TunedLens {
  info: TunedLensInfo;
  /** Of each state but the last; null: the state is read as it stands. */
  maps: (AffineMap | null)[];
}

/** What the maps of a training are so far, and where it goes on. */
export interface TuneState {
  settings: TuneSettings;
  /** Bytes of each source: of changed texts the places would be others. */
  sizes: number[];
  /** The next sentence, in the so-manieth reading of the texts. */
  next: { reading: number; sentence: number };
  /** Tokens and steps that were done. */
  tokens: number;
  steps: number;
  seconds: number;
  skipped: { name: string; why: string }[];
  width: number;
  /** Of each state but the last. */
  maps: AffineMap[];
  adam: AdamState<Float32Array>[];
}

const [LENS, TRAINING] = ['lens.bin', 'training.bin'];
const lensFile = ({ folder }: CachePlace): string => join(folder, LENS);
const trainingFile = ({ folder }: CachePlace): string => join(folder, TRAINING);

const partsOf = ({ matrix, bias }: AffineMap): Float32Array[] => [matrix, bias];
/** h' = h. */
export const noMap = (width: number): AffineMap => ({
  matrix: new Float32Array(width * width),
  bias: new Float32Array(width),
});

export const newMaps = (states: number, width: number): Pick<TuneState, 'maps' | 'adam' | 'width'> => {
  const maps = Array.from({ length: states }, () => noMap(width));
  return { width, maps, adam: maps.map((map) => newAdam(partsOf(map))) };
};

/** Numbers of a file, one part after the other, each of the width's matrix and bias. */
function mapReader(payload: ArrayBuffer, width: number): () => AffineMap {
  let at = 0;
  const take = (count: number): Float32Array => {
    const part = new Float32Array(payload, at, count);
    at += part.byteLength;
    return part;
  };
  return () => ({ matrix: take(width * width), bias: take(width) });
}

const mapBytes = (width: number): number => 4 * (width * width + width);

/** Throws `storage`. */
export async function writeLens(place: CachePlace, { info, maps }: TunedLens, width: number): Promise<void> {
  const header = { version: VERSION, fingerprint: place.fingerprint, width, info };
  const kept = maps.flatMap((map) => (map === null ? [] : partsOf(map)));
  await writeCacheFile(lensFile(place), header, kept);
}

interface LensHeader {
  version: number;
  fingerprint: string;
  width: number;
  info: TunedLensInfo;
}

/** Null for another version or model. A damaged header may hold anything. */
function lensOf(place: CachePlace, header: Record<string, unknown>, bytes: number): LensHeader | null {
  const known = header as unknown as LensHeader;
  try {
    if (known.version !== VERSION || known.fingerprint !== place.fingerprint) return null;
    return bytes === known.info.states.filter(({ used }) => used).length * mapBytes(known.width) ? known : null;
  } catch {
    return null;
  }
}

/** The last one that was read: it is asked for with every text, and has many megabytes. */
let last: { key: string; lens: TunedLens } | null = null;

/** Null when there is none, or it is of another version or model, or damaged. */
export async function readLens(place: CachePlace): Promise<TunedLens | null> {
  const path = lensFile(place);
  const stats = await stat(path).catch(() => null);
  if (stats === null) return null;
  const key = JSON.stringify([path, place.fingerprint, stats.mtimeMs, stats.size]);
  if (last?.key === key) return last.lens;
  const file = await readCacheFile(path);
  if (file === null) return null;
  const known = lensOf(place, file.header, file.payload.byteLength);
  if (known === null) return null;
  const { width, info } = known;
  const next = mapReader(file.payload, width);
  const lens: TunedLens = { info, maps: info.states.map(({ used }) => (used ? next() : null)) };
  last = { key, lens };
  return lens;
}

/** Throws `bad-input` when there is none. */
export async function requireLens(place: CachePlace, model: string): Promise<TunedLens> {
  const lens = await readLens(place);
  if (lens !== null) return lens;
  throw new LensError(
    'bad-input',
    `There is no tuned lens of ${model}.`,
    'Train one first: lens tune-lens MODEL FILE…',
  );
}

interface TrainingHeader {
  version: number;
  fingerprint: string;
  states: number;
  state: Omit<TuneState, 'maps' | 'adam'>;
}

/** Throws `storage`. */
export async function writeTraining(place: CachePlace, { maps, adam, ...state }: TuneState): Promise<void> {
  const header: TrainingHeader = {
    ...{ version: VERSION, fingerprint: place.fingerprint, states: maps.length },
    state,
  };
  const numbers = maps.flatMap((map, index) => [
    ...partsOf(map),
    ...(adam[index] as AdamState<Float32Array>).means,
    ...(adam[index] as AdamState<Float32Array>).squares,
  ]);
  await writeCacheFile(trainingFile(place), header, numbers);
}

/** As `lensOf`. */
function trainingOf(place: CachePlace, header: Record<string, unknown>, bytes: number): TrainingHeader | null {
  const known = header as unknown as TrainingHeader;
  try {
    if (known.version !== VERSION || known.fingerprint !== place.fingerprint) return null;
    return bytes === 3 * known.states * mapBytes(known.state.width) ? known : null;
  } catch {
    return null;
  }
}

/** Null when there is none, or it is of another version or model, or damaged. */
export async function readTraining(place: CachePlace): Promise<TuneState | null> {
  const file = await readCacheFile(trainingFile(place));
  if (file === null) return null;
  const known = trainingOf(place, file.header, file.payload.byteLength);
  if (known === null) return null;
  const { states, state } = known;
  const { width, steps } = state;
  const next = mapReader(file.payload, width);
  const each = Array.from({ length: states }, () => ({ map: next(), means: next(), squares: next() }));
  return {
    ...state,
    maps: each.map(({ map }) => map),
    adam: each.map(({ means, squares }) => ({ means: partsOf(means), squares: partsOf(squares), steps })),
  };
}

export const forgetTraining = (place: CachePlace): Promise<void> => rm(trainingFile(place), { force: true });

/** What is there, without its numbers. */
export async function tunedStatus(place: CachePlace): Promise<TunedLensStatus> {
  const [lens, training] = [await readCacheHeader(lensFile(place)), await readCacheHeader(trainingFile(place))];
  const begun = training === null ? null : trainingOf(place, training.header, training.bytes);
  return {
    lens: lens === null ? null : (lensOf(place, lens.header, lens.bytes)?.info ?? null),
    unfinished:
      begun === null
        ? null
        : {
            names: begun.state.settings.sources.map(({ name }) => name),
            ...{ tokens: begun.state.settings.tokens, done: begun.state.tokens },
          },
  };
}

/** States [n,D], each of one place, as they go into the head. Throws `bad-input` for a lens of other states. */
export async function throughLens(
  { info, maps }: TunedLens,
  places: readonly LensPlace[],
  states: readonly Float32Array[],
): Promise<Float32Array[]> {
  const isOwn =
    places.length === info.states.length + 1 &&
    info.states.every(({ layer, part }, index) => {
      const own = places[index] as LensPlace;
      return own.layer === layer && own.part === part;
    });
  if (!isOwn) throw new LensError('bad-input', `The tuned lens of ${info.model} has other states.`, 'Train it again.');
  return withRowProducts((products) =>
    Promise.all(
      states.map(async (rows, index) => {
        const map = maps[index] ?? null;
        if (map === null) return rows;
        const { bias, matrix } = map;
        const moved = await products(rows, matrix, bias.length);
        return rows.map((each, at) => each + (moved[at] as number) + (bias[at % bias.length] as number));
      }),
    ),
  );
}
