// The pre-tokenizers of tokenizer.json: they cut normalised text into words and write them in the model's alphabet.
// Words stay `SourceText`, so that a token's range in the original is a look-up and needs no search.
import { LensError } from '../../protocol/errors';
import { BYTE_LETTERS } from './byteAlphabet';
import { asArray, asRecord, asString, type Json, type JsonRecord } from './json';
import { compilePattern } from './pattern';
import { UNKNOWN_PUNCTUATION } from './referenceUnicode';
import type { Edit, SourceText } from './sourceText';

export type PreTokenizer = (words: readonly SourceText[]) => SourceText[];

/** How spaces and bytes are written in the vocabulary; it decides how a token is read by a person. */
export interface Alphabet {
  /** GPT-2's letters for bytes. */
  bytes: boolean;
  /** The letter for a space, `▁`; null when there is none. */
  metaspace: string | null;
}

/** What GPT-2 takes for a word; also what `ByteLevel` uses unless it is told not to. */
const GPT2_WORDS = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
/** What the reference counts as word characters; joiners are among them. */
const WORD = '[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\u200c\\u200d]';
const NON_WORD = '[^\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\u200c\\u200d\\p{White_Space}]';
const WHITE_SPACE = /\p{White_Space}/gu;
/** Unicode punctuation and all ASCII that is neither letter, digit nor space: BERT counts `$` and `+` too. */
const PUNCTUATION = new RegExp(`(?!${UNKNOWN_PUNCTUATION})[\\p{P}\\u166d\\u{111c9}!-/:-@[-\`{-~]`, 'gu');

/** Builds the pre-tokenizer that `config` (the `pre_tokenizer` of tokenizer.json) describes. */
export function createPreTokenizer(config: Json | undefined): PreTokenizer {
  if (config === null || config === undefined) return (words) => [...words];
  const record = asRecord(config, 'pre_tokenizer');
  const type = asString(record['type'], 'pre_tokenizer.type');
  switch (type) {
    case 'Sequence': {
      const steps = asArray(record['pretokenizers'], 'pre_tokenizer.pretokenizers').map(createPreTokenizer);
      return (words) => steps.reduce((result, step) => step(result), [...words]);
    }
    case 'ByteLevel':
      return byteLevel(record['add_prefix_space'] !== false, record['use_regex'] !== false);
    case 'Metaspace':
      return metaspace(record);
    case 'Split':
      return splitter(
        compilePattern(record['pattern'], 'pre_tokenizer.pattern'),
        behaviour(record['behavior']),
        record['invert'] === true,
      );
    case 'Whitespace':
      return splitter(new RegExp(`${WORD}+|${NON_WORD}+`, 'gu'), 'removed', true);
    case 'WhitespaceSplit':
      return splitter(WHITE_SPACE, 'removed');
    case 'BertPreTokenizer': {
      const outer = splitter(WHITE_SPACE, 'removed');
      const inner = splitter(PUNCTUATION, 'isolated');
      return (words) => inner(outer(words));
    }
    case 'Punctuation':
      return splitter(PUNCTUATION, behaviour(record['behavior'] ?? 'Isolated'));
    case 'Digits':
      return splitter(/\p{N}/gu, record['individual_digits'] === true ? 'isolated' : 'contiguous');
    case 'CharDelimiterSplit':
      return splitter(
        compilePattern({ String: asString(record['delimiter'], 'pre_tokenizer.delimiter') }, 'pre_tokenizer.delimiter'),
        'removed',
      );
    default:
      throw new LensError(
        'tokenizer',
        `The tokenizer uses the pre-tokenizer “${type}”, which is not supported.`,
        'Choose another model, or export the tokenizer with a supported pre-tokenizer.',
      );
  }
}

/** The alphabet that a pre-tokenizer or normaliser writes in. */
export function findAlphabet(preTokenizer: Json | undefined, normalizer: Json | undefined): Alphabet {
  const text = JSON.stringify([preTokenizer ?? null, normalizer ?? null]);
  const bytes = text.includes('"type":"ByteLevel"');
  const marked = text.includes('"type":"Metaspace"') || text.includes('▁');
  return { bytes, metaspace: !bytes && marked ? '▁' : null };
}

type Behaviour = 'isolated' | 'removed' | 'contiguous' | 'mergedWithPrevious' | 'mergedWithNext';

function behaviour(value: Json | undefined): Behaviour {
  const name = asString(value, 'pre_tokenizer.behavior').toLowerCase();
  const known: Behaviour[] = ['isolated', 'removed', 'contiguous', 'mergedWithPrevious', 'mergedWithNext'];
  return known.find((item) => item.toLowerCase() === name) ?? 'isolated';
}

interface Part {
  from: number;
  to: number;
  isMatch: boolean;
}

/** The text as matches and what lies between them; `invert` swaps the two. */
function partsOf(text: string, pattern: RegExp, invert: boolean): Part[] {
  const parts: Part[] = [];
  let done = 0;
  for (const match of text.matchAll(pattern)) {
    const from = match.index;
    if (from > done) parts.push({ from: done, to: from, isMatch: invert });
    done = from + match[0].length;
    if (done > from) parts.push({ from, to: done, isMatch: !invert });
  }
  if (done < text.length) parts.push({ from: done, to: text.length, isMatch: invert });
  return parts;
}

function regroup(parts: readonly Part[], how: Behaviour): Part[] {
  if (how === 'isolated') return [...parts];
  if (how === 'removed') return parts.filter((part) => !part.isMatch);
  const result: Part[] = [];
  const ordered = how === 'mergedWithNext' ? [...parts].reverse() : parts;
  let before: boolean | null = null;
  for (const part of ordered) {
    const last = result.at(-1);
    const joins = how === 'contiguous' ? part.isMatch === before : part.isMatch && before === false;
    before = part.isMatch;
    if (!joins || last === undefined) result.push({ ...part });
    else if (how === 'mergedWithNext') last.from = part.from;
    else last.to = part.to;
  }
  return how === 'mergedWithNext' ? result.reverse() : result;
}

function splitter(pattern: RegExp, how: Behaviour, invert = false): PreTokenizer {
  return (words) =>
    words.flatMap((word) =>
      regroup(partsOf(word.text, pattern, invert), how).map(({ from, to }) => word.slice(from, to)),
    );
}

function byteLevel(prefixSpace: boolean, useRegex: boolean): PreTokenizer {
  const split = useRegex ? splitter(compilePattern({ Regex: GPT2_WORDS }, 'pre_tokenizer'), 'isolated') : null;
  return (words) => {
    const spaced = prefixSpace ? words.map((word) => prepend(word, ' ')) : [...words];
    return (split?.(spaced) ?? spaced).map((word) => word.replace(byteEdits(word.text)));
  };
}

const encoder = new TextEncoder();

function* byteEdits(text: string): Generator<Edit> {
  // Letters that stand for themselves need no edit.
  for (const { 0: character, index } of text.matchAll(/[^!-~]/gu)) {
    const bytes = encoder.encode(character);
    yield {
      from: index,
      to: index + character.length,
      with: Array.from(bytes, (byte) => BYTE_LETTERS[byte] ?? '').join(''),
    };
  }
}

function metaspace(config: JsonRecord): PreTokenizer {
  const letter =
    config['replacement'] === undefined ? '▁' : asString(config['replacement'], 'pre_tokenizer.replacement');
  const scheme = config['prepend_scheme'] ?? (config['add_prefix_space'] === false ? 'never' : 'always');
  const space = / /g;
  const split =
    config['split'] === false ? null : splitter(compilePattern({ String: letter }, 'pre_tokenizer'), 'mergedWithNext');
  return (words) => {
    const written = words.map((word) => {
      const edits = Array.from(word.text.matchAll(space), ({ index }) => ({
        from: index,
        to: index + 1,
        with: letter,
      }));
      const marked = word.replace(edits);
      return scheme === 'always' || (scheme === 'first' && word.start === 0) ? prepend(marked, letter) : marked;
    });
    return split?.(written) ?? written;
  };
}

function prepend(word: SourceText, letter: string): SourceText {
  return word.text === '' || word.text.startsWith(letter) ? word : word.replace([{ from: 0, to: 0, with: letter }]);
}
