// SentencePiece's unigram model.
import { asArray, asId, asString, wrong, type JsonRecord } from './json';
import { byteIds, bytePieces, type Piece, type SubwordModel } from './subwordModel';

interface TrieNode {
  next: Map<number, TrieNode>;
  id: number;
}

/** An unknown character costs this much more than the least likely piece (SentencePiece's constant). */
const UNKNOWN_PENALTY = 10;

/** The most probable segmentation under a unigram language model (Kudo 2018), by dynamic programming. */
export class UnigramModel implements SubwordModel {
  readonly type = 'Unigram';
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly continuingPrefix = '';
  readonly endOfWord = '';
  private readonly scores: Float64Array;
  private readonly root: TrieNode = { next: new Map(), id: -1 };
  private readonly unknown: number;
  private readonly unknownScore: number;
  private readonly bytes: number[] | null;

  constructor(config: JsonRecord) {
    const entries = asArray(config['vocab'], 'model.vocab').map((entry): [string, number] => {
      const [token, score] = asArray(entry, 'model.vocab');
      if (typeof score !== 'number') throw wrong('model.vocab', 'pairs of a piece and its score');
      return [asString(token, 'model.vocab'), score];
    });
    this.unknown = asId(config['unk_id'], 'model.unk_id');
    if (this.unknown >= entries.length) throw wrong('model.unk_id', 'an id of the vocabulary');
    this.vocabulary = new Map(entries.map(([token], id) => [token, id]));
    this.scores = Float64Array.from(entries, ([, score]) => score);
    this.unknownScore = this.scores.reduce((least, score) => Math.min(least, score), Infinity) - UNKNOWN_PENALTY;
    this.bytes = config['byte_fallback'] === true ? byteIds(this.vocabulary) : null;
    entries.forEach(([token], id) => this.insert(token, id));
  }

  private insert(token: string, id: number): void {
    let node = this.root;
    for (let unit = 0; unit < token.length; unit++) {
      const code = token.charCodeAt(unit);
      let next = node.next.get(code);
      if (next === undefined) {
        next = { next: new Map(), id: -1 };
        node.next.set(code, next);
      }
      node = next;
    }
    if (token !== '') node.id = id;
  }

  split(word: string): Piece[] {
    const length = word.length;
    // The best way to each place: where its last piece begins, and that piece.
    const best = new Float64Array(length + 1).fill(-Infinity);
    const begins = new Int32Array(length + 1).fill(-1);
    const ids = new Int32Array(length + 1);
    best[0] = 0;
    let width: number;
    for (let from = 0; from < length; from += width) {
      width = (word.codePointAt(from) ?? 0) > 0xffff ? 2 : 1;
      const base = best[from] ?? 0;
      let single = false;
      let node = this.root.next.get(word.charCodeAt(from));
      for (let to = from + 1; node !== undefined; node = node.next.get(word.charCodeAt(to++))) {
        if (node.id >= 0) {
          const score = base + (this.scores[node.id] ?? 0);
          if (begins[to] === -1 || score > (best[to] ?? 0)) {
            best[to] = score;
            begins[to] = from;
            ids[to] = node.id;
          }
          single ||= to - from === width;
        }
        if (to >= length) break;
      }
      if (!single) {
        const to = from + width;
        const score = base + this.unknownScore;
        if (begins[to] === -1 || score > (best[to] ?? 0)) {
          best[to] = score;
          begins[to] = from;
          ids[to] = this.unknown;
        }
      }
    }
    return this.readBack(word, begins, ids);
  }

  /** The pieces of the best way, with neighbouring unknown ones put together. */
  private readBack(word: string, begins: Int32Array, ids: Int32Array): Piece[] {
    const pieces: Piece[] = [];
    for (let to = word.length; to > 0; to = begins[to] ?? 0) {
      const id = ids[to] ?? this.unknown;
      const from = begins[to] ?? 0;
      const last = pieces.at(-1);
      if (id === this.unknown && last?.id === this.unknown) last.from = from;
      else pieces.push({ id, from, to });
    }
    pieces.reverse();
    const bytes = this.bytes;
    if (bytes === null) return pieces;
    return pieces.flatMap((piece) =>
      piece.id === this.unknown ? bytePieces(word.slice(piece.from, piece.to), piece.from, bytes) : [piece],
    );
  }
}
