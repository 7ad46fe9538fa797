// SentencePiece's precompiled normalisation table: a double-array trie (Darts-clone) from UTF-8 keys to UTF-8 replacements.
import { LensError } from '../../protocol/errors';

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** Graphemes of this many UTF-8 bytes or more are looked up character by character, as SentencePiece's port does. */
const LONG_GRAPHEME = 6;

/** Looks up replacements. Results are memoised, since text repeats a small set of characters. */
export class Charsmap {
  private readonly trie: Uint32Array;
  private readonly replacements: Uint8Array;
  private readonly memo = new Map<string, string | null>();

  /** `base64`: little-endian byte size of the trie, the trie's 32-bit units, then replacements that end in NUL. */
  constructor(base64: string) {
    const bytes = Uint8Array.from(Buffer.from(base64, 'base64'));
    const size = bytes.length < 4 ? 0 : new DataView(bytes.buffer).getUint32(0, true);
    if (size < 4 || size % 4 !== 0 || 4 + size > bytes.length) {
      throw new LensError(
        'tokenizer',
        'The precompiled character map of the tokenizer is damaged.',
        'Download tokenizer.json again.',
      );
    }
    const view = new DataView(bytes.buffer, 4, size);
    this.trie = Uint32Array.from({ length: size / 4 }, (_, index) => view.getUint32(index * 4, true));
    this.replacements = bytes.subarray(4 + size);
  }

  /** What stands for this grapheme: its pieces, each with the part of the grapheme that it comes from. */
  replace(grapheme: string): [from: string, to: string][] {
    if (encoder.encode(grapheme).length < LONG_GRAPHEME) {
      const whole = this.find(grapheme);
      if (whole !== null) return [[grapheme, whole]];
    }
    return Array.from(grapheme, (character) => [character, this.find(character) ?? character]);
  }

  /** The replacement of the shortest key that begins `text`, or null. */
  private find(text: string): string | null {
    const known = this.memo.get(text);
    if (known !== undefined) return known;
    const found = this.search(encoder.encode(text));
    if (this.memo.size > 50_000) this.memo.clear();
    this.memo.set(text, found);
    return found;
  }

  private search(key: Uint8Array): string | null {
    let node = offset(this.trie[0] ?? 0);
    for (const byte of key) {
      if (byte === 0) return null;
      node ^= byte;
      const unit = this.trie[node];
      // A unit's label has the top bit set when it is a leaf, so that a leaf never equals a byte.
      if (unit === undefined || (unit & 0x800000ff) !== byte) return null;
      node ^= offset(unit);
      if ((unit >>> 8) & 1) return this.replacementAt((this.trie[node] ?? 0) & 0x7fffffff);
    }
    return null;
  }

  private replacementAt(start: number): string {
    const end = this.replacements.indexOf(0, start);
    return decoder.decode(this.replacements.subarray(start, end < 0 ? undefined : end));
  }
}

function offset(unit: number): number {
  return (unit >>> 10) << ((unit & 0x200) >>> 6);
}
