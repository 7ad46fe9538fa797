/** What a page of the Attention view shows, as rows. Pure. Rows of large pictures are made one at a time. */
import type {
  AblationResult,
  AttentionMaps,
  AttentionOverview,
  AttentionSteps,
  HeadCorpusResult,
  HeadRelationsResult,
  HeadStatisticsColumns,
  HeadWeights,
} from '../protocol/attention';
import type { AttentionComparison, AttentionPage } from '../protocol/attentionView';
import { LensError } from '../protocol/errors';
import type { Cell, Rows } from './export';

export interface AttentionResults {
  overview: AttentionOverview | null;
  maps: AttentionMaps | null;
  steps: AttentionSteps | null;
  comparison: AttentionComparison | null;
  effects: AblationResult | null;
  together: AblationResult | null;
  weights: HeadWeights | null;
  corpus: HeadCorpusResult | null;
  relations: HeadRelationsResult | null;
}

/** `name`: of a file. Throws `bad-input` when the page has nothing yet. */
export function attentionExport(
  page: AttentionPage,
  results: AttentionResults,
): { name: string; result: unknown; rows: Rows } {
  const { overview, maps, steps, comparison, effects, together, weights, corpus, relations } = results;
  switch (page) {
    case 'heads':
      if (overview !== null)
        return {
          name: 'heads',
          result: { ...overview, thumbnails: undefined },
          rows: statisticsRows(overview.model, overview.heads, overview.statistics),
        };
      break;
    case 'head':
      if (maps !== null) return { name: 'attention', result: maps, rows: mapsRows(maps) };
      break;
    case 'steps':
      if (steps !== null) return { name: 'attention-steps', result: steps, rows: stepsRows(steps) };
      break;
    case 'compare':
      if (comparison !== null)
        return { name: 'attention-comparison', result: comparison, rows: comparisonRows(comparison) };
      break;
    case 'effects':
      if (effects !== null || together !== null || weights !== null)
        return {
          name: 'head-effects',
          result: { effects, together, weights },
          rows: effects === null ? weightsRows(weights) : effectsRows(effects),
        };
      break;
    case 'relations':
      if (relations !== null) return { name: 'head-relations', result: relations, rows: relationsRows(relations) };
      break;
    case 'corpus':
      if (corpus !== null)
        return {
          name: 'head-statistics',
          result: corpus,
          rows: statisticsRows(corpus.state.model, corpus.state.heads, corpus.statistics),
        };
  }
  throw new LensError('bad-input', 'There is nothing yet to export.', 'Wait for the page to be shown, then export it.');
}

const STATISTICS = ['previous', 'next', 'same', 'special', 'punctuation', 'local', 'entropy'] as const;

const statisticsRows = (model: string, heads: number, columns: HeadStatisticsColumns): Cell[][] => [
  ['model', 'layer', 'head', 'type', ...STATISTICS],
  ...columns.types.map((type, index): Cell[] => [
    model,
    Math.floor(index / heads),
    index % heads,
    type,
    ...STATISTICS.map((name) => columns[name][index] ?? null),
  ]),
];

/** A row a query, a column a key. */
function* mapsRows(maps: AttentionMaps): Generator<Cell[]> {
  yield keysRow(maps);
  yield* queryRows(maps);
}

const keysRow = ({ units }: AttentionMaps): Cell[] => [
  ...['map', 'index', 'query'],
  ...units.map(({ label }, index) => `${index} ${label}`),
];

function* queryRows({ units, maps, data }: AttentionMaps): Generator<Cell[]> {
  const size = units.length;
  for (const [map, { label }] of maps.entries())
    for (const [row, unit] of units.entries()) {
      const from = (map * size + row) * size;
      yield [label, row, unit.label, ...data.subarray(from, from + size)];
    }
}

/** Where the second has other words than the first, they stand above its rows. */
function* comparisonRows({
  labels: [one, other],
  maps: [first, second],
  aligned,
}: AttentionComparison): Generator<Cell[]> {
  yield ['picture', ...keysRow(first)];
  for (const row of queryRows(first)) yield [one, ...row];
  if (!aligned) yield ['picture', ...keysRow(second)];
  for (const row of queryRows(second)) yield [other, ...row];
}

const stepsRows = (steps: AttentionSteps): Cell[][] => [
  [
    'model',
    'layer',
    'head',
    'query',
    'index',
    'key',
    'product',
    'scale',
    'bias',
    'score',
    'weight',
    'valueNorm',
    'weightedNorm',
    'writtenNorm',
  ],
  ...steps.tokens.map(({ token, index }): Cell[] => [
    steps.model,
    steps.layer,
    steps.head,
    steps.tokens[steps.query]?.token ?? null,
    index,
    token,
    steps.products?.[index] ?? null,
    steps.scale,
    steps.bias?.[index] ?? null,
    steps.scores[index] ?? null,
    steps.pattern[index] ?? null,
    steps.valueNorms[index] ?? null,
    steps.weightedNorms[index] ?? null,
    steps.writtenNorms?.[index] ?? null,
  ]),
];

const effectsRows = ({ model, target, effects }: AblationResult): Cell[][] => [
  ['model', 'position', 'token', 'layer', 'head', 'zero', 'mean', 'gradient', 'importance', 'changedTo'],
  ...effects.map(({ layer, head, zero, mean, gradient, importance, changedTo }): Cell[] => [
    ...[model, target.position, target.token, layer, head, zero, mean, gradient, importance],
    changedTo?.token ?? null,
  ]),
];

function weightsRows(weights: HeadWeights | null): Cell[][] {
  const rows: Cell[][] = [['model', 'layer', 'head', 'expansion', 'ov', 'qk']];
  if (weights === null) return rows;
  const { model, heads, expansion, ov, qk } = weights;
  for (const [index, norm] of ov.entries()) {
    const layer = Math.floor(index / heads);
    rows.push([model, layer, index % heads, expansion[layer] ?? null, norm, qk[index] ?? null]);
  }
  return rows;
}

const relationsRows = ({ state, table }: HeadRelationsResult): Cell[][] => [
  ['model', 'relation', 'n', 'layer', 'head', 'direction', 'accuracy', 'baseline', 'offset'],
  ...table.map(({ relation, n, best, baseline }): Cell[] => [
    ...[state.model, relation, n, best.layer, best.head, best.direction, best.accuracy],
    ...[baseline.accuracy, baseline.offset],
  ]),
];
