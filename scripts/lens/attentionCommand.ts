/** `lens attention`: all heads of a text, one picture of where attention goes, or how one row of it comes about. */
import {
  ATTENTION_METHODS,
  SPECIALS,
  type AttentionMaps,
  type AttentionMethod,
  type AttentionOverview,
  type AttentionSteps,
} from '../../extension/protocol/attention';
import { LensError } from '../../extension/protocol/errors';
import { headName, nats, probability, signed } from '../../extension/protocol/format';
import type { Command } from './commands';
import { choice, PAIR, TEXT, wholeNumber } from './options';
import { table, visible } from './table';

/** Units whose whole matrix fits on a screen. */
const SMALL = 12;
/** Keys of a row that are named in a longer one. */
const STRONGEST = 5;

export const attentionCommand: Command = {
  summary: 'where attention goes: all heads of a text, one layer or head as a matrix, or one row step by step',
  options: {
    text: TEXT,
    pair: PAIR,
    layer: { type: 'string', value: 'L', help: 'one layer (from 0) instead of all heads' },
    head: { type: 'string', value: 'H', help: 'one head of it (from 0); L.H, as in 7.9, names both' },
    method: { type: 'string', value: 'M', help: `${ATTENTION_METHODS.join(', ')} (weight)` },
    words: { type: 'boolean', help: 'pieces put together to words: sum to, mean from' },
    specials: { type: 'string', value: 'S', help: 'special tokens: show, hide or renormalise (show)' },
    query: { type: 'string', value: 'N', help: 'with a head: how the row of token N (from 0) comes about' },
  },
  async run({ model, options, text, ask }) {
    const input = {
      ...{ model, text: await text('text') },
      ...(options['pair'] === undefined ? {} : { pair: await text('pair') }),
    };
    const { layer, head } = placeOf(options);
    if (options['query'] !== undefined) {
      if (layer === null || head === null)
        throw new LensError('bad-input', '--query is of one head.', 'Name it by --layer and --head.');
      const steps = await ask('attentionSteps', { ...input, layer, head, query: wholeNumber(options, 'query', 0) });
      return { json: steps, text: stepsText(steps) };
    }
    const method = choice(options, 'method', ATTENTION_METHODS, 'weight');
    if (layer === null) {
      for (const name of ['method', 'words', 'specials'])
        if (options[name] !== undefined)
          throw new LensError('bad-input', `--${name} is of one layer or head.`, 'Name it by --layer.');
      const overview = await ask('attention', input);
      return { json: overviewJson(overview), text: overviewText(overview) };
    }
    const maps = await ask('attentionMaps', {
      ...input,
      ...{ layer, method, combine: 'each', words: options['words'] === true },
      heads: head === null ? [] : [{ layer, head }],
      specials: choice(options, 'specials', SPECIALS, 'show'),
    });
    return { json: mapJson(maps, layer, head, method), text: mapText(maps, method) };
  },
};

/** `--layer 7 --head 9`, or `--head 7.9`. */
function placeOf(options: Parameters<Command['run']>[0]['options']): { layer: number | null; head: number | null } {
  const [, layer, head] = /^(\d+)\.(\d+)$/u.exec(String(options['head'] ?? '')) ?? [];
  if (layer !== undefined && head !== undefined) {
    if (options['layer'] !== undefined && wholeNumber(options, 'layer', 0) !== Number(layer))
      throw new LensError('bad-input', `--layer and --head ${layer}.${head} name different layers.`);
    return { layer: Number(layer), head: Number(head) };
  }
  if (options['layer'] === undefined && options['head'] !== undefined)
    throw new LensError('bad-input', 'A head needs its layer.', 'Write --layer L --head H, or --head L.H.');
  return {
    layer: options['layer'] === undefined ? null : wholeNumber(options, 'layer', 0),
    head: options['head'] === undefined ? null : wholeNumber(options, 'head', 0),
  };
}

const tokenJson = (tokens: AttentionMaps['tokens']): unknown[] =>
  tokens.map(({ index, id, token, range, text, word }) => ({
    ...{ index, id, token, start: range?.start ?? null, end: range?.end ?? null, text, word },
  }));

const COLUMNS = ['previous', 'next', 'same', 'special', 'punctuation', 'local', 'entropy'] as const;

function overviewJson(overview: AttentionOverview): unknown {
  const { model, tokens, layers, heads, causal, statistics, missing, notes } = overview;
  return {
    ...{ model, tokens: tokenJson(tokens), layers, heads, causal, missing, notes },
    statistics: statistics.types.map((type, index) => ({
      ...{ layer: Math.floor(index / heads), head: index % heads, type },
      ...Object.fromEntries(COLUMNS.map((name) => [name, statistics[name][index]])),
    })),
  };
}

function overviewText({ tokens, heads, statistics, missing, notes }: AttentionOverview): string {
  const gone = new Set(missing.map(({ layer }) => layer));
  const rows = statistics.types.flatMap((type, index) => {
    const layer = Math.floor(index / heads);
    if (gone.has(layer)) return [];
    const numbers = COLUMNS.map((name) => (name === 'entropy' ? nats : probability)(statistics[name][index] as number));
    return [[headName({ layer, head: index % heads }), type, ...numbers]];
  });
  return [
    table(['head', 'type', ...COLUMNS], rows, ['left', 'left', ...COLUMNS.map(() => 'right' as const)]),
    `${tokens.length} tokens; means over query tokens, entropy in nats`,
    ...missing.map(({ layer, why }) => `Layer ${layer} cannot be read: ${visible(why)}.`),
    ...notes.map((note) => `Note: ${visible(note)}`),
  ].join('\n');
}

const rowsOf = ({ units, data }: AttentionMaps): number[][] =>
  units.map((_, row) => Array.from(data.subarray(row * units.length, (row + 1) * units.length)));

function mapJson(maps: AttentionMaps, layer: number, head: number | null, method: AttentionMethod): unknown {
  const { model, tokens, units, window, rowsSumToOne, mixing, note } = maps;
  return {
    ...{ model, tokens: tokenJson(tokens), units, layer, head, method, matrix: rowsOf(maps) },
    ...{ rowsSumToOne, mixing, note, window },
  };
}

function mapText(maps: AttentionMaps, method: AttentionMethod): string {
  const { units, maps: pictures, mixing, note } = maps;
  const figure = method === 'weight' || method === 'rollout' || method === 'flow' ? probability : signed;
  const rows = rowsOf(maps);
  const title = `${pictures[0]?.label ?? ''} ${method}: each row is what a token looks at`;
  const body =
    units.length <= SMALL
      ? table(
          ['', ...units.map(({ label }) => label)],
          rows.map((row, index) => [units[index]?.label ?? '', ...row.map((value) => figure(value))]),
          ['left', ...units.map(() => 'right' as const)],
        )
      : table(
          ['', 'strongest first'],
          rows.map((row, index) => [units[index]?.label ?? '', strongest(row, units, figure)]),
          ['left', 'left'],
        );
  return [
    title,
    body,
    ...(mixing === null ? [] : [`From other tokens: ${(100 * mixing).toFixed(1)} %, mean over tokens`]),
    note,
  ].join('\n');
}

function strongest(row: readonly number[], units: AttentionMaps['units'], figure: (value: number) => string): string {
  return [...row.keys()]
    .sort((a, b) => (row[b] as number) - (row[a] as number))
    .slice(0, STRONGEST)
    .map((key) => `${units[key]?.label ?? ''} ${figure(row[key] as number)}`)
    .join('  ');
}

function stepsText(steps: AttentionSteps): string {
  const { tokens, layer, head, query, products, scale, bias, scores, pattern, notes } = steps;
  const cell = (column: Float32Array | null, key: number): string => {
    const value = column?.[key];
    return value === undefined ? '–' : value === -Infinity ? 'masked' : signed(value, 3);
  };
  const figure = (value: number | null): string => (value === null ? '–' : signed(value, 3));
  return [
    `${headName({ layer, head })}, token ${query} (${visible(tokens[query]?.token ?? '')}): scale ${figure(scale)}`,
    table(
      ['key', '', 'q·k', 'bias', 'score', 'weight', '‖v‖', 'weight·‖v‖', 'written'],
      tokens.map(({ index, token }) => [
        ...[`${index}`, token, cell(products, index), cell(bias, index), cell(scores, index)],
        probability(pattern[index] as number),
        ...[cell(steps.valueNorms, index), cell(steps.weightedNorms, index), cell(steps.writtenNorms, index)],
      ]),
      ['right', 'left', ...Array.from({ length: 7 }, () => 'right' as const)],
    ),
    `It writes ${figure(steps.writtenNorm)} beside a stream of ${figure(steps.residPreNorm)}; ` +
      `the attention output is ${figure(steps.attnOutNorm)}, its share of it ${figure(steps.shareOfAttnOut)}.`,
    ...notes.map((note) => `Note: ${visible(note)}`),
  ].join('\n');
}
