import type { TextRange, Token } from '../../protocol/engine';

/** Text as the model reads it. All arrays have one entry a token. */
export interface Encoding {
  ids: Int32Array;
  tokens: string[];
  /** UTF-16 range in the encoded text (of the pair's second text for segment 1), without white space around; null for specials added by the tokenizer. */
  ranges: (TextRange | null)[];
  /** 1 for tokens added by the template ([CLS], <s> …). */
  special: Uint8Array;
  /** Segment ids of the pair template; zeros for a single text. */
  segments: Int32Array;
}

/** The same, token by token. */
export const tokensOf = ({ ids, tokens, ranges, special }: Encoding): Token[] =>
  tokens.map((token, index) => ({
    index,
    id: ids[index] as number,
    token,
    range: ranges[index] ?? null,
    special: special[index] === 1,
  }));
