/** Rows of like length, run together, and the patterns of every head of every row. */
import { LensError } from '../../../protocol/errors';
import type { Anatomy } from '../../anatomy/anatomy';
import { blockHook } from '../../anatomy/hooks';
import type { Activation, Traceable, Trace } from '../../session/internals';
import type { InputRow } from '../../session/languageModel';
import { TOKENS_PER_RUN } from '../forward';
import { tracedRuns } from '../runs';
import type { DocumentPattern } from './statistics';

/** Patterns of one run, in bytes. */
const BYTES_PER_RUN = 2 ** 27;
/** A single row may have more, but no more than this. */
const MOST_BYTES = 2 ** 29;

/** Which patterns a model has. */
export interface PatternShape {
  layers: number;
  /** Of the block with the most; others have none at the higher indices. */
  heads: number;
  hooks: { layer: number; hook: string }[];
  /** Blocks whose patterns cannot be read. */
  missing: { layer: number; why: string }[];
  /** Tokens of the longest row whose patterns fit into memory. */
  window: number;
}

/** Throws `model-unsupported` when no pattern of the model can be read. */
export async function patternShape(model: Traceable): Promise<PatternShape> {
  const anatomy = await model.anatomy();
  const hooks: PatternShape['hooks'] = [];
  const missing: PatternShape['missing'] = [];
  for (let layer = 0; layer < anatomy.layers; layer++) {
    const hook = blockHook(layer, 'attn.hook_pattern');
    if (anatomy.hooks.sites.has(hook)) hooks.push({ layer, hook });
    else missing.push({ layer, why: reason(anatomy, hook) });
  }
  if (hooks.length === 0)
    throw new LensError(
      'model-unsupported',
      `The attention patterns of ${model.info.id} cannot be read: ${reason(anatomy, blockHook(0, 'attn.hook_pattern'))}.`,
      '“lens inspect” lists what was found in the model, and why the rest is missing.',
    );
  const heads = Math.max(...anatomy.blocks.map(({ attention }) => attention.heads));
  const fits = Math.floor(Math.sqrt(MOST_BYTES / (4 * anatomy.layers * heads)));
  return { layers: anatomy.layers, heads, hooks, missing, window: Math.min(model.info.maxTokens, fits) };
}

const reason = ({ hooks: { missing } }: Anatomy, hook: string): string =>
  missing.get(hook) ?? missing.get('blocks.*') ?? 'models of this kind have no such place';

/** One row with the patterns of the blocks that have one. */
export interface Patterned<T> {
  item: T;
  blocks: { layer: number; pattern: DocumentPattern }[];
}

/** Runs every item and gives it with its patterns, run by run (runs.ts). */
export async function* patternsOf<T extends { row: InputRow }>(
  model: Traceable,
  shape: PatternShape,
  items: AsyncIterable<T>,
  signal: AbortSignal,
): AsyncGenerator<Patterned<T>[]> {
  const { layers, heads } = shape;
  const hooks = shape.hooks.map(({ hook }) => hook);
  const fits = (count: number, length: number): boolean =>
    count * length <= TOKENS_PER_RUN && count * length * length * 4 * layers * heads <= BYTES_PER_RUN;
  for await (const run of tracedRuns(model, items, hooks, fits, signal))
    yield run.items.map((item, place) => ({ item, blocks: blocksOf(run.trace, shape, place) }));
}

function blocksOf(trace: Trace, shape: PatternShape, row: number): Patterned<unknown>['blocks'] {
  return shape.hooks.map(({ layer, hook }) => {
    const { dims, data } = trace.get(hook) as Activation;
    const [, heads, queries, keys] = dims as [number, number, number, number];
    if (queries !== keys) throw new LensError('model-unsupported', `${hook} has ${keys} keys for ${queries} queries.`);
    const size = heads * queries * keys;
    return { layer, pattern: { data: data.subarray(row * size, (row + 1) * size), heads, stride: keys } };
  });
}
