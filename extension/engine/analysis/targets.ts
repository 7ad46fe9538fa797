/** What a person asked to be masked, cleaned up and checked, and how it stands to the tokens. */
import type { MaskTarget, TextRange } from '../../protocol/engine';
import { LensError } from '../../protocol/errors';
import { counted } from '../../protocol/format';
import type { Encoding } from '../text/encoding';
import type { LensTokenizer } from '../text/tokenizer';
import { tokensIn } from './window';

export interface Target {
  /** Without white space at its ends. */
  range: TextRange;
  text: string;
  masks: number | 'auto';
  /** A mask token, or `[MASK]` in its place: there is no text under it. */
  placeholder: boolean;
}

/** People write this for every model, whatever its own mask token is. */
const COMMON_PLACEHOLDER = '[MASK]';
/** How much of a word is quoted in a note. */
const QUOTED_CHARACTERS = 32;

function placeholdersOf(tokenizer: LensTokenizer): string[] {
  return [...new Set([COMMON_PLACEHOLDER, ...(tokenizer.maskToken === null ? [] : [tokenizer.maskToken])])];
}

/** The mask tokens and placeholders that stand in the text. */
export function findPlaceholders(text: string, tokenizer: LensTokenizer): TextRange[] {
  const ranges: TextRange[] = [];
  for (const name of placeholdersOf(tokenizer))
    for (let start = text.indexOf(name); start >= 0; start = text.indexOf(name, start + name.length))
      ranges.push({ start, end: start + name.length });
  return ranges.sort((a, b) => a.start - b.start);
}

/**
 * In the order in which they were given. Throws `bad-input` for ranges outside of the text, empty or overlapping ones,
 * and when there is nothing to predict.
 */
export function readTargets(text: string, given: readonly MaskTarget[], tokenizer: LensTokenizer): Target[] {
  const wanted = given.length > 0 ? given : findPlaceholders(text, tokenizer).map((range): MaskTarget => ({ range }));
  if (wanted.length === 0)
    throw new LensError(
      'bad-input',
      'Nothing is selected, and there is no mask in the text.',
      `Select a word, or write ${COMMON_PLACEHOLDER} where a word is to be predicted.`,
    );
  const names = placeholdersOf(tokenizer);
  const targets = wanted.map(({ range, masks = 'auto' }): Target => {
    if (range.start < 0 || range.end > text.length || range.start > range.end)
      throw new LensError('bad-input', `The range ${range.start}–${range.end} is not inside the text.`);
    const whole = text.slice(range.start, range.end);
    const trimmed = whole.trim();
    if (trimmed === '')
      throw new LensError(
        'bad-input',
        'The selection is empty or only white space.',
        'Select a word or a part of one.',
      );
    const start = range.start + whole.indexOf(trimmed);
    return {
      range: { start, end: start + trimmed.length },
      text: trimmed,
      masks,
      placeholder: names.includes(trimmed),
    };
  });
  inTextOrder(targets).reduce<Target | undefined>((before, target) => {
    if (before !== undefined && before.range.end > target.range.start)
      throw new LensError(
        'bad-input',
        `The selections “${quote(before.text)}” and “${quote(target.text)}” overlap.`,
        'Select places that do not overlap.',
      );
    return target;
  }, undefined);
  return targets;
}

export function inTextOrder<T extends { range: TextRange }>(targets: readonly T[]): T[] {
  return [...targets].sort((a, b) => a.range.start - b.range.start);
}

/** From the begin of the first to the end of the last. */
export function hull(targets: readonly { range: TextRange }[]): TextRange {
  return {
    start: Math.min(...targets.map(({ range }) => range.start)),
    end: Math.max(...targets.map(({ range }) => range.end)),
  };
}

export interface Fit {
  first: number;
  last: number;
  /** The range begins and ends where its first and last token do. */
  startsWithToken: boolean;
  endsWithToken: boolean;
}

/** The tokens under a range of the encoded text. Throws `bad-input` when the tokenizer drops that text. */
export function fitOf(encoding: Encoding, range: TextRange, text: string): Fit {
  const span = tokensIn(encoding, range);
  if (span === null)
    throw new LensError(
      'bad-input',
      `The tokenizer leaves out “${quote(text)}”, so there is no token to predict.`,
      'Select other text.',
    );
  return {
    ...span,
    startsWithToken: encoding.ranges[span.first]?.start === range.start,
    endsWithToken: encoding.ranges[span.last]?.end === range.end,
  };
}

export const isWhole = (fit: Fit): boolean => fit.startsWithToken && fit.endsWithToken;

/** Says where the range cuts a token, and what the model reads there instead. */
export function cutNote(encoding: Encoding, fit: Fit, sees: string): string {
  const name = (index: number): string => quote(encoding.tokens[index] ?? '');
  const where =
    fit.startsWithToken || fit.endsWithToken
      ? fit.startsWithToken
        ? `ends inside the token ${name(fit.last)}`
        : `starts inside the token ${name(fit.first)}`
      : fit.first === fit.last
        ? `starts and ends inside the token ${name(fit.first)}`
        : `starts inside the token ${name(fit.first)} and ends inside the token ${name(fit.last)}`;
  return `The selection ${where}; the model sees ${sees}.`;
}

/** Why there is nothing to compare the masks with, if another number of masks was wanted. */
export function countNote(tokens: number, masks: number): string {
  return `The text there has ${counted(tokens, 'token')}, the masks are ${masks}; so there is no rank of what stood there.`;
}

/** The word around [start, end) of a text, shortened. */
export function wordAround(text: string, start: number, end: number): string {
  const before = /\S*$/u.exec(text.slice(Math.max(0, start - QUOTED_CHARACTERS), start))?.[0] ?? '';
  const after = /^\S*/u.exec(text.slice(end, end + QUOTED_CHARACTERS))?.[0] ?? '';
  return before + text.slice(start, end) + after;
}

function quote(text: string): string {
  return text.length <= QUOTED_CHARACTERS ? text : `${text.slice(0, QUOTED_CHARACTERS)}…`;
}
