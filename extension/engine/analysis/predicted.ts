/** Which prediction is meant by a token: that at the token itself, or, where the model reads from left to right, that before it. */
import { LensError } from '../../protocol/errors';
import type { Internals } from '../session/internals';

type Model = Pick<Internals, 'info' | 'tokenizer'>;

export const isCausal = ({ info }: Pick<Internals, 'info'>): boolean => info.anatomy.causal ?? info.kind === 'causal';

/** The first mask, or what comes after the text. Throws `bad-input` when there is no mask. */
export function predictedByDefault(model: Model, ids: Int32Array): number {
  if (isCausal(model)) return ids.length;
  const { maskId, maskToken } = model.tokenizer;
  const position = maskId === null ? -1 : ids.indexOf(maskId);
  if (position >= 0) return position;
  throw new LensError(
    'bad-input',
    'There is no mask in the text, so it is not clear which prediction is meant.',
    maskToken === null ? 'Say which token.' : `Say which token, or write ${maskToken} in place of one.`,
  );
}

/** Where the logits for the token at `target` are. Throws `bad-input`. */
export function predictedAt(model: Pick<Model, 'info'>, target: number, length: number): number {
  const causal = isCausal(model);
  if (causal && target === 0)
    throw new LensError(
      'bad-input',
      'Nothing stands to the left of the first token, so this model gives it no probability.',
      `Ask for a token from 1 to ${length}; ${length} is what comes after the text.`,
    );
  if (target > (causal ? length : length - 1))
    throw new LensError(
      'bad-input',
      `There is no token ${target} to be predicted; the text has ${length}, counted from 0.`,
      causal ? `${length} is what comes after the text.` : 'Ask for one of these.',
    );
  return causal ? target - 1 : target;
}
