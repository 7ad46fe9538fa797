/** What static vectors are tested with: pairs of words with ratings, and analogies, in the usual files. */
import { basename } from 'node:path';
import type { AnalogyQuestion } from '../../../protocol/embeddings';
import { LensError } from '../../../protocol/errors';
import { counted } from '../../../protocol/format';

/** Pairs of words or sentences with what people said of them. */
export interface RatedPair {
  first: string;
  second: string;
  rating: number;
}

/** Tabs between the columns, or semicolons, or commas, or of words alone spaces; a heading is left out. */
export function ratedPairs(text: string, name: string): RatedPair[] {
  const lines = text.split(/\r?\n/u).filter((line) => line.trim() !== '' && !line.startsWith('#'));
  const separator = ['\t', ';', ','].find((each) => lines.every((line) => line.split(each).length >= 3)) ?? /\s+/u;
  const pairs: RatedPair[] = [];
  for (const [index, line] of lines.entries()) {
    const [first = '', second = '', ...rest] = line
      .trim()
      .split(separator)
      .map((cell) => cell.trim());
    const rating = Number(rest[0] === '' ? NaN : rest[0]);
    if (first !== '' && second !== '' && Number.isFinite(rating)) pairs.push({ first, second, rating });
    else if (index > 0)
      throw new LensError(
        'bad-input',
        `Line “${line.slice(0, 60)}” of ${name} is no pair with a number.`,
        'Each line has two words or sentences and a number, with tabs between them.',
      );
  }
  if (pairs.length < 2) throw new LensError('bad-input', `${name} has no two pairs.`, 'Name a file of pairs.');
  return pairs;
}

/** Lines of four words; `: name` begins a section. Of files without one, the file’s own name is the section. */
export function analogyQuestions(text: string, name: string): AnalogyQuestion[] {
  let section = basename(name).replace(/\.txt$/u, '');
  return text.split(/\r?\n/u).flatMap((line, index): AnalogyQuestion[] => {
    const words = line.trim().split(/\s+/u);
    if (line.trim() === '' || line.startsWith('#')) return [];
    if (words[0] === ':') {
      section = words.slice(1).join(' ');
      return [];
    }
    if (words.length !== 4)
      throw new LensError(
        'bad-input',
        `Line ${index + 1} of ${name} has ${counted(words.length, 'word')}.`,
        'Each line has four words.',
      );
    return [{ section, words }];
  });
}
