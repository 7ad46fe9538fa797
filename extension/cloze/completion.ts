/** What may be written at a place of a `.cloze` file. Pure: knows the text before the caret in its line, and the parsed document. */
import { OPTIONS, type ClozeDocument, type ClozeRelation, type OptionName } from './language';
import { ANSWER, SUBJECT } from './template';

export type CompletionKind = 'option' | 'relation' | 'value' | 'placeholder' | 'answer' | 'file';

export interface Completion {
  label: string;
  kind: CompletionKind;
  detail: string;
  /** What is written instead of the last `replaces` characters before the caret. */
  insert: string;
  replaces: number;
  /** The person is asked for the next part at once. */
  goesOn: boolean;
}

/** Relations of other files, which a file may ask in other words. */
export interface KnownRelation {
  id: string;
  label: string | null;
}

const PLACEHOLDERS = {
  [SUBJECT]: 'the subject of the fact',
  [ANSWER]: 'the answer: what the model is asked for',
} as const;

const GOES_ON: readonly OptionName[] = ['candidates', 'vocabulary'];

const item = (
  kind: CompletionKind,
  label: string,
  detail: string,
  replaces: number,
  insert = label,
  goesOn = false,
): Completion => ({ label, kind, detail, insert, replaces, goesOn });

/** The relation whose lines stand around the offset; null before the first one. */
export function relationAt({ relations }: ClozeDocument, offset: number): ClozeRelation | null {
  return relations.findLast(({ range }) => range.start <= offset) ?? null;
}

/** `before`: the line up to the caret, which stands at `offset`. Files are for the caller to list, see `pathAt`. */
export function completionsAt(
  document: ClozeDocument,
  before: string,
  offset: number,
  known: readonly KnownRelation[],
): Completion[] {
  const line = before.trimStart();
  if (line.startsWith('#')) return [];
  const relation = relationAt(document, offset);
  if (/^[\p{L}_-]*$/u.test(line)) return lineStarts(relation, line, offset);
  const [, name] = /^relation\s+([^\s:]*)$/u.exec(line) ?? [];
  if (name !== undefined) return relationNames(document, name, known, offset);
  const [, option, value = ''] = /^([\p{L}_-]+)[ \t]*:[ \t]*(.*)$/u.exec(line) ?? [];
  if (option === 'template' || option === 'negated') return placeholders(value);
  if (option === 'candidates') return candidateValues(value);
  if (option === 'context' || option === 'vocabulary') return [];
  const [, answer] = /(?:→|->|\|)\s*([^|→]*)$/u.exec(line) ?? [];
  if (answer !== undefined && relation !== null && /→|->/u.test(line))
    return answers(relation, answer, offset - before.length, offset);
  return placeholders(line).filter(({ label }) => label === ANSWER);
}

/** A path that is being written: what stands before the caret of it. */
export function pathAt(before: string): string | null {
  const [, path] = /^\s*(?:vocabulary[ \t]*:|candidates[ \t]*:[ \t]*file[ \t])[ \t]*(.*)$/u.exec(before) ?? [];
  return path ?? null;
}

function lineStarts(relation: ClozeRelation | null, typed: string, offset: number): Completion[] {
  const below = relation?.range.start !== offset - typed.length ? relation : null;
  const fits: Record<OptionName, boolean> = {
    template: below !== null,
    negated: below?.templates.at(-1)?.negated === null,
    context: below?.facts.some(({ range, context }) => range.end <= offset && context === null) === true,
    candidates: (below?.options.candidates ?? null) === null,
    vocabulary: (below?.options.vocabulary ?? null) === null,
  };
  const { length } = typed;
  return [
    item('relation', 'relation', 'A relation with templates and facts', length, 'relation ', true),
    ...(Object.keys(OPTIONS) as OptionName[])
      .filter((name) => fits[name])
      .map((name) => item('option', name, OPTIONS[name], length, `${name}: `, GOES_ON.includes(name))),
  ];
}

function relationNames(
  { relations }: ClozeDocument,
  typed: string,
  known: readonly KnownRelation[],
  offset: number,
): Completion[] {
  const taken = new Set(
    relations.filter(({ id }) => id.range.end < offset || id.range.start > offset).map(({ id }) => id.value),
  );
  const names = new Map(known.map((each) => [each.id, each]));
  return [...names.values()]
    .filter(({ id }) => !taken.has(id))
    .map(({ id, label }) => item('relation', id, label ?? '', typed.length, label === null ? id : `${id}: ${label}`));
}

function placeholders(value: string): Completion[] {
  const [typed = ''] = /\[[XY]?\]?$/u.exec(value) ?? [];
  return Object.entries(PLACEHOLDERS)
    .filter(([label]) => label === SUBJECT || !value.slice(0, value.length - typed.length).includes(ANSWER))
    .map(([label, detail]) => item('placeholder', label, detail, typed.length));
}

function candidateValues(value: string): Completion[] {
  if (/[\s|]/u.test(value)) return [];
  const { length } = value;
  return [
    item('value', 'relation', 'All answers of the relation', length),
    item('value', 'file', 'The words of a file, one a line', length, 'file ', true),
  ];
}

/** Answers of the relation's other facts, the commonest first. */
function answers(relation: ClozeRelation, typed: string, lineStart: number, caret: number): Completion[] {
  const counts = new Map<string, number>();
  const others = relation.facts.filter(({ range }) => range.start < lineStart || range.start >= caret);
  for (const { value } of others.flatMap((fact) => fact.answers)) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts]
    .filter(([answer]) => answer !== typed.trim())
    .sort(([, a], [, b]) => b - a)
    .map(([label]) =>
      item('answer', label, `answer of ${relation.id.value}`, typed.length, label.replace(/[\\|→]/gu, '\\$&')),
    );
}
