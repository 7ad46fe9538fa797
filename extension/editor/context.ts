/**
 * Which text around a selection goes to the engine. Pure: works on a bounded slice of the document, never on the document.
 * Offsets are UTF-16 code units. Nothing inside the chosen text is dropped or replaced.
 */
import type { TextRange } from '../protocol/engine';
import { LensError } from '../protocol/errors';
import { count } from '../protocol/format';
import type { ContextKind } from '../protocol/view';

/** Characters read on each side of the selections. */
export const REACH = 8_000;
/** Longest text that is taken from a document at once. */
export const MAX_TEXT = 64_000;

/** A piece of a document. `atStart`, `atEnd`: nothing of the document lies before, behind it. */
export interface TextSlice {
  text: string;
  /** Offset of the slice in the document. */
  start: number;
  atStart: boolean;
  atEnd: boolean;
}

export interface ContextText {
  text: string;
  /** Offset of `text` in the document. */
  windowStart: number;
  kind: ContextKind;
}

const BLANK_LINE = /(?:\r\n|\r(?!\n)|\n)[^\S\r\n]*(?:\r\n|\r|\n)/g;
/** What begins a line of its own in plain text and Markdown: bullets, numbers, headings, quotes, table rows. */
const LINE_MARKER = /^[^\S\r\n]*(?:[-*+#>|]|#{2,6}|\d{1,3}[.)])(?:[^\S\r\n]|$)/;
const HEADING = /^[^\S\r\n]*#{1,6}[^\S\r\n]/;
/** Unicode's rules end a sentence after these, before a capital letter. */
const ABBREVIATION = /(?:^|[\s(\p{Pi}"'])(?:Mr|Mrs|Ms|Dr|Prof|St|Mt|Jr|Sr|vs|cf|Fig|No|e\.g|i\.e|\p{Lu})\.\s*$/u;

/** The smallest range that holds all of them. Throws `bad-input` without any. */
export function hull(ranges: readonly TextRange[]): TextRange {
  const first = ranges[0];
  if (first === undefined) throw new LensError('bad-input', 'Nothing is selected.', 'Select a word and try again.');
  let { start, end } = first;
  for (const range of ranges) {
    start = Math.min(start, range.start);
    end = Math.max(end, range.end);
  }
  return { start, end };
}

/** Which part of the document to read for these selections. Throws `bad-input` when they lie too far apart. */
export function rangeToRead(ranges: readonly TextRange[], reach = REACH): TextRange {
  const { start, end } = hull(ranges);
  if (end - start > MAX_TEXT - 2 * REACH) {
    throw new LensError(
      'bad-input',
      `The selections span ${count(end - start)} characters; at most ${count(MAX_TEXT - 2 * REACH)} can be predicted at once.`,
      'Select less, or use “Color by Surprisal” for long texts.',
    );
  }
  return { start: Math.max(0, start - reach), end: end + reach };
}

/** The text around the selections (document offsets, inside the slice). */
export function chooseContext(slice: TextSlice, ranges: readonly TextRange[], kind: ContextKind): ContextText {
  const all = hull(ranges);
  const inner = { start: all.start - slice.start, end: all.end - slice.start };
  if (inner.start < 0 || inner.end > slice.text.length || inner.end < inner.start) {
    throw new LensError('bad-input', 'The selection lies outside the text that was read.', 'Select again.');
  }
  let chosen = wholeCharacters(slice, inner);
  if (kind !== 'window') chosen = paragraphAround(slice.text, inner, chosen);
  if (kind === 'sentence') chosen = sentencesAround(slice.text, inner, chosen);
  return { text: slice.text.slice(chosen.start, chosen.end), windowStart: slice.start + chosen.start, kind };
}

/** The slice without a word, or half a surrogate pair, that its ends cut. */
function wholeCharacters(slice: TextSlice, keep: TextRange): TextRange {
  const { text } = slice;
  let start = 0;
  let end = text.length;
  if (!slice.atStart) {
    const space = text.slice(0, Math.min(keep.start, 200)).search(/\s/);
    if (space >= 0) start = space;
    else if (isLowSurrogate(text, 0) && keep.start > 0) start = 1;
  }
  if (!slice.atEnd) {
    const from = Math.max(keep.end, end - 200);
    const space = /\s\S*$/.exec(text.slice(from));
    if (space !== null) end = from + space.index;
    else if (isLowSurrogate(text, end) || (isHighSurrogate(text, end - 1) && keep.end < end)) end -= 1;
  }
  return { start, end };
}

const isHighSurrogate = (text: string, at: number): boolean => (text.charCodeAt(at) & 0xfc00) === 0xd800;
const isLowSurrogate = (text: string, at: number): boolean => (text.charCodeAt(at) & 0xfc00) === 0xdc00;

/** From the blank line before the selection to the blank line behind it. */
function paragraphAround(text: string, keep: TextRange, within: TextRange): TextRange {
  let { start, end } = within;
  for (const match of text.slice(0, keep.start).matchAll(BLANK_LINE))
    start = Math.max(start, match.index + match[0].length);
  const next = text.slice(keep.end, within.end).search(BLANK_LINE);
  if (next >= 0) end = keep.end + next;
  return trimmed(text, { start, end }, keep);
}

/** The sentences that the selection touches. */
function sentencesAround(text: string, keep: TextRange, within: TextRange): TextRange {
  const sentences = segmentSentences(text.slice(within.start, within.end));
  const first = sentences.findLast((sentence) => within.start + sentence.start <= keep.start);
  const last = sentences.find((sentence) => within.start + sentence.end >= keep.end);
  const start = within.start + (first?.start ?? 0);
  const end = last === undefined ? within.end : within.start + last.end;
  return trimmed(text, { start, end }, keep);
}

/** The sentences of a text, without the white space around them. */
export function sentencesOf(text: string): TextRange[] {
  return segmentSentences(text)
    .map((range) => trimmed(text, range, { start: range.end, end: range.start }))
    .filter(({ start, end }) => start < end);
}

function segmentSentences(text: string): TextRange[] {
  const sentences: TextRange[] = [];
  let open = false;
  const segmenter = new Intl.Segmenter('en', { granularity: 'sentence' });
  for (const { segment, index } of segmenter.segment(joinWrappedLines(text))) {
    const end = index + segment.length;
    const last = sentences.at(-1);
    if (open && last !== undefined) last.end = end;
    else sentences.push({ start: index, end });
    open = ABBREVIATION.test(segment.slice(-12));
  }
  return sentences;
}

/** A line break inside a paragraph is a space to a reader, and would end a sentence to the segmenter. Keeps all offsets. */
function joinWrappedLines(paragraph: string): string {
  return paragraph.replace(/\r\n|\r|\n/g, (lineBreak: string, at: number) => {
    const next = paragraph.slice(at + lineBreak.length, at + lineBreak.length + 80);
    const line =
      paragraph
        .slice(Math.max(0, at - 200), at)
        .split(/[\r\n]/)
        .at(-1) ?? '';
    return LINE_MARKER.test(next) || HEADING.test(line) ? lineBreak : ' '.repeat(lineBreak.length);
  });
}

/** Without the white space at its ends, as far as that does not cut into `keep`. */
function trimmed(text: string, range: TextRange, keep: TextRange): TextRange {
  let { start, end } = range;
  while (start < Math.min(keep.start, end) && /\s/.test(text.charAt(start))) start += 1;
  while (end > Math.max(keep.end, start) && /\s/.test(text.charAt(end - 1))) end -= 1;
  return { start, end };
}

/**
 * The word at an offset, or, when that lies between two, the one it touches: first the one behind, then the one before.
 * Punctuation counts when `punctuation` is set. Null in white space.
 */
export function wordAt(text: string, offset: number, punctuation = true): TextRange | null {
  const segmenter = new Intl.Segmenter(undefined, { granularity: 'word' });
  const touching: { range: TextRange; word: boolean }[] = [];
  for (const { segment, index, isWordLike } of segmenter.segment(text)) {
    const range = { start: index, end: index + segment.length };
    if (range.start > offset) break;
    if (range.end < offset || segment.trim() === '') continue;
    touching.push({ range, word: isWordLike === true });
  }
  const words = touching.filter(({ word }) => word);
  return (words.at(-1) ?? (punctuation ? touching.at(-1) : undefined))?.range ?? null;
}

/** A literal mask token around the offset, its ends included. */
export function maskTokenAt(text: string, offset: number, maskTokens: readonly string[]): TextRange | null {
  for (const mask of maskTokens) {
    for (let at = text.indexOf(mask); at >= 0; at = text.indexOf(mask, at + 1)) {
      if (at <= offset && offset <= at + mask.length) return { start: at, end: at + mask.length };
    }
  }
  return null;
}

/** Where a range stands after an edit replaced `length` characters at `offset` by `inserted`. */
export function shifted(range: TextRange, edit: { offset: number; length: number; inserted: number }): TextRange {
  const editEnd = edit.offset + edit.length;
  const delta = edit.inserted - edit.length;
  if (editEnd <= range.start) return { start: range.start + delta, end: range.end + delta };
  if (edit.offset >= range.end) return range;
  return {
    start: Math.min(range.start, edit.offset),
    end: editEnd >= range.end ? edit.offset + edit.inserted : range.end + delta,
  };
}

/** Where to end a piece of at most `limit` characters: after a blank line, a line, a sentence or a word if possible. */
export function cutPoint(text: string, limit: number): number {
  if (text.length <= limit) return text.length;
  const head = text.slice(0, limit);
  const half = limit / 2;
  for (const separator of ['\n\n', '\r\n\r\n', '\n', '. ', ' ']) {
    const at = head.lastIndexOf(separator);
    if (at > half) return at + separator.length;
  }
  return isHighSurrogate(text, limit - 1) ? limit - 1 : limit;
}
