/** What a fact is, apart from where it is written. */
import type { ProbeFact, ProbeRelation } from '../protocol/probes';

/** What makes a fact another one: LAMA keeps one for each subject and answer; a sentence is a fact of its own. */
export const factKey = ({ subject, sentence, answers }: ProbeFact): string =>
  JSON.stringify([subject, ...(sentence === undefined ? [] : [sentence]), '→', ...answers.toSorted()]);

/** All answers of a relation's facts, each once, in their order. */
export const answersOf = ({ facts }: Pick<ProbeRelation, 'facts'>): string[] => [
  ...new Set(facts.flatMap(({ answers }) => answers)),
];
