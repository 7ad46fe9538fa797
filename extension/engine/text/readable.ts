// Tokens as a person reads them: marks of word parts, spaces and bytes are undone.
import type { Alphabet } from './preTokenize';
import { bytesOfLetters } from './byteAlphabet';

/** The conventions that a vocabulary is written in. */
export interface Spelling extends Alphabet {
  /** `##`, or empty. */
  continuingPrefix: string;
  /** `</w>`, or empty. */
  endOfWord: string;
}

const BYTE_TOKEN = /^<0x([0-9A-F]{2})>$/;
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
const encoder = new TextEncoder();

/** The text of one token. Bytes that are no whole character by themselves read as U+FFFD. */
export function readToken(token: string, spelling: Spelling): string {
  return decoder.decode(Uint8Array.from(bytesOf(token, spelling)));
}

/** The text of ordinary tokens in a row, with spaces between words. */
export function readTokens(tokens: readonly string[], spelling: Spelling): string {
  const bytes: number[] = [];
  const spaced = !spelling.bytes && spelling.metaspace === null;
  tokens.forEach((token, index) => {
    // Without letters for spaces, a word begins wherever nothing says that it goes on.
    if (spaced && spelling.endOfWord === '' && index > 0 && !isContinuation(token, spelling)) bytes.push(0x20);
    for (const byte of bytesOf(token, spelling)) bytes.push(byte);
    if (spelling.endOfWord !== '' && token.endsWith(spelling.endOfWord)) bytes.push(0x20);
  });
  return decoder.decode(Uint8Array.from(bytes));
}

/** Whether the token goes on with the word before it. */
export function isContinuation(token: string, spelling: Spelling): boolean {
  if (spelling.continuingPrefix !== '') {
    return token.startsWith(spelling.continuingPrefix) && token.length > spelling.continuingPrefix.length;
  }
  const marksStarts = spelling.endOfWord === '' && (spelling.bytes || spelling.metaspace !== null);
  return marksStarts && !/^\p{White_Space}/u.test(readToken(token, spelling));
}

function bytesOf(token: string, spelling: Spelling): Iterable<number> {
  let letters = token;
  const { continuingPrefix, endOfWord, metaspace } = spelling;
  if (continuingPrefix !== '' && isContinuation(letters, spelling)) letters = letters.slice(continuingPrefix.length);
  if (endOfWord !== '' && letters.endsWith(endOfWord)) letters = letters.slice(0, -endOfWord.length);
  if (spelling.bytes) return bytesOfLetters(letters) ?? encoder.encode(letters);
  const byte = BYTE_TOKEN.exec(letters)?.[1];
  if (byte !== undefined) return [Number.parseInt(byte, 16)];
  return encoder.encode(metaspace === null ? letters : letters.replaceAll(metaspace, ' '));
}
