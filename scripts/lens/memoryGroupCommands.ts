/** `lens value-clusters` and `lens memory-groups`: memories that write alike, and memories that fire together. */
import type { MemoryGroups, ValueClusters } from '../../extension/protocol/ffn';
import { count, neuronName, probability, shortened, signed } from '../../extension/protocol/format';
import type { Command } from './commands';
import { PAIR, TEXT, wholeNumber, type OptionSpec } from './options';
import { layersOf } from './memoriesCommand';
import { table, visible } from './table';

const DIGITS = 3;
const SHOWN_WORDS = 60;
const LAYER: OptionSpec = {
  type: 'string',
  value: 'L',
  help: 'only this layer (from 0); may be repeated',
  multiple: true,
};
const SEED: OptionSpec = { type: 'string', value: 'N', help: 'of random choices (0)' };

export const valueClustersCommand: Command = {
  summary: 'values of all layers in groups of like direction, and the words of each group',
  options: {
    clusters: { type: 'string', value: 'K', help: 'number of groups (100)' },
    layer: LAYER,
    words: { type: 'string', value: 'K', help: 'words of each group (8)' },
    members: { type: 'string', value: 'K', help: 'values of each group, the nearest to its centre first (5)' },
    seed: SEED,
  },
  async run({ model, options, ask }) {
    const result = await ask('valueClusters', {
      ...{ model, ...layersOf(options) },
      clusters: wholeNumber(options, 'clusters', 100),
      words: wholeNumber(options, 'words', 8),
      members: wholeNumber(options, 'members', 5),
      seed: wholeNumber(options, 'seed', 0),
    });
    return { json: result, text: clustersText(result) };
  },
};

function clustersText({ values, cohesion, clusters, method, notes }: ValueClusters): string {
  return [
    `${count(values)} values in ${count(clusters.length)} groups; mean cosine with the centre ${signed(cohesion, DIGITS)}`,
    table(
      ['values', 'cohesion', 'mostly in layer', 'promotes', 'suppresses', 'nearest'],
      clusters.map(({ size, cohesion: own, layers, promoted, suppressed, members }) => {
        const most = Math.max(...layers);
        return [
          ...[count(size), signed(own, DIGITS)],
          `${layers.indexOf(most)} (${count(most)})`,
          ...[promoted, suppressed].map((words) => shortened(words.map(({ token }) => token).join(' '), SHOWN_WORDS)),
          members.map(neuronName).join(' '),
        ];
      }),
      ['right', 'right', 'left', 'left', 'left', 'left'],
    ),
    `Groups: ${method}`,
    ...notes.map((note) => `Note: ${visible(note)}`),
  ].join('\n\n');
}

export const memoryGroupsCommand: Command = {
  summary: 'memories that fire together on a text',
  options: {
    text: TEXT,
    pair: PAIR,
    groups: { type: 'string', value: 'K', help: 'number of groups (8)' },
    layer: LAYER,
    members: { type: 'string', value: 'K', help: 'memories of each group (8)' },
    seed: SEED,
  },
  async run({ model, options, text, ask }) {
    const result = await ask('memoryGroups', {
      ...{ model, text: await text('text'), ...layersOf(options) },
      ...(options['pair'] === undefined ? {} : { pair: await text('pair') }),
      groups: wholeNumber(options, 'groups', 8),
      members: wholeNumber(options, 'members', 8),
      seed: wholeNumber(options, 'seed', 0),
    });
    return { json: result, text: groupsText(result) };
  },
};

function groupsText({ tokens, groups, error, method, notes }: MemoryGroups): string {
  return [
    table(
      ['token', ...groups.map((_, group) => `${group + 1}`)],
      tokens.map(({ token }, index) => [
        token,
        ...groups.map((group) =>
          (group.tokens[index] ?? 0) < 0.0005 ? '' : probability(group.tokens[index] as number),
        ),
      ]),
      ['left', ...groups.map(() => 'right' as const)],
    ),
    table(
      ['group', 'share', 'mostly in layer', 'memories'],
      groups.map(({ share, layers, members }, group) => {
        const most = Math.max(...layers);
        return [
          `${group + 1}`,
          `${(100 * share).toFixed(1)} %`,
          `${layers.indexOf(most)} (${Math.round(100 * most)} %)`,
          members.map((member) => `${neuronName(member)} ${signed(member.weight)}`).join('  '),
        ];
      }),
      ['right', 'right', 'left', 'left'],
    ),
    `What the groups leave out: ${(100 * error).toFixed(1)} % (Frobenius)`,
    `Groups: ${method}`,
    ...notes.map((note) => `Note: ${visible(note)}`),
  ].join('\n\n');
}
