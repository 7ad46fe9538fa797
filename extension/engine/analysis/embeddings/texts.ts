/** Texts as rows of tokens with their words; what is too long for the model is cut at its end. */
import type { TextRange, WindowInfo } from '../../../protocol/engine';
import { LensError } from '../../../protocol/errors';
import { wordIndices, wordText } from '../../../protocol/words';
import type { Internals } from '../../session/internals';
import type { InputRow } from '../../session/languageModel';
import { tokensOf, type Encoding } from '../../text/encoding';
import { beginOf, windowInfo } from '../window';

/** A token, or the pieces of a word together. */
export interface Unit {
  label: string;
  range: TextRange | null;
  special: boolean;
  /** Indices of its tokens. */
  tokens: number[];
}

export interface TextRow {
  row: InputRow;
  tokens: Unit[];
  /** Without special tokens. */
  words: Unit[];
  window: WindowInfo;
}

/** Throws `bad-input` for a text without a token. */
export function textRow(
  { tokenizer, info }: Pick<Internals, 'tokenizer' | 'info'>,
  text: string,
  maxTokens = info.maxTokens,
): TextRow {
  const encoding = shortened(tokenizer.encode(beginOf(text, maxTokens)), maxTokens);
  if (encoding.ids.length === 0)
    throw new LensError('bad-input', 'The text is empty.', 'Give a text of at least one token.');
  const tokens = tokensOf(encoding);
  const words: Unit[] = [];
  const indices = wordIndices(tokens);
  for (const [index, token] of tokens.entries()) {
    if (token.special || token.range === null) continue;
    const last = words.at(-1);
    if (last !== undefined && indices[last.tokens[0] as number] === indices[index]) {
      last.tokens.push(index);
      last.range = { start: last.range?.start ?? 0, end: token.range.end };
    } else words.push({ label: '', range: token.range, special: false, tokens: [index] });
  }
  for (const word of words) word.label = wordText(word.tokens.map((index) => tokens[index]?.token ?? ''));
  const end = tokens.findLast(({ range }) => range !== null)?.range?.end ?? 0;
  // What is after the last token that was kept did not go in.
  const cut = text.slice(end).trim() !== '' && encoding.ids.length >= maxTokens;
  return {
    row: { ids: encoding.ids, segments: encoding.segments },
    tokens: tokens.map(({ token, range, special }, index) => ({ label: token, range, special, tokens: [index] })),
    words,
    window: windowInfo(text, { start: 0, end: cut ? end : text.length }, encoding.ids.length),
  };
}

/** Without as many tokens of the text, from its end, as are too many. */
function shortened(encoding: Encoding, maxTokens: number): Encoding {
  const excess = encoding.ids.length - maxTokens;
  if (excess <= 0) return encoding;
  const end = encoding.ranges.findLastIndex((range) => range !== null) + 1;
  const kept = (_: unknown, index: number): boolean => index < end - excess || index >= end;
  return {
    ids: encoding.ids.filter(kept),
    tokens: encoding.tokens.filter(kept),
    ranges: encoding.ranges.filter(kept),
    special: encoding.special.filter(kept),
    segments: encoding.segments.filter(kept),
  };
}
