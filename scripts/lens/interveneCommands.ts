/** `lens intervene` and `lens export`: heads and neurons scaled, for one text or in a new file. */
import { resolve } from 'node:path';
import { replaceFile } from '../../extension/files/replaceFile';
import { newRecipe } from '../../extension/files/recipe';
import type { InterveneResult } from '../../extension/protocol/ffn';
import { LensError } from '../../extension/protocol/errors';
import { changeText, signed } from '../../extension/protocol/format';
import type { Scale } from '../../extension/protocol/interventions';
import type { Command } from './commands';
import { changesOf, CHANGES, recipeOf } from './recipes';
import { PAIR, TEXT, TOP, wholeNumber } from './options';
import { predictionTable, table, visible } from './table';
import { targetOf } from './tokens';

const DIGITS = 4;

export const interveneCommand: Command = {
  summary: 'what is said with heads and neurons scaled, beside what is said without',
  options: {
    text: TEXT,
    pair: PAIR,
    ...CHANGES,
    target: {
      type: 'string',
      value: 'POS[:TOKEN]',
      help: 'index of the predicted token, and its id or text (the likeliest); the first mask, or what comes after the text',
    },
    top: TOP,
    save: { type: 'string', value: 'FILE', help: 'write the changes as a recipe' },
  },
  async run(context) {
    const { model, options, text, ask } = context;
    const changes = await changesOf(context, model);
    if (changes.length === 0)
      throw new LensError('bad-input', 'Nothing is to be changed.', 'Give --recipe FILE, or --change L9N1234=0.');
    const result = await ask('intervene', {
      ...{ model, text: await text('text'), changes },
      ...(options['pair'] === undefined ? {} : { pair: await text('pair') }),
      ...(await targetOf(context)),
      topK: wholeNumber(options, 'top', 10),
    });
    if (options['save'] !== undefined) {
      const saved = newRecipe(model.id, await ask('fingerprint', { model }), changes);
      await replaceFile(resolve(String(options['save'])), Buffer.from(`${JSON.stringify(saved, null, 2)}\n`));
    }
    return { json: { ...result, changes }, text: interveneText(result, changes) };
  },
};

function interveneText({ target, before, after, notes }: InterveneResult, changes: readonly Scale[]): string {
  return [
    `Changed: ${changes.map((change) => changeText(change)).join(', ')}`,
    `log P(${visible(target.token)}) at ${target.position}: ${signed(before.logprob, DIGITS)} → ${signed(after.logprob, DIGITS)}, Δ ${signed(after.logprob - before.logprob, DIGITS)}`,
    `Before\n${predictionTable(before.predictions)}`,
    `After\n${predictionTable(after.predictions)}`,
    ...notes.map((note) => `Note: ${visible(note)}`),
  ].join('\n\n');
}

export const exportCommand: Command = {
  summary: 'a new model folder with the heads and neurons of a recipe scaled in the weights',
  options: {
    recipe: {
      type: 'string',
      value: 'FILE',
      help: 'the changes, as “lens intervene --save” writes them',
      required: true,
    },
    out: { type: 'string', value: 'DIR', help: 'the new folder; it must not exist', required: true },
  },
  async run(context) {
    const recipe = await recipeOf(context, context.model);
    if (recipe === null) throw new LensError('bad-input', '--recipe is missing.');
    const result = await context.ask('exportModel', {
      model: context.model,
      recipe,
      folder: resolve(String(context.options['out'])),
    });
    return {
      json: result,
      text: [
        table(
          ['layer', 'part', 'scaled by'],
          result.changes.map(({ layer, part, how }) => [`${layer}`, part, how]),
          ['right', 'left', 'left'],
        ),
        `Written to ${visible(result.folder)}`,
      ].join('\n\n'),
    };
  },
};
