/**
 * The Embeddings view without its HTML. Follows what all views look at together: the word of it, from layer to layer. Occurrences,
 * sentences and contextuality are computed when they are asked for, and stay until others are.
 */
import * as vscode from 'vscode';
import { COMMANDS } from '../commands/ids';
import { documentName, rangeOf } from '../editor/document';
import type { EngineService } from '../models/engineService';
import type { ModelLibrary } from '../models/library';
import type { CorpusSource } from '../protocol/attention';
import type { ContextualityResult, OccurrencesResult, VectorLayer, WordResult } from '../protocol/embeddings';
import type {
  EmbeddingsLook,
  EmbeddingsMethods,
  EmbeddingsState,
  OccurrenceScope,
  SentenceComparison,
} from '../protocol/embeddingsView';
import type { ModelRef, TextRange } from '../protocol/engine';
import { LensError } from '../protocol/errors';
import type { Scale } from '../protocol/interventions';
import { Answer } from './answer';
import { askForFiles, sourcesOf, TEXTS, workspaceFiles } from './corpusFiles';
import { embeddingsExport } from './embeddingsExport';
import { interventionHandlers } from './interventionHandlers';
import type { WorkOptions } from './latest';
import type { ViewPlaces } from './lensView';
import { exportAs } from './save';
import { requirePlace, type SharedSubject } from './sharedSubject';
import type { Handlers } from './viewHost';

const NEIGHBOURS = 10;
const MOST_OCCURRENCES = 2_000;
/** Larger matrices cannot be read. */
const MOST_SENTENCES = 60;
const MOST_MEASURED = 1_000;
const LEAST_CONTEXTS = 5;
const SAMPLES = 1_000;
const SEED = 0;
const SEGMENTER = new Intl.Segmenter('en', { granularity: 'sentence' });

export const FIRST_LOOK: EmbeddingsLook = {
  ...{ page: 'word', layer: null, centre: false, projection: 'pca', axes: 2, colour: 'cluster', pool: 'mean' },
};

/** What was asked of occurrences, and where they can be opened. */
interface Search {
  id: number;
  word: string;
  sources: CorpusSource[];
  /** Of a document that is no file, or was changed since it was saved. */
  document: vscode.Uri | null;
}

interface Compared {
  id: number;
  uri: vscode.Uri;
  sentences: { text: string; range: TextRange; line: number }[];
  truncated: boolean;
}

export class EmbeddingsController implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<void>();
  readonly onDidChange = this.changed.event;
  private readonly fire = (): void => this.changed.fire();
  private readonly word = new Answer<WordResult>(this.fire);
  private readonly occurrences = new Answer<OccurrencesResult>(this.fire);
  private readonly sentences = new Answer<SentenceComparison>(this.fire);
  private readonly contextuality = new Answer<ContextualityResult>(this.fire);
  private look: EmbeddingsLook = FIRST_LOOK;
  private search: Search | null = null;
  private compared: Compared | null = null;
  private questions = 0;
  private lastModel: string | undefined;
  private readonly subscriptions: vscode.Disposable[];

  constructor(
    private readonly engine: EngineService,
    private readonly library: ModelLibrary,
    private readonly shared: SharedSubject,
    private readonly view: ViewPlaces,
  ) {
    this.lastModel = library.selected?.ref.id;
    this.subscriptions = [
      shared.onDidChange((change) => {
        // What was measured is of the model as it was changed then.
        if (change === 'interventions') this.contextuality.clear();
        if (change === 'text') this.fire();
        else this.refreshIfSeen();
      }),
      library.onDidChange(() => this.onLibraryChange()),
    ];
  }

  get state(): EmbeddingsState {
    const answer = this[this.look.page];
    const { place } = this.shared;
    const model = this.library.selected;
    const status = answer.loading
      ? 'loading'
      : answer.error !== null
        ? 'error'
        : answer.result !== null
          ? 'ready'
          : 'empty';
    return {
      status,
      ...(answer.progress === undefined ? {} : { progress: answer.progress }),
      ...(status === 'error' && answer.error !== null ? { error: answer.error } : {}),
      model: model === undefined ? null : this.library.summary(model),
      interventions: [...this.shared.interventions],
      subject: place === null ? null : { ...place.subject.summary(), stale: place.stale },
      word: this.wordText,
      look: this.look,
      revision: {
        word: this.word.revision,
        occurrences: this.occurrences.revision,
        sentences: this.sentences.revision,
        contextuality: this.contextuality.revision,
      },
    };
  }

  readonly handlers: Handlers<EmbeddingsMethods> = {
    ...interventionHandlers(this.shared),
    ready: () => this.refreshIfSeen(),
    look: (change) => {
      this.look = { ...this.look, ...change };
      this.fire();
      // The state says what becomes of it.
      void this.update();
    },
    word: () => this.word.result,
    occurrences: () => this.occurrences.result,
    sentences: () => this.sentences.result,
    contextuality: () => this.contextuality.result,
    find: ({ scope }) => this.find(scope),
    compareSentences: () => this.compareSentences(),
    measure: () => this.measure(),
    openOccurrence: ({ index }) => this.openOccurrence(index),
    openSentence: ({ index }) => this.openSentence(index),
    reveal: ({ range }) => this.shared.reveal(requirePlace(this.shared.place), { text: 0, range }),
    refresh: () => this.refresh(),
    cancel: () => this[this.look.page].cancel(),
    selectModel: () => this.command(COMMANDS.selectModel),
    export: ({ format }) => this.export(format),
    openInEditor: () => this.view.openInEditor(),
    showLog: () => this.command(COMMANDS.showLog),
    help: () => this.command('workbench.action.openWalkthrough', 'onnx-lens.onnx-lens#onnxLens.start', false),
    run: ({ command }) => this.command(command),
  };

  /** Computes what the page needs, whether anybody sees it yet or not. */
  async show(page?: EmbeddingsLook['page']): Promise<void> {
    if (page !== undefined) this.look = { ...this.look, page };
    this.fire();
    await this.update();
  }

  /** All occurrences of the word that is looked at. Throws `bad-input` when there is no word, or no file. */
  async find(scope: OccurrenceScope): Promise<void> {
    const word = this.wordText;
    const { place } = this.shared;
    if (word === null || place === null)
      throw new LensError('bad-input', 'There is no word to look for.', 'Put the caret on a word first.');
    let sources: CorpusSource[];
    let document: vscode.Uri | null = null;
    if (scope === 'document') {
      const open = await vscode.workspace.openTextDocument(place.subject.uri);
      document = open.uri;
      sources = [{ name: documentName(open.uri), text: open.getText() }];
    } else {
      const files =
        scope === 'workspace' ? await workspaceFiles(TEXTS) : await askForFiles(TEXTS, vscode.l10n.t('Texts'));
      if (files === undefined) return;
      sources = await sourcesOf(files, TEXTS);
    }
    this.search = { id: (this.questions += 1), word, sources, document };
    await this.show('occurrences');
  }

  /** Sentences of the selection, or of the whole document when nothing is selected. Throws `bad-input`. */
  async compareSentences(editor = vscode.window.activeTextEditor): Promise<void> {
    if (editor === undefined) throw new LensError('bad-input', 'No text editor is open.', 'Open a text.');
    const { document, selection } = editor;
    const start = selection.isEmpty ? 0 : document.offsetAt(selection.start);
    const text = selection.isEmpty ? document.getText() : document.getText(selection);
    const all: Compared['sentences'] = [];
    for (const { segment, index } of SEGMENTER.segment(text)) {
      const sentence = segment.trim();
      if (!/\p{L}|\p{N}/u.test(sentence)) continue;
      const from = start + index + (segment.length - segment.trimStart().length);
      all.push({
        text: sentence,
        range: { start: from, end: from + sentence.length },
        line: document.positionAt(from).line + 1,
      });
      if (all.length > MOST_SENTENCES) break;
    }
    if (all.length < 2)
      throw new LensError('bad-input', 'Two sentences are needed to compare them.', 'Select more text.');
    this.compared = {
      id: (this.questions += 1),
      uri: document.uri,
      sentences: all.slice(0, MOST_SENTENCES),
      truncated: all.length > MOST_SENTENCES,
    };
    await this.show('sentences');
  }

  dispose(): void {
    for (const answer of [this.word, this.occurrences, this.sentences, this.contextuality]) answer.clear();
    for (const subscription of this.subscriptions) subscription.dispose();
    this.changed.dispose();
  }

  /** The word that is looked at, as it stands in the text. */
  private get wordText(): string | null {
    const { place, target } = this.shared;
    if (place === null || target === null || target.text === 1) return null;
    const word = place.subject.text.slice(target.range.start, target.range.end).trim();
    return word === '' ? null : word;
  }

  private command(id: string, ...parameters: unknown[]): void {
    void vscode.commands.executeCommand(id, ...parameters);
  }

  /** What is asked, with what is changed in it. */
  private changedModel(): { model: ModelRef; interventions?: Scale[] } {
    const { interventions } = this.shared;
    return {
      model: this.library.require().ref,
      ...(interventions.length === 0 ? {} : { interventions: [...interventions] }),
    };
  }

  private refreshIfSeen(): void {
    this.fire();
    if (this.view.audience() > 0) void this.update();
  }

  private async refresh(): Promise<void> {
    this[this.look.page].forget();
    if (this.look.page === 'word' && this.shared.place?.stale === true) await this.shared.recapture();
    await this.update();
  }

  private onLibraryChange(): void {
    const id = this.library.selected?.ref.id;
    if (id !== this.lastModel) {
      this.lastModel = id;
      // Layers of another model are others, and what was measured is of the old one.
      this.look = { ...this.look, layer: null };
      this.contextuality.clear();
      this.refreshIfSeen();
    } else this.fire();
  }

  /** What decides an answer, as text. */
  private key(...parts: unknown[]): string {
    return JSON.stringify([this.library.selected?.ref, this.shared.interventions, ...parts]);
  }

  /** Asks for what the page needs and is not there. */
  private async update(): Promise<void> {
    switch (this.look.page) {
      case 'word':
        return this.updateWord();
      case 'occurrences':
        return this.updateOccurrences();
      case 'sentences':
        return this.updateSentences();
      case 'contextuality':
        return;
    }
  }

  private async updateWord(): Promise<void> {
    const { place, target } = this.shared;
    if (place === null || target === null || this.wordText === null) {
      this.word.clear();
      return;
    }
    const { centre } = this.look;
    const { text } = place.subject;
    const { range } = target;
    await this.word.want(this.key('word', place.id, range, centre), (options) =>
      this.engine.request('wordInContext', { ...this.changedModel(), text, range, topK: NEIGHBOURS, centre }, options),
    );
  }

  private async updateOccurrences(): Promise<void> {
    const { search, look } = this;
    if (search === null) return;
    const { projection, axes } = look;
    // UMAP is slow: it is only made of the layer that is looked at.
    const only = projection === 'umap' ? look.layer : 'all';
    await this.occurrences.want(this.key('occurrences', search.id, projection, axes, only), async (options) => {
      const model = this.changedModel();
      const layers = await this.layersFor(only);
      const { word, sources } = search;
      return this.engine.request(
        'occurrences',
        {
          ...{ ...model, word, sources, layers, projection, axes },
          ...{ most: MOST_OCCURRENCES, clusters: 'auto', seed: SEED },
        },
        options,
      );
    });
  }

  private async layersFor(only: EmbeddingsLook['layer'] | 'all'): Promise<VectorLayer[]> {
    if (only !== null && only !== 'all') return [only];
    const { layers, id } = await this.engine.info(this.library.require().ref);
    if (layers === null) throw new LensError('model-unsupported', `The layers of ${id} are not known.`);
    if (only === null) return [layers];
    return ['static', ...Array.from({ length: layers + 1 }, (_, layer) => layer)];
  }

  private async updateSentences(): Promise<void> {
    const { compared, look } = this;
    if (compared === null) return;
    const { pool, layer, centre } = look;
    await this.sentences.want(this.key('sentences', compared.id, pool, layer, centre), (options) =>
      this.answerSentences(compared, look, options),
    );
  }

  private async answerSentences(
    { uri, sentences, truncated }: Compared,
    { pool, layer, centre }: EmbeddingsLook,
    options: WorkOptions,
  ): Promise<SentenceComparison> {
    const result = await this.engine.request(
      'sentenceSimilarity',
      {
        ...this.changedModel(),
        texts: sentences.map(({ text }) => text),
        ...(layer === null ? {} : { layer }),
        ...{ pool, centre },
      },
      options,
    );
    return {
      ...result,
      document: documentName(uri),
      sentences: sentences.map(({ text, line }) => ({ text, line })),
      truncated,
    };
  }

  /** Asks for files, and measures them. */
  private async measure(): Promise<void> {
    const files = await askForFiles(TEXTS, vscode.l10n.t('Texts'));
    if (files === undefined) return;
    const sources = await sourcesOf(files, TEXTS);
    this.look = { ...this.look, page: 'contextuality' };
    this.contextuality.forget();
    await this.contextuality.want(this.key('contextuality', (this.questions += 1)), (options) =>
      this.engine.request(
        'contextuality',
        {
          ...{ ...this.changedModel(), sources, limit: MOST_MEASURED },
          ...{ leastContexts: LEAST_CONTEXTS, samples: SAMPLES, seed: SEED },
        },
        options,
      ),
    );
  }

  /** Shows it in its file. */
  private async openOccurrence(index: number): Promise<void> {
    const { search } = this;
    const found = this.occurrences.result?.occurrences[index];
    const source = search?.sources[found?.source ?? -1];
    if (search === null || found === undefined || source === undefined)
      throw new LensError('bad-input', 'There is no such occurrence any more.', 'Look for the word again.');
    const uri = 'file' in source ? vscode.Uri.file(source.file) : search.document;
    if (uri === null) return;
    const at = new vscode.Position(found.line - 1, found.column);
    const end = at.translate(0, found.range.end - found.range.start);
    await vscode.window.showTextDocument(uri, {
      selection: new vscode.Range(at, end),
      preserveFocus: true,
      preview: true,
    });
  }

  private async openSentence(index: number): Promise<void> {
    const { compared } = this;
    const sentence = compared?.sentences[index];
    if (compared === null || sentence === undefined)
      throw new LensError('bad-input', 'There is no such sentence any more.', 'Compare the sentences again.');
    const document = await vscode.workspace.openTextDocument(compared.uri);
    const range = rangeOf(document, sentence.range);
    if (document.getText(range) !== sentence.text)
      throw new LensError('bad-input', 'The document was changed since.', 'Compare the sentences again.');
    await vscode.window.showTextDocument(document, { selection: range, preserveFocus: true, preview: true });
  }

  private async export(format: 'json' | 'csv' | 'clipboard'): Promise<void> {
    await exportAs(
      format,
      embeddingsExport(this.look.page, {
        word: this.word.result,
        occurrences: this.occurrences.result,
        sentences: this.sentences.result,
        contextuality: this.contextuality.result,
      }),
    );
  }
}
