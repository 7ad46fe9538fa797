/** `lens tune-lens`: trains the affine maps of a tuned lens on texts. */
import { resolve } from 'node:path';
import { TUNE_DEFAULTS, type TunedLensInfo } from '../../extension/protocol/ffn';
import { LensError } from '../../extension/protocol/errors';
import { count, counted, nats } from '../../extension/protocol/format';
import { findModel } from './catalog';
import type { Command } from './commands';
import { placeName } from './lensCommand';
import { decimal, wholeNumber } from './options';
import { CORPUS, sourcesOf } from './sources';
import { skippedText } from './states';
import { table, visible } from './table';
import { cacheOf, TUNED_CACHE } from './valuesCommand';

const { tokens, batch, rate, seed } = TUNE_DEFAULTS;

export const tuneLensCommand: Command = {
  summary: 'a tuned lens: trains an affine map of each layer’s state on texts, for logit-lens --tuned',
  takes: 'MODEL FILE|FOLDER… | MODEL --resume',
  options: {
    tokens: {
      type: 'string',
      value: 'N',
      help: `train on so many; texts are read again where they have fewer (${tokens})`,
    },
    batch: { type: 'string', value: 'N', help: `tokens of a step, at least (${batch})` },
    rate: { type: 'string', value: 'X', help: `of the optimiser, Adam; falls to 0 (${rate})` },
    seed: { type: 'string', value: 'N', help: `of the tokens that are masked and read (${seed})` },
    resume: { type: 'boolean', help: 'go on with the training of this model that was interrupted' },
    cache: TUNED_CACHE,
  },
  async run({ positionals, options, ask }) {
    const [first, ...names] = positionals;
    const resumed = options['resume'] === true;
    if (first === undefined || (names.length === 0) !== resumed)
      throw new LensError(
        'bad-input',
        resumed ? 'A training that goes on has its texts.' : 'A model and texts must be named.',
        'Write lens tune-lens MODEL FILE…, or lens tune-lens MODEL --resume.',
      );
    for (const name of ['tokens', 'batch', 'rate', 'seed'])
      if (resumed && options[name] !== undefined)
        throw new LensError('bad-input', `--${name} is that of the training that goes on.`, 'Leave it out.');
    const result = await ask('tuneLens', {
      ...{ model: findModel(first), cache: resolve(cacheOf(options)) },
      ...(resumed
        ? {}
        : {
            begin: {
              sources: sourcesOf(names, CORPUS),
              tokens: wholeNumber(options, 'tokens', tokens),
              batch: wholeNumber(options, 'batch', batch),
              rate: decimal(options, 'rate', rate),
              seed: wholeNumber(options, 'seed', seed),
            },
          }),
    });
    return { json: result, text: textOf(result) };
  },
};

function textOf(info: TunedLensInfo): string {
  return [
    `${info.model}: ${count(info.tokens)} tokens of ${counted(info.sources.length, 'text')} in ${counted(info.steps, 'step')}, ${Math.round(info.seconds)} s`,
    table(
      ['state after', 'KL as it stands', 'KL through its map', ''],
      info.states.map((state) => [
        placeName(state),
        nats(state.plain),
        nats(state.tuned),
        state.used ? '' : 'no map: it did not help',
      ]),
      ['left', 'right', 'right', 'left'],
    ),
    `KL(p ‖ q) in nats, mean of ${counted(info.heldOut, 'place')} in sentences that were held out; p is what the model says in the end, q what its head says of the state`,
    `Adam, rate ${info.rate} falling to 0, at least ${info.batch} tokens a step, seed ${info.seed}; ${info.rule}`,
    ...info.notes.map((note) => `Note: ${visible(note)}`),
    ...skippedText(info.skipped),
  ].join('\n\n');
}
