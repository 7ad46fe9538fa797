/** The part of a text that goes into the model when the whole text is too long for it. */
import type { TextRange, WindowInfo } from '../../protocol/engine';
import { LensError } from '../../protocol/errors';
import { counted } from '../../protocol/format';
import type { Encoding } from '../text/encoding';
import type { LensTokenizer } from '../text/tokenizer';

/** Ranges are those of the text, not of the part. `encoding` is exactly what the tokenizer gives for the part. */
export interface TextWindow {
  range: TextRange;
  text: string;
  encoding: Encoding;
}

export interface WindowOptions {
  maxTokens: number;
  /** Tokens that must stay free beside those of the text, for example for masks. */
  reserve?: number;
  /** `left`: no room is given to what follows the focus; only the rest of its last word is kept. */
  side?: 'both' | 'left';
}

/** Text further away than this from the focus is not even looked at. English has four to five characters a token. */
const CHARACTERS_PER_TOKEN = 16;
/** A word is followed no further than this to its end. */
const LONGEST_WORD = 64;
/** Re-encoding a part can give a few tokens more than it had in the whole; each attempt leaves that many out. */
const MAX_ATTEMPTS = 8;

const SPACE = /\s/u;

/** Indices of the first and last token that share text with the range; null when there is none. */
export function tokensIn(encoding: Encoding, range: TextRange): { first: number; last: number } | null {
  let first = -1;
  let last = -1;
  encoding.ranges.forEach((token, index) => {
    if (token === null || token.start >= range.end || token.end <= range.start) return;
    if (first < 0) first = index;
    last = index;
  });
  return first < 0 ? null : { first, last };
}

/** A place at or after `place` where a word begins, if there is one before `limit`. */
function nextWord(text: string, place: number, limit: number): number {
  if (place <= 0) return 0;
  for (let at = place; at < limit; at++) if (SPACE.test(text.charAt(at))) return at;
  return isLowSurrogate(text, place) ? place + 1 : place;
}

/** A place at or before `place` where a word ends, if there is one after `limit`. */
function previousWordEnd(text: string, place: number, limit: number): number {
  if (place >= text.length) return text.length;
  for (let at = place; at > limit; at--) if (SPACE.test(text.charAt(at))) return at;
  return isLowSurrogate(text, place) ? place - 1 : place;
}

function isLowSurrogate(text: string, place: number): boolean {
  const unit = text.charCodeAt(place);
  return unit >= 0xdc00 && unit <= 0xdfff;
}

/** The end of the word that `place` stands in. */
function wordEnd(text: string, place: number): number {
  const limit = Math.min(text.length, place + LONGEST_WORD);
  let at = place;
  while (at < limit && !SPACE.test(text.charAt(at))) at++;
  return isLowSurrogate(text, at) ? at + 1 : at;
}

/** Something is between the tokens, so that the second begins a word; always so at the begin and the end. */
function isBoundary(encoding: Encoding, index: number): boolean {
  const before = encoding.ranges[index - 1];
  const after = encoding.ranges[index];
  return before == null || after == null || after.start > before.end;
}

/** Byte-level tokens can share one character; between them a text cannot be cut. */
function sharesCharacter(encoding: Encoding, index: number): boolean {
  const before = encoding.ranges[index - 1];
  const after = encoding.ranges[index];
  return before != null && after != null && after.start < before.end;
}

/** The begin of a text, with more of it than a model of `maxTokens` can take. */
export const beginOf = (text: string, maxTokens: number): string =>
  text.slice(0, previousWordEnd(text, Math.min(text.length, maxTokens * CHARACTERS_PER_TOKEN), 0));

/**
 * The largest part around `focus`, as much on its left as on its right, cut between words, whose tokens (specials and
 * `reserve` counted) are at most `maxTokens`. Throws `bad-input` when the focus itself is too long.
 */
export function chooseWindow(
  text: string,
  focus: TextRange,
  tokenizer: LensTokenizer,
  { maxTokens, reserve = 0, side = 'both' }: WindowOptions,
): TextWindow {
  const reach = maxTokens * CHARACTERS_PER_TOKEN;
  const from = nextWord(text, focus.start - reach, focus.start);
  const to =
    side === 'left'
      ? wordEnd(text, focus.end)
      : previousWordEnd(text, Math.min(text.length, focus.end + reach), focus.end);
  const take = (range: TextRange): TextWindow => {
    const part = text.slice(range.start, range.end);
    return { range, text: part, encoding: tokenizer.encode(part) };
  };
  const near = take({ start: from, end: to });
  const excessOf = (window: TextWindow): number => window.encoding.ids.length + reserve - maxTokens;
  if (excessOf(near) <= 0) return near;

  const { encoding } = near;
  const content = Array.from(encoding.ranges.keys()).filter((index) => encoding.ranges[index] !== null);
  const begin = content[0] ?? 0;
  const end = (content.at(-1) ?? -1) + 1;
  const specials = encoding.ids.length - (end - begin);
  const inner = { start: focus.start - from, end: focus.end - from };
  const span = tokensIn(encoding, inner) ?? { first: begin, last: begin - 1 };
  const size = span.last - span.first + 1;
  let free = maxTokens - specials - reserve - size;
  for (let attempt = 0; attempt < MAX_ATTEMPTS && free >= 0; attempt++) {
    const available = { left: span.first - begin, right: end - 1 - span.last };
    const right = side === 'left' ? 0 : Math.min(available.right, Math.max(free >> 1, free - available.left));
    const left = Math.min(available.left, free - right);
    const window = take(cut(near, from, span.first - left, span.last + 1 + right, span, { begin, end }, side));
    const excess = excessOf(window);
    if (excess <= 0) return window;
    free -= excess;
  }
  throw new LensError(
    'bad-input',
    `The selected text has ${counted(size, 'token')}${reserve > 0 ? ` and needs ${counted(reserve, 'token')} more` : ''}; ` +
      `the model takes at most ${maxTokens - specials} at once.`,
    'Select less text.',
  );
}

/** The text range of the tokens [first, last), drawn in to word boundaries where there are any outside of the span. */
function cut(
  { text, encoding, range }: TextWindow,
  from: number,
  first: number,
  last: number,
  span: { first: number; last: number },
  content: { begin: number; end: number },
  side: 'both' | 'left',
): TextRange {
  let low = first;
  while (low < span.first && !isBoundary(encoding, low)) low++;
  if (low === span.first && !isBoundary(encoding, low)) low = first;
  while (low < span.first && sharesCharacter(encoding, low)) low++;
  let high = last;
  while (high > span.last + 1 && !isBoundary(encoding, high)) high--;
  if (high === span.last + 1 && !isBoundary(encoding, high)) high = last;
  while (high > span.last + 1 && sharesCharacter(encoding, high)) high--;
  let start = from + (encoding.ranges[low]?.start ?? 0);
  // The space before a word belongs to its token in many vocabularies.
  if (start > from && text.charAt(start - from - 1) === ' ') start--;
  if (low === content.begin) start = range.start;
  const end =
    high >= content.end || side === 'left' ? range.end : from + (encoding.ranges[high - 1]?.end ?? text.length);
  return { start, end };
}

export function windowInfo(text: string, range: TextRange, tokens: number): WindowInfo {
  return {
    range,
    tokens,
    // White space left out at an end is no loss.
    truncatedStart: text.slice(0, range.start).trim() !== '',
    truncatedEnd: text.slice(range.end).trim() !== '',
  };
}
