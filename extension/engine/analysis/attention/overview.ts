/** All heads of a text at a glance. */
import type { AttentionInput, AttentionOverview } from '../../../protocol/attention';
import { LensError } from '../../../protocol/errors';
import type { Anatomy } from '../../anatomy/anatomy';
import { blockHook } from '../../anatomy/hooks';
import type { Internals } from '../../session/internals';
import type { LanguageModel, RunContext } from '../../session/languageModel';
import { throwIfCancelled } from '../forward';
import { scaleInterventions } from '../interventions';
import { elementsOf } from '../trace';
import { MOST_AT_ONCE, traceBlocks } from './blocks';
import { prepareInput } from './input';
import { addDocument, documentKeys, emptySums, statisticsOf } from './statistics';
import { drawThumbnails, thumbnailSize } from './thumbnails';

const PATTERN = 'attn.hook_pattern';

/** Throws `model-unsupported` when no block's pattern can be read, `memory`, and what `prepareInput` throws. */
export async function attentionOverview(
  model: LanguageModel & Internals,
  params: Omit<AttentionInput, 'model'>,
  { signal, progress }: RunContext,
): Promise<AttentionOverview> {
  const started = performance.now();
  const { row, tokens, window, notes } = prepareInput(model, params);
  const anatomy = await model.anatomy();
  const interventions = scaleInterventions(anatomy, params.interventions ?? [], tokens.length);
  const { layers } = anatomy;
  const heads = anatomy.heads ?? 0;
  const { readable, missing } = readableLayers(anatomy);
  if (readable.length === 0)
    throw new LensError(
      'model-unsupported',
      `The attention of ${model.info.id} cannot be seen: ${missing[0]?.why ?? anatomy.hooks.missing.get('blocks.*') ?? 'it has no blocks that can be read'}.`,
      '“lens inspect” lists what was found in the model, and why the rest is missing.',
    );
  const length = tokens.length;
  const keys = documentKeys(tokens);
  const sums = emptySums(layers * heads);
  const size = thumbnailSize(length);
  const thumbnails = new Uint8Array(layers * heads * size * size);
  let done = 0;
  for (const group of groupsOf(anatomy, readable, length)) {
    throwIfCancelled(signal);
    progress({ message: 'Reading patterns', fraction: done / readable.length });
    const blocks = await traceBlocks(model, { row, interventions }, group, [PATTERN]);
    for (const layer of group) {
      const { data } = blocks(layer, PATTERN);
      addDocument(sums, layer * heads, { data, heads, stride: length }, keys, anatomy.visibility[layer] ?? null);
      drawThumbnails(thumbnails, layer * heads * size * size, data, heads, length);
    }
    done += group.length;
  }
  return {
    model: model.info.id,
    tokens,
    window,
    layers,
    heads,
    causal: model.info.anatomy.causal,
    statistics: statisticsOf(sums, 1),
    thumbnails: { size, data: thumbnails },
    missing,
    notes,
    elapsed: performance.now() - started,
  };
}

/** Blocks whose pattern can be read, and why the others' cannot. */
function readableLayers({ blocks, heads, hooks }: Anatomy): {
  readable: number[];
  missing: { layer: number; why: string }[];
} {
  const readable: number[] = [];
  const missing: { layer: number; why: string }[] = [];
  blocks.forEach(({ attention }, layer) => {
    const hook = blockHook(layer, PATTERN);
    if (!hooks.sites.has(hook)) missing.push({ layer, why: hooks.missing.get(hook) ?? 'it was not found' });
    else if (attention.heads !== heads)
      missing.push({ layer, why: `it has ${attention.heads} heads where the first block has ${heads}` });
    else readable.push(layer);
  });
  return { readable, missing };
}

/** Blocks that are held at once. */
function groupsOf(anatomy: Anatomy, layers: readonly number[], length: number): number[][] {
  const bytes = Math.max(...layers.map((layer) => 4 * elementsOf(anatomy, blockHook(layer, PATTERN), length)));
  const size = Math.max(1, Math.floor(MOST_AT_ONCE / bytes));
  return Array.from({ length: Math.ceil(layers.length / size) }, (_, group) =>
    layers.slice(group * size, (group + 1) * size),
  );
}
