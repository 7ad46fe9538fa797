/**
 * The Cloze view without its HTML: what is masked, what the model answered, history, pin, comparison, insertion. One
 * controller serves the view in the side panel and the one in the editor area.
 */
import * as vscode from 'vscode';
import * as settings from '../commands/settings';
import { COMMANDS } from '../commands/ids';
import { shifted } from '../editor/context';
import { maskRange, rangeOf, selectedRanges } from '../editor/document';
import type { EngineService } from '../models/engineService';
import type { ModelLibrary } from '../models/library';
import type { FillMaskResult, MaskTarget, TextRange } from '../protocol/engine';
import { isSilent, LensError, type ErrorData } from '../protocol/errors';
import { changesText } from '../protocol/format';
import type { Scale } from '../protocol/interventions';
import type { ClozeMethods, ClozeState, ContextKind } from '../protocol/view';
import { clozeRows } from './export';
import { interventionHandlers } from './interventionHandlers';
import { Latest, type WorkOptions } from './latest';
import type { ViewPlaces } from './lensView';
import { exportAs } from './save';
import type { SharedSubject } from './sharedSubject';
import { Subject } from './subject';
import type { Handlers } from './viewHost';

const HISTORY_LENGTH = 50;
const FOLLOW_DELAY_MS = 200;
const MAX_CANDIDATES = 50;

/** Everything that decides a prediction, except the model. */
interface Query {
  subject: Subject;
  /** In `subject.text`. Empty: the mask tokens that stand in the text. */
  targets: readonly TextRange[];
  masks: number | 'auto';
  candidates: readonly string[];
  topK: number;
}

interface Comparison {
  model: string;
  result: FillMaskResult | null;
  error?: ErrorData;
}

interface Entry extends Query {
  result: FillMaskResult;
  /** In force when it was computed. */
  interventions: readonly Scale[];
  compared: Comparison | null;
  /** Made by following the selection: the next one made so takes its place. */
  followed: boolean;
}

export class ClozeController implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<void>();
  readonly onDidChange = this.changed.event;
  private readonly history: Entry[] = [];
  private index = -1;
  private readonly latest = new Latest<Query>(() => this.changed.fire());
  private failure: { error: ErrorData; subject: Subject } | null = null;
  private pinned: ClozeState['pinned'] = null;
  private compareWith: string | null = null;
  private follow = false;
  private masks: number | 'auto' = 'auto';
  /** Null: as the setting says. */
  private chosenTopK: number | null = null;
  private candidates: readonly string[] = [];
  private followTimer: NodeJS.Timeout | null = null;
  private revealed: vscode.Selection | null = null;
  private lastModel: string | undefined;
  private lastQuery: Query | undefined;
  /** What was changed in the model when that was asked. */
  private askedUnder: readonly Scale[] = [];
  /** The last insertion, and the document's version with it. */
  private inserted: { document: vscode.TextDocument; version: number } | null = null;
  private readonly decoration = vscode.window.createTextEditorDecorationType({
    backgroundColor: new vscode.ThemeColor('onnxLens.maskBackground'),
    border: '1px solid',
    borderColor: new vscode.ThemeColor('onnxLens.maskBorder'),
    overviewRulerColor: new vscode.ThemeColor('onnxLens.maskBorder'),
    rangeBehavior: vscode.DecorationRangeBehavior.ClosedClosed,
  });
  private readonly subscriptions: vscode.Disposable[];

  constructor(
    private readonly engine: EngineService,
    private readonly library: ModelLibrary,
    private readonly shared: SharedSubject,
    private readonly view: ViewPlaces,
  ) {
    this.lastModel = library.selected?.ref.id;
    this.subscriptions = [
      this.decoration,
      library.onDidChange(() => this.onLibraryChange()),
      shared.onDidChange((change) => {
        if (change === 'interventions') this.followInterventions();
      }),
      vscode.workspace.onDidChangeTextDocument((event) => this.onEdit(event)),
      vscode.workspace.onDidOpenTextDocument((document) => this.onDocument(document)),
      vscode.workspace.onDidCloseTextDocument((document) => this.onDocument(document)),
      vscode.window.onDidChangeVisibleTextEditors(() => this.decorate()),
      vscode.window.onDidChangeTextEditorSelection((event) => this.onSelection(event)),
    ];
  }

  get state(): ClozeState {
    const { current, latest, failure } = this;
    const loading = latest.question !== null;
    const model = this.library.selected;
    const subject = failure?.subject ?? current?.subject ?? latest.question?.subject ?? null;
    const shown = failure === null ? current : undefined;
    const comparedModel = shown?.compared === null ? undefined : this.library.get(shown?.compared?.model ?? '');
    return {
      status: loading ? 'loading' : failure !== null ? 'error' : current === undefined ? 'empty' : 'ready',
      ...(latest.progress === undefined ? {} : { progress: latest.progress }),
      ...(failure === null || loading ? {} : { error: failure.error }),
      model: model === undefined ? null : this.library.summary(model),
      interventions: [...this.shared.interventions],
      subject: subject === null ? null : subject.summary(),
      result: shown?.result ?? null,
      pinned: this.pinned,
      compared:
        comparedModel === undefined || shown?.compared == null
          ? null
          : {
              model: this.library.summary(comparedModel),
              result: shown.compared.result,
              ...(shown.compared.error === undefined ? {} : { error: shown.compared.error }),
            },
      comparable: this.library.models
        .filter(
          ({ ref, info }) =>
            ref.id !== model?.ref.id && (info === undefined || info.kind === 'masked' || info.kind === 'causal'),
        )
        .map(({ ref }) => ref.id),
      follow: this.follow,
      masks: this.masks,
      candidates: [...this.candidates],
      topK: this.topK,
      history: { index: Math.max(this.index, 0), length: this.history.length },
      canInsert: !loading && shown?.subject.canEdit === true,
    };
  }

  readonly handlers: Handlers<ClozeMethods> = {
    ...interventionHandlers(this.shared),
    ready: () => this.followInterventions(),
    maskToken: ({ index, additive }) => this.maskToken(index, additive),
    setMasks: ({ masks }) => {
      this.masks = masks === 'auto' ? masks : Math.min(Math.max(Math.round(masks), 1), 16);
      return this.again({ masks: this.masks });
    },
    setCandidates: ({ candidates }) => {
      const texts = candidates.map((candidate) => candidate.trim()).filter((candidate) => candidate !== '');
      this.candidates = [...new Set(texts)].slice(0, MAX_CANDIDATES);
      return this.again({ candidates: this.candidates });
    },
    setTopK: ({ topK }) => {
      this.chosenTopK = Math.min(Math.max(Math.round(topK), 1), 100);
      return this.again({ topK: this.topK });
    },
    insert: ({ texts }) => this.insert(texts),
    insertAt: ({ target, text }) => this.insertAt(target, text),
    undo: () => this.undo(),
    history: ({ step }) => this.step(step),
    pin: ({ on }) => this.pin(on),
    follow: ({ on }) => this.setFollow(on),
    refresh: () => this.refresh(),
    cancel: () => this.latest.cancel(),
    reveal: async ({ range }) => {
      const { current } = this;
      if (current !== undefined) this.revealed = await current.subject.reveal(range);
    },
    selectModel: () => this.command(COMMANDS.selectModel),
    compareWith: ({ model }) => this.compare(model),
    export: ({ format }) => this.export(format),
    openInEditor: () => this.view.openInEditor(),
    showLog: () => this.command(COMMANDS.showLog),
    help: () => this.command('workbench.action.openWalkthrough', 'onnx-lens.onnx-lens#onnxLens.start', false),
    run: ({ command }) => this.command(command),
  };

  /** Masks these document ranges and predicts. Resolves when the state shows the result or the error. */
  async predict(document: vscode.TextDocument, ranges: readonly TextRange[], kind?: ContextKind): Promise<void> {
    await this.ask(this.queryFor(document, ranges, kind), 'add');
  }

  /**
   * Masks what is selected; carets mean the word they touch. A caret in a mask token that stands in the text means those
   * of its context. Throws `bad-input` when nothing is selected and no word is near.
   */
  async predictSelection(editor: vscode.TextEditor, masks: number | 'auto' = 'auto'): Promise<void> {
    this.masks = masks;
    await this.ask(this.queryForSelection(editor), 'add');
  }

  setFollow(on: boolean): void {
    this.follow = on;
    this.shared.follow('cloze', on);
    this.changed.fire();
    const editor = vscode.window.activeTextEditor;
    if (on && editor !== undefined) this.scheduleFollow(editor);
  }

  /** Puts a model of the other kind beside the result; null takes it away. */
  async compare(model: string | null): Promise<void> {
    this.compareWith = model;
    const { current } = this;
    if (current !== undefined) {
      current.compared = null;
      this.changed.fire();
      if (model !== null) await this.runComparison(current, model);
    }
    // Last: the comparison is of use even where the choice cannot be kept.
    if (model !== null && model !== settings.compareModelId()) await settings.update('compareModel', model);
  }

  async refresh(): Promise<void> {
    const { current } = this;
    const base: Query | undefined = this.failure === null ? current : this.lastQuery;
    if (base === undefined) return;
    if (!base.subject.stale && base.subject.document !== null) {
      await this.ask({ ...base, topK: this.topK, masks: this.masks, candidates: this.candidates }, 'replace');
      return;
    }
    const subject = await base.subject.recapture(base.subject.kind);
    const targets = base.targets.length === 0 ? [] : subject.anchors.map((anchor) => subject.toLocal(anchor));
    await this.ask({ ...base, subject, targets }, 'replace');
  }

  dispose(): void {
    this.latest.cancel();
    if (this.followTimer !== null) clearTimeout(this.followTimer);
    for (const subscription of this.subscriptions) subscription.dispose();
    this.changed.dispose();
  }

  private get topK(): number {
    return this.chosenTopK ?? settings.topK();
  }

  private get current(): Entry | undefined {
    return this.history[this.index];
  }

  private command(id: string, ...parameters: unknown[]): void {
    void vscode.commands.executeCommand(id, ...parameters);
  }

  private queryFor(document: vscode.TextDocument, ranges: readonly TextRange[], kind?: ContextKind): Query {
    const subject = Subject.capture(document, ranges, kind ?? settings.contextKind(document));
    return {
      subject,
      targets: ranges.map((range) => subject.toLocal(range)),
      masks: this.masks,
      candidates: this.candidates,
      topK: this.topK,
    };
  }

  private queryForSelection(editor: vscode.TextEditor): Query {
    const { document, selections } = editor;
    const tokenizer = this.library.selected?.info?.tokenizer;
    // People write [MASK] for every model; what the model itself calls it is known once the model is.
    const tokens = ['[MASK]', tokenizer == null ? '<mask>' : (tokenizer.maskToken ?? '[MASK]')];
    const carets = selections.map(({ active, isEmpty }) =>
      isEmpty ? maskRange(document, document.offsetAt(active), tokens) : null,
    );
    const standing = carets.filter((range) => range !== null);
    if (standing.length === selections.length && standing.length > 0)
      return { ...this.queryFor(document, standing), targets: [] };
    return this.queryFor(document, selectedRanges(editor));
  }

  /** What is shown is always under the changes in force; nobody sees it, and it can wait until somebody does. */
  private followInterventions(): void {
    this.changed.fire();
    const { lastQuery, askedUnder } = this;
    if (lastQuery === undefined || this.view.audience() === 0) return;
    if (JSON.stringify(askedUnder) !== JSON.stringify(this.shared.interventions))
      void this.compute(lastQuery, 'replace');
  }

  private async ask(query: Query, placement: 'add' | 'follow' | 'replace'): Promise<void> {
    this.share(query, placement);
    await this.compute(query, placement);
  }

  private async compute(query: Query, placement: 'add' | 'follow' | 'replace'): Promise<void> {
    this.lastQuery = query;
    this.failure = null;
    const { interventions } = this.shared;
    this.askedUnder = interventions;
    const outcome = await this.latest.start(query, (options) =>
      this.fill(query, this.library.require().ref.id, interventions, { ...options, supersedes: 'cloze' }),
    );
    if (outcome !== null && 'result' in outcome) {
      const { result } = outcome;
      this.place({ ...query, result, interventions, compared: null, followed: placement === 'follow' }, placement);
      const { current, compareWith } = this;
      if (current !== undefined && compareWith !== null && compareWith !== result.model)
        await this.runComparison(current, compareWith);
      return;
    }
    if (outcome !== null) this.failure = { error: outcome.error, subject: query.subject };
    this.changed.fire();
    this.decorate();
  }

  /** The other views look at what is masked here. */
  private share({ subject, targets }: Query, placement: 'add' | 'follow' | 'replace'): void {
    const { document } = subject;
    if (document === null || subject.stale) return;
    const places = targets.map((range) => subject.toDocument(range));
    const [first] = places;
    if (placement === 'follow' && first !== undefined) this.shared.moveTo(document, first);
    else this.shared.showSubject(places.length === 0 ? subject : subject.withAnchors(places));
  }

  private fill(
    query: Query,
    modelId: string,
    interventions: readonly Scale[],
    options: { supersedes: string } & Partial<WorkOptions>,
  ): Promise<FillMaskResult> {
    const { ref } = this.library.require(modelId);
    const beam = settings.jointBeam();
    const targets = query.targets.map((range): MaskTarget => ({ range, masks: query.masks }));
    const parameters = {
      model: ref,
      text: query.subject.text,
      targets,
      topK: query.topK,
      ...(query.candidates.length === 0 ? {} : { candidates: [...query.candidates] }),
      ...(beam === 0 ? {} : { joint: { beam } }),
      ...(interventions.length === 0 ? {} : { interventions: [...interventions], compare: true }),
    };
    return this.engine.request('fillMask', parameters, options);
  }

  private place(entry: Entry, placement: 'add' | 'follow' | 'replace'): void {
    const replaces = placement === 'replace' || (placement === 'follow' && this.current?.followed === true);
    if (replaces && this.index >= 0) {
      this.history[this.index] = entry;
    } else {
      this.history.splice(this.index + 1, Infinity, entry);
      if (this.history.length > HISTORY_LENGTH) this.history.shift();
      this.index = this.history.length - 1;
    }
    // The document may have been edited while the model computed.
    if (entry.subject.document !== null) entry.subject.compare(entry.subject.document);
    this.changed.fire();
    this.decorate();
  }

  private async runComparison(entry: Entry, model: string): Promise<void> {
    const comparison: Comparison = { model, result: null };
    try {
      comparison.result = await this.fill(entry, model, [], { supersedes: 'cloze-compare' });
    } catch (thrown) {
      const error = LensError.from(thrown);
      if (isSilent(error)) return;
      comparison.error = error.toData();
    }
    if (this.compareWith !== model) return;
    entry.compared = comparison;
    this.changed.fire();
  }

  private async again(part: Partial<Query>): Promise<void> {
    this.changed.fire();
    const base = this.latest.question ?? this.lastQuery;
    if (base !== undefined) await this.ask({ ...base, ...part }, this.index < 0 ? 'add' : 'replace');
  }

  private async maskToken(index: number, additive: boolean): Promise<void> {
    const { current } = this;
    const token = current?.result.tokens[index];
    if (current === undefined || token?.range == null) return;
    const { subject, result } = current;
    const present = result.targets.map((target) => target.range);
    let targets: TextRange[];
    if (token.mask === null) {
      targets = additive ? [...present, token.range] : [token.range];
    } else {
      const target = result.masks[token.mask]?.target;
      targets = present.filter((_, at) => at !== target);
      // The last mask stays: without one there is nothing to predict.
      if (targets.length === 0) return;
    }
    targets = targets.sort((a, b) => a.start - b.start).map(({ start, end }) => ({ start, end }));
    const { document } = subject;
    if (subject.stale || document === null) {
      await this.ask({ ...current, targets }, 'add');
      return;
    }
    const anchors = targets.map((range) => subject.toDocument(range));
    await this.ask({ ...current, subject: subject.withAnchors(anchors), targets }, 'add');
  }

  private async insert(texts: readonly string[]): Promise<void> {
    const { current } = this;
    if (current === undefined) return;
    const { targets } = current.result;
    if (texts.length !== targets.length) {
      throw new LensError(
        'bad-input',
        `${texts.length} texts cannot stand in ${targets.length} places.`,
        'Predict again.',
      );
    }
    await this.replaceTargets(current, new Map(texts.map((text, target) => [target, text])));
  }

  private async insertAt(target: number, text: string): Promise<void> {
    if (this.current !== undefined) await this.replaceTargets(this.current, new Map([[target, text]]));
  }

  private async replaceTargets(entry: Entry, texts: ReadonlyMap<number, string>): Promise<void> {
    const { subject, result } = entry;
    if (this.latest.question !== null)
      throw new LensError('bad-input', 'A newer prediction is being computed.', 'Wait for it, then insert.');
    const edits = result.targets.flatMap(({ range }, index) => {
      const text = texts.get(index);
      return text === undefined ? [] : [{ range, text: fitting(text, subject.text.slice(0, range.start)) }];
    });
    let places = result.targets.map(({ range }) => subject.toDocument(range));
    for (const { range, text } of edits.sort((a, b) => b.range.start - a.range.start)) {
      const { start, end } = subject.toDocument(range);
      const edit = { offset: start, length: end - start, inserted: text.length };
      places = places.map((place) => shifted(place, edit));
    }
    await subject.replace(edits);
    const { document } = subject;
    this.inserted = document === null ? null : { document, version: document.version };
    // The next choice for the same place should be one click away, so look at it as it reads now.
    if (document !== null) void this.ask({ ...entry, ...this.queryFor(document, places, subject.kind) }, 'add');
  }

  /** The editor undoes its own last edit, so this is only done while that is the insertion. */
  private async undo(): Promise<void> {
    const { inserted } = this;
    if (inserted === null) return;
    const { document, version } = inserted;
    if (document.isClosed || document.version !== version)
      throw new LensError('bad-input', 'The document was edited since the insertion.', 'Undo in the editor.');
    this.inserted = null;
    const visible = vscode.window.visibleTextEditors.find((editor) => editor.document === document);
    await vscode.window.showTextDocument(
      document,
      visible?.viewColumn === undefined ? {} : { viewColumn: visible.viewColumn },
    );
    await vscode.commands.executeCommand('undo');
  }

  private step(step: -1 | 1): void {
    const index = this.index + step;
    if (index < 0 || index >= this.history.length) return;
    this.index = index;
    this.failure = null;
    const { current } = this;
    if (current !== undefined) {
      this.masks = current.masks;
      this.candidates = current.candidates;
      this.chosenTopK = current.topK;
      this.lastQuery = current;
      this.askedUnder = current.interventions;
    }
    this.followInterventions();
    this.decorate();
  }

  private pin(on: boolean): void {
    const { current } = this;
    const words = current?.result.targets.map((target) => target.text).join(', ') ?? '';
    const changes =
      current === undefined || current.interventions.length === 0 ? [] : [changesText(current.interventions)];
    this.pinned =
      on && current !== undefined
        ? { label: [current.result.model, ...changes, words].join(' · '), result: current.result }
        : null;
    this.changed.fire();
  }

  private async export(format: 'json' | 'csv' | 'clipboard'): Promise<void> {
    const { current } = this;
    if (current === undefined) return;
    const { result, subject, compared, targets, masks, candidates, topK, interventions } = current;
    await exportAs(format, {
      name: 'cloze',
      json: {
        model: result.model,
        subject: { ...subject.summary(), text: subject.text },
        request: { targets, masks, candidates, topK, interventions },
        result,
        compared: compared?.result ?? null,
        pinned: this.pinned,
      },
      rows: clozeRows(result, ...(compared?.result == null ? [] : [compared.result])),
    });
  }

  private onLibraryChange(): void {
    const id = this.library.selected?.ref.id;
    const selected = id !== this.lastModel;
    this.lastModel = id;
    this.changed.fire();
    // Another model was chosen: the same question, asked to it.
    if (selected && id !== undefined && this.lastQuery !== undefined) void this.ask(this.lastQuery, 'add');
  }

  private onEdit(event: vscode.TextDocumentChangeEvent): void {
    const subjects = new Set(this.history.map((entry) => entry.subject));
    if (this.lastQuery !== undefined) subjects.add(this.lastQuery.subject);
    let visible = false;
    for (const subject of subjects) {
      const changed = subject.onEdit(event);
      visible ||= changed && (subject === this.current?.subject || subject === this.failure?.subject);
    }
    if (!visible) return;
    this.changed.fire();
    this.decorate();
  }

  private onDocument(document: vscode.TextDocument): void {
    const { current } = this;
    if (current?.subject.uri.toString() !== document.uri.toString()) return;
    if (!document.isClosed) current.subject.compare(document);
    this.changed.fire();
  }

  private onSelection(event: vscode.TextEditorSelectionChangeEvent): void {
    if (!this.follow || event.textEditor !== vscode.window.activeTextEditor) return;
    const only = event.selections.length === 1 ? event.selections[0] : undefined;
    if (only !== undefined && this.revealed?.isEqual(only)) return;
    this.scheduleFollow(event.textEditor);
  }

  private scheduleFollow(editor: vscode.TextEditor): void {
    if (this.followTimer !== null) clearTimeout(this.followTimer);
    this.followTimer = setTimeout(() => {
      this.followTimer = null;
      if (editor.document.isClosed || editor.document.uri.scheme === 'output') return;
      let query: Query;
      try {
        query = this.queryForSelection(editor);
      } catch {
        return; // a caret in white space: the last word stays
      }
      void this.ask(query, 'follow');
    }, FOLLOW_DELAY_MS);
  }

  private decorate(): void {
    const { current } = this;
    const subject = this.failure === null ? current?.subject : undefined;
    const key = subject?.uri.toString();
    for (const editor of vscode.window.visibleTextEditors) {
      const shown = subject !== undefined && !subject.stale && editor.document.uri.toString() === key;
      const ranges = shown
        ? (current?.result.targets ?? []).map(({ range }) => rangeOf(editor.document, subject.toDocument(range)))
        : [];
      editor.setDecorations(this.decoration, ranges);
    }
  }
}

/** A token like ` the` brings its own space; where one stands already, or a line begins, it is left out. */
function fitting(text: string, before: string): string {
  return before === '' || /\s$/.test(before) ? text.trimStart() : text;
}
