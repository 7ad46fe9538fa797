/** What vectors are like: `lens neighbours`, `lens similarity`, `lens analogy`, `lens occurrences`. */
import { statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import {
  POOLS,
  PROJECTIONS,
  type AnalogiesResult,
  type CorpusNeighboursResult,
  type EmbedResult,
  type OccurrencesResult,
  type Pool,
  type TableAnswer,
  type TableRef,
  type VectorLayer,
  type WordResult,
} from '../../extension/protocol/embeddings';
import { analogyQuestions, ratedPairs, type RatedPair } from '../../extension/engine/analysis/corpora/questions';
import { ratePairs } from '../../extension/engine/analysis/embeddings/rated';
import { LensError } from '../../extension/protocol/errors';
import { count, counted, fileSize, shortened, signed } from '../../extension/protocol/format';
import { findModel } from './catalog';
import type { Command, CommandContext, Output } from './commands';
import { LAYERS, LAYERS_HELP, lastLayer, layerOf, layersOf, readText } from './embedCommand';
import { choice, TEXT, wholeNumber, type OptionSpec } from './options';
import { CORPUS, sourcesOf } from './sources';
import { table, visible } from './table';

const SHOWN_NEIGHBOURS = 5;
const DIGITS = 3;
const SHOWN_SENTENCE = 70;
const LAYER: OptionSpec = { type: 'string', value: 'L', help: `one of the ${LAYERS_HELP}` };
export const SEED: OptionSpec = { type: 'string', value: 'N', help: 'of random choices (0)' };
const right = 'right' as const;
const left = 'left' as const;

/** A cosine or the like; – where there is none. */
export const figure = (value: number | null): string =>
  value === null || Number.isNaN(value) ? '–' : signed(value, DIGITS);

/** A file of static vectors, or a model's own input embeddings. */
const tableOf = (name: string | undefined): TableRef =>
  name !== undefined && statSync(name, { throwIfNoEntry: false })?.isFile() === true && !name.endsWith('.onnx')
    ? { file: resolve(name) }
    : { model: findModel(name) };

const toldLines = ({ skipped, told }: Pick<TableAnswer, 'skipped' | 'told'>): string[] =>
  skipped === 0
    ? []
    : [
        `${counted(skipped, 'line')} left out: ${told.map(({ line, why }) => `line ${line}: ${visible(why)}`).join('; ')}`,
      ];

/** The nearest rows of a table to a word, without any text around it. */
async function staticNeighbours(
  ask: CommandContext['ask'],
  table: TableRef,
  word: string,
  topK: number,
): Promise<Output> {
  const answer = await ask('askTable', { table, words: [word], topK, exclude: true });
  return { json: { word, ...answer }, text: neighbourText(answer) };
}

const neighbourText = (answer: TableAnswer): string =>
  [
    table(
      ['word', 'cosine'],
      answer.neighbours.map(({ word, cosine: value }) => [word, figure(value)]),
      [left, right],
    ),
    `of ${counted(answer.words, 'word')} with ${answer.width} numbers each`,
    ...toldLines(answer),
  ].join('\n');

export const neighboursCommand: Command = {
  summary: 'a word in its context: from layer to layer its norm, cosines, and what it is nearest to',
  takes: '[MODEL|VECTORS]',
  options: {
    text: {
      ...TEXT,
      required: false,
      help: `${TEXT.help}; without it the rows of the table that are nearest to the word`,
    },
    word: { type: 'string', value: 'W', help: 'a word of the text, its first occurrence', required: true },
    layer: { type: 'string', value: 'L', help: 'the layer at which words are ranked (the last), or static' },
    corpus: { type: 'string', value: 'DIR', help: 'words of these files instead: an index of them is made, and kept' },
    index: { type: 'string', value: 'DIR', help: 'with --corpus: where it is kept (in your cache folder)' },
    top: { type: 'string', value: 'K', help: 'number of neighbours (10)' },
    centre: { type: 'boolean', help: 'less the mean vector before cosines are taken' },
  },
  async run(context) {
    const { options, text, ask } = context;
    const [name, ...more] = context.positionals;
    if (more.length > 0) throw new LensError('bad-input', `Too many arguments: ${more.join(' ')}.`);
    const word = String(options['word']);
    const source = tableOf(name);
    if (options['text'] === undefined) return staticNeighbours(ask, source, word, wholeNumber(options, 'top', 10));
    if ('file' in source)
      throw new LensError(
        'bad-input',
        `${source.file} has static vectors, which no text changes.`,
        'Leave out --text.',
      );
    const { model } = source;
    const whole = await text('text');
    const start = whole.indexOf(word);
    if (word.trim() === '' || start < 0)
      throw new LensError('bad-input', `“${word}” does not stand in the text.`, 'Case counts.');
    const topK = wholeNumber(options, 'top', 10);
    if (options['corpus'] !== undefined) {
      const layer = (await layerOf({ ...context, model })) ?? (await lastLayer(context, model));
      const files = sourcesOf([String(options['corpus'])], CORPUS).flatMap((each) => ('file' in each ? [each] : []));
      const found = await ask('corpusNeighbours', {
        ...{
          model,
          text: whole,
          range: { start, end: start + word.length },
          topK,
          layer,
          pool: 'word',
          sources: files,
        },
        folder: resolve(String(options['index'] ?? join(cacheFolder(), 'index'))),
      });
      return { json: found, text: corpusText(found) };
    }
    const result = await ask('wordInContext', {
      model,
      text: whole,
      ...{ range: { start, end: start + word.length }, topK, centre: options['centre'] === true },
    });
    const at = layerIndex(result, await layerOf({ ...context, model }));
    return { json: wordJson(result), text: wordText(result, at, topK) };
  },
};

/** Where programs of this person keep what can be made again. */
const cacheFolder = (): string =>
  join(process.env['XDG_CACHE_HOME'] ?? process.env['LOCALAPPDATA'] ?? join(homedir(), '.cache'), 'onnx-lens');

function corpusText({ word, neighbours, sameWord, tags, index, searched }: CorpusNeighboursResult): string {
  return [
    table(
      ['cosine', 'word', 'at', 'sentence'],
      neighbours.map(({ cosine: value, word: found, source, line, sentence }) => [
        ...[figure(value), found, `${source}:${line}`, shortened(sentence, SHOWN_SENTENCE)],
      ]),
      [right, left, left, left],
    ),
    `${sameWord} of ${neighbours.length} are “${visible(word)}”${tags.length === 0 ? '' : `; parts of speech: ${tags.map((tag) => `${tag.count} ${visible(tag.name)}`).join(', ')}`}. Sought among ${counted(index.words, 'word')} of ${counted(index.files, 'file')} in ${searched.toFixed(0)} ms; ` +
      `the index has ${fileSize(index.bytes)}, ${counted(index.built, 'file')} read for this`,
    ...index.skipped.map(({ name, why }) => `Left out: ${visible(name)}: ${visible(why)}`),
  ].join('\n');
}

/** Index of a layer in a result; of the last by default. */
function layerIndex({ layers }: WordResult, layer: VectorLayer | undefined): number {
  if (layer === undefined) return layers.length - 1;
  const found = layers.findIndex((each) => each.layer === layer);
  if (found < 0)
    throw new LensError(
      'bad-input',
      typeof layer === 'object' ? 'A word is looked at layer by layer, not in a mix.' : `There is no layer ${layer}.`,
      `There are ${layers.map((each) => each.layer).join(', ')}.`,
    );
  return found;
}

/** Words of the window by their cosines at a layer, the word itself left out; nearest first. */
function ranked(
  { words, cosines }: WordResult,
  at: number,
): { label: string; start: number; same: boolean; cosine: number }[] {
  return words
    .map(({ label, range, same, own }, index) => ({
      ...{ label, start: range.start, same, own },
      cosine: cosines[at * words.length + index] as number,
    }))
    .filter(({ own }) => !own)
    .map(({ own: _, ...rest }) => rest)
    .sort((a, b) => b.cosine - a.cosine);
}

function wordJson(result: WordResult): unknown {
  const { model, word, window, layers, notes } = result;
  return {
    ...{ model, word, window, notes },
    layers: layers.map((layer, at) => ({ ...layer, words: ranked(result, at) })),
  };
}

function wordText(result: WordResult, at: number, topK: number): string {
  const { word, layers, notes } = result;
  const words = ranked(result, at).slice(0, Math.max(topK, 1));
  return [
    `${visible(word.text)} = ${word.pieces.map(visible).join(' ')}`,
    table(
      ['layer', 'norm', 'cos static', 'cos before', 'rank', 'nearest rows of the table'],
      layers.map(({ layer, norm, toStatic, toPrevious, rank, neighbours }) => [
        ...[`${layer}`, norm.toFixed(2), figure(toStatic), figure(toPrevious), rank === null ? '–' : count(rank)],
        neighbours
          .slice(0, SHOWN_NEIGHBOURS)
          .map(({ token, cosine: value }) => `${token} ${figure(value)}`)
          .join('  '),
      ]),
      [right, right, right, right, right, left],
    ),
    '',
    `Words of the text at ${layers[at]?.name ?? ''}:`,
    table(
      ['word', 'at', 'cosine', ''],
      words.map(({ label, start, same, cosine: value }) => [label, `${start}`, figure(value), same ? 'same word' : '']),
      [left, right, right, left],
    ),
    ...notes.map((note) => `Note: ${visible(note)}`),
  ].join('\n');
}

export const similarityCommand: Command = {
  summary: "cosines of pairs of words or sentences against people's ratings: Spearman, Pearson",
  takes: '[MODEL|VECTORS] FILE',
  options: {
    layer: { ...LAYER, help: `${LAYER.help} (the last)` },
    pool: {
      type: 'string',
      value: 'P',
      help: `${POOLS.filter((pool) => pool !== 'token').join(', ')} (word for single words, else own or mean)`,
    },
  },
  async run(context) {
    const { options, ask, tell } = context;
    const { table: source, file } = tableAndFile(context);
    const pairs = ratedPairs(readText(file), file);
    const texts = [...new Set(pairs.flatMap(({ first, second }) => [first, second]))];
    if ('file' in source) {
      const { words } = await ask('tableWords', { table: source, words: texts });
      const vectors = new Map(words.map(({ word, vector }) => [word, vector]));
      return rated(pairs, (text) => vectors.get(text) ?? null, {
        model: source.file,
        layer: 'static',
        pooling: 'rows of the table',
      });
    }
    const { model } = source;
    const named = { ...context, model };
    const single = texts.every((text) => !/\s/u.test(text));
    const asked = options['pool'] === undefined ? null : choice(options, 'pool', POOLS, 'mean');
    const layer = await layerOf(named);
    const embedWith = (pool: Pool): Promise<EmbedResult> =>
      ask('embed', { model, texts, layers: layer === undefined || pool === 'pooler' ? [] : [layer], pool });
    let result: EmbedResult;
    if (asked !== null) result = await embedWith(asked);
    else if (single) result = await embedWith('word');
    else
      try {
        result = await embedWith('own');
      } catch (error) {
        if (LensError.from(error).code !== 'model-unsupported') throw error;
        tell('The model’s folder does not say how to pool, so that it is the mean over all tokens.');
        result = await embedWith('mean');
      }
    const vectors = vectorsByText(result, texts.length);
    const places = new Map(texts.map((text, index) => [text, index]));
    return rated(pairs, (text) => vectors[places.get(text) ?? -1] ?? null, {
      ...{ model: result.model, layer: result.vectors[0]?.name ?? '', pooling: result.pooling },
    });
  },
};

/** Cosines of the pairs against their ratings. */
function rated(
  pairs: readonly RatedPair[],
  vectorOf: (text: string) => ArrayLike<number> | null,
  how: { model: string; layer: string; pooling: string },
): Output {
  const result = ratePairs(pairs, vectorOf);
  return {
    json: { ...how, ...result },
    text: [
      `Spearman ${signed(result.spearman, 4)}`,
      `Pearson  ${signed(result.pearson, 4)}`,
      `${result.covered} of ${counted(pairs.length, 'pair')} covered; ${how.layer}, ${how.pooling}`,
    ].join('\n'),
  };
}

/** `[MODEL|VECTORS] FILE`: the bundled model when only a file is named. */
function tableAndFile({ positionals }: Pick<CommandContext, 'positionals'>): { table: TableRef; file: string } {
  if (positionals.length < 1 || positionals.length > 2)
    throw new LensError('bad-input', 'A model and a file must be named.', 'Write lens COMMAND MODEL FILE.');
  const file = positionals.at(-1) as string;
  return { table: tableOf(positionals.length === 2 ? positionals[0] : undefined), file };
}

export const analogyCommand: Command = {
  summary: 'analogies on static vectors or a model’s input embeddings: b − a + c, or the accuracy on a file',
  takes: '[MODEL|VECTORS] FILE… | [MODEL|VECTORS] --ask "A B C"',
  options: {
    ask: { type: 'string', value: 'A B C', help: 'one analogy: what is to C as B is to A' },
    'with-inputs': { type: 'boolean', help: 'with --ask: A, B and C may be answers' },
    vocabulary: {
      type: 'string',
      value: 'N',
      help: 'only the first N rows may be answers to the questions of files (30000)',
    },
    top: { type: 'string', value: 'K', help: 'with --ask: number of answers (10)' },
  },
  async run(context) {
    const { options, positionals, ask } = context;
    if (options['ask'] !== undefined) {
      const words = String(options['ask']).trim().split(/\s+/u);
      if (words.length !== 3 || positionals.length > 1)
        throw new LensError('bad-input', '--ask takes three words.', 'For example --ask "man king woman".');
      const answer = await ask('askTable', {
        table: tableOf(positionals[0]),
        ...{ words, topK: wholeNumber(options, 'top', 10), exclude: options['with-inputs'] !== true },
      });
      return { json: { question: words, ...answer }, text: neighbourText(answer) };
    }
    const [first, ...files] = positionals;
    if (first === undefined || files.length === 0)
      throw new LensError(
        'bad-input',
        'A model and a file of analogies must be named.',
        'Write lens analogy MODEL FILE.',
      );
    const result = await ask('analogies', {
      table: tableOf(first),
      questions: files.flatMap((file) => analogyQuestions(readText(file), file)),
      most: wholeNumber(options, 'vocabulary', 30_000),
    });
    return { json: analogyJson(result), text: analogyText(result) };
  },
};

const totalOf = ({ sections }: AnalogiesResult): AnalogiesResult['sections'][number] => {
  const sum = (value: (section: AnalogiesResult['sections'][number]) => number): number =>
    sections.reduce((total, section) => total + value(section), 0);
  return {
    section: 'all',
    questions: sum(({ questions }) => questions),
    covered: sum(({ covered }) => covered),
    right: sum(({ right: each }) => each),
    rightWithInputs: sum(({ rightWithInputs }) => rightWithInputs),
  };
};

function analogyJson(result: AnalogiesResult): unknown {
  const withAccuracy = (section: AnalogiesResult['sections'][number]): unknown => ({
    ...section,
    accuracy: section.covered === 0 ? null : section.right / section.covered,
  });
  return { words: result.words, total: withAccuracy(totalOf(result)), sections: result.sections.map(withAccuracy) };
}

function analogyText(result: AnalogiesResult): string {
  const percent = (part: number, whole: number): string =>
    whole === 0 ? '–' : `${((100 * part) / whole).toFixed(1)} %`;
  return [
    table(
      ['section', 'questions', 'covered', 'right', 'with inputs'],
      [...result.sections, totalOf(result)].map((each) => [
        ...[each.section, count(each.questions), count(each.covered)],
        ...[percent(each.right, each.covered), percent(each.rightWithInputs, each.covered)],
      ]),
      [left, right, right, right, right],
    ),
    `Answers are sought among ${counted(result.words, 'word')}. Right: of the covered questions, with a, b and c no answers; with inputs: they may be.`,
  ].join('\n');
}

/** The mean over the units of each text; null for texts without any. */
function vectorsByText({ units, vectors: [first] }: EmbedResult, texts: number): (Float64Array | null)[] {
  const width = first?.dims[1] ?? 0;
  const sums = Array.from({ length: texts }, (): Float64Array | null => null);
  units.forEach(({ text }, unit) => {
    const sum = (sums[text] ??= new Float64Array(width));
    for (let at = 0; at < width; at++) sum[at] = (sum[at] as number) + (first?.data[unit * width + at] as number);
  });
  return sums;
}

export const occurrencesCommand: Command = {
  summary: 'all occurrences of a word in texts: places, clusters, and agreement with labels, layer by layer',
  takes: 'MODEL FILE|FOLDER…',
  options: {
    word: { type: 'string', value: 'W', help: 'the word', required: true },
    layers: { ...LAYERS, help: `${LAYERS_HELP} (static and all)` },
    projection: { type: 'string', value: 'P', help: `${PROJECTIONS.join(' or ')} (pca)` },
    axes: { type: 'string', value: 'N', help: '2 or 3 (2)' },
    clusters: { type: 'string', value: 'N', help: 'number of clusters (the best silhouette of two to eight)' },
    most: { type: 'string', value: 'N', help: 'at most so many occurrences (2000)' },
    seed: SEED,
  },
  async run(context) {
    const { options, ask } = context;
    const { model, names } = modelAndCorpus(context);
    const named = { ...context, model };
    const last = await lastLayer(context, model);
    const layers = await layersOf(named);
    const axes = wholeNumber(options, 'axes', 2);
    if (axes !== 2 && axes !== 3) throw new LensError('bad-input', '--axes must be 2 or 3.');
    const result = await ask('occurrences', {
      model,
      word: String(options['word']),
      sources: sourcesOf(names, CORPUS),
      most: wholeNumber(options, 'most', 2000),
      layers: layers.length > 0 ? layers : ['static', ...Array.from({ length: last + 1 }, (_, layer) => layer)],
      projection: choice(options, 'projection', PROJECTIONS, 'pca'),
      axes,
      clusters: options['clusters'] === undefined ? 'auto' : wholeNumber(options, 'clusters', 2),
      seed: wholeNumber(options, 'seed', 0),
    });
    return { json: result, text: occurrencesText(result) };
  },
};

function occurrencesText({ word, occurrences, sources, layers, truncated, skipped, notes }: OccurrencesResult): string {
  const labelled = layers.some(({ rand }) => rand !== null);
  return [
    `${counted(occurrences.length, 'occurrence')} of “${visible(word)}” in ${counted(sources.length, 'file')}${truncated ? ', and there are more' : ''}`,
    table(
      ['layer', 'self-similarity', 'clusters', 'silhouette', ...(labelled ? ['adjusted Rand'] : [])],
      layers.map(({ name, selfSimilarity, clusters, silhouette, rand }) => [
        ...[name, figure(selfSimilarity), `${new Set(clusters).size}`, figure(silhouette)],
        ...(labelled ? [figure(rand)] : []),
      ]),
      [left, right, right, right, right],
    ),
    ...skipped.map(({ name, why }) => `Left out: ${visible(name)}: ${visible(why)}`),
    ...notes.map((note) => `Note: ${visible(note)}`),
  ].join('\n');
}

export function modelAndCorpus({ positionals: [first, ...names] }: Pick<CommandContext, 'positionals'>): {
  model: CommandContext['model'];
  names: string[];
} {
  if (first === undefined || names.length === 0)
    throw new LensError('bad-input', 'A model and a corpus must be named.', 'Write lens COMMAND MODEL FILE…');
  return { model: findModel(first), names };
}
