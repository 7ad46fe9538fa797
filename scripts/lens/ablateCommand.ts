/** `lens ablate`: what heads do for a prediction. */
import type { AblateParams, AblationResult, HeadEffect, HeadRef } from '../../extension/protocol/attention';
import { LensError } from '../../extension/protocol/errors';
import { headName, probability, signed } from '../../extension/protocol/format';
import type { Command } from './commands';
import { wholeNumber, type OptionValues } from './options';
import { predictionTable, table, visible } from './table';
import { targetOf } from './tokens';

/** Heads in the table for people. */
const MOST_SHOWN = 20;
const DIGITS = 4;

const bad = (message: string, hint: string): LensError => new LensError('bad-input', message, hint);

/** `4.7,10.3`: layer and head, from 0. */
function headsOf(options: OptionValues): 'all' | HeadRef[] {
  const value = options['heads'] ?? 'all';
  if (value === 'all') return value;
  return String(value)
    .split(',')
    .map((entry) => {
      const [, layer, head] = /^(\d+)\.(\d+)$/u.exec(entry.trim()) ?? [];
      if (layer === undefined || head === undefined)
        throw bad(`“${entry}” is no head.`, 'Write LAYER.HEAD, counted from 0: --heads 4.7,10.3, or --heads all.');
      return { layer: Number(layer), head: Number(head) };
    });
}

/** What is asked of the heads. */
function questionOf(options: OptionValues): Pick<AblateParams, 'ablate' | 'mean' | 'importance'> {
  const heads = headsOf(options);
  const [mean, importance] = [options['mean'] === true, options['importance'] === true];
  if (options['together'] !== true) {
    if (options['scale'] !== undefined)
      throw bad('--scale is for heads that are changed together.', 'Add --together, or leave it out.');
    return { ablate: { each: heads }, mean, importance };
  }
  if (heads === 'all') throw bad('Which heads are to be changed together?', 'Name them: --together --heads 4.7,10.3.');
  if (mean || importance)
    throw bad('--mean and --importance are for each head alone.', 'Leave out --together, or these.');
  const scale = Number(options['scale'] ?? 0);
  if (!Number.isFinite(scale))
    throw bad(`--scale must be a number, not “${String(options['scale'])}”.`, 'For example 0.5.');
  return { ablate: { together: heads.map((head) => ({ ...head, scale })) }, mean, importance };
}

/** Header, and the cell of a head; null where it was not asked for. */
type Column = [string, (effect: HeadEffect) => string | null];
const number = (value: number | null): string | null => (value === null ? null : signed(value, DIGITS));
const COLUMNS: readonly Column[] = [
  ['head', headName],
  ['Δ log p', ({ zero }) => number(zero)],
  ['by mean', ({ mean }) => number(mean)],
  ['∂L/∂ξ', ({ gradient }) => number(gradient)],
  ['importance', ({ importance }) => importance?.toFixed(DIGITS) ?? null],
  ['first choice', ({ changedTo }) => (changedTo === null ? '' : `${changedTo.token} ${probability(changedTo.prob)}`)],
];

function effectsTable(effects: readonly HeadEffect[]): string {
  const ranked = [...effects].sort((a, b) => Math.abs(b.zero) - Math.abs(a.zero));
  const columns = COLUMNS.filter(([, cell]) => ranked.every((effect) => cell(effect) !== null));
  const rest = ranked.length - MOST_SHOWN;
  return (
    table(
      columns.map(([name]) => name),
      ranked.slice(0, MOST_SHOWN).map((effect) => columns.map(([, cell]) => cell(effect) ?? '')),
      columns.map((_, index) => (index === 0 || index === columns.length - 1 ? 'left' : 'right')),
    ) + (rest > 0 ? `\n… and ${rest} with smaller effects; --json has all` : '')
  );
}

function textOf({ tokens, target, before, after, effects, notes }: AblationResult): string {
  const place =
    target.position < tokens.length
      ? `at ${target.position} (${visible(tokens[target.position]?.token ?? '')})`
      : 'after the text';
  return [
    `log P(${visible(target.token)}) ${place}: ${signed(before.logprob, DIGITS)}`,
    predictionTable(before.predictions),
    ...(after === null
      ? []
      : [
          `Changed: ${signed(after.logprob, DIGITS)}, Δ ${signed(after.logprob - before.logprob, DIGITS)}`,
          predictionTable(after.predictions),
        ]),
    ...(effects.length === 0 ? [] : [effectsTable(effects)]),
    ...notes.map((note) => `Note: ${visible(note)}`),
  ].join('\n\n');
}

export const ablateCommand: Command = {
  summary: 'what attention heads do for a prediction: each switched off, or several scaled together',
  options: {
    text: { type: 'string', value: 'T', help: 'the text; - reads standard input', required: true },
    pair: { type: 'string', value: 'U', help: 'the second text of a pair; - reads standard input' },
    heads: { type: 'string', value: 'L.H,…', help: 'these heads, counted from 0, or all (all)' },
    target: {
      type: 'string',
      value: 'POS[:TOKEN]',
      help: 'index of the predicted token, and its id or text (the likeliest); the first mask, or what comes after the text',
    },
    together: { type: 'boolean', help: 'change the heads together, instead of each alone' },
    scale: { type: 'string', value: 'S', help: "with --together: times the heads' outputs (0)" },
    mean: { type: 'boolean', help: 'also with the mean over the text in place of a head' },
    importance: { type: 'boolean', help: 'also the gradient through a gate on each head (Michel et al. 2019)' },
    top: { type: 'string', value: 'K', help: 'number of predictions (10)' },
  },
  async run(context) {
    const { model, options, text, ask } = context;
    const result = await ask('ablate', {
      model,
      text: await text('text'),
      ...(options['pair'] === undefined ? {} : { pair: await text('pair') }),
      ...(await targetOf(context)),
      ...questionOf(options),
      topK: wholeNumber(options, 'top', 10),
    });
    return { json: result, text: textOf(result) };
  },
};
