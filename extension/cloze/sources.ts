/**
 * Files and folders → relations with templates and facts, whatever form they have: `.cloze`, LAMA, ParaRel, Google-RE, SQuAD,
 * ConceptNet. A broken line is told with its place, and the others are read.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { LensError } from '../protocol/errors';
import { counted } from '../protocol/format';
import type { ProbeFact, ProbeRelation, ProbeTemplate } from '../protocol/probes';
import { answersOf, factKey } from './facts';
import {
  parseCloze,
  type ClozeCandidates,
  type ClozeDocument,
  type ClozeFact,
  type ClozeRelation,
  type Part,
} from './language';
import { readLines } from './lines';
import { readRecord, type JsonlRecord } from './records';

export interface SourceProblem {
  file: string;
  /** From 1; null: the file as a whole. */
  line: number | null;
  message: string;
  severity: 'error' | 'warning';
}

export interface SourceRelation extends ProbeRelation {
  /** Where each fact stands. */
  places: { file: string; line: number }[];
  /** Absolute path of its vocabulary file. */
  vocabulary: string | null;
}

export interface Sources {
  relations: SourceRelation[];
  problems: SourceProblem[];
  notes: string[];
}

export const RELATIONS_FILE = 'relations.jsonl';
const READABLE = /\.(cloze|jsonl|json)(\.gz)?$/u;
/** Of a folder's name rather than of the relation. */
const SPLIT = /^(test|dev|train|valid|facts)$/u;
const SPLIT_ENDING = /_(test|dev|train|valid)$/u;
/** A file that is broken throughout must not fill the memory with complaints. */
const MOST_PROBLEMS = 50;
/** UTF-16 units of a .cloze file, which is read whole. */
const LARGEST_CLOZE = 64 * 2 ** 20;

/** LAMA's, whose data come without a relations.jsonl line for them. */
const GOOGLE_RE: Readonly<Record<string, string>> = {
  place_of_birth: '[X] was born in [Y] .',
  date_of_birth: '[X] (born [Y]).',
  place_of_death: '[X] died in [Y] .',
};

/** Throws `bad-input` when a path is not there, or when nothing in them is a relation. */
export async function readSources(paths: readonly string[]): Promise<Sources> {
  const reader = new SourceReader();
  for (const path of paths) await reader.add(resolve(path));
  return reader.finish();
}

/** One word a line; white space around it and empty lines do not count. Throws `bad-input`. */
export async function readWords(path: string): Promise<string[]> {
  const words = new Set<string>();
  for await (const { text } of readLines(path)) if (text.trim() !== '') words.add(text.trim());
  if (words.size === 0) throw new LensError('bad-input', `${path} has no words.`, 'Write one word a line.');
  return [...words];
}

/** Facts of one relation, as they come. */
class Gathered {
  readonly facts: ProbeFact[] = [];
  readonly places: SourceRelation['places'] = [];
  readonly files = new Set<string>();
  predicate: string | null = null;
  doubled = 0;
  private readonly seen = new Set<string>();

  constructor(readonly id: string) {}

  add(fact: ProbeFact, file: string, line: number): void {
    this.files.add(file);
    const key = factKey(fact);
    if (this.seen.has(key)) {
      this.doubled++;
      return;
    }
    this.seen.add(key);
    this.facts.push(fact);
    this.places.push({ file, line });
  }
}

class SourceReader {
  private readonly problems: SourceProblem[] = [];
  private readonly notes: string[] = [];
  private readonly gathered = new Map<string, Gathered>();
  private readonly cloze: SourceRelation[] = [];
  /** Of files that were named, and of a relations.jsonl beside or above the facts. */
  private readonly named = new Map<string, ProbeTemplate[]>();
  private readonly found = new Map<string, ProbeTemplate[]>();
  private readonly foldersRead = new Set<string>();

  async add(path: string): Promise<void> {
    let isFolder: boolean;
    try {
      isFolder = statSync(path).isDirectory();
    } catch {
      throw new LensError('bad-input', `There is no file or folder ${path}.`, 'Check the path.');
    }
    if (!isFolder) {
      await this.addFile(path);
      return;
    }
    const files = existsSync(join(path, RELATIONS_FILE)) ? await this.lamaFiles(path) : filesOf(path);
    if (files.length === 0)
      throw new LensError(
        'bad-input',
        `The folder ${path} has no .cloze or .jsonl file with facts.`,
        `Name the files, or a folder with ${RELATIONS_FILE} and the facts beside it or in a folder below.`,
      );
    for (const file of files) await this.addFile(file);
  }

  async finish(): Promise<Sources> {
    const relations = [...this.cloze];
    for (const gathered of this.gathered.values()) {
      const relation = this.assemble(gathered);
      if (relation !== null) relations.push(relation);
    }
    const ids = new Set<string>();
    for (const { id } of relations) {
      if (ids.has(id))
        throw new LensError(
          'bad-input',
          `The relation ${id} is in two of the files.`,
          'Rename one, or run them apart.',
        );
      ids.add(id);
    }
    if (relations.length === 0) {
      const [first] = this.problems;
      throw new LensError(
        'bad-input',
        first === undefined ? 'There are no facts in these files.' : `No relation can be run. ${placed(first)}`,
        'Name .cloze files, or JSONL files with facts and their relations.jsonl.',
      );
    }
    return { relations, problems: this.problems, notes: this.notes };
  }

  /** A folder with relations.jsonl: the facts of its relations, beside it or one folder below. */
  private async lamaFiles(folder: string): Promise<string[]> {
    await this.findTemplates(folder);
    const byFolder = new Map<string, string[]>();
    const patterns = new Set<string>();
    const left = new Set<string>();
    const folders = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    for (const place of [folder, ...folders.map(({ name }) => join(folder, name)).sort()])
      for (const file of filesOf(place)) {
        if (basename(file) === RELATIONS_FILE) continue;
        const first = await firstRecord(file);
        if (first?.kind === 'pattern') patterns.add(basename(place));
        else if (this.found.has(relationOf(file)) && first?.kind !== 'relation')
          byFolder.set(place, [...(byFolder.get(place) ?? []), file]);
        else if (first?.kind === 'fact') left.add(basename(place) + '/' + basename(file));
      }
    if (byFolder.size > 1)
      throw new LensError(
        'bad-input',
        `Several folders hold facts of these relations: ${[...byFolder.keys()].map((each) => basename(each)).join(', ')}.`,
        'Name the one that is meant.',
      );
    for (const name of patterns)
      this.notes.push(`${name}/ holds paraphrase patterns; name that folder too to use them.`);
    for (const name of left) this.notes.push(`${name} is no relation of ${RELATIONS_FILE}; name it to run it.`);
    return [...byFolder.values()].flat();
  }

  private async findTemplates(folder: string): Promise<void> {
    if (this.foldersRead.has(folder)) return;
    this.foldersRead.add(folder);
    const file = join(folder, RELATIONS_FILE);
    if (existsSync(file)) await this.readJsonl(file, this.found);
  }

  private async addFile(file: string): Promise<void> {
    if (/\.cloze(\.gz)?$/u.test(file)) await this.addCloze(file);
    else await this.readJsonl(file, this.named);
  }

  private async readJsonl(file: string, templates: Map<string, ProbeTemplate[]>): Promise<void> {
    const id = relationOf(file);
    const put = (relation: string, template: ProbeTemplate): void => {
      const known = templates.get(relation) ?? [];
      if (!known.some(({ text }) => text === template.text)) templates.set(relation, [...known, template]);
    };
    let bad = 0;
    const tell = (line: number | null, message: string): void => {
      if (bad++ < MOST_PROBLEMS) this.problems.push({ file, line, message, severity: 'error' });
    };
    try {
      for await (const { number, text, cut } of readLines(file)) {
        if (text.trim() === '') continue;
        const record: JsonlRecord = cut ? { kind: 'problem', message: 'is too long to be read' } : readRecord(text);
        switch (record.kind) {
          case 'relation':
            put(record.id, record.template);
            break;
          case 'pattern':
            put(id, record.template);
            break;
          case 'problem':
            tell(number, `The line ${record.message}.`);
            break;
          case 'fact': {
            const known = this.gathered.get(id) ?? new Gathered(id);
            this.gathered.set(id, known);
            known.predicate ??= record.predicate;
            known.add(record.fact, file, number);
          }
        }
      }
    } catch (error) {
      // What was read of it, and other files, are run.
      tell(null, LensError.from(error).message);
    }
    if (bad > MOST_PROBLEMS)
      this.problems.push({
        ...{ file, line: null, severity: 'error' },
        message: `${counted(bad - MOST_PROBLEMS, 'more line')} cannot be read.`,
      });
    await this.findTemplates(dirname(file));
    await this.findTemplates(dirname(dirname(file)));
  }

  private assemble({ id, facts, places, predicate, doubled, files }: Gathered): SourceRelation | null {
    const known = GOOGLE_RE[id] ?? GOOGLE_RE[predicate ?? ''];
    const templates = this.named.get(id) ?? this.found.get(id) ?? (known === undefined ? [] : [{ text: known }]);
    if (doubled > 0) this.notes.push(`${id}: ${counted(doubled, 'fact')} stood there before and are asked once.`);
    if (files.size > 1) this.notes.push(`${id} is read from ${counted(files.size, 'file')}.`);
    const usable: ProbeFact[] = [];
    const usablePlaces: SourceRelation['places'] = [];
    facts.forEach((fact, index) => {
      const { sentence, ...bare } = fact;
      // A template, where there is one, is asked instead of the sentence, as in LAMA.
      const asked = templates.length > 0 && fact.subject !== null ? bare : sentence === undefined ? null : fact;
      if (asked === null) return;
      usable.push(asked);
      usablePlaces.push(places[index] as SourceRelation['places'][number]);
    });
    if (usable.length < facts.length)
      this.problems.push({
        ...{ file: [...files][0] ?? id, line: null, severity: 'error' },
        message: `The relation ${id} has no template. Name the ${RELATIONS_FILE} that has one.`,
      });
    if (usable.length === 0) return null;
    return { id, templates, facts: usable, places: usablePlaces, vocabulary: null };
  }

  private async addCloze(file: string): Promise<void> {
    const text = await readWhole(file);
    const document = parseCloze(text);
    const lineOf = lineNumbers(text);
    for (const { message, severity, range } of document.diagnostics)
      this.problems.push({ file, line: lineOf(range.start), message, severity });
    this.cloze.push(...(await parsedRelations(document, { file, folder: dirname(file), lineOf })));
  }
}

export interface ParsedPlace {
  /** As places of facts name it. */
  file: string;
  /** Where paths in it begin; null: nowhere, for a text that is no file. */
  folder: string | null;
  /** From 1. */
  lineOf(offset: number): number;
}

/** The relations of a `.cloze` document that have facts. Throws `bad-input` when a file of candidates cannot be read. */
export async function parsedRelations(
  document: ClozeDocument,
  { file, folder, lineOf }: ParsedPlace,
): Promise<SourceRelation[]> {
  const pathOf = ({ value }: Part): string => {
    if (folder !== null) return resolve(folder, value);
    throw new LensError('bad-input', `“${value}” is relative to a file that is not saved yet.`, 'Save the file first.');
  };
  const relations: SourceRelation[] = [];
  for (const relation of document.relations) {
    const candidates = relation.options.candidates ?? document.options.candidates;
    const vocabulary = relation.options.vocabulary ?? document.options.vocabulary;
    const read = probeRelation(relation);
    if (read.facts.length === 0) continue;
    relations.push({
      ...read,
      ...(candidates === null ? {} : { candidates: await candidatesOf(candidates, read, pathOf) }),
      places: readFacts(relation).map(({ range }) => ({ file, line: lineOf(range.start) })),
      vocabulary: vocabulary === null ? null : pathOf(vocabulary),
    });
  }
  return relations;
}

async function candidatesOf(
  candidates: ClozeCandidates,
  relation: ProbeRelation,
  pathOf: (part: Part) => string,
): Promise<string[]> {
  switch (candidates.kind) {
    case 'relation':
      return answersOf(relation);
    case 'words':
      return candidates.words.map(({ value }) => value);
    case 'file':
      return readWords(pathOf(candidates.file));
  }
}

/** Facts that can be asked: with a template, or a sentence of their own. */
const readFacts = ({ facts, templates }: ClozeRelation): ClozeRelation['facts'] =>
  facts.filter(({ isSentence }) => isSentence || templates.length > 0);

/** A relation of a `.cloze` file as it is asked for; without candidates, which can stand in another file. */
export function probeRelation(relation: ClozeRelation): ProbeRelation {
  return {
    id: relation.id.value,
    templates: relation.templates.map(({ value, negated }) => ({
      text: value,
      ...(negated === null ? {} : { negated: negated.value }),
    })),
    facts: readFacts(relation).map(probeFact),
  };
}

/** A fact of a `.cloze` file as it is asked for. */
export const probeFact = ({ left, isSentence, answers, context }: ClozeFact): ProbeFact => ({
  subject: isSentence ? null : left.value,
  ...(isSentence ? { sentence: left.value } : {}),
  answers: answers.map(({ value }) => value),
  ...(context === null ? {} : { context: context.value }),
});

export const placed = ({ file, line, message }: SourceProblem): string =>
  `${file}${line === null ? '' : `:${line}`}: ${message}`;

function filesOf(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isFile() && READABLE.test(entry.name))
    .map(({ name }) => join(folder, name))
    .sort();
}

/** `trex/P19.jsonl.gz` → P19; `place_of_birth_test.jsonl` → place_of_birth; `Squad/test.jsonl` → Squad. */
export function relationOf(file: string): string {
  const name = basename(file.replace(/\.gz$/u, ''), extname(file.replace(/\.gz$/u, '')));
  return SPLIT.test(name) ? basename(dirname(file)) : name.replace(SPLIT_ENDING, '');
}

/** What a JSONL file holds, by its first line that can be read; null when there is none. */
export async function factsKind(file: string): Promise<'fact' | 'pattern' | 'relation' | null> {
  const first = await firstRecord(file);
  return first === null || first.kind === 'problem' ? null : first.kind;
}

/** The relations of a `relations.jsonl`; none when it cannot be read. */
export async function namedRelations(file: string): Promise<Set<string>> {
  const names = new Set<string>();
  try {
    for await (const { text } of readLines(file)) {
      const record = readRecord(text);
      if (record.kind === 'relation') names.add(record.id);
    }
  } catch {
    // it is told when its relations are read
  }
  return names;
}

/** Lines that are tried: other JSONL files have none that we can read. */
const MOST_TRIED = 20;

/** The first line that can be read. */
async function firstRecord(file: string): Promise<JsonlRecord | null> {
  if (/\.cloze(\.gz)?$/u.test(file)) return null;
  try {
    for await (const { number, text } of readLines(file)) {
      const record = readRecord(text);
      if (record.kind !== 'problem') return record;
      if (number >= MOST_TRIED) return null;
    }
  } catch {
    return null; // it is told when the file itself is read
  }
  return null;
}

/** With `\n` between lines, so that lines can be counted. */
async function readWhole(file: string): Promise<string> {
  const lines: string[] = [];
  let size = 0;
  for await (const { text } of readLines(file)) {
    size += text.length + 1;
    if (size > LARGEST_CLOZE)
      throw new LensError(
        'bad-input',
        `${file} has more than 64 MB.`,
        'Write so many facts as JSONL, or in several files.',
      );
    lines.push(text);
  }
  return lines.join('\n');
}

/** Offset → line from 1, by bisection. */
function lineNumbers(text: string): (offset: number) => number {
  const starts = [0, ...[...text.matchAll(/\r\n|\n|\r/gu)].map(({ index, 0: end }) => index + end.length)];
  return (offset) => {
    let [low, high] = [0, starts.length];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((starts[middle] as number) <= offset) low = middle;
      else high = middle;
    }
    return low + 1;
  };
}
