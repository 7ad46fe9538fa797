/** `lens memories`: which memories of the feed-forward networks matter for a prediction. */
import { MEMORY_MEASURES, type Memories, type MemoriesParams, type Memory } from '../../extension/protocol/ffn';
import { LensError } from '../../extension/protocol/errors';
import { neuronName, probability, signed } from '../../extension/protocol/format';
import type { Command } from './commands';
import { choice, PAIR, POSITION, stringList, TEXT, wholeNumber, type OptionValues } from './options';
import { table, visible } from './table';
import { oneToken } from './tokens';

const DIGITS = 3;
/** Switched off one by one. */
const CANDIDATES = 200;

export const memoriesCommand: Command = {
  summary: 'which memories of the feed-forward networks matter for a prediction, and what words they write',
  options: {
    text: TEXT,
    pair: PAIR,
    position: POSITION,
    token: { type: 'string', value: 'TOKEN', help: 'the predicted token, text or id (the likeliest)' },
    by: { type: 'string', value: 'M', help: `${MEMORY_MEASURES.join(', ')} (norm)` },
    layer: { type: 'string', value: 'L', help: 'only this layer (from 0); may be repeated', multiple: true },
    top: { type: 'string', value: 'K', help: 'number of memories (20)' },
    words: { type: 'string', value: 'K', help: 'words that a value promotes and suppresses (5)' },
    candidates: {
      type: 'string',
      value: 'K',
      help: `with --by ablation: switched off are those with the largest norm (${CANDIDATES})`,
    },
  },
  async run(context) {
    const { model, options, text, ask } = context;
    const token = options['token'];
    const by = choice(options, 'by', MEMORY_MEASURES, 'norm');
    if (options['candidates'] !== undefined && by !== 'ablation')
      throw new LensError('bad-input', '--candidates is for --by ablation.', 'Add it, or leave this out.');
    const params: MemoriesParams = {
      ...{ model, text: await text('text'), by },
      ...(options['pair'] === undefined ? {} : { pair: await text('pair') }),
      ...(options['position'] === undefined ? {} : { position: wholeNumber(options, 'position', 0) }),
      ...(typeof token === 'string' ? { token: await oneToken(context, token) } : {}),
      ...layersOf(options),
      topK: wholeNumber(options, 'top', 20),
      words: wholeNumber(options, 'words', 5),
      candidates: by === 'ablation' ? wholeNumber(options, 'candidates', CANDIDATES) : 0,
    };
    const result = await ask('memories', params);
    return { json: result, text: memoriesText(result) };
  },
};

export function layersOf(options: OptionValues): Pick<MemoriesParams, 'layers'> {
  const given = stringList(options, 'layer');
  if (given.length === 0) return {};
  return { layers: given.map((layer) => wholeNumber({ layer }, 'layer', 0)) };
}

const figure = (value: number | null): string => (value === null ? '–' : signed(value, DIGITS));

function memoriesText({ target, by, layers, memories, method, notes }: Memories): string {
  const said =
    target.token === null ? '' : `, log P(${visible(target.token)}) ${signed(target.logprob ?? NaN, DIGITS)}`;
  const words = (list: Memory['promoted']): string => list.map(({ token }) => token).join(' ');
  const isAblated = by === 'ablation';
  return [
    `Memories at token ${target.read} for the prediction at ${target.position}${said}`,
    table(
      ['memory', 'm', '|m|·‖v‖', 'logit', ...(isAblated ? ['Δ log p off', 'then'] : []), 'promotes', 'suppresses'],
      memories.map((memory) => [
        neuronName(memory),
        figure(memory.activation),
        figure(memory.norm),
        figure(memory.logit),
        ...(isAblated
          ? [
              figure(memory.ablation),
              memory.changedTo === null ? '' : `${memory.changedTo.token} ${probability(memory.changedTo.prob)}`,
            ]
          : []),
        words(memory.promoted),
        words(memory.suppressed),
      ]),
      ['left', 'right', 'right', 'right', ...(isAblated ? (['right', 'left'] as const) : []), 'left', 'left'],
    ),
    table(
      ['layer', '‖FFN‖', 'active', 'logit', ''],
      layers.map(({ layer, norm, active, logit, missing }) => [
        `${layer}`,
        figure(norm),
        `${(100 * active).toFixed(1)} %`,
        figure(logit),
        missing ?? '',
      ]),
      ['right', 'right', 'right', 'right', 'left'],
    ),
    ...(method.logit === '' ? [] : [`logit: ${method.logit}`]),
    ...(method.words === '' ? [] : [`words: ${method.words}`]),
    'active: |m| above a tenth of the layer’s largest',
    ...notes.map((note) => `Note: ${visible(note)}`),
  ].join('\n\n');
}
