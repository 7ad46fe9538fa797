// Models that look whole words or their longest beginnings up: WordPiece (Schuster & Nakajima 2012) and WordLevel.
import { optionalString, type JsonRecord } from './json';
import { readVocabulary, unknownId, type Piece, type SubwordModel } from './subwordModel';

/** Longest match from the left; a word with any unknown part is unknown as a whole. */
export class WordPieceModel implements SubwordModel {
  readonly type = 'WordPiece';
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly continuingPrefix: string;
  readonly endOfWord = '';
  private readonly unknown: number | null;
  private readonly longestWord: number;
  private readonly longestPiece: number;

  constructor(config: JsonRecord) {
    this.vocabulary = readVocabulary(config);
    this.continuingPrefix = optionalString(
      config['continuing_subword_prefix'],
      'model.continuing_subword_prefix',
      '##',
    );
    this.unknown = unknownId(config, this.vocabulary);
    const limit = config['max_input_chars_per_word'];
    this.longestWord = typeof limit === 'number' ? limit : 100;
    let longest = 0;
    for (const token of this.vocabulary.keys()) longest = Math.max(longest, token.length);
    this.longestPiece = longest;
  }

  split(word: string): Piece[] {
    const whole = this.unknown === null ? [] : [{ id: this.unknown, from: 0, to: word.length }];
    if (Array.from(word).length > this.longestWord) return whole;
    const pieces: Piece[] = [];
    let from = 0;
    while (from < word.length) {
      const prefix = from === 0 ? '' : this.continuingPrefix;
      let to = Math.min(word.length, from + this.longestPiece);
      let id = this.vocabulary.get(prefix + word.slice(from, to));
      while (id === undefined && to > from + 1) id = this.vocabulary.get(prefix + word.slice(from, --to));
      if (id === undefined) return whole;
      pieces.push({ id, from, to });
      from = to;
    }
    return pieces;
  }
}

/** Words as they are. */
export class WordLevelModel implements SubwordModel {
  readonly type = 'WordLevel';
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly continuingPrefix = '';
  readonly endOfWord = '';
  private readonly unknown: number | null;

  constructor(config: JsonRecord) {
    this.vocabulary = readVocabulary(config);
    this.unknown = unknownId(config, this.vocabulary);
  }

  split(word: string): Piece[] {
    const id = this.vocabulary.get(word) ?? this.unknown;
    return id === null ? [] : [{ id, from: 0, to: word.length }];
  }
}
