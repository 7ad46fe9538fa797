// What analyses know of a tokenizer.
import type { Encoding } from './encoding';

/** Text to tokens and back. Offsets are UTF-16 code units of the text as it was given. */
export interface LensTokenizer {
  /** `WordPiece`, `BPE`, `Unigram` … as in tokenizer.json. */
  readonly type: string;
  /** One more than the highest id, added tokens counted. */
  readonly vocabSize: number;
  readonly lowercase: boolean;
  readonly maskToken: string | null;
  readonly maskId: number | null;
  readonly padId: number;
  /** True for ids of special tokens. */
  isSpecial(id: number): boolean;
  /** With the template's special tokens. Throws `LensError` (`tokenizer`, `time-limit`). */
  encode(text: string): Encoding;
  encodePair(first: string, second: string): Encoding;
  /** Without special tokens, as the text would be tokenised at the beginning of a text. */
  encodeContent(text: string): Encoding;
  /** Runs work that cuts many short texts under one time limit instead of one each, which takes longer than the cutting. */
  together<T>(work: () => T): T;
  /** Wraps content ids in the template's special tokens; returns where the content begins. */
  wrap(contentIds: Int32Array): { ids: Int32Array; offset: number };
  /** The vocabulary's string of an id. */
  token(id: number): string;
  /** What a person would read: `##ius` → `ius`, `Ġthe` → ` the`, `▁the` → ` the`; special tokens unchanged. */
  text(id: number): string;
  /** Whole words put together from pieces, no leading space. */
  join(ids: Iterable<number>): string;
  /** This token continues the word before it (`##…`, or no Ġ/▁ in an alphabet that marks word starts). */
  continuesWord(id: number): boolean;
}
