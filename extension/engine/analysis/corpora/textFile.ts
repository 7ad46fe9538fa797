/** Text files that are read at once. */
import { readFileSync, statSync } from 'node:fs';
import { LensError } from '../../../protocol/errors';

const LARGEST_FILE = 64 * 2 ** 20;

/** Throws `bad-input`: what cannot be read, is too large, or is not UTF-8. */
export function readText(file: string): string {
  try {
    if (statSync(file).size > LARGEST_FILE) throw new Error('it is larger than 64 MB');
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file));
  } catch (error) {
    throw new LensError(
      'bad-input',
      `${file} could not be read: ${error instanceof Error ? error.message : String(error)}.`,
      'Name a text file in UTF-8.',
      { cause: error },
    );
  }
}
