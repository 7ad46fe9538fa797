/** Heads over files: `lens heads` (statistics, relations, shards put together) and `lens expansion`. */
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import type {
  HeadCorpusResult,
  HeadCorpusState,
  HeadRelationsResult,
  HeadRelationsState,
  RelationExample,
} from '../../extension/protocol/attention';
import {
  corpusResult,
  mergeCorpusStates,
  readCorpusState,
} from '../../extension/engine/analysis/attention/corpusState';
import {
  mergeRelationsStates,
  readRelationsState,
  relationsResult,
} from '../../extension/engine/analysis/attention/relationState';
import { LensError } from '../../extension/protocol/errors';
import { count, counted, headName, nats, probability } from '../../extension/protocol/format';
import { findModel } from './catalog';
import type { Command, CommandContext, Output } from './commands';
import { stringList, wholeNumber, type OptionValues } from './options';
import { sourcesOf } from './sources';
import { numberOf, OUT, readSaved, RESUME, saver, SHARD, shardOf, skippedText } from './states';
import { table, visible } from './table';

const TEXTS = /\.(txt|md)$/iu;
const TREEBANKS = /\.conllu$/iu;
const EXAMPLES = 20;
const RIGHT = 'right' as const;
const LEFT = 'left' as const;

const signedOffset = (offset: number): string => (offset > 0 ? `+${offset}` : String(offset).replace('-', '−'));

export const headsCommand: Command = {
  summary: 'heads over files: statistics, or with --conllu what relations they follow',
  takes: 'MODEL FILE|FOLDER… | MODEL --conllu FILE… | merge STATE…',
  options: {
    conllu: {
      type: 'string',
      value: 'FILE',
      help: 'a treebank in CoNLL-U: each head against every relation and its best fixed offset',
      multiple: true,
    },
    example: {
      type: 'string',
      value: 'RELATION',
      help: 'with --conllu: sentences with the best head of this relation',
    },
    pairs: {
      type: 'string',
      value: 'N',
      help: 'pack paragraphs as pairs of exactly N tokens (each paragraph by itself)',
    },
    limit: { type: 'string', value: 'N', help: 'only the first N documents or sentences of the corpus' },
    distances: { type: 'string', value: 'N', help: 'also distances between heads, on the first N documents (0)' },
    shard: SHARD,
    out: OUT,
    resume: RESUME,
  },
  async run(context) {
    const { positionals, options } = context;
    const [first, ...rest] = positionals;
    if (first === 'merge' && !existsSync(first)) return merge(rest, options);
    const treebanks = stringList(options, 'conllu');
    if (first === undefined || (rest.length === 0 && treebanks.length === 0))
      throw new LensError(
        'bad-input',
        'A model and a corpus must be named.',
        'Write lens heads MODEL FILE… or lens heads MODEL --conllu FILE…',
      );
    const named = { ...context, model: findModel(first) };
    return treebanks.length > 0 ? relations(named, [...treebanks, ...rest]) : statistics(named, rest);
  },
};

type Saved = ({ kind: 'statistics' } & HeadCorpusState) | ({ kind: 'relations' } & HeadRelationsState);

/** A state that `--out` wrote. Throws `bad-input`. */
function readState(file: string): Saved {
  const state = readSaved(file);
  if (state.kind !== 'statistics' && state.kind !== 'relations')
    throw new LensError('bad-input', `${file} is no state of lens heads.`, 'Name a file that --out wrote.');
  return state as unknown as Saved;
}

function resumeOf<K extends Saved['kind']>(options: OptionValues, kind: K): { resume?: Extract<Saved, { kind: K }> } {
  const file = options['resume'];
  if (file === undefined) return {};
  const state = readState(String(file));
  if (state.kind !== kind)
    throw new LensError(
      'bad-input',
      `${String(file)} holds ${state.kind}, not ${kind}.`,
      'Go on with the same command.',
    );
  return { resume: state as Extract<Saved, { kind: K }> };
}

async function statistics({ model, options, ask }: CommandContext, names: readonly string[]): Promise<Output> {
  const save = saver(options);
  const result = await ask(
    'headCorpus',
    {
      model,
      sources: sourcesOf(names, TEXTS),
      packing:
        options['pairs'] === undefined ? { kind: 'text' } : { kind: 'pairs', tokens: wholeNumber(options, 'pairs', 0) },
      ...numberOf(options, 'limit'),
      ...numberOf(options, 'distances'),
      ...shardOf(options),
      ...resumeOf(options, 'statistics'),
    },
    ({ corpus }) => {
      if (corpus !== undefined) save.later(() => ({ kind: 'statistics', ...corpus.state }));
    },
  );
  await save.now({ kind: 'statistics', ...result.state });
  return statisticsOutput(result);
}

function statisticsOutput({ state, statistics: columns, blocks, map }: HeadCorpusResult): Output {
  const blockRows = Array.from(blocks.separator, (separator, block) => ({
    block,
    separator,
    punctuation: blocks.punctuation[block] as number,
    separatorToSeparator: blocks.separatorToSeparator[block] as number,
    entropy: blocks.entropy[block] as number,
  }));
  const heads = columns.types.map((type, index) => {
    const at = (column: Float32Array): number => column[index] as number;
    return {
      head: headName({ layer: Math.floor(index / state.heads), head: index % state.heads }),
      ...{ previous: at(columns.previous), next: at(columns.next), same: at(columns.same) },
      ...{ special: at(columns.special), punctuation: at(columns.punctuation), local: at(columns.local) },
      ...{ entropy: at(columns.entropy), type },
      ...(map === null ? {} : { place: [map[2 * index] as number, map[2 * index + 1] as number] }),
    };
  });
  const numbers = (length: number): ('left' | 'right')[] => new Array<'right'>(length).fill(RIGHT);
  const { model, documents, tokens, skipped } = state;
  return {
    json: { model, documents, tokens, blocks: blockRows, heads, skipped },
    text: [
      `${model}: ${counted(documents, 'document')}, ${count(tokens)} tokens`,
      table(
        ['block', '→ separators', '→ . and ,', 'separators → separators', 'entropy'],
        blockRows.map(({ block, separator, punctuation, separatorToSeparator, entropy }) => [
          `${block}`,
          ...[separator, punctuation, separatorToSeparator].map(probability),
          nats(entropy),
        ]),
        numbers(5),
      ),
      table(
        ['head', 'previous', 'next', 'same', 'special', '. and ,', 'local', 'entropy', 'type'],
        heads.map(({ head, previous, next, same, special, punctuation, local, entropy, type }) => [
          head,
          ...[previous, next, same, special, punctuation, local].map(probability),
          nats(entropy),
          type,
        ]),
        [LEFT, ...numbers(7), LEFT],
      ),
      ...skippedText(skipped),
    ].join('\n\n'),
  };
}

async function relations({ model, options, ask }: CommandContext, names: readonly string[]): Promise<Output> {
  const save = saver(options);
  const part = { ...numberOf(options, 'limit'), ...shardOf(options) };
  const sources = sourcesOf(names, TREEBANKS);
  const result = await ask(
    'headRelations',
    { model, sources, ...part, ...resumeOf(options, 'relations') },
    ({ relations: found }) => {
      if (found !== undefined) save.later(() => ({ kind: 'relations', ...found.state }));
    },
  );
  await save.now({ kind: 'relations', ...result.state });
  const relation = options['example'];
  if (typeof relation !== 'string') return relationsOutput(result);
  const row = result.table.find((each) => each.relation === relation);
  if (row === undefined)
    throw new LensError(
      'bad-input',
      `There is no relation “${relation}” in these files.`,
      `There are ${result.table.map((each) => each.relation).join(', ')}.`,
    );
  const { accuracy: _, ...best } = row.best;
  const { examples } = await ask('relationExamples', { model, sources, ...part, ...best, relation, most: EXAMPLES });
  return {
    json: { relation, head: headName(best), direction: best.direction, examples },
    text: [
      `${relation}: ${headName(best)}, ${best.direction}, ${probability(row.best.accuracy)} of ${count(row.n)}`,
      ...examples.map(exampleText),
    ].join('\n\n'),
  };
}

function exampleText({ source, line, text, words, from, expected, predicted, weight }: RelationExample): string {
  const form = (index: number): string => words[index]?.form ?? '–';
  const answer = predicted === expected ? '✓' : `✗, annotated: ${form(expected)}`;
  return (
    visible(`${basename(source)}:${line} ${text}`) +
    visible(`\n  ${form(from)} → ${form(predicted)} (${probability(weight)}) ${answer}`).replace('\\n', '\n')
  );
}

function relationsOutput({ state, table: rows, coreference }: HeadRelationsResult): Output {
  const [best] = coreference?.best ?? [];
  const json = [
    ...rows.map((row) => ({
      relation: row.relation,
      n: row.n,
      head: headName(row.best),
      direction: row.best.direction,
      accuracy: row.best.accuracy,
      baseline: row.baseline.accuracy,
      offset: row.baseline.offset,
    })),
    ...(coreference === null || best === undefined
      ? []
      : [
          {
            relation: 'coreference',
            n: coreference.n,
            head: headName(best),
            direction: 'mention→antecedent',
            accuracy: best.accuracy,
            baseline: coreference.nearest,
            offset: null,
          },
        ]),
  ];
  return {
    json,
    text: [
      `${state.model}: ${counted(state.sentences, 'sentence')}, ${count(state.words)} words`,
      table(
        ['relation', 'n', 'head', 'direction', 'accuracy', 'baseline', 'offset'],
        json.map(({ relation, n, head, direction, accuracy, baseline, offset }) => [
          relation,
          count(n),
          head,
          direction,
          probability(accuracy),
          probability(baseline),
          offset === null ? 'nearest' : signedOffset(offset),
        ]),
        [LEFT, RIGHT, LEFT, LEFT, RIGHT, RIGHT, RIGHT],
      ),
      ...skippedText(state.skipped),
    ].join('\n\n'),
  };
}

/** Shards of one piece of work as a whole. */
async function merge(files: readonly string[], options: OptionValues): Promise<Output> {
  const [first, ...rest] = files.map(readState);
  if (first === undefined)
    throw new LensError('bad-input', 'No state was named.', 'Write lens heads merge STATE…, files that --out wrote.');
  const save = saver(options);
  if (first.kind === 'statistics') {
    const state = rest.reduce(
      (sum, each) => mergeCorpusStates(sum, sameKind(first.kind, each)),
      readCorpusState(first),
    );
    await save.now({ kind: first.kind, ...state });
    return statisticsOutput(corpusResult(state, true, 0));
  }
  const state = rest.reduce(
    (sum, each) => mergeRelationsStates(sum, sameKind(first.kind, each)),
    readRelationsState(first),
  );
  await save.now({ kind: first.kind, ...state });
  return relationsOutput(relationsResult(state, 0));
}

function sameKind<K extends Saved['kind']>(kind: K, state: Saved): Extract<Saved, { kind: K }> {
  if (state.kind !== kind)
    throw new LensError(
      'bad-input',
      `One state holds ${kind}, another ${state.kind}.`,
      'Merge shards of one piece of work.',
    );
  return state as Extract<Saved, { kind: K }>;
}

export const expansionCommand: Command = {
  summary: 'how much value and output matrices of each block enlarge a vector, from the weights alone',
  options: {},
  async run({ model, ask }) {
    const { expansion, notes } = await ask('headWeights', { model });
    return {
      json: expansion,
      text: [
        table(
          ['block', 'expansion rate'],
          expansion.map((rate, block) => [`${block}`, rate === null ? '–' : rate.toFixed(3)]),
          [RIGHT, RIGHT],
        ),
        ...notes.map((note) => `Note: ${visible(note)}`),
      ].join('\n'),
    };
  },
};
