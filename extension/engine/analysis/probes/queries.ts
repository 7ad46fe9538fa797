/** A sentence with a blank → the input row, the place where the answer is predicted, and the answer's tokens in that place. */
import type { AnswerCheck, ProbeSkip } from '../../../protocol/probes';
import type { LensTokenizer } from '../../text/tokenizer';
import { requireMask } from '../masking';

/** The text on both sides of the blank. */
export interface Blank {
  before: string;
  after: string;
}

export interface QueryRow {
  ids: Int32Array;
  /** Where the distributions are read, one a token of the answer. */
  positions: number[];
}

export interface Skip {
  why: ProbeSkip;
  detail: string;
}
export const skip = (why: ProbeSkip, detail: string): Skip => ({ why, detail });
export const isSkip = (value: object): value is Skip => 'why' in value;

/** What the two kinds of model make of a blank. */
export interface QueryMaker {
  /** A row in which `count` tokens are asked for. */
  row(blank: Blank, count: number): QueryRow | Skip;
  /** The model can be asked for what stands between these texts. */
  canAsk(after: string): boolean;
}

const PLACEHOLDER = '[MASK]';
const WORD = /[\p{L}\p{N}]/u;

export function maskedQueries(tokenizer: LensTokenizer, maxTokens: number): QueryMaker {
  const mask = requireMask(tokenizer);
  return {
    canAsk: () => true,
    row: ({ before, after }, count) => {
      // Further masks of a sentence stay, as in LAMA, which asks at the first.
      const text = before + mask.token.repeat(count) + after.replaceAll(PLACEHOLDER, mask.token);
      const { ids, ranges, special } = tokenizer.encode(text);
      if (ids.length > maxTokens) return tooLong(ids.length, maxTokens);
      const end = before.length + count * mask.token.length;
      const positions: number[] = [];
      for (let index = 0; index < ids.length; index++) {
        const range = ranges[index];
        const id = ids[index] as number;
        if (special[index] === 1 || range == null) continue;
        if (id === mask.id && range.end <= end && range.end > before.length) positions.push(index);
        else if (
          isLiteralSpecial(tokenizer, id, text.slice(range.start, range.end)) &&
          !(id === mask.id && range.start >= end)
        )
          return skip('special token in the text', `“${tokenizer.token(id)}” stands in it`);
      }
      if (positions.length === count) return { ids, positions };
      return skip('special token in the text', `the tokenizer does not read “${mask.token}” there as its mask`);
    },
  };
}

/** Left to right: what stands after the blank is not seen, so it may be no more than punctuation. */
export function causalQueries(tokenizer: LensTokenizer, maxTokens: number): QueryMaker {
  const start = tokenizer.wrap(new Int32Array(0));
  const begin = [...start.ids.subarray(0, start.offset)];
  return {
    canAsk: (after) => !WORD.test(after),
    row: ({ before }, count) => {
      const text = before.trimEnd();
      const { ids: content, ranges } = tokenizer.encodeContent(text);
      const ids = Int32Array.from([...begin, ...content]);
      if (ids.length === 0) return skip('no usable template', 'nothing stands to the left of the answer');
      if (ids.length + count - 1 > maxTokens) return tooLong(ids.length + count - 1, maxTokens);
      for (let index = 0; index < content.length; index++) {
        const range = ranges[index];
        const id = content[index] as number;
        if (range != null && isLiteralSpecial(tokenizer, id, text.slice(range.start, range.end)))
          return skip('special token in the text', `“${tokenizer.token(id)}” stands in it`);
      }
      return { ids, positions: Array.from({ length: count }, (_, index) => ids.length - 1 + index) };
    },
  };
}

const tooLong = (tokens: number, most: number): Skip =>
  skip('too long for the model', `${tokens} tokens; the model takes ${most}`);

/** Written out in the text. An unknown character becomes a special token too, and may stand in a subject. */
const isLiteralSpecial = (tokenizer: LensTokenizer, id: number, text: string): boolean =>
  tokenizer.isSpecial(id) && text === tokenizer.token(id);

/** The last characters of the text before an answer that can change how the answer is cut. */
const LONGEST_TAIL = 64;
/** Any word with a space after it: what stands before a space does not matter. */
const AFTER_SPACE = 'a ';

export function tailOf(before: string): string {
  if (/\s$/u.test(before)) return AFTER_SPACE;
  const end = before.slice(-LONGEST_TAIL);
  // Marks part words from each other in every alphabet, so that what stands before them does not matter either.
  return (/[^\s\p{L}\p{N}\p{M}]+$/u.exec(end) ?? /\S*$/u.exec(end))?.[0] ?? '';
}

/** Words cut under one time limit. */
const WORDS_TOGETHER = 1000;
/** Words that a tokenizer's tails remember, all together. */
const MOST_KNOWN = 2 ** 20;
const knownTails = new WeakMap<LensTokenizer, Map<string, AnswerTokens>>();

/** Shared by requests: a vocabulary file has tens of thousands of words, and comes with each. */
export function answerTokens(tokenizer: LensTokenizer, tail: string): AnswerTokens {
  const tails = knownTails.get(tokenizer) ?? new Map<string, AnswerTokens>();
  knownTails.set(tokenizer, tails);
  if ([...tails.values()].reduce((sum, { size }) => sum + size, 0) > MOST_KNOWN) tails.clear();
  const own = tails.get(tail) ?? new AnswerTokens(tokenizer, tail);
  tails.set(tail, own);
  return own;
}

/** How words are cut behind a tail; remembered, since the same answers come again and again. */
export class AnswerTokens {
  private readonly known = new Map<string, Int32Array | Skip>();

  constructor(
    private readonly tokenizer: LensTokenizer,
    private readonly tail: string,
  ) {}

  of(answer: string): Int32Array | Skip {
    const known = this.known.get(answer) ?? this.cut(answer);
    this.known.set(answer, known);
    return known;
  }

  /** Words that are remembered. */
  get size(): number {
    return this.known.size;
  }

  /** Ids of those words that are one token, ascending. */
  single(words: readonly string[]): Int32Array {
    const ids = new Set<number>();
    for (let start = 0; start < words.length; start += WORDS_TOGETHER)
      this.tokenizer.together(() => {
        for (const word of words.slice(start, start + WORDS_TOGETHER)) {
          const cut = this.of(word);
          if (!isSkip(cut) && cut.length === 1) ids.add(cut[0] as number);
        }
      });
    return Int32Array.from(ids).sort();
  }

  private cut(answer: string): Int32Array | Skip {
    const { tokenizer, tail } = this;
    if (answer === PLACEHOLDER || answer === tokenizer.maskToken) return skip('answer is the mask', `“${answer}”`);
    const { ids, ranges } = tokenizer.encodeContent(tail + answer);
    const border = tail.trimEnd().length;
    const own: number[] = [];
    for (let index = 0; index < ids.length; index++) {
      const range = ranges[index];
      if (range == null || range.end <= border) continue;
      if (range.start < border)
        return skip('answer is not cut at its ends', `“${answer}” shares a token with “${tail}” before it`);
      own.push(ids[index] as number);
    }
    if (own.length === 0) return skip('answer has no token', `“${answer}”`);
    const special = own.find((id) => tokenizer.isSpecial(id));
    if (special !== undefined)
      return skip('answer is unknown to the tokenizer', `“${answer}” is read as ${tokenizer.token(special)}`);
    return Int32Array.from(own);
  }
}

/** What becomes of answers in their place: how many tokens, or why they cannot be asked for. */
export function checkAnswers(
  tokenizer: LensTokenizer,
  groups: readonly { before: string; answers: readonly string[] }[],
): AnswerCheck[][] {
  const byTail = new Map<string, AnswerTokens>();
  return groups.map(({ before, answers }) => {
    const tail = tailOf(before);
    const tokens = byTail.get(tail) ?? new AnswerTokens(tokenizer, tail);
    byTail.set(tail, tokens);
    return answers.map((answer) => {
      const cut = tokens.of(answer);
      return isSkip(cut) ? { tokens: 0, why: cut.why } : { tokens: cut.length, why: null };
    });
  });
}
