/** What a run over treebanks has found so far: counts that can be saved, gone on from, and added; and the table that they make. */
import type { HeadRef, HeadRelationsResult, HeadRelationsState, RelationRow } from '../../../protocol/attention';
import type { Fields } from '../../requests/fields';
import { addTo, joinDone, numbers, SkipList, skippedOf, unfit, wholeNumber } from './headState';

/** Fixed offsets go this far to either side. */
export const MOST_OFFSET = 10;
const DIRECTIONS = ['dependent→head', 'head→dependent'] as const;
/** Heads that are named for coreference. */
const BEST_HEADS = 10;

/** Index of an offset among −10…−1, 1…10; −1 for others. */
export function offsetIndex(offset: number): number {
  if (offset === 0 || Math.abs(offset) > MOST_OFFSET) return -1;
  return offset < 0 ? offset + MOST_OFFSET : offset + MOST_OFFSET - 1;
}
const offsetAt = (index: number): number => (index < MOST_OFFSET ? index - MOST_OFFSET : index - MOST_OFFSET + 1);

export type RelationCounts = HeadRelationsState['relations'][number];

export const newRelation = (relation: string, size: number): RelationCounts => ({
  relation,
  n: 0,
  right: new Int32Array(2 * size),
  offsets: new Int32Array(2 * MOST_OFFSET),
});

export const newCoreference = (size: number): NonNullable<HeadRelationsState['coreference']> => ({
  done: [],
  n: 0,
  nearest: 0,
  right: new Int32Array(size),
});

type What = Pick<HeadRelationsState, 'model' | 'layers' | 'heads'>;

export const newRelationsState = ({ model, layers, heads }: What): HeadRelationsState => ({
  ...{ model, layers, heads, done: [], sentences: 0, words: 0 },
  relations: [],
  coreference: null,
  skipped: [],
});

/** A state from a file or another process. Throws `bad-input` when it is none, or one of another model. */
export function readRelationsState(value: HeadRelationsState, what?: What): HeadRelationsState {
  const state = value as unknown as Fields;
  const shape = {
    model: String(state['model']),
    layers: wholeNumber(state['layers'], 'layers'),
    heads: wholeNumber(state['heads'], 'heads'),
  };
  for (const name of ['model', 'layers', 'heads'] as const)
    if (what !== undefined && shape[name] !== what[name])
      throw unfit(`it is of ${name} ${shape[name]}, and this is ${name} ${what[name]}`);
  const size = shape.layers * shape.heads;
  const counts = (list: unknown, name: string, length?: number): Int32Array =>
    Int32Array.from(numbers(list, name, length));
  const { relations, coreference } = state;
  if (!Array.isArray(relations)) throw unfit('“relations” is no list');
  const clusters = coreference as Fields | null | undefined;
  return {
    ...shape,
    done: Array.from(numbers(state['done'], 'done')),
    sentences: wholeNumber(state['sentences'], 'sentences'),
    words: wholeNumber(state['words'], 'words'),
    relations: relations.map((each: Fields | null) => {
      const relation = String(each?.['relation']);
      return {
        relation,
        n: wholeNumber(each?.['n'], `${relation}.n`),
        right: counts(each?.['right'], `${relation}.right`, 2 * size),
        offsets: counts(each?.['offsets'], `${relation}.offsets`, 2 * MOST_OFFSET),
      };
    }),
    coreference:
      clusters == null
        ? null
        : {
            done: Array.from(numbers(clusters['done'], 'coreference.done')),
            n: wholeNumber(clusters['n'], 'coreference.n'),
            nearest: wholeNumber(clusters['nearest'], 'coreference.nearest'),
            right: counts(clusters['right'], 'coreference.right', size),
          },
    skipped: skippedOf(state['skipped']),
  };
}

/** Of shards of one corpus. Throws `bad-input` for states of different models, and for sentences that are in both. */
export function mergeRelationsStates(first: HeadRelationsState, second: HeadRelationsState): HeadRelationsState {
  const [a, b] = [readRelationsState(first), readRelationsState(second, first)];
  const relations = new Map(a.relations.map((each) => [each.relation, each]));
  for (const more of b.relations) {
    const known = relations.get(more.relation);
    if (known === undefined) relations.set(more.relation, more);
    else addCounts(known, more);
  }
  const [c, d] = [a.coreference, b.coreference];
  if (c !== null && d !== null) {
    addTo(c.right, d.right);
    c.n += d.n;
    c.nearest += d.nearest;
    c.done = joinDone(c.done, d.done, 'passages');
  }
  return {
    ...a,
    done: joinDone(a.done, b.done, 'sentences'),
    sentences: a.sentences + b.sentences,
    words: a.words + b.words,
    relations: [...relations.values()],
    coreference: c ?? d,
    skipped: new SkipList(a.skipped, b.skipped).list,
  };
}

function addCounts(counts: RelationCounts, more: RelationCounts): void {
  counts.n += more.n;
  addTo(counts.right, more.right);
  addTo(counts.offsets, more.offsets);
}

const headAt = (index: number, heads: number): HeadRef => ({ layer: Math.floor(index / heads), head: index % heads });

export function relationsResult(state: HeadRelationsState, elapsed: number): HeadRelationsResult {
  const { heads, layers, relations } = state;
  const all = newRelation('all', layers * heads);
  for (const each of relations) addCounts(all, each);
  const byCount = [...relations].sort((a, b) => b.n - a.n || (a.relation < b.relation ? -1 : 1));
  return {
    state,
    table: all.n === 0 ? [] : [all, ...byCount].map((counts) => rowOf(counts, heads)),
    coreference: coreferenceOf(state),
    elapsed,
  };
}

/** Best head, direction and offset; of equal ones the first head, from the dependent, and the leftmost offset. */
function rowOf({ relation, n, right, offsets }: RelationCounts, heads: number): RelationRow {
  const size = right.length / 2;
  const better = Array.from({ length: size }, (_, head) =>
    (right[head] as number) >= (right[size + head] as number) ? 0 : 1,
  );
  const counts = better.map((direction, head) => right[direction * size + head] as number);
  const best = counts.indexOf(Math.max(...counts));
  const offset = offsets.indexOf(Math.max(...offsets));
  return {
    relation,
    n,
    best: {
      ...headAt(best, heads),
      direction: DIRECTIONS[better[best] as number] as RelationRow['best']['direction'],
      accuracy: (counts[best] as number) / n,
    },
    baseline: { offset: offsetAt(offset), accuracy: (offsets[offset] as number) / n },
    accuracies: Float32Array.from(counts, (count) => count / n),
  };
}

function coreferenceOf({ coreference, heads }: HeadRelationsState): HeadRelationsResult['coreference'] {
  if (coreference === null || coreference.n === 0) return null;
  const { n, nearest, right } = coreference;
  const order = [...right.keys()].sort((a, b) => (right[b] as number) - (right[a] as number) || a - b);
  return {
    n,
    nearest: nearest / n,
    best: order
      .slice(0, BEST_HEADS)
      .map((index) => ({ ...headAt(index, heads), accuracy: (right[index] as number) / n })),
  };
}
