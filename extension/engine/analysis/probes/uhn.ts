/** Facts that a name alone gives away (Poerner et al. 2020, “E-BERT”, the filters of LAMA-UHN). */
import type { Distribution } from '../distribution';

/** What is guessed of a person's name, by relation. */
const GUESSED: Readonly<Record<string, string>> = {
  P19: 'city',
  P20: 'city',
  place_of_birth: 'city',
  place_of_death: 'city',
  P27: 'country',
  P103: 'language',
  P1412: 'language',
};

/** The model's first three count as a guess. */
const GUESSES = 3;

export const isPartOf = (answer: string, subject: string): boolean =>
  subject.toLowerCase().includes(answer.toLowerCase());

/** What is asked of a subject's names, per name; none for relations that are not of persons. */
export function nameQueries(relation: string, subject: string): { before: string; after: string }[] {
  const guessed = GUESSED[relation];
  if (guessed === undefined) return [];
  return [...new Set(subject.split(/\s+/u).filter(Boolean))].map((name) => ({
    before: `${name} is a common name in the following ${guessed} : `,
    after: ' .',
  }));
}

export const guesses = (distribution: Distribution, vocabulary: Int32Array | null): number[] =>
  vocabulary === null ? distribution.top(GUESSES) : distribution.topAmong(vocabulary, GUESSES);
