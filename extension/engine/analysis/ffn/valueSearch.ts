/** Values of a model by their words. */
import type {
  ScoredWord,
  ValueHit,
  ValueParams,
  ValueSearch,
  ValueSearchParams,
  ValueWords,
} from '../../../protocol/ffn';
import { LensError } from '../../../protocol/errors';
import type { Internals } from '../../session/internals';
import { requireHead, type RunContext } from '../../session/languageModel';
import type { LensTokenizer } from '../../text/tokenizer';
import type { CachePlace } from '../cacheFile';
import { checkNeurons } from '../interventions';
import { describePrediction } from '../predictions';
import { dot } from './paths';
import { buildIndex, INDEX_WORDS, readLayer, type IndexedLayer } from './valueIndex';
import { endsOf, scoresOf, scoresOfNothing, wordsMethod } from './valueWords';

/** Words of a hit. */
const FIRST_WORDS = 8;

const wordOf = (tokenizer: LensTokenizer, id: number): Omit<ScoredWord, 'score'> => {
  const { token, text } = describePrediction(tokenizer, id, 0);
  return { id, token, text };
};

/** Throws `no-lm-head`, `bad-input`, `model-unsupported`. */
export async function valueWords(
  model: Internals,
  { layer, neuron, words }: Omit<ValueParams, 'model'>,
): Promise<ValueWords> {
  requireHead(model.info);
  const anatomy = await model.anatomy();
  checkNeurons(anatomy, [{ layer, neuron }]);
  const { dims, data } = await model.weight(`blocks.${layer}.mlp.W_out`);
  const width = dims[1] as number;
  const value = data.slice(neuron * width, (neuron + 1) * width);
  const { scores } = await scoresOf(model, value, width, await scoresOfNothing(model, width));
  return {
    model: model.info.id,
    ...{ layer, neuron, norm: Math.sqrt(dot(value, value)) },
    ...endsOf(model.tokenizer, scores, words),
    method: wordsMethod(anatomy),
  };
}

/** Throws as `buildIndex`; `bad-input` for words that the model does not have. */
export async function searchValues(
  model: Internals,
  place: CachePlace,
  { words, direction, topK }: Omit<ValueSearchParams, 'model' | 'cache'>,
  context: RunContext,
): Promise<ValueSearch> {
  const started = performance.now();
  requireHead(model.info);
  const { tokenizer } = model;
  for (const id of words)
    if (id >= tokenizer.vocabSize)
      throw new LensError(
        'bad-input',
        `There is no token with the id ${id}; the vocabulary has ${tokenizer.vocabSize}.`,
      );
  const anatomy = await model.anatomy();
  const layers = anatomy.blocks.flatMap(({ ffn }, layer) => (ffn === null ? [] : [layer]));
  const hits: ValueHit[] = [];
  let built = false;
  for (const layer of layers) {
    let indexed = await readLayer(place, layer);
    if (indexed === null && !built) {
      await buildIndex(model, place, context);
      built = true;
      indexed = await readLayer(place, layer);
    }
    if (indexed !== null) hits.push(...hitsIn(indexed, words, direction, tokenizer));
  }
  const found = ({ words: own }: ValueHit): number => own.filter((word) => word !== null).length;
  const sum = ({ words: own }: ValueHit): number => own.reduce((total, word) => total + Math.abs(word?.score ?? 0), 0);
  return {
    model: model.info.id,
    words: words.map((id) => wordOf(tokenizer, id)),
    direction,
    total: hits.length,
    of: INDEX_WORDS,
    hits: hits.sort((a, b) => found(b) - found(a) || sum(b) - sum(a)).slice(0, topK),
    method: wordsMethod(anatomy),
    elapsed: performance.now() - started,
  };
}

function hitsIn(
  { layer, neurons, words: kept, ids, scores }: IndexedLayer,
  words: readonly number[],
  direction: ValueSearch['direction'],
  tokenizer: LensTokenizer,
): ValueHit[] {
  const hits: ValueHit[] = [];
  for (let neuron = 0; neuron < neurons; neuron++) {
    const from = (2 * neuron + (direction === 'promote' ? 0 : 1)) * kept;
    const own = ids.subarray(from, from + kept);
    const places = words.map((id) => own.indexOf(id));
    if (places.every((place) => place < 0)) continue;
    const scoreAt = (place: number): number => scores[from + place] as number;
    hits.push({
      ...{ layer, neuron },
      words: places.map((place) => (place < 0 ? null : { rank: place + 1, score: scoreAt(place) })),
      first: Array.from(own.subarray(0, FIRST_WORDS))
        .filter((id) => id >= 0)
        .map((id, place) => ({ ...wordOf(tokenizer, id), score: scoreAt(place) })),
    });
  }
  return hits;
}
