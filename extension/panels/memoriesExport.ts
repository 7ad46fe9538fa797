/** What is exported of a page of the Memories view. Pure. */
import { LensError } from '../protocol/errors';
import type {
  LogitLens,
  LogitLensTable,
  MemoryGroups,
  ScoredWord,
  ValueClusters,
  ValueSearch,
  ValueWords,
} from '../protocol/ffn';
import { neuronName } from '../protocol/format';
import type { MemoriesPage, MemoryName, ShownLens, ShownMemories, ShownTriggers } from '../protocol/memoriesView';
import type { Cell, Rows } from './export';

export interface MemoriesResults {
  memories: ShownMemories | null;
  lens: ShownLens | null;
  text: LogitLensTable | null;
  groups: MemoryGroups | null;
  search: ValueSearch | null;
  clusters: ValueClusters | null;
  memory: ValueWords | null;
  triggers: ShownTriggers | null;
}

interface Named {
  model: string;
  names: readonly MemoryName[];
}

/** `name`: of a file. Throws `bad-input` when the page has nothing yet. */
export function memoriesExport(
  page: MemoriesPage,
  { memories, lens, text, groups, search, clusters, memory, triggers }: MemoriesResults,
  named: Named,
): { name: string; result: unknown; rows: Rows } {
  switch (page) {
    case 'memories':
      if (memories !== null) return { name: page, result: memories, rows: memoryRows(memories, named.names) };
      break;
    case 'lens':
      if (lens !== null) return { name: 'logit-lens', result: lens, rows: lensRows(lens) };
      break;
    case 'text':
      if (text !== null) return { name: 'logit-lens-text', result: text, rows: textRows(text) };
      break;
    case 'groups':
      if (groups !== null) return { name: 'memory-groups', result: groups, rows: groupRows(groups, named.names) };
      break;
    case 'search':
      if (search !== null) return { name: 'values', result: search, rows: searchRows(search, named.names) };
      if (clusters !== null)
        return { name: 'value-clusters', result: clusters, rows: clusterRows(clusters, named.names) };
      break;
    case 'memory':
      if (memory !== null)
        return {
          name: neuronName(memory),
          result: { ...memory, triggers },
          rows: [...wordRows(memory), ...(triggers === null ? [] : triggerRows(memory.model, triggers))],
        };
      break;
    case 'names':
      if (named.names.length > 0) return { name: 'memory-names', result: named, rows: nameRows(named) };
  }
  throw new LensError('bad-input', 'There is nothing to export on this page yet.', 'Compute it first.');
}

const nameOf = (names: readonly MemoryName[], layer: number, neuron: number): string =>
  names.find((each) => each.layer === layer && each.neuron === neuron)?.name ?? '';
const listed = (words: readonly ScoredWord[]): string => words.map(({ token }) => token).join(' ');

const memoryRows = ({ memories, model, target }: ShownMemories, names: readonly MemoryName[]): Cell[][] => [
  [
    ...['model', 'position', 'token', 'layer', 'neuron', 'name', 'activation', 'norm', 'logit', 'ablation'],
    ...['becomes', 'promotes', 'suppresses'],
  ],
  ...memories.map(({ layer, neuron, activation, norm, logit, ablation, changedTo, promoted, suppressed }): Cell[] => [
    ...[model, target.read, target.token, layer, neuron, nameOf(names, layer, neuron)],
    ...[activation, norm, logit, ablation, changedTo?.token ?? '', listed(promoted), listed(suppressed)],
  ]),
];

/** One row a state and token: its first predictions, then the words that are followed; then the same of the unchanged model. */
function* lensRows({ before, ...lens }: ShownLens): Generator<Cell[]> {
  yield ['model', 'position', 'layer', 'after', 'kind', 'rank', 'id', 'token', 'logprob', 'entropy'];
  yield* stateRows(lens, '');
  if (before !== null) yield* stateRows(before, ', unchanged model');
}

function* stateRows({ model, states, watched, target }: LogitLens, of: string): Generator<Cell[]> {
  for (const [index, { layer, part, predictions, entropy }] of states.entries()) {
    const place = [model, target.position, layer, part];
    for (const [rank, { id, token, logprob }] of predictions.entries())
      yield [...place, `prediction${of}`, rank + 1, id, token, logprob, entropy];
    for (const { id, token, ranks, logprobs } of watched)
      yield [...place, `watched${of}`, ranks[index] ?? null, id, token, logprobs[index] ?? null, entropy];
  }
}

function* textRows({ model, tokens, places, top, probs, ranks, entropies, words }: LogitLensTable): Generator<Cell[]> {
  yield ['model', 'index', 'token', 'layer', 'after', 'first', 'prob', 'rank of the final answer', 'entropy'];
  const names = new Map(words.map(({ id, token }) => [id, token]));
  for (const [state, { layer, part }] of places.entries())
    for (const [column, { index, token }] of tokens.entries()) {
      const at = state * tokens.length + column;
      const first = names.get(top[at] as number) ?? '';
      yield [
        model,
        index,
        token,
        layer,
        part,
        first,
        probs[at] as number,
        ranks[at] as number,
        entropies[at] as number,
      ];
    }
}

/** How much each group fires at each token, then the memories of each group. */
function* groupRows({ model, tokens, groups }: MemoryGroups, names: readonly MemoryName[]): Generator<Cell[]> {
  yield ['model', 'group', 'share', 'kind', 'index', 'token', 'layer', 'neuron', 'name', 'weight'];
  for (const [at, { share, tokens: fires, members }] of groups.entries()) {
    for (const { index, token } of tokens)
      yield [model, at + 1, share, 'token', index, token, null, null, '', fires[index] as number];
    for (const { layer, neuron, weight } of members)
      yield [model, at + 1, share, 'memory', null, '', layer, neuron, nameOf(names, layer, neuron), weight];
  }
}

const searchRows = ({ model, words, direction, hits }: ValueSearch, names: readonly MemoryName[]): Cell[][] => [
  [
    ...['model', 'direction', 'layer', 'neuron', 'name'],
    ...words.flatMap(({ token }) => [`rank of ${token}`, `score of ${token}`]),
    'first words',
  ],
  ...hits.map(({ layer, neuron, words: found, first }): Cell[] => [
    ...[model, direction, layer, neuron, nameOf(names, layer, neuron)],
    ...found.flatMap((word) => [word?.rank ?? null, word?.score ?? null]),
    listed(first),
  ]),
];

/** The words of each cluster's centre, then its members. */
function* clusterRows({ model, clusters }: ValueClusters, names: readonly MemoryName[]): Generator<Cell[]> {
  yield ['model', 'cluster', 'size', 'cohesion', 'kind', 'token', 'layer', 'neuron', 'name', 'number'];
  for (const [at, { size, cohesion, promoted, suppressed, members }] of clusters.entries()) {
    const own = [model, at + 1, size, cohesion];
    for (const { token, score } of promoted) yield [...own, 'promotes', token, null, null, '', score];
    for (const { token, score } of suppressed) yield [...own, 'suppresses', token, null, null, '', score];
    for (const { layer, neuron, cosine } of members)
      yield [...own, 'memory', '', layer, neuron, nameOf(names, layer, neuron), cosine];
  }
}

const wordRows = ({ model, layer, neuron, promoted, suppressed }: ValueWords): Cell[][] => [
  ['model', 'layer', 'neuron', 'direction', 'rank', 'id', 'token', 'score'],
  ...(['promotes', 'suppresses'] as const).flatMap((direction) =>
    (direction === 'promotes' ? promoted : suppressed).map(({ id, token, score }, index): Cell[] => [
      ...[model, layer, neuron, direction, index + 1, id, token, score],
    ]),
  ),
];

const triggerRows = (model: string, triggers: ShownTriggers): Cell[][] => [
  ['model', 'layer', 'neuron', 'end', 'rank', 'activation', 'token', 'text', 'file', 'line', 'column'],
  ...(['largest', 'smallest'] as const).flatMap((end) =>
    triggers[end].map(({ activation, text, range, source, line, column }, index): Cell[] => [
      ...[model, triggers.layer, triggers.neuron, end, index + 1, activation, text.slice(range.start, range.end)],
      ...[text, triggers.sources[source] ?? '', line, column],
    ]),
  ),
];

const nameRows = ({ model, names }: Named): Cell[][] => [
  ['model', 'layer', 'neuron', 'name', 'tags'],
  ...names.map(({ layer, neuron, name, tags }): Cell[] => [model, layer, neuron, name, tags.join(' ')]),
];
