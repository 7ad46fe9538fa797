// GPT-2's alphabet: every byte as a printable letter. Bytes that print keep their Latin-1 letter; the others get, in
// order, the letters from U+0100 (so that a space is Ġ and a line feed Ċ).

/** The letter of each byte. */
export const BYTE_LETTERS: readonly string[] = lettersOfBytes();

const BYTES = new Map(BYTE_LETTERS.map((letter, byte) => [letter, byte]));

function lettersOfBytes(): string[] {
  const prints = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(prints(byte) ? byte : next++));
}

/** The bytes of a string in this alphabet; null when a letter is not in it. */
export function bytesOfLetters(letters: string): number[] | null {
  const bytes: number[] = [];
  for (const letter of letters) {
    const byte = BYTES.get(letter);
    if (byte === undefined) return null;
    bytes.push(byte);
  }
  return bytes;
}
