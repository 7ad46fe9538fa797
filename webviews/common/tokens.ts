/** Tokens of a result as strip tokens. */
import type { Token } from '../../extension/protocol/engine';
import { readable } from '../../extension/protocol/format';
import { wordIndices } from '../../extension/protocol/words';
import type { StripToken } from './tokenStrip';

export function stripTokens<T extends Token>(
  tokens: readonly T[],
  lookOf: (token: T) => Pick<StripToken, 'look' | 'tag'> & { title?: string },
): StripToken[] {
  const words = wordIndices(tokens);
  let wasMask = false;
  return tokens.map((token, index): StripToken => {
    const { look, title, tag } = lookOf(token);
    // A mask stands apart, even in the middle of a word.
    const glued = index > 0 && words[index] === words[index - 1] && !wasMask && look !== 'mask';
    wasMask = look === 'mask';
    return {
      text: token.special || look === 'mask' ? token.token : readable(token.token),
      glued,
      special: token.special,
      look,
      ...(tag === undefined ? {} : { tag }),
      title: title ?? `${token.token}, token ${token.index}${token.special ? '' : ': mask it'}`,
    };
  });
}
