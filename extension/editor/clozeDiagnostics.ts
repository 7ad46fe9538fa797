/**
 * What is wrong in `.cloze` documents: what the parser found, and, once a model is loaded, answers that this model cannot give.
 */
import { statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import * as vscode from 'vscode';
import type { ClozeDocument, ClozeFact, ClozeRelation, Part, Severity } from '../cloze/language';
import { readWords } from '../cloze/sources';
import { ANSWER, cutTemplate, fillTemplate } from '../cloze/template';
import { log } from '../commands/notify';
import type { EngineService } from '../models/engineService';
import type { ModelLibrary } from '../models/library';
import { isSilent, LensError } from '../protocol/errors';
import type { AnswerCheck, ProbeSkip } from '../protocol/probes';
import { isCloze, type ClozeDocuments } from './clozeDocuments';
import { rangeOf } from './document';

/** While somebody types. */
const DELAY_MS = 200;
const SOURCE = 'Cloze';

const SEVERITIES: Readonly<Record<Severity, vscode.DiagnosticSeverity>> = {
  error: vscode.DiagnosticSeverity.Error,
  warning: vscode.DiagnosticSeverity.Warning,
};

/** Answers with the text that stands before them in the first template. */
interface AskedAnswers {
  before: string;
  /** Answers of several tokens are ranked among them. */
  hasCandidates: boolean;
  answers: readonly Part[];
}

export class ClozeDiagnostics implements vscode.Disposable {
  private readonly collection = vscode.languages.createDiagnosticCollection('onnxLens.cloze');
  private readonly timers = new Map<vscode.TextDocument, NodeJS.Timeout>();
  private readonly files = new WordFiles();
  private readonly subscriptions: vscode.Disposable[];
  /** The model whose vocabulary was looked at. */
  private model: string | null = null;

  constructor(
    private readonly documents: ClozeDocuments,
    private readonly engine: EngineService,
    private readonly library: ModelLibrary,
  ) {
    this.subscriptions = [
      this.collection,
      vscode.workspace.onDidOpenTextDocument((document) => this.soon(document, 0)),
      vscode.workspace.onDidChangeTextDocument(({ document }) => this.soon(document)),
      vscode.workspace.onDidCloseTextDocument((document) => this.forget(document)),
      library.onDidChange(() => this.onModel()),
    ];
    for (const document of vscode.workspace.textDocuments) this.soon(document, 0);
  }

  dispose(): void {
    for (const timer of this.timers.values()) clearTimeout(timer);
    for (const subscription of this.subscriptions) subscription.dispose();
  }

  private get ready(): string | null {
    const { selected } = this.library;
    return selected?.state === 'ready' ? selected.ref.folder : null;
  }

  private onModel(): void {
    if (this.ready === this.model) return;
    this.model = this.ready;
    for (const document of vscode.workspace.textDocuments) this.soon(document);
  }

  private soon(document: vscode.TextDocument, delay = DELAY_MS): void {
    if (!isCloze(document)) return;
    clearTimeout(this.timers.get(document));
    this.timers.set(
      document,
      setTimeout(() => {
        this.timers.delete(document);
        void this.look(document);
      }, delay),
    );
  }

  private forget(document: vscode.TextDocument): void {
    clearTimeout(this.timers.get(document));
    this.timers.delete(document);
    this.collection.delete(document.uri);
  }

  private async look(document: vscode.TextDocument): Promise<void> {
    const { version } = document;
    const parsed = this.documents.get(document);
    const written = parsed.diagnostics.map(({ code, severity, message, range }) =>
      diagnosticOf(document, { range }, message, code, SEVERITIES[severity]),
    );
    this.collection.set(document.uri, written);
    const more = [
      ...(await this.modelWarnings(document, parsed)),
      ...(await vocabularyWarnings(document, parsed, this.files)),
    ];
    if (more.length > 0 && document.version === version && !document.isClosed)
      this.collection.set(document.uri, [...written, ...more]);
  }

  /** Quick, and without loading anything: the model is there. */
  private async modelWarnings(document: vscode.TextDocument, parsed: ClozeDocument): Promise<vscode.Diagnostic[]> {
    const { selected } = this.library;
    const asked = askedAnswers(parsed);
    if (selected?.state !== 'ready' || asked.length === 0) return [];
    try {
      const { groups } = await this.engine.request('probeAnswers', {
        model: selected.ref,
        groups: asked.map(({ before, answers }) => ({ before, answers: answers.map(({ value }) => value) })),
      });
      return asked.flatMap(({ answers, hasCandidates }, group) =>
        answers.flatMap((part, index) => {
          const found = answerWarning(part.value, groups[group]?.[index], selected.ref.id, hasCandidates);
          return found === null ? [] : [diagnosticOf(document, part, found.message, found.code, found.severity)];
        }),
      );
    } catch (thrown) {
      const error = LensError.from(thrown);
      if (!isSilent(error)) log().warn(`[cloze] [${error.code}] ${error.message}`);
      return [];
    }
  }
}

const WARNINGS: Partial<Record<ProbeSkip, string>> = {
  'answer has no token': 'is no token at all',
  'answer is the mask': 'is the mask, which stands for what is asked for',
  'answer is unknown to the tokenizer': 'is not in the vocabulary',
  'answer is not cut at its ends': 'is not a token of its own behind the template',
};

function answerWarning(
  answer: string,
  check: AnswerCheck | undefined,
  model: string,
  hasCandidates: boolean,
): { message: string; severity: vscode.DiagnosticSeverity; code: string } | null {
  if (check === undefined) return null;
  const { why, tokens } = check;
  if (why !== null)
    return {
      message: vscode.l10n.t('“{0}” {1} of {2}; it cannot be ranked.', answer, WARNINGS[why] ?? why, model),
      severity: vscode.DiagnosticSeverity.Warning,
      code: 'answer-vocabulary',
    };
  if (tokens < 2) return null;
  return hasCandidates
    ? {
        message: vscode.l10n.t(
          '“{0}” is {1} tokens of {2}: it is scored with as many masks, and ranked among the candidates only.',
          ...[answer, tokens, model],
        ),
        severity: vscode.DiagnosticSeverity.Hint,
        code: 'answer-tokens',
      }
    : {
        message: vscode.l10n.t(
          '“{0}” is not in the vocabulary of {2}: it is {1} tokens, which have a score and no rank. Candidates would give it one.',
          ...[answer, tokens, model],
        ),
        severity: vscode.DiagnosticSeverity.Warning,
        code: 'answer-tokens',
      };
}

function askedAnswers({ relations, options }: ClozeDocument): AskedAnswers[] {
  return relations.flatMap((relation) => {
    const hasCandidates = (relation.options.candidates ?? options.candidates) !== null;
    return relation.facts.flatMap((fact) => {
      const before = textBefore(fact, relation);
      return before === null ? [] : [{ before, answers: fact.answers, hasCandidates }];
    });
  });
}

function diagnosticOf(
  document: vscode.TextDocument,
  { range }: Pick<Part, 'range'>,
  message: string,
  code: string,
  severity: vscode.DiagnosticSeverity,
): vscode.Diagnostic {
  const diagnostic = new vscode.Diagnostic(rangeOf(document, range), message, severity);
  diagnostic.code = code;
  diagnostic.source = SOURCE;
  return diagnostic;
}

function textBefore(fact: ClozeFact, { templates: [first] }: ClozeRelation): string | null {
  if (fact.isSentence) return fact.left.value.split(ANSWER, 1)[0] ?? '';
  return first === undefined ? null : fillTemplate(cutTemplate(first.value), fact.left.value).before;
}

/** Files of words, read again when they change. */
class WordFiles {
  private readonly known = new Map<string, { modified: number; words: ReadonlySet<string> | LensError }>();

  async read(path: string): Promise<ReadonlySet<string> | LensError> {
    const modified = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    const known = this.known.get(path);
    if (known?.modified === modified) return known.words;
    const words = await readWords(path).then(
      (list) => new Set(list),
      (error: unknown) => LensError.from(error),
    );
    this.known.set(path, { modified, words });
    return words;
  }
}

/** Answers that the relation's vocabulary file does not have; and files that cannot be read. */
async function vocabularyWarnings(
  document: vscode.TextDocument,
  parsed: ClozeDocument,
  files: WordFiles,
): Promise<vscode.Diagnostic[]> {
  if (document.uri.scheme !== 'file') return [];
  const folder = dirname(document.uri.fsPath);
  const found: vscode.Diagnostic[] = [];
  const told = new Set<Part>();
  const tell = (part: Part, message: string, code: string): void => {
    if (!told.has(part)) found.push(diagnosticOf(document, part, message, code, vscode.DiagnosticSeverity.Warning));
    told.add(part);
  };
  const wordsOf = async (part: Part): Promise<ReadonlySet<string> | null> => {
    const words = await files.read(resolve(folder, part.value));
    if (!(words instanceof LensError)) return words;
    tell(part, words.message, 'words-file');
    return null;
  };
  for (const { facts, options } of parsed.relations) {
    const candidates = options.candidates ?? parsed.options.candidates;
    if (candidates?.kind === 'file') await wordsOf(candidates.file);
    const vocabulary = options.vocabulary ?? parsed.options.vocabulary;
    const words = vocabulary === null ? null : await wordsOf(vocabulary);
    if (vocabulary === null || words === null) continue;
    for (const part of facts.flatMap(({ answers }) => answers))
      if (!words.has(part.value))
        tell(
          part,
          vscode.l10n.t('“{0}” is not in {1}; it cannot be ranked.', part.value, vocabulary.value),
          'answer-vocabulary',
        );
  }
  return found;
}
