/** What is exported of a page of the Embeddings view. Pure. */
import type {
  CompareModelsResult,
  ContextualityResult,
  CorpusNeighboursResult,
  OccurrencesResult,
  WordMixResult,
  WordResult,
} from '../protocol/embeddings';
import type { EmbeddingsPage, SentenceComparison, StaticAnswers } from '../protocol/embeddingsView';
import { LensError } from '../protocol/errors';
import type { Rows } from './export';
import type { Exportable } from './save';

export interface EmbeddingsResults {
  word: WordResult | null;
  occurrences: OccurrencesResult | null;
  neighbours: CorpusNeighboursResult | null;
  passages: CorpusNeighboursResult | null;
  compared: CompareModelsResult | null;
  mix: WordMixResult | null;
  static: StaticAnswers | null;
  sentences: SentenceComparison | null;
  contextuality: ContextualityResult | null;
}

/** Throws `bad-input` when there is nothing on the page. */
export function embeddingsExport(page: EmbeddingsPage, results: EmbeddingsResults): Exportable {
  const { word, occurrences, neighbours, passages, mix, static: fixed, sentences, contextuality, compared } = results;
  if (page === 'word' && word !== null) return { name: `word-${page}`, json: word, rows: wordRows(word) };
  if (page === 'occurrences' && occurrences !== null)
    return { name: page, json: occurrences, rows: occurrenceRows(occurrences) };
  if (page === 'neighbours' && neighbours !== null)
    return { name: page, json: neighbours, rows: neighbourRows(neighbours) };
  if (page === 'mix' && mix !== null) return { name: page, json: mix, rows: mixRows(mix) };
  if (page === 'static' && fixed !== null) return { name: 'word-vectors', json: fixed, rows: staticRows(fixed) };
  if (page === 'sentences' && sentences !== null) return { name: page, json: sentences, rows: sentenceRows(sentences) };
  if (page === 'sentences' && passages !== null)
    return { name: 'passages', json: passages, rows: neighbourRows(passages) };
  if (page === 'contextuality' && contextuality !== null)
    return {
      name: page,
      json: { ...contextuality, ...(compared === null ? {} : { compared }) },
      rows: [...contextualityRows(contextuality), ...(compared === null ? [] : comparedRows(compared))],
    };
  if (page === 'contextuality' && compared !== null)
    return { name: 'models-compared', json: compared, rows: comparedRows(compared) };
  throw new LensError('bad-input', 'There is nothing to export on this page yet.', 'Compute it first.');
}

const wordRows = ({ layers }: WordResult): Rows => [
  ['layer', 'norm', 'cosine static', 'cosine before', 'rank', 'neighbours'],
  ...layers.map(({ layer, norm, toStatic, toPrevious, rank, neighbours }) => [
    ...[layer, norm, toStatic ?? '', toPrevious ?? '', rank ?? ''],
    neighbours.map(({ token, cosine }) => `${token} ${cosine}`).join(' '),
  ]),
];

const occurrenceRows = ({ occurrences, sources, layers }: OccurrencesResult): Rows => [
  [
    ...['file', 'line', 'column', 'sentence', 'label'],
    ...layers.flatMap(({ name }) => [`${name} x`, `${name} y`, `${name} z`, `${name} cluster`]),
  ],
  ...occurrences.map(({ source, line, column, sentence, label }, index) => [
    ...[sources[source] ?? '', line, column, sentence, label ?? ''],
    ...layers.flatMap(({ places, clusters }) => {
      const axes = places.length / occurrences.length;
      const at = (axis: number): number | '' => (axis < axes ? (places[index * axes + axis] as number) : '');
      return [at(0), at(1), at(2), clusters[index] as number];
    }),
  ]),
];

const neighbourRows = ({ neighbours }: CorpusNeighboursResult): Rows => [
  ['cosine', 'word', 'part of speech', 'file', 'line', 'column', 'sentence'],
  ...neighbours.map(({ cosine, word, tag, source, line, column, sentence }) => [
    ...[cosine, word, tag ?? '', source, line, column, sentence],
  ]),
];

const mixRows = ({ mix, words, cosines, places }: WordMixResult): Rows => [
  ['layer', 'weight'],
  ...mix.weights.map((weight, layer) => [layer, weight]),
  ['gamma', mix.gamma],
  ['word', 'start', 'cosine', 'x', 'y'],
  ...words.map(({ label, range }, index) => [
    ...[label, range.start, cosines[index] as number],
    ...[places[2 * index] as number, places[2 * index + 1] as number],
  ]),
];

const staticRows = ({ words, tables }: StaticAnswers): Rows => [
  ['asked', 'table', 'rank', 'word', 'cosine'],
  ...tables.flatMap(({ name, answer }) =>
    (answer?.neighbours ?? []).map(({ word, cosine }, index) => [words.join(' '), name, index + 1, word, cosine]),
  ),
];

const sentenceRows = ({ sentences, cosines }: SentenceComparison): Rows => [
  ['sentence', ...sentences.map((_, index) => index + 1)],
  ...sentences.map(({ text }, row) => [
    text,
    ...sentences.map((_, column) => cosines[row * sentences.length + column] as number),
  ]),
];

const comparedRows = ({ models, layers: [rows, columns], cka }: CompareModelsResult): Rows => [
  [`linear CKA: ${models[0]} with ${models[1]}`, ...columns],
  ...rows.map((layer, row) => [layer, ...columns.map((_, column) => cka[row * columns.length + column] as number)]),
];

const contextualityRows = ({ layers }: ContextualityResult): Rows => [
  ['layer', 'self-similarity', 'intra-sentence', 'anisotropy', 'explainable variance', 'its baseline'],
  ...layers.map((each) => [
    ...[each.layer, each.selfSimilarity, each.intraSentence, each.anisotropy],
    ...[each.explainable, each.explainableBaseline],
  ]),
];
