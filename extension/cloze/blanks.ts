/** Questions in any text: a blank in a sentence, or a word that is made one; and the relation that a sentence fits. Pure. */
import type { TextRange } from '../protocol/engine';
import type { ProbeFact, ProbeRelation } from '../protocol/probes';
import { ANSWER, SUBJECT } from './template';

const BLANK = /\[MASK\]|<mask>|\[Y\]|_{3,}/gu;
const FURTHER_MASK = '[MASK]';
const LETTER = /[\p{L}\p{N}]/u;
const ENDS_IN_LETTER = /[\p{L}\p{N}]$/u;
/** Longer texts are not laid under templates. */
const LONGEST_SENTENCE = 2_000;

/** Blanks of a text. A line of underscores alone is a rule, not a question. */
export function blanksIn(text: string): TextRange[] {
  return [...text.matchAll(/[^\r\n]+/gu)].flatMap(({ index: start, 0: line }) => {
    if (!LETTER.test(line.replace(BLANK, ''))) return [];
    return [...line.matchAll(BLANK)].map(({ index, 0: blank }) => ({
      start: start + index,
      end: start + index + blank.length,
    }));
  });
}

/** What is asked at a range of a text. Other blanks stay masked; those before the asked one are the caller's to avoid. */
export function questionAt(text: string, { start, end }: TextRange, answers: string[] = []): ProbeFact {
  const before = text.slice(0, start);
  const after = text.slice(end).replace(BLANK, FURTHER_MASK);
  return {
    // Where the text itself has the placeholder of a subject, it is put back as it is.
    subject: text.includes(SUBJECT) ? SUBJECT : null,
    sentence: before + ANSWER + after,
    answers,
  };
}

/** A relation that fits a sentence, with the subject found in it. */
export interface FittingRelation<R> {
  relation: R;
  subject: string;
  /** By the sentence's form, or because the relation has the fact. */
  by: 'template' | 'fact';
}

/**
 * The first relation with a template that reads as the sentence does, white space and the mark at its end apart; otherwise the first with
 * a fact of this answer whose subject stands in the sentence. Templates with more words of their own go first.
 */
export function fittingRelation<R extends Pick<ProbeRelation, 'templates' | 'facts'>>(
  sentence: string,
  answer: TextRange,
  relations: readonly R[],
): FittingRelation<R> | null {
  const [before, after] = [sentence.slice(0, answer.start), sentence.slice(answer.end)];
  if (sentence.length > LONGEST_SENTENCE) return null;
  const templates = relations
    .flatMap((relation) => relation.templates.map(({ text }) => ({ relation, text })))
    .sort((a, b) => b.text.length - a.text.length);
  for (const { relation, text } of templates) {
    const subject = subjectOf(text, before, after);
    if (subject !== null) return { relation, subject, by: 'template' };
  }
  const asked = sentence.slice(answer.start, answer.end).trim();
  for (const relation of relations) {
    const fact = relation.facts.find(
      ({ subject, answers }) =>
        subject !== null &&
        subject !== '' &&
        answers.includes(asked) &&
        (hasWord(before, subject) || hasWord(after, subject)),
    );
    if (fact?.subject != null) return { relation, subject: fact.subject, by: 'fact' };
  }
  return null;
}

/** What stands for `[X]` when the template is laid over the text around the answer; null when it does not fit. */
function subjectOf(template: string, before: string, after: string): string | null {
  const [left, right] = template.split(ANSWER) as [string, string];
  const pattern = `^\\s*${looseOf(left)}\\s*\\0\\s*${looseOf(right.replace(/[\s.!?]+$/u, ''))}[\\s.!?]*$`;
  // A character that no text has stands for the answer, so that a subject cannot reach over it.
  const found = new RegExp(pattern, 'u').exec(`${before.replaceAll('\0', ' ')}\0${after.replaceAll('\0', ' ')}`);
  if (found === null) return null;
  const [, first, ...again] = found;
  if (first === undefined || again.some((other) => other !== first)) return null;
  return first.trim() === '' ? null : first.trim();
}

/** As a regular expression, in which white space counts as any other, and may be missing beside a mark. */
function looseOf(part: string): string {
  return part
    .split(SUBJECT)
    .map((text) => {
      const words = text.trim().split(/\s+/u);
      return words
        .map((word, index) => {
          const escaped = word.replace(/[\\^$.*+?()[\]{}|/-]/gu, '\\$&');
          const next = words[index + 1];
          if (next === undefined) return escaped;
          return escaped + (ENDS_IN_LETTER.test(word) && LETTER.test(next.charAt(0)) ? '\\s+' : '\\s*');
        })
        .join('');
    })
    .join('\\s*([^\\0]+?)\\s*');
}

function hasWord(text: string, word: string): boolean {
  const at = text.indexOf(word);
  if (at < 0) return false;
  return !LETTER.test(text.charAt(at - 1)) && !LETTER.test(text.charAt(at + word.length));
}
