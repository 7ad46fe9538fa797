/**
 * Treebanks in CoNLL-U (universaldependencies.org/format.html): words with their places in the text, heads and relations. What a file
 * has wrong is told with its line, and costs no more than the word or the sentence that it is in.
 */
import type { CorpusSource } from '../../../protocol/attention';
import type { TextRange } from '../../../protocol/engine';
import { linesOf } from './lines';

export interface TreebankWord {
  form: string;
  /** In the sentence's text. Words of a multiword token that does not spell them out (French “du”) share its range. */
  range: TextRange;
  /** Index of its head among the words; −1: the root; null: not annotated, or not possible. */
  head: number | null;
  relation: string;
  /** Universal part of speech; “_” where it is not annotated. */
  upos: string;
  misc: string;
}

export interface TreebankSentence {
  /** 1-based, of its first word. */
  line: number;
  text: string;
  words: TreebankWord[];
  /** Begins a document. */
  newDocument: boolean;
  /** Fields of Entity annotations (`# global.Entity = GRP-etype-…`), where the sentence declares them. */
  entityFields: string[] | null;
}

/** 1-based line → why. */
export interface TreebankProblem {
  line: number;
  why: string;
}

const COLUMNS = 10;
/** More lines without a blank one are no sentence. */
const MOST_LINES = 5_000;

/** Sentences of a file, a line at a time. Throws what `linesOf` throws. */
export async function* sentencesOf(
  source: CorpusSource,
  tell: (problem: TreebankProblem) => void,
): AsyncGenerator<TreebankSentence> {
  let lines: string[] = [];
  let first = 1;
  let number = 0;
  const close = (): TreebankSentence | null => {
    const { sentence, problems } =
      lines.length > MOST_LINES
        ? broken(first, `more than ${MOST_LINES} lines without a blank one`)
        : parseSentence(lines, first);
    problems.forEach(tell);
    lines = [];
    return sentence;
  };
  for await (const line of linesOf(source)) {
    number++;
    if (line.trim() !== '') {
      if (lines.length === 0) first = number;
      if (lines.length <= MOST_LINES) lines.push(line);
      continue;
    }
    const sentence = close();
    if (sentence !== null) yield sentence;
  }
  const last = close();
  if (last !== null) yield last;
}

/** A line of a word, a multiword token (`2-3`) or an empty node (`1.1`). */
interface Row {
  line: number;
  id: string;
  form: string;
  upos: string;
  head: string;
  relation: string;
  misc: string;
}

/** The lines between two blank ones. A broken line leaves out the sentence, since the places of its words are not sure then. */
export function parseSentence(
  lines: readonly string[],
  firstLine: number,
): { sentence: TreebankSentence | null; problems: TreebankProblem[] } {
  const comments = lines.filter((line) => line.startsWith('#'));
  const rows: Row[] = [];
  for (const [index, line] of lines.entries()) {
    if (line.startsWith('#')) continue;
    const columns = line.split('\t');
    const [id = '', form = ''] = columns;
    const at = firstLine + index;
    if (columns.length !== COLUMNS)
      return broken(at, `it has ${columns.length} columns between tabs instead of ${COLUMNS}`);
    if (!/^\d+([-.]\d+)?$/.test(id) || form === '') return broken(at, `“${id}” with the form “${form}” is no word`);
    const [upos = '', , , head = '', relation = '', , misc = ''] = columns.slice(3);
    rows.push({ line: at, id, form, upos, head, relation, misc });
  }
  const words = rows.filter(({ id }) => /^\d+$/.test(id));
  if (words.length === 0) return { sentence: null, problems: [] };
  const misnumbered = words.findIndex(({ id }, index) => Number(id) !== index + 1);
  if (misnumbered >= 0)
    return broken((words[misnumbered] as Row).line, `word ${misnumbered + 1} has the number ${words[misnumbered]?.id}`);
  const laid = layOut(rows, words);
  if ('why' in laid) return broken(laid.line, laid.why);
  const { heads, problems } = headsOf(words);
  const entity = comments.findLast((line) => /^#\s*global\.Entity\s*=/.test(line));
  return {
    sentence: {
      line: (words[0] as Row).line,
      text: laid.text,
      words: words.map(({ form, relation, upos, misc }, index) => ({
        form,
        range: laid.ranges[index] as TextRange,
        head: heads[index] as number | null,
        relation,
        upos,
        misc,
      })),
      newDocument: comments.some((line) => /^#\s*newdoc\b/.test(line)),
      entityFields:
        entity === undefined
          ? null
          : entity
              .replace(/^[^=]*=\s*/, '')
              .trim()
              .split('-'),
    },
    problems,
  };
}

const broken = (line: number, why: string): { sentence: null; problems: TreebankProblem[] } => ({
  sentence: null,
  problems: [{ line, why: `${why}; the sentence is left out` }],
});

/** The text as it was written: a space after each token, unless SpaceAfter=No says otherwise. */
function layOut(rows: readonly Row[], words: readonly Row[]): { text: string; ranges: TextRange[] } | TreebankProblem {
  const ranges: TextRange[] = [];
  let text = '';
  let glued = true;
  for (const { id, form, misc, line } of rows) {
    const [first, last = first] = id.split('-').map(Number) as [number, number?];
    // Empty nodes are not in the text; members of a multiword token have their places already.
    if (id.includes('.') || (first <= ranges.length && !id.includes('-'))) continue;
    if (first !== ranges.length + 1 || last < first || last > words.length)
      return { line, why: `the token ${id} does not stand before its words` };
    if (!glued) text += ' ';
    ranges.push(...split(form, text.length, words.slice(first - 1, last)));
    text += form;
    glued = misc.split('|').includes('SpaceAfter=No');
  }
  return { text, ranges };
}

/** Where the words of a token stand in it: one after the other where they spell it, else each everywhere. */
function split(form: string, start: number, members: readonly Row[]): TextRange[] {
  const spelt = members.map((member) => member.form).join('') === form;
  let at = start;
  return members.map((member) => {
    if (!spelt) return { start, end: start + form.length };
    at += member.form.length;
    return { start: at - member.form.length, end: at };
  });
}

/** Index of each word's head. Those that cannot be are null, and told. */
function headsOf(words: readonly Row[]): { heads: (number | null)[]; problems: TreebankProblem[] } {
  if (words.every(({ head }) => head === '_'))
    return {
      heads: words.map(() => null),
      problems: [{ line: (words[0] as Row).line, why: 'the sentence has no heads; its relations are left out' }],
    };
  const problems: TreebankProblem[] = [];
  const heads = words.map(({ head, line }, index): number | null => {
    if (/^\d+$/.test(head) && Number(head) <= words.length && Number(head) !== index + 1) return Number(head) - 1;
    const why =
      head === '_' || head === ''
        ? 'has no head'
        : `cannot have the head ${head}${Number(head) === index + 1 ? ', which is itself' : ''}`;
    problems.push({ line, why: `word ${index + 1} ${why}; its relation is left out` });
    return null;
  });
  for (const cycle of cyclesOf(heads)) {
    problems.push({
      line: (words[cycle[0] as number] as Row).line,
      why: `the words ${cycle.map((index) => index + 1).join(', ')} are heads of each other in a circle; their relations are left out`,
    });
    for (const index of cycle) heads[index] = null;
  }
  return { heads, problems };
}

/** Words whose heads lead back to themselves. */
function cyclesOf(heads: readonly (number | null)[]): number[][] {
  const cycles: number[][] = [];
  const seen = new Map<number, 'on the way' | 'settled'>();
  for (let start = 0; start < heads.length; start++) {
    const path: number[] = [];
    let at: number | null = start;
    while (at !== null && at >= 0 && !seen.has(at)) {
      seen.set(at, 'on the way');
      path.push(at);
      at = heads[at] ?? null;
    }
    if (at !== null && seen.get(at) === 'on the way') cycles.push(path.slice(path.indexOf(at)));
    for (const index of path) seen.set(index, 'settled');
  }
  return cycles;
}
