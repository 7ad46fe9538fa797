/** Hooks of blocks for one text. */
import { LensError } from '../../../protocol/errors';
import { blockHook, type BLOCK_HOOKS } from '../../anatomy/hooks';
import type { Activation, Internals, Intervention } from '../../session/internals';
import type { InputRow } from '../../session/languageModel';
import { elementsOf } from '../trace';

export type BlockHook = (typeof BLOCK_HOOKS)[number];

export interface Run {
  row: InputRow;
  interventions: readonly Intervention[];
}

/** While the hooks of all blocks are not more than this, they are fetched together: the next block is looked at next. */
const FETCHED_TOGETHER = 64 * 2 ** 20;
/** What is held at once. */
export const MOST_AT_ONCE = 512 * 2 ** 20;

/** Gives the numbers of a hook of a block; only for what was asked for. */
export type Blocks = (layer: number, hook: BlockHook) => Activation;

/** Throws `model-unsupported` for hooks that a block does not have, with the reason; `memory`. */
export async function traceBlocks(
  model: Internals,
  { row, interventions }: Run,
  layers: readonly number[],
  kinds: readonly BlockHook[],
): Promise<Blocks> {
  const anatomy = await model.anatomy();
  const bytesOf = (hooks: readonly string[]): number =>
    hooks.reduce((sum, hook) => sum + 4 * elementsOf(anatomy, hook, row.ids.length), 0);
  const of = (chosen: readonly number[]): string[] =>
    chosen.flatMap((layer) => kinds.map((kind) => blockHook(layer, kind)));
  const wanted = of(layers);
  const all = of([...anatomy.blocks.keys()]).filter((hook) => anatomy.hooks.sites.has(hook));
  const hooks = bytesOf(all) <= FETCHED_TOGETHER ? [...new Set([...wanted, ...all])] : wanted;
  const bytes = bytesOf(hooks);
  if (bytes > MOST_AT_ONCE)
    throw new LensError(
      'memory',
      `The attention of ${row.ids.length} tokens has ${Math.round(bytes / 2 ** 20)} MB here; at most ${MOST_AT_ONCE / 2 ** 20} MB are taken at once.`,
      'Choose a shorter text, or fewer heads.',
    );
  const trace = await model.trace([row], hooks, interventions);
  return (layer, hook) => trace.get(blockHook(layer, hook)) as Activation;
}
