/**
 * Which pieces of a vocabulary make one word: the one rule for all views and analyses. Pieces belong together when they share a
 * character or touch each other between letters or digits, whatever the tokenizer's marks are (`##ius`, `Ġthe`, `▁the`, `the</w>`).
 */
import type { Token } from './engine';
import { readable } from './format';

/** A piece, and of a pair which text it stands in. */
export type Piece = Pick<Token, 'token' | 'range'> & { text?: 0 | 1 };

const WORD_BEGINS = /^[\p{L}\p{M}\p{N}]/u;
const WORD_ENDS = /[\p{L}\p{M}\p{N}]$/u;
/** WordPiece says itself that a piece goes on. */
const CONTINUES = /^##./u;
const APOSTROPHE = /^['’]$/u;
/** Scripts without spaces between words: that pieces touch says nothing, and each is a unit of its own. */
const UNSPACED =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;

/** For each token the index of its word, from 0. What is no letter or digit is a word of its own, and so is every special token. */
export function wordIndices(tokens: readonly Piece[]): number[] {
  let word = -1;
  return tokens.map((_, index) => {
    if (!goesOn(tokens, index)) word++;
    return word;
  });
}

function goesOn(tokens: readonly Piece[], index: number): boolean {
  const token = tokens[index];
  const before = tokens[index - 1];
  if (token?.range == null || before?.range == null || token.text !== before.text) return false;
  // Bytes of one character: such a piece begins before the one before it ends.
  const shares = token.range.start < before.range.end && token.range.start >= before.range.start;
  if (shares) return true;
  if (token.range.start !== before.range.end) return false;
  if (CONTINUES.test(token.token)) return true;
  const [last, next] = [readable(before.token), readable(token.token)];
  if (!WORD_BEGINS.test(next) || UNSPACED.test(next) || UNSPACED.test(last)) return false;
  if (WORD_ENDS.test(last)) return true;
  // The end of “don't”; an apostrophe after a space opens a quotation.
  const earlier = tokens[index - 2];
  return APOSTROPHE.test(last) && earlier?.range?.end === before.range.start && WORD_ENDS.test(readable(earlier.token));
}

/** What a person reads where these pieces of one word stand. */
export function wordText(pieces: readonly string[]): string {
  return readable(pieces.map((piece, index) => (index === 0 ? piece : piece.replace(/^##(?=.)/u, ''))).join(''));
}
