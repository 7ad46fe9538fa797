/** From vectors of tokens to one of a word or a text. */
import { LensError } from '../../../protocol/errors';
import { readCompanion } from '../../session/modelFolder';
import type { ModelInfo } from '../../../protocol/engine';
import type { TokenVectors } from './layers';

/** What sentence-transformers' Pooling can do; several are put one after the other. */
export const POOLING_MODES = ['cls', 'max', 'mean', 'mean-sqrt', 'weighted-mean', 'last'] as const;
export type PoolingMode = (typeof POOLING_MODES)[number];

/** How a folder says that its model is to be pooled. */
export interface OwnPooling {
  modes: PoolingMode[];
  /** Divided by their length afterwards. */
  normalise: boolean;
  /** Most tokens of a text; null: what the model takes. */
  maxTokens: number | null;
}

/** The mean of some of the vectors [T,D]. */
export function meanOf({ width, data }: TokenVectors, tokens: Iterable<number>): Float32Array {
  const sum = new Float64Array(width);
  let count = 0;
  for (const token of tokens) {
    count++;
    for (let at = 0; at < width; at++) sum[at] = (sum[at] as number) + (data[token * width + at] as number);
  }
  return Float32Array.from(sum, (total) => total / Math.max(1, count));
}

/** One vector of a whole text, special tokens counted (sentence-transformers, models/Pooling.py). */
export function pooled(vectors: TokenVectors, modes: readonly PoolingMode[], normalise: boolean): Float32Array {
  const parts = modes.map((mode) => poolOne(vectors, mode));
  const joined = new Float32Array(parts.length * vectors.width);
  parts.forEach((part, index) => {
    joined.set(part, index * vectors.width);
  });
  if (!normalise) return joined;
  const length = Math.sqrt(joined.reduce((sum, value) => sum + value * value, 0));
  return length === 0 ? joined : joined.map((value) => value / length);
}

function poolOne(vectors: TokenVectors, mode: PoolingMode): Float32Array {
  const { width, data } = vectors;
  const tokens = data.length / width;
  switch (mode) {
    case 'cls':
      return data.slice(0, width);
    case 'last':
      return data.slice((tokens - 1) * width);
    case 'mean':
      return meanOf(vectors, Array(tokens).keys());
    case 'mean-sqrt':
      return meanOf(vectors, Array(tokens).keys()).map((value) => value * Math.sqrt(tokens));
    case 'max':
      return Float32Array.from({ length: width }, (_, at) => {
        let most = -Infinity;
        for (let token = 0; token < tokens; token++) most = Math.max(most, data[token * width + at] as number);
        return most;
      });
    case 'weighted-mean': {
      // Later tokens count more (Muennighoff 2022): token t, from 1, has the weight t.
      const sum = new Float64Array(width);
      for (let token = 0; token < tokens; token++)
        for (let at = 0; at < width; at++)
          sum[at] = (sum[at] as number) + (token + 1) * (data[token * width + at] as number);
      return Float32Array.from(sum, (total) => total / ((tokens * (tokens + 1)) / 2));
    }
  }
}

const FLAGS: readonly [flag: string, mode: PoolingMode][] = [
  ['pooling_mode_cls_token', 'cls'],
  ['pooling_mode_max_tokens', 'max'],
  ['pooling_mode_mean_tokens', 'mean'],
  ['pooling_mode_mean_sqrt_len_tokens', 'mean-sqrt'],
  ['pooling_mode_weightedmean_tokens', 'weighted-mean'],
  ['pooling_mode_lasttoken', 'last'],
];
/** Newer files name the mode. */
const NAMES: ReadonlyMap<string, PoolingMode> = new Map([
  ['cls', 'cls'],
  ['max', 'max'],
  ['mean', 'mean'],
  ['mean_sqrt_len_tokens', 'mean-sqrt'],
  ['weightedmean', 'weighted-mean'],
  ['lasttoken', 'last'],
]);

/**
 * What sentence-transformers' files in the model's folder say: modules.json and the configuration of its Pooling. Null when there are
 * none. Throws `model-invalid` for damaged files, `model-unsupported` for modules that are not pooling or normalising.
 */
export function ownPooling({ id, folder, file }: Pick<ModelInfo, 'id' | 'folder' | 'file'>): OwnPooling | null {
  const ref = { id, folder, file };
  const modules = readCompanion(ref, 'modules.json', 'a list');
  if (modules === null) return null;
  const steps = Object.values(modules).map((module) => {
    const { type, path } = (module ?? {}) as Record<string, unknown>;
    return { kind: String(type).split('.').at(-1) ?? '', path: typeof path === 'string' ? path : '' };
  });
  const strange = steps.find(({ kind }) => !/^(Transformer|Pooling|Normalize)$/u.test(kind));
  if (strange !== undefined)
    throw new LensError(
      'model-unsupported',
      `The folder of ${id} asks for a module “${strange.kind}” after pooling, which is not in the .onnx file.`,
      'Choose another pooling.',
    );
  const pooling = steps.find(({ kind }) => kind === 'Pooling');
  if (pooling === undefined) return null;
  if (!/^[\w.-]+$/u.test(pooling.path) || pooling.path === '..')
    throw new LensError('model-invalid', `modules.json of ${id} names the folder “${pooling.path}” for its pooling.`);
  const config = readCompanion(ref, `${pooling.path}/config.json`) ?? {};
  const flagged = FLAGS.filter(([flag]) => config[flag] === true).map(([, mode]) => mode);
  const named = [config['pooling_mode']].flat().flatMap((name) => NAMES.get(String(name)) ?? []);
  const modes = flagged.length > 0 ? flagged : named;
  if (modes.length === 0)
    throw new LensError('model-invalid', `${pooling.path}/config.json of ${id} names no way of pooling.`);
  const most = readCompanion(ref, 'sentence_bert_config.json')?.['max_seq_length'];
  return {
    modes,
    normalise: steps.some(({ kind }) => kind === 'Normalize'),
    maxTokens: typeof most === 'number' && Number.isInteger(most) && most > 2 ? most : null,
  };
}
