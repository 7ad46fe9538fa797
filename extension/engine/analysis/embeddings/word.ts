/** One word in its context: its vector from layer to layer, and what it is like there. */
import type { VectorLayer, WordLayer, WordParams, WordResult } from '../../../protocol/embeddings';
import type { TextRange } from '../../../protocol/engine';
import { LensError } from '../../../protocol/errors';
import type { Activation, Internals } from '../../session/internals';
import type { InputRow, RunContext } from '../../session/languageModel';
import { prepareInput, unitsOf } from '../attention/input';
import { throwIfCancelled } from '../forward';
import { checkVectors, hiddenStates, hooksOf, layerName, layerVectors, readableLayers, staticVectors } from './layers';
import { centred, cosine, meanRow, norm, type Rows } from './maths';
import { meanOf } from './pooling';
import { topK as largest } from '../../session/topK';

/** A word as a model reads it. */
export interface WordInput {
  row: InputRow;
  /** As it stands in the text, with its tokens. */
  word: WordResult['word'];
  own: { id: number; index: number }[];
  window: WordResult['window'];
  notes: string[];
  /** All words of the window, and the tokens of each. */
  words: (WordResult['words'][number] & { tokens: number[] })[];
}

/** Throws `bad-input` when there is no token in the range. */
export function wordInput(
  model: Pick<Internals, 'info' | 'tokenizer'>,
  { text, range }: Pick<WordParams, 'text' | 'range'>,
): WordInput {
  const { row, tokens, window, notes } = prepareInput(model, { text, around: range });
  const touches = (other: TextRange | null): boolean =>
    other !== null && other.start < range.end && other.end > range.start;
  const own = tokens.filter((token) => !token.special && touches(token.range));
  const [first, last] = [own[0], own.at(-1)];
  if (first?.range == null || last?.range == null)
    throw new LensError(
      'bad-input',
      `There is no token at ${range.start}–${range.end}: “${text.slice(range.start, range.end).trim().slice(0, 40)}”.`,
      'Select a word.',
    );
  const place = { start: first.range.start, end: last.range.end };
  const word = text.slice(place.start, place.end);
  return {
    ...{ row, window, notes, own },
    word: { text: word, range: place, pieces: own.map(({ token }) => token) },
    words: unitsOf(tokens, true).flatMap(({ special, range: at, tokens: pieces }) => {
      if (special || at === null) return [];
      const label = text.slice(at.start, at.end);
      const mine = touches(at);
      const same = !mine && label.toLowerCase() === word.toLowerCase();
      return [{ label, range: { start: at.start, end: at.end }, own: mine, same, tokens: pieces }];
    }),
  };
}

export async function wordInContext(
  model: Pick<Internals, 'info' | 'tokenizer' | 'anatomy' | 'trace' | 'weight'>,
  { text, range, topK, centre }: Omit<WordParams, 'model'>,
  { signal, progress }: RunContext,
): Promise<WordResult> {
  const started = performance.now();
  const { row, word, own, window, notes, words } = wordInput(model, { text, range });
  const pieces = own.map(({ index }) => index);
  const states = await hiddenStates(model);
  const numbers = readableLayers(model, states);
  const hooks = hooksOf(model, states, numbers);
  const anatomy = await model.anatomy();
  progress({ message: 'Running the text' });
  const trace = await model.trace([row], hooks);
  const embeddings = anatomy.embeddings.word === null ? null : await model.weight('embed.W_E');
  throwIfCancelled(signal);

  const layers: WordLayer[] = [];
  const cosines = new Float32Array((numbers.length + 1) * words.length);
  const vectorAt = (layer: VectorLayer): Rows =>
    layer === 'static'
      ? staticVectors(embeddings as Activation, row.ids)
      : layerVectors(trace, states, 0, row.ids.length, layer);
  const fixed = embeddings === null ? null : meanOf(vectorAt('static'), pieces);
  const tableMean = embeddings === null || !centre ? null : meanRow(tableRows(embeddings));
  let before: Float32Array | null = null;
  for (const [at, layer] of (['static', ...numbers] as const).entries()) {
    if (layer === 'static' && embeddings === null) {
      cosines.fill(NaN, 0, words.length);
      continue;
    }
    const vectors = vectorAt(layer);
    checkVectors(vectors, model.info.id, layer);
    const vector = meanOf(vectors, pieces);
    // Hidden states share a direction that says nothing of the word; less it, what is left is told apart better.
    const compared = centre ? centred(vectors) : vectors;
    const mine = meanOf(compared, pieces);
    words.forEach((word, index) => {
      cosines[at * words.length + index] = cosine(mine, meanOf(compared, word.tokens));
    });
    const comparable = embeddings !== null && embeddings.dims[1] === vectors.width;
    layers.push({
      layer,
      name: layerName(layer),
      norm: norm(vector),
      toStatic: fixed !== null && comparable ? cosine(vector, fixed) : null,
      toPrevious: before === null || layer === 'static' ? null : cosine(vector, before),
      ...(comparable
        ? nearestTokens(embeddings, tableMean, mine, new Set(own.map(({ id }) => id)), topK, model.tokenizer)
        : { neighbours: [], rank: null }),
    });
    if (layer !== 'static') before = vector;
    throwIfCancelled(signal);
  }
  return {
    model: model.info.id,
    ...{ word, window, layers },
    words: words.map(({ tokens: _, ...rest }) => rest),
    cosines: embeddings === null ? cosines.subarray(words.length) : cosines,
    notes: [
      ...notes,
      ...(embeddings === null
        ? ['The embedding table of this model was not found, so that there are no static rows.']
        : embeddings.dims[1] !== vectorAt(numbers[0] ?? 0).width
          ? [
              `The rows of the embedding table have ${embeddings.dims[1]} numbers and the hidden states ${vectorAt(numbers[0] ?? 0).width}, so that they cannot be compared.`,
            ]
          : []),
    ],
    elapsed: performance.now() - started,
  };
}

export const tableRows = ({ dims, data }: Activation): Rows => ({ width: dims[1] as number, data });

/** Rows of the vocabulary that a vector points to. Special and unused tokens are none; `own` are ranked, but not named. */
export function nearestTokens(
  { dims, data }: Activation,
  mean: Float64Array | null,
  vector: Float32Array,
  own: ReadonlySet<number>,
  topK: number,
  tokenizer: Internals['tokenizer'],
): Pick<WordLayer, 'neighbours' | 'rank'> {
  const [rows = 0, width = 0] = dims;
  const count = Math.min(rows, tokenizer.vocabSize);
  const likeness = new Float32Array(count).fill(-Infinity);
  const length = norm(vector);
  for (let id = 0; id < count; id++) {
    if (tokenizer.isSpecial(id)) continue;
    let [product, square] = [0, 0];
    const start = id * width;
    for (let at = 0; at < width; at++) {
      const value = (data[start + at] as number) - (mean === null ? 0 : (mean[at] as number));
      product += value * (vector[at] as number);
      square += value * value;
    }
    if (square > 0) likeness[id] = product / (length * Math.sqrt(square));
  }
  const order = largest(likeness, topK + own.size, (id) => likeness[id] !== -Infinity);
  const [first] = own;
  const mine = first === undefined ? -Infinity : (likeness[first] ?? -Infinity);
  return {
    neighbours: order
      .filter((id) => !own.has(id) && !/^\[unused\d+\]$/u.test(tokenizer.token(id)))
      .slice(0, topK)
      .map((id) => ({ id, token: tokenizer.token(id), text: tokenizer.text(id), cosine: likeness[id] as number })),
    rank: mine === -Infinity ? null : 1 + likeness.reduce((above, value) => above + Number(value > mine), 0),
  };
}
