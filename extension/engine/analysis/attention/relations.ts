/**
 * Heads against annotated relations (Clark et al. 2019, §4.2 and Syntax_Analysis.ipynb). In the map between the words of a sentence, with
 * special tokens and the diagonal left out, a head's answer for a word is the strongest entry of its row (dependent→head) or of its column
 * (head→dependent), right when it is the word's head in the treebank. The baseline is the best fixed offset from a word to its head.
 *
 * Relations are the labels of the file, subtypes apart. Roots have no word as their head, and punctuation is attached by convention:
 * neither is scored, nor in `all`. As in the authors' code, “'s” answers for a word with the relation `poss` (Stanford Dependencies).
 */
import type { HeadRelationsParams, HeadRelationsResult } from '../../../protocol/attention';
import { LensError } from '../../../protocol/errors';
import { count, counted } from '../../../protocol/format';
import type { Traceable } from '../../session/internals';
import type { InputRow, RunContext } from '../../session/languageModel';
import type { TreebankWord } from '../corpora/conllu';
import { treebankOf, type NumberedSentence } from '../corpora/treebanks';
import { throwIfCancelled } from '../forward';
import { patternShape, patternsOf, type Patterned, type PatternShape } from './batches';
import { corefer } from './coreference';
import { PROGRESS_MS } from './corpus';
import { SkipList } from './headState';
import {
  newRelation,
  newRelationsState,
  offsetIndex,
  readRelationsState,
  relationsResult,
  type RelationCounts,
} from './relationState';
import { piecesOf, strongest } from './wordMaps';

const UNSCORED = new Set(['root', 'punct', '_']);
const POSSESSIVE = /^(['’]s|s['’])$/iu;

/** A sentence as it goes into the model. */
export interface PreparedSentence extends NumberedSentence {
  row: InputRow;
  /** Tokens of each word. */
  pieces: number[][];
}

/** Null, and told, when it is too long or cannot be cut into tokens. */
export function prepareSentence(
  { tokenizer }: Pick<Traceable, 'tokenizer'>,
  numbered: NumberedSentence,
  window: number,
  skip: (name: string, why: string) => void,
): PreparedSentence | null {
  const { sentence, name } = numbered;
  const { ids, segments, ranges } = tokenizer.encode(sentence.text);
  if (ids.length > window) {
    skip(name, `line ${sentence.line}: the sentence has ${ids.length} tokens; the model takes ${window} at most`);
    return null;
  }
  return { ...numbered, row: { ids, segments }, pieces: piecesOf(ranges, sentence.words) };
}

/** An annotated relation that heads are asked about: the word that answers, and what it should say. */
export interface RelationQuestion {
  relation: string;
  word: number;
  /** The word whose row or column is the answer. */
  asked: number;
  expected: number;
}

export function questionsOf(
  words: readonly TreebankWord[],
  pieces: readonly (readonly number[])[],
): RelationQuestion[] {
  const has = (word: number): boolean => (pieces[word]?.length ?? 0) > 0;
  return words.flatMap(({ relation, head }, word) => {
    if (head === null || head < 0 || UNSCORED.has(relation) || !has(word) || !has(head)) return [];
    const by = relation === 'poss' && POSSESSIVE.test(words[word + 1]?.form ?? '') && has(word + 1);
    return [{ relation, word, asked: by ? word + 1 : word, expected: head }];
  });
}

export async function headRelations(
  model: Traceable,
  params: Omit<HeadRelationsParams, 'model'>,
  context: RunContext,
): Promise<HeadRelationsResult> {
  const started = performance.now();
  const { sources, limit = Infinity, shard = { index: 0, of: 1 }, resume } = params;
  const shape = await patternShape(model);
  const what = { model: model.info.id, layers: shape.layers, heads: shape.heads };
  const state = resume === undefined ? newRelationsState(what) : readRelationsState(resume, what);
  const skipped = new SkipList(state.skipped);
  const skip = (name: string, why: string): void => skipped.add(name, why);
  for (const { layer, why } of shape.missing) skip(`block ${layer}`, why);
  const isMine = (index: number): boolean => index % shard.of === shard.index;

  let told = started;
  const tell = (message: string, fraction: number): void => {
    if (performance.now() - told < PROGRESS_MS) return;
    told = performance.now();
    state.skipped = skipped.list;
    context.progress({ message, fraction, relations: relationsResult(structuredClone(state), told - started) });
  };

  const seen = { sentences: 0, clusters: false };
  const done = new Set(state.done);
  async function* wanted(): AsyncGenerator<PreparedSentence> {
    for await (const numbered of treebankOf(sources, limit, skip)) {
      throwIfCancelled(context.signal);
      seen.sentences++;
      seen.clusters ||= numbered.sentence.words.some(({ misc }) => misc.includes('Entity='));
      if (!isMine(numbered.index) || done.has(numbered.index)) continue;
      const prepared = prepareSentence(model, numbered, shape.window, skip);
      if (prepared !== null) yield prepared;
    }
  }
  const relations = new Map(state.relations.map((each) => [each.relation, each]));
  for await (const run of patternsOf(model, shape, wanted(), context.signal)) {
    for (const each of run) {
      countSentence(each, shape, relations);
      state.done.push(each.item.index);
      state.sentences += 1;
      state.words += each.item.sentence.words.length;
    }
    state.relations = [...relations.values()];
    const source = Math.max(...run.map(({ item }) => item.source));
    tell(
      `${counted(state.sentences, 'sentence')}, ${count(state.words)} words`,
      Number.isFinite(limit) ? Math.min(1, (state.sentences * shard.of) / limit) : source / sources.length,
    );
  }
  if (seen.sentences === 0)
    throw new LensError(
      'bad-input',
      `There is no sentence in ${counted(sources.length, 'file')}${skipped.first}.`,
      'Choose treebanks in the format CoNLL-U.',
    );
  if (seen.clusters)
    for await (const { found, fraction } of corefer(
      model,
      shape,
      { sources, limit, isMine, skip },
      state,
      context.signal,
    )) {
      state.coreference = found;
      tell(`${counted(found.n, 'mention')} with an antecedent`, fraction);
    }
  state.skipped = skipped.list;
  return relationsResult(state, performance.now() - started);
}

function countSentence(
  { item, blocks }: Patterned<PreparedSentence>,
  { layers, heads }: PatternShape,
  relations: Map<string, RelationCounts>,
): void {
  const questions = questionsOf(item.sentence.words, item.pieces);
  const countsOf = ({ relation }: RelationQuestion): RelationCounts => {
    const known = relations.get(relation) ?? newRelation(relation, layers * heads);
    relations.set(relation, known);
    return known;
  };
  for (const question of questions) {
    const counts = countsOf(question);
    counts.n++;
    const offset = offsetIndex(question.expected - question.asked);
    if (offset >= 0) counts.offsets[offset] = (counts.offsets[offset] as number) + 1;
  }
  for (const { layer, pattern } of blocks)
    for (let head = 0; head < pattern.heads; head++) {
      const { rows, columns } = strongest(pattern, head, item.pieces);
      const index = layer * heads + head;
      for (const question of questions) {
        const { right } = countsOf(question);
        if (rows[question.asked] === question.expected) right[index] = (right[index] as number) + 1;
        const other = layers * heads + index;
        if (columns[question.asked] === question.expected) right[other] = (right[other] as number) + 1;
      }
    }
}
