/** `lens logit-lens`: what the model would say after each part of each layer. */
import { resolve } from 'node:path';
import {
  tunedLabel,
  type LensPlace,
  type LogitLens,
  type LogitLensTable,
  type TunedLensInfo,
} from '../../extension/protocol/ffn';
import { LensError } from '../../extension/protocol/errors';
import { nats, probability, signed } from '../../extension/protocol/format';
import type { Command, CommandContext } from './commands';
import { PAIR, POSITION, stringList, TEXT, wholeNumber } from './options';
import { oneToken } from './tokens';
import { table, visible } from './table';
import { cacheOf, TUNED_CACHE } from './valuesCommand';

export const placeName = ({ layer, part }: LensPlace): string =>
  part === 'input' ? 'input' : `L${layer} ${part === 'ffn' ? 'FFN' : part}`;

export const logitLensCommand: Command = {
  summary: 'what the model would say after each part of each layer, of one token or (--table) of all',
  options: {
    text: TEXT,
    pair: PAIR,
    position: POSITION,
    watch: {
      type: 'string',
      value: 'TOKEN',
      help: 'also the ranks of this token (text or id); may be repeated',
      multiple: true,
    },
    top: { type: 'string', value: 'K', help: 'predictions of each state (3)' },
    table: { type: 'boolean', help: 'the first choice of every token after every layer' },
    attention: { type: 'boolean', help: 'with --table: also between attention and FFN' },
    tuned: { type: 'boolean', help: 'states go through the tuned lens of the model first (tune-lens)' },
    cache: TUNED_CACHE,
  },
  async run(context) {
    const { model, options, text, ask } = context;
    const input = {
      ...{ model, text: await text('text') },
      ...(options['pair'] === undefined ? {} : { pair: await text('pair') }),
      ...(options['tuned'] === true ? { tuned: resolve(cacheOf(options)) } : {}),
    };
    if (options['cache'] !== undefined && options['tuned'] !== true)
      throw new LensError('bad-input', '--cache is for --tuned.', 'Leave it out, or add --tuned.');
    if (options['attention'] === true && options['tuned'] === true)
      throw new LensError(
        'bad-input',
        'A tuned lens has no map of what stands between attention and FFN.',
        'Leave out --attention, or --tuned.',
      );
    if (options['table'] === true) {
      for (const name of ['position', 'watch', 'top'])
        if (options[name] !== undefined)
          throw new LensError('bad-input', `--${name} is for one token.`, 'Leave out --table, or this.');
      const result = await ask('logitLensTable', { ...input, attention: options['attention'] === true });
      return { json: result, text: tableText(result) };
    }
    if (options['attention'] !== undefined)
      throw new LensError('bad-input', '--attention is for --table; one token has all states.', 'Leave it out.');
    const watch = await watchedOf(context);
    const result = await ask('logitLens', {
      ...input,
      ...(options['position'] === undefined ? {} : { position: wholeNumber(options, 'position', 0) }),
      topK: wholeNumber(options, 'top', 3),
      watch,
    });
    return { json: result, text: lensText(result, watch) };
  },
};

async function watchedOf(context: CommandContext): Promise<number[]> {
  const ids: number[] = [];
  for (const token of stringList(context.options, 'watch')) ids.push(await oneToken(context, token));
  return ids;
}

function lensText({ target, states, watched, head, tuned, notes }: LogitLens, asked: readonly number[]): string {
  const shown = watched.filter(({ id }) => id === target.id || asked.includes(id));
  const at = (index: number | null): string => (index === null ? '–' : placeName(states[index] as LensPlace));
  return [
    `The prediction at ${target.position}: ${visible(target.token)}`,
    table(
      ['after', 'first choices', 'entropy', ...shown.map(({ token }) => `rank of ${token}`)],
      states.map((state, index) => [
        placeName(state),
        state.predictions.map(({ token, prob }) => `${token} ${probability(prob)}`).join('  '),
        nats(state.entropy),
        ...shown.map(({ ranks }) => `${ranks[index]}`),
      ]),
      ['left', 'left', 'right', ...shown.map(() => 'right' as const)],
    ),
    table(
      ['token', 'log p', 'leads first', 'stays from', 'lost', 'largest steps of log p'],
      watched.map((word) => [
        word.token,
        signed(word.logprobs.at(-1) as number),
        at(word.appears),
        at(word.saturates),
        word.lost.map((index) => at(index)).join(', ') || '–',
        largestSteps(word.steps),
      ]),
      ['left', 'right', 'left', 'left', 'left', 'left'],
    ),
    readThrough(head, tuned),
    ...notes.map((note) => `Note: ${visible(note)}`),
  ].join('\n\n');
}

const readThrough = (head: string, tuned: TunedLensInfo | null): string =>
  `Read through: ${tuned === null ? '' : `${tunedLabel(tuned)}, `}${head}`;

/** Of a word, those that a person looks for. */
const STEPS_SHOWN = 3;

function largestSteps({ attention, ffn }: LogitLens['watched'][number]['steps']): string {
  const all = [...ffn.keys()].flatMap((layer) => [
    { name: placeName({ layer, part: 'attention' }), step: attention[layer] as number },
    { name: placeName({ layer, part: 'ffn' }), step: ffn[layer] as number },
  ]);
  return all
    .filter(({ step }) => !Number.isNaN(step))
    .sort((a, b) => Math.abs(b.step) - Math.abs(a.step))
    .slice(0, STEPS_SHOWN)
    .map(({ name, step }) => `${name} ${signed(step)}`)
    .join('  ');
}

function tableText({ tokens, places, top, probs, words, head, tuned, predicts, notes }: LogitLensTable): string {
  const names = new Map(words.map(({ id, token }) => [id, token]));
  return [
    table(
      ['', 'token', ...places.map(placeName)],
      tokens.map(({ token }, index) => [
        `${index}`,
        token,
        ...places.map((_, state) => {
          const at = state * tokens.length + index;
          return `${names.get(top[at] as number) ?? ''} ${probability(probs[at] as number)}`;
        }),
      ]),
      ['right', 'left', ...places.map(() => 'left' as const)],
    ),
    `Each cell: the first choice for the ${predicts === 'next' ? 'token after it' : 'token'}, and its probability`,
    readThrough(head, tuned),
    ...notes.map((note) => `Note: ${visible(note)}`),
  ].join('\n\n');
}
