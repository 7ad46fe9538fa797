// Byte-pair encoding (Sennrich et al. 2016): merges the pair of lowest rank, the leftmost of equals, until none is left.
import { asArray, asId, asString, optionalString, wrong, type Json, type JsonRecord } from './json';
import { byteIds, bytePieces, readVocabulary, unknownId, type Piece, type SubwordModel } from './subwordModel';

/** Rank and place of a candidate share one number: rank · PLACES + place, exact up to 2⁵³. */
const PLACES = 2 ** 30;
const UNKNOWN = -1;

export class BpeModel implements SubwordModel {
  readonly type = 'BPE';
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly continuingPrefix: string;
  readonly endOfWord: string;
  private readonly unknown: number | null;
  private readonly bytes: number[] | null;
  private readonly fuseUnknown: boolean;
  private readonly ignoreMerges: boolean;
  private readonly size: number;
  /** The rank of a pair of ids, under left · size + right. */
  private readonly ranks = new Map<number, number>();
  /** The id that a merge makes, by rank. */
  private readonly merged: Int32Array;

  constructor(config: JsonRecord) {
    this.vocabulary = readVocabulary(config);
    this.continuingPrefix = optionalString(config['continuing_subword_prefix'], 'model.continuing_subword_prefix', '');
    this.endOfWord = optionalString(config['end_of_word_suffix'], 'model.end_of_word_suffix', '');
    this.unknown = unknownId(config, this.vocabulary);
    this.bytes = config['byte_fallback'] === true ? byteIds(this.vocabulary) : null;
    this.fuseUnknown = config['fuse_unk'] === true;
    this.ignoreMerges = config['ignore_merges'] === true;
    let highest = 0;
    for (const id of this.vocabulary.values()) highest = Math.max(highest, id);
    this.size = highest + 1;
    const merges = asArray(config['merges'], 'model.merges');
    this.merged = new Int32Array(merges.length);
    merges.forEach((merge, rank) => this.addMerge(merge, rank));
  }

  private addMerge(merge: Json, rank: number): void {
    const parts = typeof merge === 'string' ? merge.split(' ') : asArray(merge, 'model.merges');
    if (parts.length !== 2) throw wrong(`model.merges.${rank}`, 'a pair of pieces');
    const left = asString(parts[0], 'model.merges');
    const right = asString(parts[1], 'model.merges');
    const idOf = (token: string): number => asId(this.vocabulary.get(token), `model.vocab.${token.slice(0, 40)}`);
    this.ranks.set(idOf(left) * this.size + idOf(right), rank);
    this.merged[rank] = idOf(left + right.slice(this.continuingPrefix.length));
  }

  split(word: string): Piece[] {
    if (this.ignoreMerges) {
      const id = this.vocabulary.get(word);
      if (id !== undefined) return [{ id, from: 0, to: word.length }];
    }
    const symbols = new Symbols(word, (letter, from, to) => this.symbolOf(letter, from, to, word.length));
    const candidates = new Heap();
    const propose = (left: number): void => {
      const rank = this.rankAt(symbols, left);
      if (rank !== undefined) candidates.push(rank * PLACES + left);
    };
    for (let place = 0; place < symbols.count - 1; place++) propose(place);
    for (let top = candidates.pop(); top !== undefined; top = candidates.pop()) {
      const rank = Math.floor(top / PLACES);
      const left = top % PLACES;
      // Merges since then may have changed the pair at this place.
      if (this.rankAt(symbols, left) !== rank) continue;
      symbols.merge(left, this.merged[rank] ?? UNKNOWN);
      propose(left);
      const before = symbols.previous[left] ?? -1;
      if (before >= 0) propose(before);
    }
    return this.toPieces(word, symbols);
  }

  private symbolOf(letter: string, from: number, to: number, length: number): number {
    const prefix = from > 0 ? this.continuingPrefix : '';
    const suffix = to === length ? this.endOfWord : '';
    return this.vocabulary.get(prefix + letter + suffix) ?? UNKNOWN;
  }

  private rankAt(symbols: Symbols, left: number): number | undefined {
    const a = symbols.ids[left] ?? UNKNOWN;
    const right = symbols.next[left] ?? -1;
    const b = right < 0 ? UNKNOWN : (symbols.ids[right] ?? UNKNOWN);
    return a < 0 || b < 0 ? undefined : this.ranks.get(a * this.size + b);
  }

  private toPieces(word: string, symbols: Symbols): Piece[] {
    const pieces: Piece[] = [];
    let lastUnknown: Piece | null = null;
    for (let place = 0; place >= 0 && place < symbols.count; place = symbols.next[place] ?? -1) {
      const from = symbols.starts[place] ?? 0;
      const after = symbols.next[place] ?? -1;
      const to = after < 0 ? word.length : (symbols.starts[after] ?? word.length);
      const id = symbols.ids[place] ?? UNKNOWN;
      if (id >= 0) {
        pieces.push({ id, from, to });
        lastUnknown = null;
      } else if (this.bytes !== null) {
        for (const piece of bytePieces(word.slice(from, to), from, this.bytes)) pieces.push(piece);
      } else if (this.unknown !== null) {
        if (lastUnknown !== null && this.fuseUnknown) {
          lastUnknown.to = to;
        } else {
          lastUnknown = { id: this.unknown, from, to };
          pieces.push(lastUnknown);
        }
      }
    }
    return pieces;
  }
}

/** A word as a linked list of symbols, in columns. A merged symbol stays at its left place; the right one gets no id. */
class Symbols {
  readonly count: number;
  readonly ids: Int32Array;
  readonly starts: Int32Array;
  readonly next: Int32Array;
  readonly previous: Int32Array;

  constructor(word: string, idOf: (letter: string, from: number, to: number) => number) {
    this.ids = new Int32Array(word.length);
    this.starts = new Int32Array(word.length);
    let count = 0;
    let from = 0;
    for (const letter of word) {
      const to = from + letter.length;
      this.ids[count] = idOf(letter, from, to);
      this.starts[count] = from;
      count++;
      from = to;
    }
    this.count = count;
    this.next = Int32Array.from({ length: count }, (_, place) => (place + 1 < count ? place + 1 : -1));
    this.previous = Int32Array.from({ length: count }, (_, place) => place - 1);
  }

  merge(left: number, id: number): void {
    const right = this.next[left] ?? -1;
    const after = this.next[right] ?? -1;
    this.ids[left] = id;
    this.ids[right] = UNKNOWN;
    this.next[left] = after;
    if (after >= 0) this.previous[after] = left;
  }
}

/** A binary heap of numbers, the smallest on top. */
class Heap {
  private readonly items: number[] = [];

  push(value: number): void {
    const { items } = this;
    let hole = items.length;
    items.push(value);
    while (hole > 0) {
      const parent = (hole - 1) >> 1;
      const above = items[parent] ?? 0;
      if (above <= value) break;
      items[hole] = above;
      hole = parent;
    }
    items[hole] = value;
  }

  pop(): number | undefined {
    const { items } = this;
    const top = items[0];
    const last = items.pop();
    if (last === undefined || items.length === 0) return top;
    let hole = 0;
    for (let child = 1; child < items.length; child = 2 * hole + 1) {
      if (child + 1 < items.length && (items[child + 1] ?? 0) < (items[child] ?? 0)) child++;
      const below = items[child] ?? 0;
      if (below >= last) break;
      items[hole] = below;
      hole = child;
    }
    items[hole] = last;
    return top;
  }
}
