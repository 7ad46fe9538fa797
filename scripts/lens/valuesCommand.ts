/** `lens values`: the words of one memory's value, or the values that write a word. */
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import type { ScoredWord, SimilarMemories, ValueSearch, ValueWords } from '../../extension/protocol/ffn';
import { LensError } from '../../extension/protocol/errors';
import { count, neuronName, signed } from '../../extension/protocol/format';
import type { Command } from './commands';
import { stringList, wholeNumber, type OptionSpec, type OptionValues } from './options';
import { table } from './table';
import { oneToken } from './tokens';

/** Where programs of a person keep what can be made again. */
function defaultCache(): string {
  const { XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  const base = process.platform === 'win32' ? (LOCALAPPDATA ?? join(homedir(), 'AppData', 'Local')) : XDG_CACHE_HOME;
  return join(base ?? join(homedir(), '.cache'), 'onnx-lens');
}

export const CACHE: OptionSpec = {
  type: 'string',
  value: 'DIR',
  help: `where the index of all values is kept (${defaultCache()})`,
};
export const TUNED_CACHE: OptionSpec = { ...CACHE, help: `where tuned lenses are kept (${defaultCache()})` };
export const cacheOf = (options: OptionValues): string => String(options['cache'] ?? defaultCache());

/** `9.1234`: layer and neuron, from 0. */
export function neuronOf(text: string): { layer: number; neuron: number } {
  const [, layer, neuron] = /^L?(\d+)[.N](\d+)$/u.exec(text) ?? [];
  if (layer === undefined || neuron === undefined)
    throw new LensError('bad-input', `“${text}” is no neuron.`, 'Write LAYER.NEURON, counted from 0: 9.1234.');
  return { layer: Number(layer), neuron: Number(neuron) };
}

export const valuesCommand: Command = {
  summary: 'the words that a memory’s value promotes and suppresses, or the values that promote a word',
  options: {
    neuron: { type: 'string', value: 'L.N', help: 'the words of this value, counted from 0' },
    word: {
      type: 'string',
      value: 'TOKEN',
      help: 'the values that promote it (text or id); repeated: that promote most of them',
      multiple: true,
    },
    similar: { type: 'boolean', help: 'with --neuron: the memories with the most similar keys and values' },
    suppress: { type: 'boolean', help: 'with --word: the values that suppress it' },
    top: { type: 'string', value: 'K', help: 'number of words or values (20)' },
    cache: CACHE,
  },
  async run(context) {
    const { model, options, ask } = context;
    const { neuron } = options;
    const words = stringList(options, 'word');
    if ((neuron === undefined) === (words.length === 0))
      throw new LensError('bad-input', 'Name a neuron, or a word.', 'For example --neuron 9.1234, or --word Paris.');
    const topK = wholeNumber(options, 'top', 20);
    if (typeof neuron === 'string') {
      for (const name of ['suppress', 'cache'])
        if (options[name] !== undefined)
          throw new LensError('bad-input', `--${name} is for --word.`, 'Leave it out; both lists are shown.');
      if (options['similar'] === true) {
        const similar = await ask('similarMemories', { model, ...neuronOf(neuron), topK });
        return { json: similar, text: similarText(similar) };
      }
      const result = await ask('value', { model, ...neuronOf(neuron), words: topK });
      return { json: result, text: valueText(result) };
    }
    if (options['similar'] === true) throw new LensError('bad-input', '--similar is for --neuron.', 'Name a memory.');
    const ids: number[] = [];
    for (const word of words) ids.push(await oneToken(context, word));
    const result = await ask('valueSearch', {
      ...{ model, words: ids, topK },
      cache: resolve(cacheOf(options)),
      direction: options['suppress'] === true ? 'suppress' : 'promote',
    });
    return { json: result, text: searchText(result) };
  },
};

const list = (words: readonly ScoredWord[]): string => words.map(({ token }) => token).join(' ');

function valueText(value: ValueWords): string {
  const { promoted, suppressed, norm, method } = value;
  return [
    `${neuronName(value)}: ‖v‖ ${signed(norm, 3)}`,
    table(
      ['promotes', '', 'suppresses', ''],
      promoted.map(({ token, score }, index) => [
        ...[token, signed(score, 3)],
        ...[suppressed[index]?.token ?? '', signed(suppressed[index]?.score ?? NaN, 3)],
      ]),
      ['left', 'right', 'left', 'right'],
    ),
    `Words ${method}`,
  ].join('\n\n');
}

function similarText(similar: SimilarMemories): string {
  const { keys, linear, values, keyValue, method, notes } = similar;
  const lists = [
    { name: 'keys', list: keys },
    { name: 'other factor', list: linear },
    { name: 'values', list: values },
  ].flatMap(({ name, list: found }) => (found === null ? [] : [{ name, found }]));
  return [
    `${neuronName(similar)}: cosine of its key with its value ${keyValue === null ? '–' : signed(keyValue, 3)}`,
    table(
      lists.flatMap(({ name }) => [name, 'cosine']),
      values.map((_, row) =>
        lists.flatMap(({ found }) => {
          const each = found[row];
          return each === undefined ? ['', ''] : [neuronName(each), signed(each.cosine, 3)];
        }),
      ),
      lists.flatMap(() => ['left', 'right'] as const),
    ),
    `Similar: ${method}`,
    ...notes.map((note) => `Note: ${note}`),
  ].join('\n\n');
}

function searchText({ words, direction, total, of, hits, method }: ValueSearch): string {
  return [
    table(
      [
        'value',
        ...words.map(({ token }) => `rank of ${token}`),
        ...words.map(({ token }) => `score of ${token}`),
        `${direction}s`,
      ],
      hits.map((hit) => [
        neuronName(hit),
        ...hit.words.map((word) => (word === null ? '–' : `${word.rank}`)),
        ...hit.words.map((word) => (word === null ? '–' : signed(word.score, 3))),
        list(hit.first),
      ]),
      ['left', ...words.flatMap(() => ['right', 'right'] as const), 'left'],
    ),
    `${count(total)} values have ${words.length === 1 ? 'it' : 'one of them'} among the ${of} words that they ${direction} most`,
    `Words ${method}`,
  ].join('\n\n');
}
