/**
 * The language of `.cloze` files, specified in docs/cloze.md: one thing a line, so that an error costs its own line and no more.
 * The parser never throws; what it could read is in the document, the rest in the diagnostics. Offsets are UTF-16 code units.
 */
import type { TextRange } from '../protocol/engine';
import { ANSWER, templateProblems } from './template';

export type Severity = 'error' | 'warning';

export type DiagnosticCode =
  | 'outside-relation'
  | 'unknown-line'
  | 'unknown-option'
  | 'relation-name'
  | 'duplicate-relation'
  | 'no-template'
  | 'no-facts'
  | 'template-answer'
  | 'template-subject'
  | 'option-value'
  | 'duplicate-option'
  | 'option-place'
  | 'empty-subject'
  | 'empty-answer'
  | 'answer-is-mask'
  | 'duplicate-answer'
  | 'duplicate-fact';

export interface Diagnostic {
  code: DiagnosticCode;
  severity: Severity;
  message: string;
  range: TextRange;
}

/** A piece of the file: `value` is what it means, with escapes resolved. */
export interface Part {
  value: string;
  range: TextRange;
}

export interface ClozeTemplate extends Part {
  negated: Part | null;
}

export interface ClozeFact {
  /** Of the line. */
  range: TextRange;
  /** The subject, or a sentence with `[Y]`. */
  left: Part;
  isSentence: boolean;
  answers: Part[];
  context: Part | null;
}

/** `relation`: the answers of its facts. */
export type ClozeCandidates = { kind: 'relation' } | { kind: 'words'; words: Part[] } | { kind: 'file'; file: Part };

export interface ClozeOptions {
  /** Path of a file with one word a line, relative to this file. */
  vocabulary: Part | null;
  candidates: ClozeCandidates | null;
}

export interface ClozeRelation {
  id: Part;
  label: Part | null;
  /** From the line of its name to the end of its last line. */
  range: TextRange;
  templates: ClozeTemplate[];
  facts: ClozeFact[];
  options: ClozeOptions;
}

export interface ClozeDocument {
  /** Of lines before the first relation: for all relations that do not say otherwise. */
  options: ClozeOptions;
  relations: ClozeRelation[];
  /** Ranges of comment lines. */
  comments: TextRange[];
  /** In the order of the text. */
  diagnostics: Diagnostic[];
}

/** What may stand before a colon, with what it means; completion offers these. */
export const OPTIONS = {
  template: 'A sentence with [X] for the subject and [Y] for the answer',
  negated: 'The template above, denied',
  context: 'A sentence that is given to the model before the fact above',
  candidates: 'The answers that are ranked against each other: relation, file NAME, or words with | between them',
  vocabulary: 'A file of words, one a line, among which answers are ranked',
} as const;
export type OptionName = keyof typeof OPTIONS;

const isOption = (name: string): name is OptionName => Object.hasOwn(OPTIONS, name);

const RELATION = /^relation(?=\s|:|$)/u;
export const RELATION_NAME = /^[\p{L}\p{N}_][\p{L}\p{N}_.-]*$/u;
const OPTION_LINE = /^([\p{L}_-]+)[ \t]*:/u;
const MASKS: ReadonlySet<string> = new Set(['[MASK]', '<mask>', ANSWER, '[X]']);
/** Before a first word that would be read as “relation” or an option. */
const LEADING_ESCAPE = /^\\(?=\p{L})/u;
const BLANKS = /\[MASK\]|<mask>|_{3,}/u;

/** Reads a whole file. */
export function parseCloze(text: string): ClozeDocument {
  return new Parser(text).document();
}

class Parser {
  private readonly diagnostics: Diagnostic[] = [];
  private readonly comments: TextRange[] = [];
  private readonly relations: ClozeRelation[] = [];
  private readonly options: ClozeOptions = { vocabulary: null, candidates: null };
  private readonly byName = new Map<string, ClozeRelation>();
  /** Facts of the relation that is being read, by what they say. */
  private readonly seen = new Set<string>();
  private relation: ClozeRelation | null = null;
  private fact: ClozeFact | null = null;

  constructor(private readonly text: string) {}

  document(): ClozeDocument {
    const begin = this.text.startsWith('\ufeff') ? 1 : 0;
    for (let start = begin; start <= this.text.length;) {
      const newline = /\r\n|\n|\r/gu;
      newline.lastIndex = start;
      const found = newline.exec(this.text);
      this.line(trimmed(this.text, { start, end: found?.index ?? this.text.length }));
      if (found === null) break;
      start = newline.lastIndex;
    }
    this.closeRelation();
    const { options, relations, comments } = this;
    return {
      options,
      relations,
      comments,
      diagnostics: this.diagnostics.sort((a, b) => a.range.start - b.range.start || a.range.end - b.range.end),
    };
  }

  private line(range: TextRange): void {
    const line = this.slice(range);
    if (line === '') return;
    if (line.startsWith('#')) {
      this.comments.push(range);
      return;
    }
    if (RELATION.test(line)) this.openRelation(range);
    else {
      if (this.relation !== null) this.relation.range.end = range.end;
      const [head, name] = OPTION_LINE.exec(line) ?? [];
      if (head !== undefined && name !== undefined && isOption(name)) this.option(name, range, head.length);
      else if (findArrow(line) !== null) this.readFact(range);
      else if (head !== undefined && name !== undefined)
        this.tell(
          'unknown-option',
          { start: range.start, end: range.start + name.length },
          `There is no option “${name}”; there are ${Object.keys(OPTIONS).join(', ')}. A fact has an arrow: ${name}: … → answer.`,
        );
      else
        this.tell(
          'unknown-line',
          range,
          'This line is no relation, option, fact or comment. A fact is “subject → answer”; a comment begins with #.',
        );
    }
  }

  private openRelation(range: TextRange): void {
    this.closeRelation();
    const rest = trimmed(this.text, { start: range.start + 'relation'.length, end: range.end });
    const colon = this.slice(rest).indexOf(':');
    const idRange = trimmed(this.text, { start: rest.start, end: colon < 0 ? rest.end : rest.start + colon });
    const id: Part = { value: this.slice(idRange), range: idRange };
    const label = colon < 0 ? null : this.part({ start: rest.start + colon + 1, end: rest.end });
    const relation: ClozeRelation = {
      id,
      label: label?.value === '' ? null : label,
      range: { ...range },
      templates: [],
      facts: [],
      options: { vocabulary: null, candidates: null },
    };
    if (!RELATION_NAME.test(id.value))
      this.tell(
        'relation-name',
        id.value === '' ? range : idRange,
        'A relation has a name of letters, digits, “_”, “-” and “.”, for example: relation capital-of: is the capital of',
      );
    else if (this.byName.has(id.value))
      this.tell('duplicate-relation', idRange, `The relation ${id.value} is there twice.`);
    else this.byName.set(id.value, relation);
    this.relation = relation;
    this.relations.push(relation);
  }

  private closeRelation(): void {
    const { relation } = this;
    this.seen.clear();
    this.fact = null;
    this.relation = null;
    if (relation === null) return;
    const at = relation.id.value === '' ? relation.range : relation.id.range;
    const bare = relation.facts.filter(({ isSentence }) => !isSentence);
    if (bare.length > 0 && relation.templates.length === 0)
      this.tell(
        'no-template',
        at,
        `The relation ${relation.id.value} has no template, for example: template: [X] is in [Y].`,
      );
    if (relation.facts.length === 0)
      this.tell('no-facts', at, `The relation ${relation.id.value} has no facts.`, 'warning');
  }

  private option(name: OptionName, line: TextRange, headLength: number): void {
    const nameRange = { start: line.start, end: line.start + name.length };
    const value = trimmed(this.text, { start: line.start + headLength, end: line.end });
    const text = this.slice(value);
    if (text === '') {
      this.tell('option-value', nameRange, `“${name}” has no value: ${OPTIONS[name]}.`);
      return;
    }
    const raw: Part = { value: text, range: value };
    switch (name) {
      case 'template':
        this.template(raw, nameRange);
        return;
      case 'negated':
        this.negated(raw, nameRange);
        return;
      case 'context':
        if (this.fact === null) this.tell('option-place', nameRange, 'A context stands below its fact.');
        else if (this.fact.context !== null)
          this.tell('duplicate-option', nameRange, 'This fact has a context already.');
        else this.fact.context = raw;
        return;
      case 'vocabulary':
      case 'candidates': {
        const options = this.relation?.options ?? this.options;
        if (options[name] !== null) {
          this.tell('duplicate-option', nameRange, `“${name}” is there twice; the first holds.`);
          return;
        }
        if (name === 'vocabulary') options.vocabulary = raw;
        else options.candidates = this.candidates(value);
      }
    }
  }

  private template(raw: Part, nameRange: TextRange): void {
    if (this.relation === null) {
      this.tell('outside-relation', nameRange, 'A template belongs to a relation: write “relation NAME” above it.');
      return;
    }
    if (this.checkTemplate(raw)) this.relation.templates.push({ ...raw, negated: null });
  }

  private negated(raw: Part, nameRange: TextRange): void {
    const above = this.relation?.templates.at(-1);
    if (above === undefined) this.tell('option-place', nameRange, 'A negated template stands below its template.');
    else if (above.negated !== null)
      this.tell('duplicate-option', nameRange, 'This template has a negated form already.');
    else if (this.checkTemplate(raw)) above.negated = raw;
  }

  /** A template that cannot be filled is left out. */
  private checkTemplate({ value, range }: Part): boolean {
    const [problem] = templateProblems(value);
    if (problem === undefined) return true;
    const blank = BLANKS.exec(value);
    if (problem === 'no answer' && blank !== null)
      this.tell(
        'template-answer',
        { start: range.start + blank.index, end: range.start + blank.index + blank[0].length },
        `Write [Y] for the answer instead of ${blank[0]}: it becomes the mask of whatever model is asked.`,
      );
    else if (problem === 'no subject')
      this.tell('template-subject', range, 'A template holds [X] where the subject stands.');
    else
      this.tell(
        'template-answer',
        range,
        problem === 'no answer'
          ? 'A template holds [Y] where the answer stands.'
          : 'A template holds [Y] once: one answer is asked for.',
      );
    return false;
  }

  private candidates(value: TextRange): ClozeCandidates {
    const text = this.slice(value);
    if (text === 'relation') return { kind: 'relation' };
    const [head] = /^file[ \t]+/u.exec(text) ?? [];
    if (head !== undefined)
      return { kind: 'file', file: this.part({ start: value.start + head.length, end: value.end }) };
    return { kind: 'words', words: this.alternatives(value, 'option-value', 'A candidate is empty.') };
  }

  private readFact(line: TextRange): void {
    const { relation } = this;
    this.fact = null;
    const arrow = findArrow(this.slice(line)) as { start: number; end: number };
    const leftRange = trimmed(this.text, { start: line.start, end: line.start + arrow.start });
    const left: Part = {
      value: unescape(this.slice(leftRange).replace(LEADING_ESCAPE, '')),
      range: leftRange,
    };
    const answerRange = { start: line.start + arrow.end, end: line.end };
    if (relation === null) {
      this.tell('outside-relation', line, 'A fact belongs to a relation: write “relation NAME” above it.');
      return;
    }
    if (left.value === '') {
      this.tell('empty-subject', line, 'There is no subject before the arrow.');
      return;
    }
    const isSentence = left.value.includes(ANSWER);
    if (isSentence && templateProblems(left.value, true).length > 0) {
      this.tell('template-answer', left.range, 'A sentence holds [Y] once: one answer is asked for.');
      return;
    }
    const answers: Part[] = [];
    for (const answer of this.alternatives(answerRange, 'empty-answer', 'There is no answer here.', line)) {
      if (MASKS.has(answer.value))
        this.tell(
          'answer-is-mask',
          answer.range,
          `“${answer.value}” stands for a word that is asked for; it cannot be the answer.`,
        );
      else if (answers.some(({ value }) => value === answer.value))
        this.tell('duplicate-answer', answer.range, `“${answer.value}” is there twice.`, 'warning');
      else answers.push(answer);
    }
    if (answers.length === 0) return;
    const key = [left.value, ...answers.map(({ value }) => value).sort()].join('\n');
    if (this.seen.has(key)) {
      this.tell('duplicate-fact', line, 'This fact is there already; it is asked once.', 'warning');
      return;
    }
    this.seen.add(key);
    this.fact = { range: line, left, isSentence, answers, context: null };
    relation.facts.push(this.fact);
  }

  /** Texts with `|` between them. */
  private alternatives(range: TextRange, code: DiagnosticCode, empty: string, line = range): Part[] {
    const text = this.slice(range);
    const cuts = [-1, ...barsIn(text), text.length];
    return cuts.slice(1).flatMap((end, index) => {
      const whole = { start: range.start + (cuts[index] as number) + 1, end: range.start + end };
      const part = this.part(whole);
      if (part.value !== '') return [part];
      this.tell(code, whole.start < whole.end ? whole : line, empty);
      return [];
    });
  }

  private part(range: TextRange): Part {
    const inner = trimmed(this.text, range);
    return { value: unescape(this.slice(inner)), range: inner };
  }

  private slice({ start, end }: TextRange): string {
    return this.text.slice(start, end);
  }

  private tell(code: DiagnosticCode, range: TextRange, message: string, severity: Severity = 'error'): void {
    this.diagnostics.push({ code, severity, message, range: { ...range } });
  }
}

/** Without white space at its ends; an empty range stays at its start. */
function trimmed(text: string, { start, end }: TextRange): TextRange {
  const part = text.slice(start, end);
  const inner = part.trim();
  const from = start + (inner === '' ? 0 : part.indexOf(inner));
  return { start: from, end: from + inner.length };
}

const unescape = (text: string): string => text.replace(/\\([\\|→#]|->)/gu, '$1');

/** The first arrow that is not escaped. */
function findArrow(line: string): TextRange | null {
  const [found] = line.matchAll(/(?<!(?<!\\)(?:\\\\)*\\)(?:→|->)/gu);
  return found === undefined ? null : { start: found.index, end: found.index + found[0].length };
}

function barsIn(text: string): number[] {
  return [...text.matchAll(/(?<!(?<!\\)(?:\\\\)*\\)\|/gu)].map(({ index }) => index);
}
