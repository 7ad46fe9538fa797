/**
 * A corpus as inputs of a model. Text: each paragraph by itself, cut to the window. Pairs (Clark et al. 2019, after BERT's training
 * data): [CLS] a [SEP] b [SEP] of exactly N tokens. a is a paragraph and b what follows it in the same file, as many paragraphs as it
 * takes; of what is too long, a keeps its end and b its beginning, as much of both as there is. A last pair that would be shorter is
 * left out, and so are headings.
 */
import type { CorpusSource, HeadCorpusParams } from '../../../protocol/attention';
import { LensError } from '../../../protocol/errors';
import type { Internals } from '../../session/internals';
import type { InputRow } from '../../session/languageModel';
import type { LensTokenizer } from '../../text/tokenizer';
import { documentKeys, type DocumentKeys } from '../attention/statistics';
import { longestFirst } from '../pairs';
import { beginOf, chooseWindow } from '../window';
import { paragraphsOf } from './paragraphs';

export interface CorpusDocument {
  /** In the order of the corpus. */
  index: number;
  /** How far in the corpus, in sources. */
  source: number;
  row: InputRow;
  keys: DocumentKeys;
}

/** Paragraphs of fewer tokens are headings, and no half of a pair. */
const LEAST_TOKENS = 10;
/** More text than this beside the separator is not even cut into tokens. */
const CHARACTERS_PER_TOKEN = 16;

/** What the template of pairs puts around two texts. */
export interface PairFrame {
  before: Int32Array;
  between: Int32Array;
  after: Int32Array;
  /** Segment ids of: before, first text, between, second text, after. */
  segments: readonly [number, number, number, number, number];
}

export function pairFrame(tokenizer: LensTokenizer): PairFrame {
  const { ids, ranges, segments } = tokenizer.encodePair('a', 'b');
  const content = [...ranges.keys()].filter((index) => ranges[index] !== null);
  const [first, second] = [content[0] ?? 0, content[tokenizer.encodeContent('a').ids.length] ?? ids.length];
  const [firstEnd, end] = [content.findLast((index) => index < second) ?? first, content.at(-1) ?? ids.length - 1];
  const segment = (index: number): number => segments[index] ?? 0;
  return {
    before: ids.slice(0, first),
    between: ids.slice(firstEnd + 1, second),
    after: ids.slice(end + 1),
    segments: [segment(0), segment(first), segment(firstEnd + 1), segment(second), segment(end + 1)],
  };
}

export interface DocumentOptions extends Pick<HeadCorpusParams, 'sources' | 'packing'> {
  /** Documents after the first so many are not looked at. */
  limit: number;
  /** Most tokens of an input. */
  window: number;
  /** Documents that are not wanted are only counted. */
  wanted(index: number): boolean;
  /** A source, or a part of one, that could not be used. */
  skip(name: string, why: string): void;
}

export async function* documentsOf(
  { tokenizer }: Pick<Internals, 'tokenizer'>,
  options: DocumentOptions,
): AsyncGenerator<CorpusDocument> {
  const frame = pairFrame(tokenizer);
  let index = 0;
  for (const [place, source] of options.sources.entries()) {
    const skipping = async <T>(read: () => T): Promise<Awaited<T> | null> => {
      try {
        return await read();
      } catch (thrown) {
        const error = LensError.from(thrown);
        if (error.code === 'internal') throw thrown;
        options.skip(source.name, error.message);
        return null;
      }
    };
    const parts =
      options.packing.kind === 'text'
        ? singles(tokenizer, source, options)
        : pairs(tokenizer, source, options.packing.tokens, frame);
    for (;;) {
      const part = await skipping(() => parts.next());
      if (part === null || part.done === true) break;
      if (index >= options.limit) return;
      const document = index++;
      if (!options.wanted(document)) continue;
      const input = await skipping(part.value);
      // Control characters alone are a paragraph without a token.
      if (input === null || input.special.every((flag) => flag === 1)) continue;
      yield { index: document, source: place, row: input.row, keys: keysOf(tokenizer, input) };
    }
  }
}

interface Input {
  row: InputRow;
  special: Uint8Array;
  /** Which text of a pair each token belongs to. */
  text: Uint8Array;
}

/** Cut into tokens only when it is wanted. */
type Deferred = () => Input;

async function* singles(
  tokenizer: LensTokenizer,
  source: CorpusSource,
  { window }: DocumentOptions,
): AsyncGenerator<Deferred> {
  for await (const paragraph of paragraphsOf(source))
    yield () => {
      const { encoding } = chooseWindow(paragraph, { start: 0, end: 0 }, tokenizer, { maxTokens: window });
      const { ids, segments, special } = encoding;
      return { row: { ids, segments }, special, text: new Uint8Array(ids.length) };
    };
}

async function* pairs(
  tokenizer: LensTokenizer,
  source: CorpusSource,
  tokens: number,
  frame: PairFrame,
): AsyncGenerator<Deferred> {
  const room = tokens - frame.before.length - frame.between.length - frame.after.length;
  let first: Int32Array | null = null;
  let second: number[] = [];
  for await (const paragraph of paragraphsOf(source)) {
    const near = first === null ? paragraph.slice(-tokens * CHARACTERS_PER_TOKEN) : beginOf(paragraph, tokens);
    const { ids } = tokenizer.encodeContent(near);
    if (ids.length < LEAST_TOKENS) continue;
    if (first === null) {
      first = ids;
      continue;
    }
    second.push(...ids);
    if (first.length + second.length < room) continue;
    const [end, begin] = longestFirst(first.length, second.length, room);
    const [a, b] = [first.slice(first.length - end), Int32Array.from(second.slice(0, begin))];
    yield () => framed(frame, a, b);
    first = null;
    second = [];
  }
}

function framed({ before, between, after, segments }: PairFrame, a: Int32Array, b: Int32Array): Input {
  const parts = [before, a, between, b, after];
  const each = (valueOf: (part: number) => number): number[] =>
    parts.flatMap((part, place) => new Array<number>(part.length).fill(valueOf(place)));
  return {
    row: {
      ids: Int32Array.from(parts.flatMap((part) => [...part])),
      segments: Int32Array.from(each((place) => segments[place] as number)),
    },
    special: Uint8Array.from(each((place) => 1 - (place % 2))),
    // The special tokens that end the first text belong to it.
    text: Uint8Array.from(each((place) => (place < 3 ? 0 : 1))),
  };
}

const keysOf = (tokenizer: LensTokenizer, { row, special, text }: Input): DocumentKeys =>
  documentKeys(
    Array.from(row.ids, (id, index) => ({
      token: tokenizer.token(id),
      special: special[index] === 1,
      text: text[index] === 1 ? 1 : 0,
    })),
  );
