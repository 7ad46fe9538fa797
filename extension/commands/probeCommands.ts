/** Commands that ask facts: of a line, a selection, a sentence's word, a relation, a file. */
import * as vscode from 'vscode';
import { blanksIn, fittingRelation, questionAt } from '../cloze/blanks';
import { answersOf } from '../cloze/facts';
import { mainRanks, rankMetrics } from '../cloze/metrics';
import { rankedRelations } from '../cloze/plan';
import { parsedRelations, type SourceRelation } from '../cloze/sources';
import { isCloze, pathOf, placeOf, type ClozeDocuments } from '../editor/clozeDocuments';
import { contextOf, documentName, selectedRanges } from '../editor/document';
import type { TextRange } from '../protocol/engine';
import { LensError } from '../protocol/errors';
import { counted } from '../protocol/format';
import type { ProbeFact } from '../protocol/probes';
import type { LineResults } from '../testing/lineResults';
import type { PlacedRelation, ProbeJob, ProbeRun, ProbeRunner } from '../testing/probeRunner';
import { activeEditor } from './editors';
import { COMMANDS, type CommandHandler, type CommandId } from './ids';
import * as settings from './settings';

export interface ProbeParts {
  runner: ProbeRunner;
  results: LineResults;
  documents: ClozeDocuments;
}

/** Runs of more facts have a notification that can stop them. */
const MANY = 50;
const STATUS_MS = 8_000;
const RANKED_AS_FOUND = { vocabulary: null, candidates: null };

/** A blank in a text, with what the model is given of it. */
interface Question {
  asked: ProbeFact;
  /** In the document. */
  window: TextRange;
  at: TextRange;
}

export function probeCommands(parts: ProbeParts) {
  return {
    [COMMANDS.probeLine]: async () => {
      const editor = activeEditor();
      const { document } = editor;
      const lines = [...new Set(editor.selections.map(({ active }) => active.line))];
      if (isCloze(document)) await probeClozeLines(parts, document, lines);
      else
        await ask(
          parts,
          document,
          blankQuestions(
            document,
            lines.map((line) => lineRange(document, line)),
          ),
          [],
        );
    },
    [COMMANDS.probeSelection]: async () => {
      const editor = activeEditor();
      const { document, selections } = editor;
      if (isCloze(document)) {
        await probeClozeLines(parts, document, [...new Set(selections.flatMap(linesOf))]);
        return;
      }
      const ranges = selectedRanges(editor);
      const questions = ranges.flatMap((range) => {
        const blanks = blanksIn(document.getText(toRange(document, range)));
        return blanks.length > 0 ? blankQuestions(document, [range]) : [wordQuestion(document, range)];
      });
      await ask(parts, document, questions, []);
    },
    [COMMANDS.probeFact]: async () => {
      const editor = activeEditor();
      const { document } = editor;
      const questions = selectedRanges(editor).map((range) => wordQuestion(document, range));
      const known = await workspaceRelations(parts.documents);
      await ask(parts, document, questions, known);
    },
    [COMMANDS.probeRelation]: async (argument) => {
      const { uri, relation } = lensOf(argument);
      const document = await vscode.workspace.openTextDocument(vscode.Uri.parse(uri));
      const found = await parts.documents.relations(document);
      await runRelations(
        parts,
        found.filter(({ id }) => id === relation),
        relation ?? documentName(document.uri),
      );
    },
    [COMMANDS.probeFile]: async (argument) => {
      const document =
        argument === undefined
          ? activeEditor().document
          : await vscode.workspace.openTextDocument(
              argument instanceof vscode.Uri ? argument : vscode.Uri.parse(lensOf(argument).uri),
            );
      if (!isCloze(document))
        throw new LensError(
          'bad-input',
          `“${documentName(document.uri)}” is no .cloze file.`,
          'Use “Probe This Line” in other texts.',
        );
      await runRelations(parts, await parts.documents.relations(document), documentName(document.uri));
    },
    [COMMANDS.clearProbeResults]: () => parts.results.clear(),
  } satisfies Partial<Record<CommandId, CommandHandler>>;
}

const toRange = (document: vscode.TextDocument, { start, end }: TextRange): vscode.Range =>
  new vscode.Range(document.positionAt(start), document.positionAt(end));

function lineRange(document: vscode.TextDocument, line: number): TextRange {
  const { range } = document.lineAt(line);
  return { start: document.offsetAt(range.start), end: document.offsetAt(range.end) };
}

function linesOf({ start, end, isEmpty }: vscode.Selection): number[] {
  // A selection of whole lines ends at the begin of the next one.
  const last = end.character === 0 && !isEmpty ? end.line - 1 : end.line;
  return Array.from({ length: last - start.line + 1 }, (_, index) => start.line + index);
}

/** Of lenses and links: everything is checked. */
function lensOf(argument: unknown): { uri: string; relation?: string } {
  if (typeof argument === 'object' && argument !== null) {
    const { uri, relation } = argument as Record<string, unknown>;
    if (typeof uri === 'string') return typeof relation === 'string' ? { uri, relation } : { uri };
  }
  throw new LensError('bad-input', 'This command needs a .cloze document.', 'Use “Run” above a relation.');
}

/** The first blank of each sentence in the ranges, as LAMA asks at the first mask; the others stay masked. */
function blankQuestions(document: vscode.TextDocument, ranges: readonly TextRange[]): Question[] {
  const questions = new Map<number, Question>();
  for (const range of ranges)
    for (const blank of blanksIn(document.getText(toRange(document, range)))) {
      const here = { start: range.start + blank.start, end: range.start + blank.end };
      const { text, windowStart } = contextOf(document, [here], settings.contextKind(document));
      const [first] = blanksIn(text);
      if (first === undefined) continue;
      const at = { start: windowStart + first.start, end: windowStart + first.end };
      questions.set(at.start, {
        ...{ asked: questionAt(text, first), at },
        window: { start: windowStart, end: windowStart + text.length },
      });
    }
  if (questions.size > 0) return [...questions.values()];
  throw new LensError(
    'bad-input',
    'There is no blank here.',
    'Write ____ or [MASK] where the answer is missing, or select the answer and use “Probe This Fact”.',
  );
}

/** What is selected is the answer, and becomes the blank. */
function wordQuestion(document: vscode.TextDocument, range: TextRange): Question {
  const { text, windowStart } = contextOf(document, [range], settings.contextKind(document));
  const selected = text.slice(range.start - windowStart, range.end - windowStart);
  const answer = selected.trim();
  if (answer === '') throw new LensError('bad-input', 'Nothing is selected.', 'Select the answer in a sentence.');
  const start = range.start - windowStart + selected.indexOf(answer);
  const local = { start, end: start + answer.length };
  return {
    asked: questionAt(text, local, [answer]),
    at: { start: windowStart + local.start, end: windowStart + local.end },
    window: { start: windowStart, end: windowStart + text.length },
  };
}

async function ask(
  { runner, results }: ProbeParts,
  document: vscode.TextDocument,
  questions: readonly Question[],
  known: readonly SourceRelation[],
): Promise<void> {
  if (questions.length === 0)
    throw new LensError('bad-input', 'Nothing is selected.', 'Put the caret on a word, or select the answer.');
  const name = documentName(document.uri);
  const placeAt = ({ start }: TextRange) => ({
    file: pathOf(document.uri),
    line: document.positionAt(start).line + 1,
  });
  const [first] = questions as [Question];
  // A colon cannot be in the name of a relation, so that the two are never mixed up.
  const own: PlacedRelation = {
    ...{ id: `${name}:${placeAt(first.at).line}`, templates: [], words: null, ranking: 'vocabulary' },
    facts: questions.map(({ asked }) => asked),
    places: questions.map(({ at }) => placeAt(at)),
  };
  const byId = new Map<string, PlacedRelation>([[own.id, own]]);
  for (const question of questions) {
    const { asked, window, at } = question;
    const again = await paraphrased(document, question, known);
    if (again !== null) {
      const before = byId.get(again.id);
      byId.set(again.id, {
        ...again,
        facts: [...(before?.facts ?? []), ...again.facts],
        places: [...(before?.places ?? []), placeAt(at)],
      });
    }
    results.follow(document, window, at, [asked, ...(again?.facts ?? [])]);
  }
  const relations = [...byId.values()];
  if (known.length > 0 && relations.length === 1)
    vscode.window.setStatusBarMessage(
      vscode.l10n.t('No relation of the workspace’s .cloze files fits this sentence.'),
      STATUS_MS,
    );
  await follow(runner, runner.start({ title: name, origin: 'line', relations }));
}

/** The same fact by the templates of the relation that it fits. */
async function paraphrased(
  document: vscode.TextDocument,
  { asked, window, at }: Question,
  known: readonly SourceRelation[],
): Promise<Omit<PlacedRelation, 'places'> | null> {
  const text = document.getText(toRange(document, window));
  const local = { start: at.start - window.start, end: at.end - window.start };
  const fitting = fittingRelation(text, local, known);
  if (fitting === null) return null;
  const [ranked] = await rankedRelations([fitting.relation], RANKED_AS_FOUND);
  if (ranked === undefined) return null;
  const { places: _, ...relation } = ranked;
  return {
    ...relation,
    answers: answersOf(relation),
    facts: [{ subject: fitting.subject, answers: asked.answers }],
  };
}

async function workspaceRelations(documents: ClozeDocuments): Promise<SourceRelation[]> {
  const found: SourceRelation[] = [];
  for (const { uri, document } of await documents.ofWorkspace())
    try {
      found.push(...(await parsedRelations(document, { ...placeOf(uri), lineOf: () => 1 })));
    } catch {
      // a file of candidates that cannot be read; the file itself says so
    }
  return found;
}

/** Facts of the lines; a line of a relation that is no fact stands for the relation. */
async function probeClozeLines(
  parts: ProbeParts,
  document: vscode.TextDocument,
  lines: readonly number[],
): Promise<void> {
  const found = await parts.documents.relations(document);
  const ranges = new Map(
    parts.documents
      .get(document)
      .relations.map(({ id, range }) => [
        id.value,
        { first: document.positionAt(range.start).line + 1, last: document.positionAt(range.end).line + 1 },
      ]),
  );
  const chosen: SourceRelation[] = [];
  for (const relation of found) {
    const { first, last } = ranges.get(relation.id) ?? { first: 0, last: 0 };
    const here = lines.map((line) => line + 1).filter((line) => line >= first && line <= last);
    const indices = relation.places.flatMap(({ line }, index) => (here.includes(line) ? [index] : []));
    if (here.length === 0) continue;
    if (indices.length === 0) chosen.push(relation);
    else
      chosen.push({
        ...relation,
        answers: answersOf(relation),
        facts: indices.map((index) => relation.facts[index] as ProbeFact),
        places: indices.map((index) => relation.places[index] as SourceRelation['places'][number]),
      });
  }
  const [only] = chosen;
  const title = chosen.length === 1 && only !== undefined ? only.id : documentName(document.uri);
  await runRelations(parts, chosen, title);
}

async function runRelations({ runner }: ProbeParts, found: readonly SourceRelation[], title: string): Promise<void> {
  if (found.length === 0)
    throw new LensError(
      'bad-input',
      'There is no fact here that can be asked.',
      'A fact is “subject → answer” below a relation with a template.',
    );
  const relations = await rankedRelations(found, RANKED_AS_FOUND);
  await follow(runner, runner.start({ title, origin: 'file', relations }));
}

/** Shows how far it is, and what came of it. Throws what made it fail. */
async function follow(runner: ProbeRunner, run: ProbeRun): Promise<void> {
  const { total, job } = run;
  await vscode.window.withProgress(
    {
      location: total > MANY ? vscode.ProgressLocation.Notification : vscode.ProgressLocation.Window,
      title: vscode.l10n.t('Probing {0}', job.title),
      cancellable: total > MANY,
    },
    async (progress, token) => {
      const stop = token.onCancellationRequested(() => run.cancel());
      const told = runner.onDidAnswer((batch) => {
        if (batch.run === run) progress.report({ message: `${run.facts.length} / ${counted(total, 'fact')}` });
      });
      await run.ended;
      stop.dispose();
      told.dispose();
    },
  );
  if (run.error !== null) throw LensError.fromData(run.error);
  if (job.origin !== 'line') vscode.window.setStatusBarMessage(summaryOf(run), STATUS_MS);
}

/** `capital: P@1 82.2 % of 45 facts` */
export function summaryOf({ job, facts, options }: { job: ProbeJob } & Pick<ProbeRun, 'facts' | 'options'>): string {
  const ranks = job.relations.flatMap(({ id, ranking }) =>
    mainRanks(
      facts.filter(({ relation }) => relation === id),
      ranking,
      options.ensemble,
    ),
  );
  const { n, p1 } = rankMetrics(ranks);
  return `${job.title}: P@1 ${(100 * p1).toFixed(1)} % ${vscode.l10n.t('of {0}', counted(n, 'fact'))}`;
}
