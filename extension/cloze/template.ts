/** Templates such as `[X] was born in [Y] .` */

export const SUBJECT = '[X]';
export const ANSWER = '[Y]';

/** A template cut at its placeholders. */
export interface Template {
  /** Texts between subjects, left of the answer; one more than there are subjects there. */
  before: readonly string[];
  after: readonly string[];
}

export type TemplateProblem = 'no answer' | 'two answers' | 'no subject';

/** What is wrong with it; a sentence needs no subject. */
export function templateProblems(text: string, sentence = false): TemplateProblem[] {
  const answers = text.split(ANSWER).length - 1;
  return [
    ...(answers === 0 ? (['no answer'] as const) : answers > 1 ? (['two answers'] as const) : []),
    ...(!sentence && !text.includes(SUBJECT) ? (['no subject'] as const) : []),
  ];
}

/** Of a template without problems. */
export function cutTemplate(text: string): Template {
  const [before = '', after = ''] = text.split(ANSWER);
  return { before: before.split(SUBJECT), after: after.split(SUBJECT) };
}

/** The text on both sides of the answer. A subject may hold brackets: nothing in it is read as a placeholder. */
export function fillTemplate({ before, after }: Template, subject: string): { before: string; after: string } {
  return { before: before.join(subject), after: after.join(subject) };
}

const NEGATABLE = /\b(is|are|was|were|can|could|will|would|does|did|has(?= been)|have(?= been))\b(?! not\b)/u;

/** “[X] is not the capital of [Y].”: “not” behind the first verb that takes it as it is; null where there is none. */
export function negate(text: string): string | null {
  return NEGATABLE.test(text) ? text.replace(NEGATABLE, '$1 not') : null;
}

const VOWEL = /^[aeiou]/iu;

/** “a [Y]” does not fit “apple”, nor “an [Y]” “pear” (as in ParaRel's code). */
export function clashes(template: string, answer: string): boolean {
  const [, article] = /\b(an?) \[Y\]/u.exec(template) ?? [];
  return article !== undefined && VOWEL.test(answer) !== (article === 'an');
}
