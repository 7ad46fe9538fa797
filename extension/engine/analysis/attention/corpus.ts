/**
 * Statistics of heads over a corpus, document by document (Clark et al. 2019, §3). Documents are numbered in the order of the corpus,
 * whoever works on them: `limit` takes the first ones, a shard every n-th, and a run that goes on leaves out what is done.
 */
import type { HeadCorpusParams, HeadCorpusResult } from '../../../protocol/attention';
import { LensError } from '../../../protocol/errors';
import { count, counted } from '../../../protocol/format';
import type { Traceable } from '../../session/internals';
import type { RunContext } from '../../session/languageModel';
import { throwIfCancelled } from '../forward';
import { documentsOf, pairFrame, type CorpusDocument } from '../corpora/documents';
import { patternShape, patternsOf, type Patterned } from './batches';
import { corpusResult, newCorpusState, newDistances, readCorpusState, type CorpusSums } from './corpusState';
import { addDistances } from './distances';
import { SkipList } from './headState';
import { addDocument } from './statistics';

/** Results on the way are sent no more often. */
export const PROGRESS_MS = 500;

export async function headCorpus(
  model: Traceable,
  params: Omit<HeadCorpusParams, 'model'>,
  { signal, progress }: RunContext,
): Promise<HeadCorpusResult> {
  const started = performance.now();
  const { packing, sources, limit = Infinity, shard = { index: 0, of: 1 }, distances = 0, resume } = params;
  const shape = await patternShape(model);
  if (packing.kind === 'pairs') checkPairs(model, packing.tokens, shape.window);
  const what = { model: model.info.id, layers: shape.layers, heads: shape.heads, packing };
  const state = resume === undefined ? newCorpusState(what) : readCorpusState(resume, what);
  const skipped = new SkipList(state.skipped);
  for (const { layer, why } of shape.missing) skipped.add(`block ${layer}`, why);
  const { visibility } = await model.anatomy();
  const done = new Set(state.done);
  let seen = 0;
  const documents = documentsOf(model, {
    ...{ sources, packing, window: shape.window, limit },
    skip: (name, why) => skipped.add(name, why),
    wanted: (index) => {
      throwIfCancelled(signal);
      seen = index + 1;
      return index % shard.of === shard.index && !done.has(index);
    },
  });

  const add = async ({ item, blocks }: Patterned<CorpusDocument>): Promise<void> => {
    for (const { layer, pattern } of blocks)
      addDocument(state.sums, layer * shape.heads, pattern, item.keys, visibility[layer] ?? null);
    if (item.index < distances) {
      const known = (state.distances ??= newDistances(shape.layers * shape.heads));
      await addDistances(known.sums, blocks, item.keys.length, shape.heads, signal);
      known.tokens += item.keys.length;
    }
    state.done.push(item.index);
    state.documents += 1;
    state.tokens += item.keys.length;
  };

  let told = started;
  for await (const run of patternsOf(model, shape, documents, signal)) {
    for (const each of run) await add(each);
    if (performance.now() - told < PROGRESS_MS) continue;
    told = performance.now();
    state.skipped = skipped.list;
    const source = Math.max(...run.map(({ item }) => item.source));
    const wanted = Number.isFinite(limit) ? limit / shard.of : null;
    progress({
      message: `${counted(state.documents, 'document')}, ${count(state.tokens)} tokens`,
      fraction: wanted === null ? source / sources.length : Math.min(1, state.documents / wanted),
      corpus: corpusResult(snapshot(state), false, told - started),
    });
  }
  state.skipped = skipped.list;
  if (seen === 0)
    throw new LensError(
      'bad-input',
      `There is no document in ${counted(sources.length, 'text')}${skipped.first}.`,
      packing.kind === 'pairs'
        ? 'Pairs need files with several paragraphs; smaller pairs need less text.'
        : 'Choose text files in UTF-8.',
    );
  return corpusResult(state, true, performance.now() - started);
}

/** A copy, so that what was sent does not change afterwards. */
const snapshot = (state: CorpusSums): CorpusSums => structuredClone(state);

/** Throws `bad-input` for pairs that this model does not take. */
function checkPairs({ info, tokenizer }: Traceable, tokens: number, window: number): void {
  const frame = pairFrame(tokenizer);
  if (frame.between.length === 0)
    throw new LensError(
      'bad-input',
      `The tokenizer of ${info.id} puts nothing between the texts of a pair.`,
      'Take the paragraphs one by one.',
    );
  if (tokens > window)
    throw new LensError('bad-input', `Pairs of ${tokens} tokens are too long for ${info.id}: ${window} at most.`);
}
