/** Vectors of tokens, words and texts at any layer. */
import type { EmbeddedUnit, EmbedParams, EmbedResult, LayerMix, Pool, VectorLayer } from '../../../protocol/embeddings';
import { LensError } from '../../../protocol/errors';
import { counted } from '../../../protocol/format';
import type { Activation, Internals, Trace } from '../../session/internals';
import type { RunContext } from '../../session/languageModel';
import { TOKENS_PER_RUN } from '../forward';
import { tracedRuns } from '../runs';
import {
  checkVectors,
  hiddenStates,
  hooksOf,
  layerName,
  layerVectors,
  staticVectors,
  type HiddenStates,
  type TokenVectors,
} from './layers';
import { meanOf, ownPooling, pooled, type PoolingMode } from './pooling';
import { textRow, type TextRow } from './texts';

/** Hidden states of one run, in bytes. */
const BYTES_PER_RUN = 2 ** 27;
/** What may cross the pipe in one answer. */
const MOST_BYTES = 900 * 2 ** 20;
const POOLED_OUTPUT = 'pooler_output';

/** As much of a model as vectors need. */
export type Embedder = Pick<Internals, 'info' | 'tokenizer' | 'anatomy' | 'trace' | 'weight'>;

/** How many rows of a length may run together for so many hidden states of width D. */
export const fitsRun =
  (hooks: number, width: number) =>
  (count: number, length: number): boolean =>
    count * length <= TOKENS_PER_RUN && count * length * width * 4 * hooks <= BYTES_PER_RUN;

/** How a pool makes vectors of a text. */
interface Pooling {
  text: string;
  unitsOf(text: TextRow): { label: string; range: EmbeddedUnit['range']; special: boolean; tokens: number[] }[];
  /** One vector for each unit, one after the other. */
  vectorsOf(vectors: TokenVectors, text: TextRow): Float32Array;
  maxTokens: number | null;
}

const whole = ({ tokens, window }: TextRow): ReturnType<Pooling['unitsOf']> => [
  { label: '', range: window.range, special: false, tokens: [...tokens.keys()] },
];

function poolingOf(model: Embedder, pool: Pool): Pooling {
  const overall = (modes: readonly PoolingMode[], normalise: boolean): Pick<Pooling, 'unitsOf' | 'vectorsOf'> => ({
    unitsOf: whole,
    vectorsOf: (vectors) => pooled(vectors, modes, normalise),
  });
  switch (pool) {
    case 'token':
      return { text: 'each token', maxTokens: null, unitsOf: ({ tokens }) => tokens, vectorsOf: ({ data }) => data };
    case 'word':
      return {
        text: 'mean over the pieces of each word',
        maxTokens: null,
        unitsOf: ({ words }) => words,
        vectorsOf: (vectors, { words }) => {
          const data = new Float32Array(words.length * vectors.width);
          words.forEach(({ tokens }, index) => {
            data.set(meanOf(vectors, tokens), index * vectors.width);
          });
          return data;
        },
      };
    case 'mean':
      return { text: 'mean over all tokens, special ones too', maxTokens: null, ...overall(['mean'], false) };
    case 'cls':
      return { text: 'the first token', maxTokens: null, ...overall(['cls'], false) };
    case 'pooler':
      return { text: 'the model’s pooled output', maxTokens: null, unitsOf: whole, vectorsOf: ({ data }) => data };
    case 'own': {
      const own = ownPooling(model.info);
      if (own === null)
        throw new LensError(
          'model-unsupported',
          `The folder of ${model.info.id} does not say how its vectors are to be pooled.`,
          'That is in modules.json and 1_Pooling/config.json of sentence-transformers; choose mean, cls or pooler.',
        );
      const text = `as the model’s folder says: ${own.modes.join(' and ')}${own.normalise ? ', of length one' : ''}`;
      return { text, maxTokens: own.maxTokens, ...overall(own.modes, own.normalise) };
    }
  }
}

/** Throws `bad-input`, `model-unsupported`, `numeric`, `memory`. `none`: what becomes of texts without a single unit. */
export async function embed(
  model: Embedder,
  { texts, layers: asked, pool }: Omit<EmbedParams, 'model'>,
  { signal, progress }: RunContext,
  none: 'refuse' | 'empty' = 'refuse',
): Promise<EmbedResult> {
  const started = performance.now();
  if (texts.length === 0) throw new LensError('bad-input', 'There is no text.', 'Give at least one.');
  const pooling = poolingOf(model, pool);
  if (pool === 'pooler' && asked.length > 0)
    throw new LensError('bad-input', 'The pooled output has no layers.', 'Leave the layers out.');
  const states = await hiddenStates(model);
  const layers: readonly VectorLayer[] = pool === 'pooler' ? [] : asked.length > 0 ? asked : [states.last];
  const hooks = pool === 'pooler' ? [await poolerHook(model)] : hooksOf(model, states, layers);
  const table = layers.includes('static') ? await model.weight('embed.W_E') : null;
  const most = pooling.maxTokens === null ? model.info.maxTokens : Math.min(pooling.maxTokens, model.info.maxTokens);
  const rows = texts.map((text, index) => ({ index, ...textRow(model, text, most) }));
  const units = rows.map((row) => pooling.unitsOf(row));
  const total = units.reduce((sum, { length }) => sum + length, 0);
  if (total === 0 && none === 'refuse')
    throw new LensError('bad-input', 'There is no word in the text.', 'Give a text with a word.');
  const width = model.info.hiddenSize ?? 1;
  const bytes = total * width * 4 * Math.max(1, layers.length);
  if (bytes > MOST_BYTES)
    throw new LensError(
      'memory',
      `${counted(total, 'vector')} at ${counted(layers.length, 'layer')} have ${Math.round(bytes / 2 ** 20)} MB; at most ${MOST_BYTES / 2 ** 20} MB are taken at once.`,
      'Ask for fewer layers, or for less text.',
    );

  const parts = rows.map((): Float32Array[] => []);
  const keep = (row: (typeof rows)[number], vectorsOf: (layer: VectorLayer | 'pooler') => TokenVectors): void => {
    for (const layer of pool === 'pooler' ? (['pooler'] as const) : layers) {
      const vectors = vectorsOf(layer);
      if (layer !== 'pooler') checkVectors(vectors, model.info.id, layer);
      (parts[row.index] as Float32Array[]).push(pooling.vectorsOf(vectors, row).slice());
    }
  };
  if (hooks.length === 0 && table !== null) for (const row of rows) keep(row, () => staticVectors(table, row.row.ids));
  else if (total > 0) {
    let done = 0;
    for await (const { items, trace } of tracedRuns(model, rows, hooks, fitsRun(hooks.length, width), signal)) {
      items.forEach((row, place) => {
        keep(row, (layer) =>
          layer === 'pooler' ? pooledRow(trace, place) : vectorsAt(trace, states, table, row, place, layer),
        );
      });
      done += items.length;
      progress({ message: `${counted(done, 'text')} of ${texts.length}`, fraction: done / texts.length });
    }
  }
  const cut = rows.filter(({ window }) => window.truncatedEnd).length;
  return {
    model: model.info.id,
    windows: rows.map(({ window }) => window),
    units: units.flatMap((each, text) => each.map(({ label, range, special }) => ({ text, label, range, special }))),
    vectors: (pool === 'pooler' ? ['pooler'] : layers.map(layerName)).map((name, at) =>
      joined(
        name,
        parts.flatMap((part) => part[at] ?? []),
        total,
      ),
    ),
    pooling: pooling.text,
    notes:
      cut === 0
        ? []
        : [`${counted(cut, 'text')} ${cut === 1 ? 'was' : 'were'} cut at ${most} tokens, the most there are.`],
    elapsed: performance.now() - started,
  };
}

async function poolerHook(model: Embedder): Promise<string> {
  const { hooks } = await model.anatomy();
  if (hooks.sites.has(POOLED_OUTPUT)) return POOLED_OUTPUT;
  throw new LensError('model-unsupported', `${model.info.id} has no pooled output in its file.`, 'Choose mean or cls.');
}

function pooledRow(trace: Trace, row: number): TokenVectors {
  const { dims, data } = trace.get(POOLED_OUTPUT) as Activation;
  const width = dims.at(-1) as number;
  return { width, data: data.subarray(row * width, (row + 1) * width) };
}

/** Vectors of one row of a run. `table`: for `static`. */
export function vectorsAt(
  trace: Trace,
  states: HiddenStates,
  table: Activation | null,
  { row: { ids } }: Pick<TextRow, 'row'>,
  place: number,
  layer: number | LayerMix | 'static',
): TokenVectors {
  if (layer === 'static') return staticVectors(table as Activation, ids);
  return layerVectors(trace, states, place, ids.length, layer);
}

function joined(name: string, parts: readonly Float32Array[], count: number): EmbedResult['vectors'][number] {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const data = new Float32Array(length);
  let at = 0;
  for (const part of parts) {
    data.set(part, at);
    at += part.length;
  }
  return { name, dims: [count, length / Math.max(1, count)], data };
}
