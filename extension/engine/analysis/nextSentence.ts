/** The probability that a second text follows the first, from a next-sentence head (Devlin et al. 2019). */
import type { NextSentenceParams, NextSentenceResult } from '../../protocol/engine';
import { LensError } from '../../protocol/errors';
import { counted } from '../../protocol/format';
import type { LanguageModel } from '../session/languageModel';
import { logSumExp } from './distribution';

/** Label 0: the second follows the first. A pair that is too long loses the begin of the first and the end of the second. */
export async function nextSentence(
  model: LanguageModel,
  params: Omit<NextSentenceParams, 'model'>,
): Promise<NextSentenceResult> {
  const { info, tokenizer } = model;
  if (!info.hasNextSentenceHead)
    throw new LensError(
      'no-nsp-head',
      `The model “${info.id}” has no next-sentence head.`,
      'Choose a model that has one, such as the bundled bert-base-cased.',
    );
  const pair = { first: params.first, second: params.second };
  for (const [which, text] of Object.entries(pair))
    if (text.trim() === '') throw new LensError('bad-input', `The ${which} text is empty.`, 'Select two sentences.');

  const encode = (): ReturnType<typeof tokenizer.encodePair> => tokenizer.encodePair(pair.first, pair.second);
  let { ids, segments } = encode();
  const full = ids.length;
  // Cutting a text can change its tokens a little, so that a second cut can be needed.
  while (ids.length > info.maxTokens) {
    shorten(pair, ids.length - info.maxTokens, tokenizer);
    ({ ids, segments } = encode());
  }
  const logits = await model.nextSentenceLogits([{ ids, segments }]);
  const total = logSumExp(logits);
  const probability = (label: number): number => Math.exp((logits[label] as number) - total);
  return {
    model: info.id,
    isNext: probability(0),
    notNext: probability(1),
    tokens: ids.length,
    notes: [
      ...info.notes.filter((note) => /next-sentence/iu.test(note)),
      ...(full > ids.length
        ? [
            `The two texts have ${counted(full, 'token')} and the model takes ${info.maxTokens}: the begin of the first or the end ` +
              'of the second text was left out.',
          ]
        : []),
    ],
  };
}

/** Takes `excess` tokens away, from the longer text first, as in BERT's training data. */
function shorten(pair: { first: string; second: string }, excess: number, tokenizer: LanguageModel['tokenizer']): void {
  const first = tokenizer.encodeContent(pair.first).ranges;
  const second = tokenizer.encodeContent(pair.second).ranges;
  let [left, right] = [first.length, second.length];
  for (let removed = 0; removed < excess; removed++) {
    if (left > right) left--;
    else right--;
  }
  pair.first = pair.first.slice(first[first.length - left]?.start ?? 0);
  pair.second = pair.second.slice(0, second[right - 1]?.end ?? 0);
}
