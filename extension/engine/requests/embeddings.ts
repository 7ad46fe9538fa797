/** What may be asked of vectors, checked. */
import {
  INDEX_POOLS,
  MIX_COLUMNS,
  POOLS,
  PROJECTIONS,
  type AnalogyQuestion,
  type ContextualityParams,
  type EmbeddingEngineMethods,
  type ExampleFile,
  type IndexParams,
  type LayerMix,
  type MixExample,
  type TableRef,
  type VectorLayer,
  type WordParams,
} from '../../protocol/embeddings';
import { MOST_SOURCES, shardOf, sourcesOf } from './attention';
import {
  fields,
  flag,
  integer,
  list,
  modelOf,
  numeric,
  oneOf,
  optional,
  pathOf,
  rangeOf,
  textOf,
  wrong,
  type Fields,
} from './fields';
import { interventionsOf } from './interventions';
import type { Reader } from './requests';

const MOST_LAYERS = 1_000;
const MOST_TEXTS = 100_000;
const MOST_NEIGHBOURS = 1_000;
const MOST_OCCURRENCES = 100_000;
const MOST_CLUSTERS = 50;
const LONGEST_WORD = 1_000;
const LARGEST_WEIGHT = 1e6;

const mixOf = (value: unknown, name: string): LayerMix => {
  const { weights, gamma } = fields(value, name);
  return {
    weights: list(weights, `${name}.weights`, MOST_LAYERS).map((weight) =>
      numeric(weight, `${name}.weights`, -LARGEST_WEIGHT, LARGEST_WEIGHT),
    ),
    gamma: numeric(gamma, `${name}.gamma`, -LARGEST_WEIGHT, LARGEST_WEIGHT),
  };
};

const layerOf = (value: unknown, name: string): VectorLayer => {
  if (value === 'static') return value;
  if (typeof value === 'number') return integer(value, name, 0, MOST_LAYERS);
  return mixOf(value, name);
};

const contextualityOf = (params: Fields): ContextualityParams => ({
  model: modelOf(params),
  ...interventionsOf(params),
  sources: sourcesOf(params),
  limit: integer(params['limit'], 'limit', 1, MOST_SOURCES),
  leastContexts: integer(params['leastContexts'], 'leastContexts', 2, MOST_SOURCES),
  samples: integer(params['samples'], 'samples', 2, MOST_NEIGHBOURS),
  seed: seedOf(params),
});

const layersOf = (value: unknown): VectorLayer[] =>
  list(value, 'layers', MOST_LAYERS).map((layer, index) => layerOf(layer, `layers[${index}]`));

const textsOf = (params: Fields): string[] =>
  list(params['texts'], 'texts', MOST_TEXTS).map((text, index) => textOf(text, `texts[${index}]`));

const seedOf = (params: Fields): number => integer(params['seed'], 'seed', 0, Number.MAX_SAFE_INTEGER);

const axesOf = (value: unknown): 2 | 3 => {
  if (value === 2 || value === 3) return value;
  throw wrong('axes', '2 or 3');
};

const tableOf = (params: Fields): TableRef => {
  const table = fields(params['table'], 'table');
  if (table['file'] === undefined) return { model: modelOf(table) };
  return { file: pathOf(table['file'], 'table.file') };
};

const wordOf = (params: Fields): WordParams => ({
  model: modelOf(params),
  ...interventionsOf(params),
  text: textOf(params['text'], 'text'),
  range: rangeOf(params['range'], 'range'),
  topK: integer(params['topK'], 'topK', 0, MOST_NEIGHBOURS),
  centre: flag(params['centre'], 'centre'),
});

const indexOf = (params: Fields): IndexParams => ({
  model: modelOf(params),
  layer: layerOf(params['layer'], 'layer'),
  pool: oneOf(params['pool'], 'pool', INDEX_POOLS),
  folder: pathOf(params['folder'], 'folder'),
  sources: list(params['sources'], 'sources', MOST_SOURCES).map((source, index) => {
    const { name, file } = fields(source, `sources[${index}]`);
    return { name: textOf(name, `sources[${index}].name`), file: pathOf(file, `sources[${index}].file`) };
  }),
});

const examplesOf = (value: unknown, name: string): MixExample[] =>
  list(value, name, MOST_TEXTS).map((example, index) => {
    const at = `${name}[${index}]`;
    const { text, range, label } = fields(example, at);
    return {
      text: textOf(text, `${at}.text`),
      ...(range === undefined ? {} : { range: rangeOf(range, `${at}.range`) }),
      label: textOf(label, `${at}.label`, LONGEST_WORD),
    };
  });

const exampleSource = (value: unknown, name: string): MixExample[] | ExampleFile => {
  if (Array.isArray(value)) return examplesOf(value, name);
  const { file, column } = fields(value, name);
  return { file: pathOf(file, `${name}.file`), column: oneOf(column, `${name}.column`, MIX_COLUMNS) };
};

const wordsOf = (value: unknown, name: string, most: number): string[] =>
  list(value, name, most).map((word, index) => textOf(word, `${name}[${index}]`, LONGEST_WORD));

const analogyWords = (value: unknown, name: string, counts: readonly number[]): string[] => {
  const words = wordsOf(value, name, Math.max(...counts));
  if (!counts.includes(words.length)) throw wrong(name, `${counts.join(' or ')} words`);
  return words;
};

const questionsOf = (value: unknown): AnalogyQuestion[] | { file: string } => {
  if (!Array.isArray(value)) return { file: pathOf(fields(value, 'questions')['file'], 'questions.file') };
  return list(value, 'questions', MOST_SOURCES).map((question, index) => {
    const { section, words } = fields(question, `questions[${index}]`);
    return {
      section: textOf(section, `questions[${index}].section`, LONGEST_WORD),
      words: analogyWords(words, `questions[${index}].words`, [4]),
    };
  });
};

export const EMBEDDING_READERS: { [M in keyof EmbeddingEngineMethods]: Reader<M> } = {
  embed: (params) => ({
    model: modelOf(params),
    ...interventionsOf(params),
    texts: textsOf(params),
    layers: layersOf(params['layers']),
    pool: oneOf(params['pool'], 'pool', POOLS),
  }),
  wordInContext: wordOf,
  wordMix: (params) => ({ ...wordOf(params), mix: mixOf(params['mix'], 'mix') }),
  sentenceSimilarity: (params) => ({
    model: modelOf(params),
    ...interventionsOf(params),
    texts: textsOf(params),
    ...optional(params, 'layer', layerOf),
    pool: oneOf(params['pool'], 'pool', ['mean', 'cls', 'pooler', 'own']),
    centre: flag(params['centre'], 'centre'),
  }),
  occurrences: (params) => ({
    model: modelOf(params),
    ...interventionsOf(params),
    word: textOf(params['word'], 'word', LONGEST_WORD),
    sources: sourcesOf(params),
    most: integer(params['most'], 'most', 1, MOST_OCCURRENCES),
    layers: layersOf(params['layers']),
    projection: oneOf(params['projection'], 'projection', PROJECTIONS),
    axes: axesOf(params['axes']),
    clusters: params['clusters'] === 'auto' ? 'auto' : integer(params['clusters'], 'clusters', 1, MOST_CLUSTERS),
    seed: seedOf(params),
  }),
  contextuality: contextualityOf,
  contextualityShard: (params) => ({ ...contextualityOf(params), ...optional(params, 'shard', shardOf) }),
  compareModels: (params) => ({
    model: modelOf(params),
    other: modelOf({ model: params['other'] }),
    sources: sourcesOf(params),
    limit: integer(params['limit'], 'limit', 1, MOST_SOURCES),
    samples: integer(params['samples'], 'samples', 2, MOST_NEIGHBOURS),
    seed: seedOf(params),
  }),
  indexState: indexOf,
  updateIndex: indexOf,
  corpusNeighbours: (params) => ({
    ...indexOf(params),
    text: textOf(params['text'], 'text'),
    range: rangeOf(params['range'], 'range'),
    topK: integer(params['topK'], 'topK', 1, MOST_NEIGHBOURS),
  }),
  learnMix: (params) => ({
    model: modelOf(params),
    ...interventionsOf(params),
    train: exampleSource(params['train'], 'train'),
    test: exampleSource(params['test'], 'test'),
    folds: integer(params['folds'], 'folds', 2, MOST_NEIGHBOURS),
    seed: seedOf(params),
    steps: integer(params['steps'], 'steps', 1, MOST_SOURCES),
    rate: numeric(params['rate'], 'rate', 0, 1),
    decay: numeric(params['decay'], 'decay', 0, LARGEST_WEIGHT),
  }),
  askTable: (params) => ({
    table: tableOf(params),
    words: analogyWords(params['words'], 'words', [1, 3]),
    topK: integer(params['topK'], 'topK', 1, MOST_NEIGHBOURS),
    exclude: flag(params['exclude'], 'exclude'),
  }),
  tableWords: (params) => ({ table: tableOf(params), words: wordsOf(params['words'], 'words', MOST_TEXTS) }),
  analogies: (params) => ({
    table: tableOf(params),
    questions: questionsOf(params['questions']),
    most: integer(params['most'], 'most', 1, Number.MAX_SAFE_INTEGER),
  }),
  openTable: (params) => ({ table: tableOf(params) }),
  ratedWords: (params) => ({ table: tableOf(params), file: pathOf(params['file'], 'file') }),
};
