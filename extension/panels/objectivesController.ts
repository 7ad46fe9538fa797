/** The Objectives view without its HTML: what BERT was trained on, tried on the person's own text. */
import * as vscode from 'vscode';
import * as settings from '../commands/settings';
import { COMMANDS } from '../commands/ids';
import { contextOf, readRange } from '../editor/document';
import { sentencePair } from '../editor/sentencePair';
import type { EngineService } from '../models/engineService';
import type { ModelLibrary } from '../models/library';
import type { CorruptResult, TextRange } from '../protocol/engine';
import { LensError, type ErrorData } from '../protocol/errors';
import type { Scale } from '../protocol/interventions';
import type { ObjectivesMethods, ObjectivesState } from '../protocol/view';
import { corruptRows, nextSentenceRows } from './export';
import { interventionHandlers } from './interventionHandlers';
import { Latest, type WorkOptions } from './latest';
import type { ViewPlaces } from './lensView';
import { exportAs } from './save';
import type { SharedSubject } from './sharedSubject';
import { Subject } from './subject';
import type { Handlers } from './viewHost';

const MAX_SEED = 2 ** 32 - 1;

type Question =
  { kind: 'corrupt'; subject: Subject } | { kind: 'next'; subject: Subject; first: string; second: string };

export class ObjectivesController implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<void>();
  readonly onDidChange = this.changed.event;
  private question: Question | null = null;
  private readonly latest = new Latest<Question>(() => this.changed.fire());
  private error: ErrorData | null = null;
  private corrupted: CorruptResult | null = null;
  private nextSentence: ObjectivesState['nextSentence'] = null;
  private seed = 1;
  private wholeWord = false;
  /** What was changed in the model when the question was asked. */
  private askedUnder: readonly Scale[] = [];
  private readonly subscriptions: vscode.Disposable[];

  constructor(
    private readonly engine: EngineService,
    private readonly library: ModelLibrary,
    private readonly shared: SharedSubject,
    private readonly view: ViewPlaces,
  ) {
    this.subscriptions = [
      shared.onDidChange((change) => {
        if (change === 'interventions') this.followInterventions();
      }),
      library.onDidChange(() => this.changed.fire()),
      vscode.workspace.onDidChangeTextDocument((event) => {
        if (this.question?.subject.onEdit(event) === true) this.changed.fire();
      }),
    ];
  }

  get state(): ObjectivesState {
    const { latest, error, question } = this;
    const loading = latest.question !== null;
    const model = this.library.selected;
    return {
      status: loading ? 'loading' : error !== null ? 'error' : this.hasResult ? 'ready' : 'empty',
      ...(latest.progress === undefined ? {} : { progress: latest.progress }),
      ...(error === null || loading ? {} : { error }),
      model: model === undefined ? null : this.library.summary(model),
      interventions: [...this.shared.interventions],
      subject: question === null ? null : question.subject.summary(),
      seed: this.seed,
      wholeWord: this.wholeWord,
      corrupt: this.corrupted,
      nextSentence: this.nextSentence,
    };
  }

  readonly handlers: Handlers<ObjectivesMethods> = {
    ...interventionHandlers(this.shared),
    ready: () => this.followInterventions(),
    setSeed: ({ seed }) => {
      this.seed = Math.min(Math.max(Math.round(seed), 0), MAX_SEED);
      return this.ask();
    },
    setWholeWord: ({ on }) => {
      this.wholeWord = on;
      return this.ask();
    },
    refresh: () => this.refresh(),
    cancel: () => this.latest.cancel(),
    reveal: async ({ range }) => {
      await this.question?.subject.reveal(range);
    },
    selectModel: () => this.command(COMMANDS.selectModel),
    export: ({ format }) => this.export(format),
    showLog: () => this.command(COMMANDS.showLog),
    help: () => this.command('workbench.action.openWalkthrough', 'onnx-lens.onnx-lens#onnxLens.start', false),
    run: ({ command }) => this.command(command),
  };

  /** Corrupts the selection, or the paragraph around the caret. Resolves when the state shows the result or the error. */
  async corruptSelection({ document, selection }: vscode.TextEditor): Promise<void> {
    const range = { start: document.offsetAt(selection.start), end: document.offsetAt(selection.end) };
    const paragraph = (): TextRange => {
      const { text, windowStart } = contextOf(document, [range], 'paragraph');
      return { start: windowStart, end: windowStart + text.length };
    };
    const subject = Subject.exact(document, selection.isEmpty ? paragraph() : range);
    if (subject.text.trim() === '') {
      throw new LensError('bad-input', 'There is no text here to corrupt.', 'Select some text and try again.');
    }
    this.question = { kind: 'corrupt', subject };
    this.nextSentence = null;
    await this.ask();
  }

  /** Two selections, or the first two sentences of one, or the sentence at the caret and the one behind it. */
  async askNextSentence(editor: vscode.TextEditor): Promise<void> {
    const { document } = editor;
    const [first, second] = sentencePair(editor);
    const text = (range: TextRange): string => readRange(document, range).text.trim();
    this.question = {
      kind: 'next',
      subject: Subject.exact(document, { start: first.start, end: second.end }),
      first: text(first),
      second: text(second),
    };
    this.corrupted = null;
    await this.ask();
  }

  dispose(): void {
    this.latest.cancel();
    for (const subscription of this.subscriptions) subscription.dispose();
    this.changed.dispose();
  }

  private get hasResult(): boolean {
    return this.corrupted !== null || this.nextSentence !== null;
  }

  private command(id: string, ...parameters: unknown[]): void {
    void vscode.commands.executeCommand(id, ...parameters);
  }

  /** What is shown is always under the changes in force. */
  private followInterventions(): void {
    this.changed.fire();
    if (this.question === null || this.view.audience() === 0) return;
    if (JSON.stringify(this.askedUnder) !== JSON.stringify(this.shared.interventions)) void this.ask();
  }

  private async refresh(): Promise<void> {
    const { question } = this;
    const document = question?.subject.document;
    const anchor = question?.subject.anchors[0];
    if (question?.kind === 'corrupt' && question.subject.stale && document != null && anchor !== undefined)
      this.question = { kind: 'corrupt', subject: Subject.exact(document, anchor) };
    await this.ask();
  }

  private async ask(): Promise<void> {
    const { question } = this;
    if (question === null) {
      this.changed.fire();
      return;
    }
    this.error = null;
    this.askedUnder = this.shared.interventions;
    const outcome = await this.latest.start(question, (options) => this.answer(question, options));
    if (outcome !== null && 'error' in outcome) this.error = outcome.error;
    else if (outcome !== null) ({ corrupt: this.corrupted, nextSentence: this.nextSentence } = outcome.result);
    this.changed.fire();
  }

  private async answer(
    question: Question,
    options: WorkOptions,
  ): Promise<Pick<ObjectivesState, 'corrupt' | 'nextSentence'>> {
    const { ref } = this.library.require();
    const { interventions } = this.shared;
    const model = { model: ref, ...(interventions.length === 0 ? {} : { interventions: [...interventions] }) };
    const request = { ...options, supersedes: 'objectives' };
    if (question.kind === 'corrupt') {
      const { seed, wholeWord } = this;
      const parameters = { ...model, text: question.subject.text, seed, wholeWord, topK: settings.topK() };
      return { corrupt: await this.engine.request('corrupt', parameters, request), nextSentence: null };
    }
    const { first, second } = question;
    const result = await this.engine.request('nextSentence', { ...model, first, second }, request);
    return { corrupt: null, nextSentence: { first, second, result } };
  }

  private async export(format: 'json' | 'csv' | 'clipboard'): Promise<void> {
    const { corrupted, nextSentence, question } = this;
    if (question === null || !this.hasResult) return;
    await exportAs(format, {
      name: corrupted !== null ? 'corruption' : 'next-sentence',
      json: {
        subject: { ...question.subject.summary(), text: question.subject.text },
        interventions: this.askedUnder,
        corrupt: corrupted,
        nextSentence,
      },
      rows:
        corrupted !== null
          ? corruptRows(corrupted)
          : nextSentence !== null
            ? nextSentenceRows(nextSentence.first, nextSentence.second, nextSentence.result)
            : [],
    });
  }
}
