/**
 * BERT's training input and loss: the corruption of google-research/bert `create_pretraining_data.py`, re-made from its
 * description. Of all tokens 15 % are chosen; of these 80 % become the mask, 10 % stay, 10 % become any token.
 */
import type { CorruptedToken, CorruptParams, CorruptResult } from '../../protocol/engine';
import { LensError } from '../../protocol/errors';
import type { LanguageModel, RunContext } from '../session/languageModel';
import type { LensTokenizer } from '../text/tokenizer';
import type { Distribution } from './distribution';
import { requireLanguageModel } from './fillMask';
import { askAll } from './forward';
import { requireMask } from './masking';
import { actualToken, topPredictions } from './predictions';
import { randomBelow, seededRandom, shuffle } from './random';
import { chooseWindow, windowInfo } from './window';

const CHOSEN_SHARE = 0.15;
const MOST_CHOSEN = 20;
const MASK_SHARE = 0.8;
/** Of those that do not become the mask. */
const KEEP_SHARE = 0.5;

export interface Corruption {
  position: number;
  action: 'mask' | 'random' | 'keep';
  id: number;
}

export interface CorruptionInput {
  /** With special tokens. */
  ids: ArrayLike<number>;
  /** Positions that may be chosen, in groups that are chosen together: single tokens, or the pieces of a word. */
  groups: readonly (readonly number[])[];
  maskId: number;
  /** Random tokens are drawn from [0, vocabSize). */
  vocabSize: number;
}

/** `min(20, max(1, round(0.15·n)))`, n with special tokens; halves are rounded to the even number, as Python does. */
export function chosenCount(length: number): number {
  const exact = length * CHOSEN_SHARE;
  const down = Math.floor(exact);
  const rounded = exact - down === 0.5 ? down + (down % 2) : Math.round(exact);
  return Math.min(MOST_CHOSEN, Math.max(1, rounded));
}

/** In order of position. The same random numbers give the same corruption. */
export function chooseCorruption(
  { ids, groups, maskId, vocabSize }: CorruptionInput,
  random: () => number,
): Corruption[] {
  const wanted = chosenCount(ids.length);
  const order = shuffle([...groups], random);
  const chosen: Corruption[] = [];
  const choose = (group: readonly number[]): void => {
    for (const position of group) {
      if (random() < MASK_SHARE) chosen.push({ position, action: 'mask', id: maskId });
      else if (random() < KEEP_SHARE) chosen.push({ position, action: 'keep', id: ids[position] as number });
      else chosen.push({ position, action: 'random', id: randomBelow(random, vocabSize) });
    }
  };
  // A word that would be too much is left out; a shorter one after it may still fit.
  for (const group of order) if (chosen.length + group.length <= wanted) choose(group);
  // In a short text of long words none may fit; something is to be learnt from it nevertheless.
  const [shortest] = chosen.length > 0 ? [] : [...order].sort((a, b) => a.length - b.length);
  if (shortest !== undefined) choose(shortest);
  return chosen.sort((a, b) => a.position - b.position);
}

/** The positions of a text's tokens: one by one, or together with the pieces that continue them. */
export function groupsOf(
  ids: ArrayLike<number>,
  special: ArrayLike<number>,
  tokenizer: Pick<LensTokenizer, 'continuesWord'>,
  wholeWord: boolean,
): number[][] {
  const groups: number[][] = [];
  for (let position = 0; position < ids.length; position++) {
    if (special[position] === 1) continue;
    const word = groups.at(-1);
    if (wholeWord && word?.at(-1) === position - 1 && tokenizer.continuesWord(ids[position] as number))
      word.push(position);
    else groups.push([position]);
  }
  return groups;
}

export async function corrupt(
  model: LanguageModel,
  params: Omit<CorruptParams, 'model'>,
  { signal }: RunContext,
): Promise<CorruptResult> {
  const started = performance.now();
  const { info, tokenizer } = model;
  if (requireLanguageModel(info) === 'causal')
    throw new LensError(
      'no-mask-token',
      `The model “${info.id}” reads from left to right and was not trained on masks.`,
      'Choose a masked language model.',
    );
  const mask = requireMask(tokenizer);
  const { text } = params;
  const begin = text.length - text.trimStart().length;
  const window = chooseWindow(text, { start: begin, end: Math.min(text.length, begin + 1) }, tokenizer, {
    maxTokens: info.maxTokens,
  });
  const { ids, special, tokens, ranges } = window.encoding;
  const groups = groupsOf(ids, special, tokenizer, params.wholeWord);
  if (groups.length === 0)
    throw new LensError(
      'bad-input',
      'There is no token in the text: it is empty or only white space.',
      'Select some text.',
    );
  const vocabSize = Math.min(tokenizer.vocabSize, info.vocabSize ?? tokenizer.vocabSize);
  const corruptions = chooseCorruption({ ids, groups, maskId: mask.id, vocabSize }, seededRandom(params.seed));

  const corrupted = ids.slice();
  for (const { position, id } of corruptions) corrupted[position] = id;
  const positions = corruptions.map(({ position }) => position);
  const [distributions] = (await askAll(model, [{ ids: corrupted, positions }], signal)) as [Distribution[]];

  const toDocument = (position: number): { start: number; end: number } | null => {
    const range = ranges[position];
    return range == null ? null : { start: range.start + window.range.start, end: range.end + window.range.start };
  };
  const chosen = corruptions.map(({ position, action, id }, index): CorruptedToken => {
    const distribution = distributions[index] as Distribution;
    const original = ids[position] as number;
    return {
      position,
      range: toDocument(position) ?? window.range,
      original: { id: original, token: tokens[position] ?? '' },
      replacement: { id, token: tokenizer.token(id) },
      action,
      predictions: topPredictions(tokenizer, distribution, params.topK),
      actual: actualToken(tokenizer, distribution, original),
      recovered: distribution.top(1)[0] === original,
    };
  });
  return {
    model: info.id,
    seed: params.seed,
    tokens: Array.from(corrupted, (id, position) => {
      const place = positions.indexOf(position);
      return {
        index: position,
        id,
        token: tokenizer.token(id),
        range: toDocument(position),
        special: special[position] === 1,
        chosen: place < 0 ? null : place,
      };
    }),
    window: windowInfo(text, window.range, ids.length),
    chosen,
    loss: -chosen.reduce((sum, { actual }) => sum + actual.logprob, 0) / chosen.length,
    elapsed: performance.now() - started,
  };
}
