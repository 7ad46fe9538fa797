/**
 * The newest result of each line, wherever it was asked from. A fact of a file is found again by what it says, so that its result moves
 * with its line, and is gone when the line says something else; a question in a text is followed through edits, and is gone when they
 * touch its sentence.
 */
import * as vscode from 'vscode';
import { answersOf, factKey } from '../cloze/facts';
import type { ClozeDocument, ClozeFact, ClozeRelation } from '../cloze/language';
import { readRecord } from '../cloze/records';
import type { RunFact } from '../cloze/runFile';
import { probeFact, probeRelation } from '../cloze/sources';
import { isCloze, isClozePath, pathOf, type ClozeDocuments } from '../editor/clozeDocuments';
import { shifted } from '../editor/context';
import type { TextRange } from '../protocol/engine';
import type { Scale } from '../protocol/interventions';
import type { ProbeFact } from '../protocol/probes';
import type { PlacedRelation, ProbeRunner, ResultBatch } from './probeRunner';

export interface LineResult {
  fact: RunFact;
  asked: ProbeFact;
  /** As it was asked. */
  relation: PlacedRelation;
  /** Id of the model. */
  model: string;
  /** Heads and neurons that were scaled in it. */
  changes: readonly Scale[];
  /** What the answer is ranked among was changed since. */
  outdated: boolean;
}

type Stored = Omit<LineResult, 'outdated'>;

/** A question in a text. */
interface Followed {
  /** Of the text that the model was given. */
  window: TextRange;
  /** Of the blank. */
  at: TextRange;
  /** The question, and the same fact asked by a relation's templates. */
  asked: readonly ProbeFact[];
  results: Stored[];
}

/** A version of a `.cloze` document, by line from 0. */
interface Lines {
  version: number;
  facts: Map<number, { relation: ClozeRelation; fact: ClozeFact }>;
  /** What results depend on beside their fact. */
  depends: Map<ClozeRelation, { templates: string[]; candidates: string | null; vocabulary: boolean }>;
}

/** Lines of JSONL with more evidence than that are not looked at. */
const LONGEST_LINE = 100_000;

export class LineResults implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<void>();
  readonly onDidChange = this.changed.event;
  /** By file, then by what the fact says. */
  private readonly byFile = new Map<string, Map<string, Stored>>();
  private readonly followed = new Map<vscode.TextDocument, Followed[]>();
  private readonly lines = new WeakMap<vscode.TextDocument, Lines>();
  private readonly subscriptions: vscode.Disposable[];

  constructor(
    runner: ProbeRunner,
    private readonly documents: ClozeDocuments,
  ) {
    this.subscriptions = [
      this.changed,
      runner.onDidAnswer((batch) => this.take(batch)),
      vscode.workspace.onDidChangeTextDocument((event) => this.onEdit(event)),
      vscode.workspace.onDidCloseTextDocument((document) => this.followed.delete(document)),
    ];
  }

  /** There is nothing to show anywhere. */
  get empty(): boolean {
    return this.byFile.size === 0 && this.followed.size === 0;
  }

  dispose(): void {
    for (const subscription of this.subscriptions) subscription.dispose();
  }

  clear(): void {
    this.byFile.clear();
    this.followed.clear();
    this.changed.fire();
  }

  /** Results of `asked`, the same objects as in the job, will be shown at this place, instead of what was shown there. */
  follow(document: vscode.TextDocument, window: TextRange, at: TextRange, asked: readonly ProbeFact[]): void {
    const others = (this.followed.get(document) ?? []).filter((other) => other.at.start !== at.start);
    this.followed.set(document, [...others, { window, at, asked, results: [] }]);
  }

  /** The newest result of a fact of a file. */
  of(file: string, relation: string, fact: ProbeFact): LineResult | undefined {
    const known = this.byFile.get(file)?.get(keyOf(file, relation, fact));
    return known === undefined ? undefined : { ...known, outdated: false };
  }

  /** `line` from 0. */
  at(document: vscode.TextDocument, line: number): LineResult[] {
    const found: LineResult[] = [];
    for (const { at, results } of this.followed.get(document) ?? [])
      if (results.length > 0 && document.positionAt(at.start).line === line)
        found.push(...results.map((result) => ({ ...result, outdated: false })));
    const known = this.byFile.get(pathOf(document.uri));
    if (known !== undefined) {
      const own = isCloze(document) ? this.ofCloze(document, line, known) : ofJsonl(document, line, known);
      if (own !== null) found.push(own);
    }
    return found;
  }

  private ofCloze(document: vscode.TextDocument, line: number, known: ReadonlyMap<string, Stored>): LineResult | null {
    const { facts, depends } = this.linesOf(document);
    const here = facts.get(line);
    const result = here && known.get(clozeKey(here.relation.id.value, probeFact(here.fact)));
    const now = here && depends.get(here.relation);
    if (here === undefined || result === undefined || now === undefined) return null;
    const { templates, candidates, words } = result.relation;
    // Some of them may have been asked, but none that is not there any more.
    if (!here.fact.isSentence && !templates.every(({ text }) => now.templates.includes(text))) return null;
    const outdated =
      (now.candidates !== null && now.candidates !== JSON.stringify(candidates ?? null)) ||
      now.vocabulary !== (words !== null);
    return { ...result, outdated };
  }

  private linesOf(document: vscode.TextDocument): Lines {
    const before = this.lines.get(document);
    if (before?.version === document.version) return before;
    const parsed = this.documents.get(document);
    const lines: Lines = { version: document.version, facts: new Map(), depends: new Map() };
    for (const relation of parsed.relations) {
      lines.depends.set(relation, dependsOn(parsed, relation));
      for (const fact of relation.facts)
        lines.facts.set(document.positionAt(fact.range.start).line, { relation, fact });
    }
    this.lines.set(document, lines);
    return lines;
  }

  private take({ run, results }: ResultBatch): void {
    const { model, changes } = run;
    for (const { fact, asked, relation, place } of results) {
      const stored: Stored = { fact, asked, relation, model: model.id, changes };
      if (run.job.origin === 'line') {
        for (const each of [...this.followed.values()].flat())
          if (each.asked.includes(asked)) {
            each.results.push(stored);
            // In the order of the questions, whichever was answered first.
            each.results.sort((a, b) => each.asked.indexOf(a.asked) - each.asked.indexOf(b.asked));
          }
        continue;
      }
      const known = this.byFile.get(place.file) ?? new Map<string, Stored>();
      this.byFile.set(place.file, known);
      known.set(keyOf(place.file, relation.id, asked), stored);
    }
    this.changed.fire();
  }

  private onEdit({ document, contentChanges }: vscode.TextDocumentChangeEvent): void {
    const own = this.followed.get(document);
    if (own === undefined || contentChanges.length === 0) return;
    const kept = own.flatMap((each) => {
      let { window, at } = each;
      for (const { rangeOffset: offset, rangeLength: length, text } of contentChanges) {
        if (touches({ offset, length, text }, window)) return [];
        const edit = { offset, length, inserted: text.length };
        [window, at] = [shifted(window, edit), shifted(at, edit)];
      }
      return [{ ...each, window, at }];
    });
    if (kept.length > 0) this.followed.set(document, kept);
    else this.followed.delete(document);
    if (kept.length < own.length) this.changed.fire();
  }
}

/** An edit of the text that was asked, or one that may join it to more text. Whole lines before and behind it do not matter. */
function touches(
  { offset, length, text }: { offset: number; length: number; text: string },
  window: TextRange,
): boolean {
  const end = offset + length;
  if (end < window.start || offset > window.end) return false;
  const isLineBefore = end === window.start && length === 0 && /[\r\n]\s*$/u.test(text);
  const isLineBehind = offset === window.end && length === 0 && /^\s*[\r\n]/u.test(text);
  return !isLineBefore && !isLineBehind;
}

const keyOf = (file: string, relation: string, fact: ProbeFact): string =>
  isClozePath(file) ? clozeKey(relation, fact) : jsonlKey(fact);

const clozeKey = (relation: string, fact: ProbeFact): string => `${relation}\n${factKey(fact)}`;

/** The sentence of a line is not asked where there is a template. */
function jsonlKey({ subject, sentence, answers }: ProbeFact): string {
  return factKey({ subject, answers, ...(subject === null && sentence !== undefined ? { sentence } : {}) });
}

function ofJsonl(document: vscode.TextDocument, line: number, known: ReadonlyMap<string, Stored>): LineResult | null {
  const { text } = document.lineAt(line);
  if (text.length > LONGEST_LINE || !text.trimStart().startsWith('{')) return null;
  const record = readRecord(text);
  const result = record.kind === 'fact' ? known.get(jsonlKey(record.fact)) : undefined;
  return result === undefined ? null : { ...result, outdated: false };
}

function dependsOn(
  { options }: ClozeDocument,
  relation: ClozeRelation,
): { templates: string[]; candidates: string | null; vocabulary: boolean } {
  const candidates = relation.options.candidates ?? options.candidates;
  const asked = probeRelation(relation);
  return {
    templates: asked.templates.map(({ text }) => text),
    // Of a file is known only what stood in it.
    candidates:
      candidates?.kind === 'file'
        ? null
        : JSON.stringify(
            candidates === null
              ? null
              : candidates.kind === 'relation'
                ? answersOf(asked)
                : candidates.words.map(({ value }) => value),
          ),
    vocabulary: (relation.options.vocabulary ?? options.vocabulary) !== null,
  };
}
