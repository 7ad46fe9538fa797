/** What a model reads of a text. */
import type { AttentionInput, InputTokens } from '../../../protocol/attention';
import type { Internals } from '../../session/internals';
import { isCausal } from '../predicted';
import { prepareInput } from './input';

/** Throws as `prepareInput`. */
export function inputTokens(
  model: Pick<Internals, 'info' | 'tokenizer'>,
  params: Omit<AttentionInput, 'model'>,
): InputTokens {
  const { tokens, window } = prepareInput(model, params);
  const causal = isCausal(model);
  return { tokens, window, causal, mask: causal || model.info.vocabSize === null ? null : model.tokenizer.maskToken };
}
