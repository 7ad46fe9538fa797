/** `lens mix`: which layers a task wants. */
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { MIX_COLUMNS, type LearnMixResult } from '../../extension/protocol/embeddings';
import { counted, percent } from '../../extension/protocol/format';
import { storageError } from '../../extension/files/replaceFile';
import type { Command } from './commands';
import { choice, decimal, wholeNumber } from './options';
import { table, visible } from './table';

const BAR = 24;

export const mixCommand: Command = {
  summary: 'the mix of layers (ELMo) that a task wants: learned weights, accuracy, each layer alone, baselines',
  options: {
    train: {
      type: 'string',
      value: 'F',
      help: 'examples: text TAB label; .csv or .jsonl (text, label); .conllu',
      required: true,
    },
    test: { type: 'string', value: 'F', help: 'examples to test with (without it: cross-validation)' },
    column: { type: 'string', value: 'C', help: `of .conllu: ${MIX_COLUMNS.join(', ')} (upos)` },
    folds: { type: 'string', value: 'N', help: 'parts of the cross-validation (5)' },
    steps: { type: 'string', value: 'N', help: 'of the optimiser, Adam on all examples (200)' },
    rate: { type: 'string', value: 'X', help: 'its rate (0.01)' },
    decay: { type: 'string', value: 'X', help: 'times the squared weights of the classifier in the loss (0.001)' },
    seed: { type: 'string', value: 'N', help: 'of the parts (0)' },
    out: { type: 'string', value: 'FILE', help: 'the mix as JSON, for --layers mix:FILE' },
  },
  async run({ model, options, ask }) {
    const column = choice(options, 'column', MIX_COLUMNS, 'upos');
    const result = await ask('learnMix', {
      model,
      train: { file: resolve(String(options['train'])), column },
      test: options['test'] === undefined ? [] : { file: resolve(String(options['test'])), column },
      folds: wholeNumber(options, 'folds', 5),
      steps: wholeNumber(options, 'steps', 200),
      rate: decimal(options, 'rate', 0.01),
      decay: decimal(options, 'decay', 0.001),
      seed: wholeNumber(options, 'seed', 0),
    });
    const file = options['out'];
    if (file !== undefined)
      try {
        writeFileSync(String(file), `${JSON.stringify(result.mix)}\n`);
      } catch (error) {
        throw storageError(String(file), error);
      }
    return { json: result, text: textOf(result) };
  },
};

function textOf(result: LearnMixResult): string {
  const { mix, single, accuracy, trainAccuracy, majority, labels, train, test, folds } = result;
  const alone = new Map(single.map((each) => [each.layer, each.accuracy]));
  const fixed = alone.get('static');
  const where = folds === 0 ? `on ${counted(test, 'example')} of the test file` : `cross-validated in ${folds} parts`;
  return [
    table(
      ['layer', 's', '', 'alone'],
      mix.weights.map((weight, layer) => [
        `${layer}`,
        weight.toFixed(3),
        '█'.repeat(Math.round((BAR * weight) / Math.max(...mix.weights))),
        percent(alone.get(layer) ?? NaN),
      ]),
      ['right', 'right', 'left', 'right'],
    ),
    `γ ${mix.gamma.toFixed(3)}`,
    '',
    table(
      ['accuracy', where],
      [
        ['the mix', percent(accuracy)],
        ...(fixed === undefined ? [] : [['static row', percent(fixed)]]),
        [`always “${visible(majority.label)}”`, percent(majority.accuracy)],
        ['(the mix, on what it was learned from)', percent(trainAccuracy)],
      ],
      ['left', 'right'],
    ),
    `${counted(train, 'example')} of ${labels.length} classes`,
  ].join('\n');
}
