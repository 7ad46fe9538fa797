/** Heads and neurons scaled, as options: from a recipe, and one by one. */
import { readFile } from 'node:fs/promises';
import { parseChanges, parseRecipe, requireOwn } from '../../extension/files/recipe';
import { LensError } from '../../extension/protocol/errors';
import type { EngineMethod, ModelRef } from '../../extension/protocol/engine';
import type { Recipe } from '../../extension/protocol/ffn';
import { changesText } from '../../extension/protocol/format';
import type { Scale } from '../../extension/protocol/interventions';
import type { Command, CommandContext } from './commands';
import { stringList, type OptionSpec } from './options';

export const CHANGES: Record<'recipe' | 'change', OptionSpec> = {
  recipe: { type: 'string', value: 'FILE', help: 'heads and neurons scaled, as “lens intervene --save” writes them' },
  change: {
    type: 'string',
    value: 'C',
    help: 'L7H9 (a head off), L9N1234=2 (a neuron doubled), @6 at the end: at token 6 only; may be repeated',
    multiple: true,
  },
};

type Asking = Pick<CommandContext, 'options' | 'ask'>;

/** Null without --recipe. Throws `bad-input` for a recipe of another model. */
export async function recipeOf({ options, ask }: Asking, model: ModelRef): Promise<Recipe | null> {
  const file = options['recipe'];
  if (file === undefined) return null;
  let text: string;
  try {
    text = await readFile(String(file), 'utf8');
  } catch (error) {
    throw new LensError('bad-input', `${String(file)} could not be read: ${String(error)}`, 'Check the path.');
  }
  const recipe = parseRecipe(text);
  requireOwn(recipe, model.id, await ask('fingerprint', { model }));
  return recipe;
}

/** Those of --recipe, then those of --change. */
export async function changesOf(context: Asking, model: ModelRef): Promise<Scale[]> {
  const recipe = await recipeOf(context, model);
  return [...(recipe?.changes ?? []), ...stringList(context.options, 'change').flatMap(parseChanges)];
}

/** What takes `interventions`. */
const CHANGEABLE: ReadonlySet<EngineMethod> = new Set<EngineMethod>([
  ...(['fillMask', 'score', 'nextSentence', 'corrupt', 'trace'] as const),
  ...(['embed', 'wordInContext', 'sentenceSimilarity', 'occurrences', 'contextuality'] as const),
  ...(['contextualityShard', 'learnMix'] as const),
  ...(['attention', 'attentionMaps', 'attentionSteps', 'ablate', 'logitLens', 'logitLensTable', 'memories'] as const),
]);

/** The command with --recipe and --change: all that it asks is asked of the model changed so. */
export const changeable = (command: Command): Command => ({
  ...command,
  options: { ...command.options, ...CHANGES },
  async run(context) {
    if (context.options['recipe'] === undefined && context.options['change'] === undefined) return command.run(context);
    let changes: Scale[] = [];
    const output = await command.run({
      ...context,
      ask: async (method, params, onProgress) => {
        if (!CHANGEABLE.has(method)) return context.ask(method, params, onProgress);
        if (changes.length === 0) changes = await changesOf(context, (params as { model: ModelRef }).model);
        return context.ask(method, { ...(params as object), interventions: changes } as typeof params, onProgress);
      },
    });
    if (changes.length === 0)
      throw new LensError(
        'bad-input',
        'Nothing was changed: the recipe is empty, or what was asked needs no run of the model.',
        'Leave --recipe and --change out.',
      );
    return { ...output, text: `Changed: ${changesText(changes)}\n\n${output.text}` };
  },
});
