/** The text of a question about attention → what runs through the model, token by token. */
import type { AttentionInput, AttentionToken, AttentionUnit, HeadRef } from '../../../protocol/attention';
import type { TextRange, WindowInfo } from '../../../protocol/engine';
import { LensError } from '../../../protocol/errors';
import { counted } from '../../../protocol/format';
import { wordIndices, wordText } from '../../../protocol/words';
import type { Anatomy } from '../../anatomy/anatomy';
import type { Block } from '../../anatomy/blocks';
import type { Internals } from '../../session/internals';
import type { InputRow } from '../../session/languageModel';
import { tokensOf, type Encoding } from '../../text/encoding';
import type { LensTokenizer } from '../../text/tokenizer';
import { requireMask } from '../masking';
import { longestFirst, shortenPair, textsOfPair } from '../pairs';
import { beginOf, chooseWindow, windowInfo } from '../window';

export interface PreparedInput {
  row: InputRow;
  tokens: AttentionToken[];
  window: WindowInfo;
  /** What a person should know of it. */
  notes: string[];
}

/** Tokens before masks are put in, with ranges of the whole texts. */
interface Encoded {
  encoding: Encoding;
  texts: (0 | 1)[];
  window: WindowInfo;
  notes: string[];
}

/** Throws `bad-input` for texts without tokens and for ranges that are not in the text; `no-mask-token`. */
export function prepareInput(
  { info, tokenizer }: Pick<Internals, 'info' | 'tokenizer'>,
  { text, pair, around, masked = [] }: Omit<AttentionInput, 'model' | 'interventions'>,
): PreparedInput {
  for (const range of [...(around === undefined ? [] : [around]), ...masked])
    if (range.end > text.length)
      throw new LensError('bad-input', `The range ${range.start}–${range.end} is not inside the text.`);
  const { encoding, texts, window, notes } =
    pair === undefined
      ? encodeOne(tokenizer, text, around ?? masked[0] ?? { start: 0, end: 0 }, info.maxTokens)
      : encodeTwo(tokenizer, text, pair, info.maxTokens);
  if (encoding.ids.length === 0)
    throw new LensError('bad-input', 'The text is empty.', 'Give a text of at least one token.');
  const plain = tokensOf(encoding).map((token, index) => ({ ...token, text: texts[index] as 0 | 1 }));
  // Words are those of the text, so that a masked and an unmasked run have the same.
  const words = wordIndices(plain);
  const tokens = plain.map((token, index): AttentionToken => ({ ...token, word: words[index] as number }));
  const replaced = masked.length === 0 ? tokens : withMasks(tokens, masked, tokenizer, window);
  return {
    row: { ids: Int32Array.from(replaced, ({ id }) => id), segments: encoding.segments },
    tokens: replaced,
    window,
    notes,
  };
}

function encodeOne(tokenizer: LensTokenizer, text: string, focus: TextRange, maxTokens: number): Encoded {
  const { range, encoding } = chooseWindow(text, focus, tokenizer, { maxTokens });
  const ranges = encoding.ranges.map((each) =>
    each === null ? null : { start: each.start + range.start, end: each.end + range.start },
  );
  return {
    encoding: { ...encoding, ranges },
    texts: ranges.map(() => 0),
    window: windowInfo(text, range, encoding.ids.length),
    notes: [],
  };
}

function encodeTwo(tokenizer: LensTokenizer, first: string, second: string, maxTokens: number): Encoded {
  const [a, b] = [beginOf(first, maxTokens), beginOf(second, maxTokens)];
  const whole = tokenizer.encodePair(a, b);
  const firstLength = tokenizer.encodeContent(a).ids.length;
  const secondLength = whole.ranges.filter((range) => range !== null).length - firstLength;
  const room = Math.max(0, maxTokens - (whole.ids.length - firstLength - secondLength));
  const kept = longestFirst(firstLength, secondLength, room);
  const encoding = shortenPair(whole, firstLength, kept);
  const texts = textsOfPair(encoding, kept[0]);
  const rangeOf = (which: 0 | 1, begin: string, isWhole: boolean): TextRange => {
    const last = encoding.ranges.findLast((range, index) => range !== null && texts[index] === which);
    return { start: 0, end: isWhole ? begin.length : (last?.end ?? 0) };
  };
  const [firstRange, secondRange] = [rangeOf(0, a, kept[0] === firstLength), rangeOf(1, b, kept[1] === secondLength)];
  const window = windowInfo(first, firstRange, encoding.ids.length);
  const { truncatedEnd } = windowInfo(second, secondRange, encoding.ids.length);
  const cut = [...(window.truncatedEnd ? ['first'] : []), ...(truncatedEnd ? ['second'] : [])];
  return {
    encoding,
    texts,
    window: { ...window, pair: { range: secondRange, truncatedEnd } },
    notes:
      cut.length === 0
        ? []
        : [
            `The model takes ${counted(maxTokens, 'token')} at most, so the ${cut.join(' and the ')} text of the pair ` +
              `${cut.length === 1 ? 'was' : 'were'} cut at the end: ${kept[0]} and ${counted(kept[1], 'token')} are left.`,
          ],
  };
}

/** Each token that shares text with a range as a mask; there are as many tokens as before. */
function withMasks(
  tokens: readonly AttentionToken[],
  masked: readonly TextRange[],
  tokenizer: LensTokenizer,
  window: WindowInfo,
): AttentionToken[] {
  const mask = requireMask(tokenizer);
  const touches = ({ range, text }: AttentionToken, { start, end }: TextRange): boolean =>
    range !== null && text === 0 && range.start < end && range.end > start;
  for (const range of masked) {
    const isOutside = range.end <= window.range.start || range.start >= window.range.end;
    if (!isOutside && !tokens.some((token) => touches(token, range)))
      throw new LensError(
        'bad-input',
        `There is no token at ${range.start}–${range.end} to be masked.`,
        'Select at least one character of a word.',
      );
  }
  return tokens.map((token) =>
    masked.some((range) => touches(token, range)) ? { ...token, id: mask.id, token: mask.token } : token,
  );
}

/** Rows and columns of a picture: tokens, or the pieces of each word together. */
export function unitsOf(tokens: readonly AttentionToken[], words: boolean): AttentionUnit[] {
  const members: AttentionToken[][] = [];
  for (const token of tokens) {
    const last = members.at(-1);
    if (words && last?.[0]?.word === token.word) last.push(token);
    else members.push([token]);
  }
  return members.map((pieces): AttentionUnit => {
    const [first, last] = [pieces[0] as AttentionToken, pieces.at(-1) as AttentionToken];
    return {
      label: first.special ? first.token : wordText(pieces.map(({ token }) => token)),
      range: first.range === null || last.range === null ? null : { start: first.range.start, end: last.range.end },
      special: first.special,
      text: first.text,
      tokens: pieces.map(({ index }) => index),
    };
  });
}

/** Throws `bad-input` for a layer that the model does not have. */
export function checkLayer({ blocks, layers }: Pick<Anatomy, 'layers' | 'blocks'>, layer: number): Block {
  const block = blocks[layer];
  if (block !== undefined) return block;
  throw new LensError(
    'bad-input',
    `There is no layer ${layer}; this model has ${layers === 0 ? 'none that can be read' : `layers 0 to ${layers - 1}`}.`,
  );
}

/** Throws `bad-input` for heads that the model does not have. */
export function checkHeads(anatomy: Pick<Anatomy, 'layers' | 'blocks'>, heads: readonly HeadRef[]): void {
  for (const { layer, head } of heads) {
    const { attention } = checkLayer(anatomy, layer);
    if (head >= attention.heads)
      throw new LensError(
        'bad-input',
        `There is no head ${head} in layer ${layer}; it has heads 0 to ${attention.heads - 1}.`,
      );
  }
}
