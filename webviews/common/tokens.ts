/** Tokens of a result as strip tokens. */
import type { Token } from '../../extension/protocol/engine';
import { readable } from '../../extension/protocol/format';
import type { StripToken } from './tokenStrip';

export function stripTokens<T extends Token>(
  tokens: readonly T[],
  lookOf: (token: T) => Pick<StripToken, 'look' | 'tag'> & { title?: string },
): StripToken[] {
  let end = -1;
  let wasMask = false;
  return tokens.map((token): StripToken => {
    const { look, title, tag } = lookOf(token);
    const glued =
      token.range !== null &&
      token.range.start === end &&
      /^[\p{L}\p{N}#▁]/u.test(token.token) &&
      !wasMask &&
      look !== 'mask';
    wasMask = look === 'mask';
    end = token.range?.end ?? -1;
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
