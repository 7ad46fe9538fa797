/**
 * The Embeddings view without its HTML. Follows what all views look at together: the word of it, from layer to layer. Occurrences,
 * sentences and contextuality are computed when they are asked for, and stay until others are.
 */
import { basename } from 'node:path';
import * as vscode from 'vscode';
import { COMMANDS } from '../commands/ids';
import { documentName, rangeOf } from '../editor/document';
import type { EngineService } from '../models/engineService';
import type { ModelLibrary } from '../models/library';
import type { CorpusSource } from '../protocol/attention';
import {
  MIX_COLUMNS,
  type CompareModelsResult,
  type ContextualityResult,
  type CorpusNeighboursResult,
  type ExampleFile,
  type IndexInfo,
  type IndexParams,
  type LearnMixResult,
  type OccurrencesResult,
  type TableInfo,
  type TableRef,
  type VectorLayer,
  type WordMixResult,
  type WordResult,
} from '../protocol/embeddings';
import type {
  EmbeddingsLook,
  EmbeddingsMethods,
  EmbeddingsPage,
  EmbeddingsState,
  IndexSummary,
  OccurrenceScope,
  SentenceComparison,
  StaticAnswers,
  StaticScores,
} from '../protocol/embeddingsView';
import type { ModelRef, TextRange } from '../protocol/engine';
import { LensError } from '../protocol/errors';
import type { Scale } from '../protocol/interventions';
import { equalMix, mixOf } from '../protocol/mix';
import { Answer } from './answer';
import { askForFile, askForFiles, sourcesOf, TEXTS, workspaceFiles } from './corpusFiles';
import { embeddingsExport } from './embeddingsExport';
import { IndexStore, type IndexRoots } from './indexStore';
import { interventionHandlers } from './interventionHandlers';
import type { WorkOptions } from './latest';
import type { ViewPlaces } from './lensView';
import { exportAs } from './save';
import { requirePlace, type SharedSubject } from './sharedSubject';
import type { Handlers } from './viewHost';

const NEIGHBOURS = 10;
const CORPUS_NEIGHBOURS = 30;
const PASSAGES = 15;
/** Around the caret: a sentence is not longer. */
const MOST_AROUND = 4_000;
/** Of the cross-validation, and of the optimiser. */
const FOLDS = 5;
const LEARNING = { steps: 200, rate: 0.01, decay: 0.001 };
/** Rows that may be answers to a file of analogies. */
const MOST_ANSWERS = 30_000;
const VECTORS = ['txt', 'vec', 'bin'];
const QUESTIONS = ['txt', 'tsv', 'csv'];
const EXAMPLES = ['tsv', 'txt', 'csv', 'jsonl', 'conllu'];
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
  mix: null,
  question: null,
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
  private readonly neighbours = new Answer<CorpusNeighboursResult>(this.fire);
  /** Other words are looked at while it is made. */
  private readonly building = new Answer<IndexInfo>(this.fire);
  private readonly mix = new Answer<WordMixResult>(this.fire);
  private readonly learned = new Answer<LearnMixResult>(this.fire);
  private readonly opened = new Answer<TableInfo>(this.fire);
  private readonly static = new Answer<StaticAnswers>(this.fire);
  private readonly scores = new Answer<StaticScores>(this.fire);
  /** Of static vectors. */
  private tableFile: vscode.Uri | null = null;
  private readonly indexes: IndexStore;
  private index: Pick<IndexSummary, 'files' | 'state'> = { files: null, state: null };
  private readonly sentences = new Answer<SentenceComparison>(this.fire);
  private readonly passages = new Answer<CorpusNeighboursResult>(this.fire);
  private readonly contextuality = new Answer<ContextualityResult>(this.fire);
  private readonly models = new Answer<CompareModelsResult>(this.fire);
  /** Files that were measured last. */
  private measured: CorpusSource[] | null = null;
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
    roots: IndexRoots,
  ) {
    this.indexes = new IndexStore(roots, library, () => {
      if (this.look.page === 'neighbours') this.refreshIfSeen();
    });
    this.lastModel = library.selected?.ref.id;
    this.subscriptions = [
      this.indexes,
      shared.onDidChange((change) => {
        // What was measured is of the model as it was changed then.
        if (change === 'interventions') for (const answer of [this.contextuality, this.learned]) answer.clear();
        if (change === 'text') this.fire();
        else this.refreshIfSeen();
      }),
      library.onDidChange(() => this.onLibraryChange()),
    ];
  }

  get state(): EmbeddingsState {
    const answer = this.pageAnswer;
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
      layers: model?.info?.layers ?? null,
      table: this.tableSummary,
      index: { ...this.index, folder: this.indexes.folder, stored: this.indexes.stored },
      revision: {
        word: this.word.revision,
        occurrences: this.occurrences.revision,
        neighbours: this.neighbours.revision,
        mix: this.mix.revision,
        learned: this.learned.revision,
        static: this.static.revision,
        scores: this.scores.revision,
        sentences: this.sentences.revision,
        passages: this.passages.revision,
        contextuality: this.contextuality.revision,
        compared: this.models.revision,
      },
    };
  }

  /** What the page waits for: work that was asked for on it comes before what follows the caret. */
  private get pageAnswer(): Answer<unknown> {
    const { page } = this.look;
    const before: Partial<Record<EmbeddingsPage, Answer<unknown>[]>> = {
      ...{ neighbours: [this.building], mix: [this.learned], sentences: [this.passages] },
      contextuality: [this.models],
      static: [this.opened, this.scores],
    };
    const own = [...(before[page] ?? []), this[page]];
    const busy = own.find(({ loading, error }) => loading || error !== null);
    return busy ?? own.find(({ result }) => result !== null) ?? this[page];
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
    neighbours: () => this.neighbours.result,
    mix: () => this.mix.result,
    learned: () => this.learned.result,
    static: () => this.static.result,
    scores: () => this.scores.result,
    sentences: () => this.sentences.result,
    passages: () => this.passages.result,
    contextuality: () => this.contextuality.result,
    compared: () => this.models.result,
    compareModels: () => this.askAndCompare(),
    find: ({ scope }) => this.find(scope),
    compareSentences: () => this.compareSentences(),
    measure: () => this.measure(),
    buildIndex: () => {
      // The state says what becomes of it.
      void this.buildIndex();
    },
    deleteIndex: ({ index }) => this.deleteIndex(index),
    indexWhat: ({ what }) => this.indexWhat(what),
    openNeighbour: ({ index }) => openFound(this.neighbours.result, index),
    findPassages: () => this.findPassages(),
    openPassage: ({ index }) => openFound(this.passages.result, index),
    learnMix: () => this.askAndLearn(),
    openVectors: () => this.askForVectors(),
    closeVectors: () => this.closeVectors(),
    score: ({ what }) => this.askAndScore(what),
    openOccurrence: ({ index }) => this.openOccurrence(index),
    openSentence: ({ index }) => this.openSentence(index),
    reveal: ({ range }) => this.shared.reveal(requirePlace(this.shared.place), { text: 0, range }),
    refresh: () => this.refresh(),
    cancel: () => this.pageAnswer.cancel(),
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
    for (const answer of [this.word, this.occurrences, this.neighbours, this.building]) answer.clear();
    for (const answer of [this.mix, this.learned, this.sentences, this.contextuality]) answer.clear();
    for (const answer of [this.opened, this.static, this.scores, this.passages, this.models]) answer.clear();
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
    // What failed is not shown any more; what was learned stays.
    this.building.clear();
    for (const answer of [this.learned, this.scores, this.passages, this.models])
      if (answer.error !== null) answer.clear();
    this[this.look.page].forget();
    if (this.look.page === 'word' && this.shared.place?.stale === true) await this.shared.recapture();
    await this.update();
  }

  private onLibraryChange(): void {
    const id = this.library.selected?.ref.id;
    if (id !== this.lastModel) {
      this.lastModel = id;
      // Layers of another model are others, and what was measured is of the old one.
      this.look = { ...this.look, layer: null, mix: null };
      for (const answer of [this.learned, this.scores, this.passages]) answer.clear();
      for (const answer of [this.contextuality, this.models, this.building]) answer.clear();
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
      case 'neighbours':
        return this.updateNeighbours();
      case 'mix':
        return this.updateMix();
      case 'static':
        return this.updateStatic();
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

  /** The index of the layer that is looked at. */
  private async indexParams(): Promise<IndexParams> {
    const { ref: model } = this.library.require();
    const [layer] = await this.layersFor(this.look.layer);
    const sources = await this.indexes.sources();
    return { model, layer: layer as VectorLayer, pool: 'word', folder: this.indexes.root, sources };
  }

  /** Looks for the word in the index when there is one; what the person began is brought up to date. */
  private async updateNeighbours(): Promise<void> {
    const { place, target } = this.shared;
    const revision = this.indexes.revision;
    let params: IndexParams;
    let state: IndexSummary['state'];
    try {
      params = await this.indexParams();
      state = await this.engine.request('indexState', { ...params, sources: [] });
    } catch (thrown) {
      // Without a model there is no index; the error stands where its neighbours would.
      await this.neighbours.want(this.key('neighbours', this.questions), () => Promise.reject(LensError.from(thrown)));
      return;
    }
    this.index = { files: params.sources.length, state };
    await this.indexes.list();
    if (this.building.loading) return;
    if (place === null || target === null || this.wordText === null || state !== 'finished') {
      this.neighbours.clear();
      this.fire();
      return;
    }
    const { text } = place.subject;
    const { range } = target;
    const key = this.key('neighbours', place.id, range, params.layer, params.folder, revision);
    await this.neighbours.want(key, (options) =>
      this.engine.request('corpusNeighbours', { ...params, text, range, topK: CORPUS_NEIGHBOURS }, options),
    );
    if ((this.neighbours.result?.index.built ?? 0) > 0) await this.indexes.list();
  }

  /** Goes on with what is there. Resolves when it is done, was stopped, or failed. */
  async buildIndex(): Promise<void> {
    const params = await this.indexParams();
    const { layer, folder } = params;
    this.building.forget();
    await this.building.want(this.key('index', layer, folder), (options) =>
      this.engine.request('updateIndex', params, options),
    );
    if (this.building.error === null) this.building.clear();
    await this.update();
  }

  private async deleteIndex(index: number | null): Promise<void> {
    const { stored } = this.indexes;
    const chosen = index === null ? stored : stored.slice(index, index + 1);
    this.building.clear();
    await this.indexes.remove(chosen);
    this.neighbours.clear();
    await this.update();
  }

  private async indexWhat(what: 'workspace' | 'folder'): Promise<void> {
    if (what === 'workspace') this.indexes.choose(null);
    else {
      const [folder] =
        (await vscode.window.showOpenDialog({
          canSelectFiles: false,
          canSelectFolders: true,
          openLabel: vscode.l10n.t('Look in Folder'),
        })) ?? [];
      if (folder === undefined) return;
      this.indexFolder(folder);
    }
    await this.update();
  }

  /** Neighbours are looked for in the texts of this folder. */
  indexFolder(folder: vscode.Uri): void {
    this.building.clear();
    this.indexes.choose(folder);
  }

  private async updateMix(): Promise<void> {
    const { place, target } = this.shared;
    if (place === null || target === null || this.wordText === null) {
      this.mix.clear();
      return;
    }
    const { centre, mix } = this.look;
    const { text } = place.subject;
    const { range } = target;
    await this.mix.want(this.key('mix', place.id, range, centre, mix), async (options) => {
      const setting = mix ?? equalMix(await this.lastLayer());
      return this.engine.request(
        'wordMix',
        { ...this.changedModel(), text, range, topK: NEIGHBOURS, centre, mix: mixOf(setting) },
        options,
      );
    });
  }

  /** Asks for labelled lines, how to test what is learned, and of treebanks which column. */
  private async askAndLearn(): Promise<void> {
    const train = await askForFile(EXAMPLES);
    if (train === undefined) return;
    const treebank = train.path.endsWith('.conllu');
    const column = treebank
      ? await vscode.window.showQuickPick([...MIX_COLUMNS], { title: vscode.l10n.t('Label of Each Word') })
      : MIX_COLUMNS[0];
    if (column === undefined) return;
    const parts = vscode.l10n.t('Cross-validate in {0} parts', FOLDS);
    const file = vscode.l10n.t('Test with another file…');
    const choice = await vscode.window.showQuickPick([parts, file], {
      title: vscode.l10n.t('How to Measure Accuracy'),
    });
    if (choice === undefined) return;
    const test = choice === file ? await askForFile(EXAMPLES) : undefined;
    if (choice === file && test === undefined) return;
    await this.learn(train, test ?? null, column as ExampleFile['column']);
  }

  /** The mix that labelled examples want; tested on others, or cross-validated. The state says what becomes of it. */
  async learn(train: vscode.Uri, test: vscode.Uri | null, column: ExampleFile['column']): Promise<void> {
    this.look = { ...this.look, page: 'mix' };
    this.learned.forget();
    await this.learned.want(this.key('learn', (this.questions += 1)), (options) =>
      this.engine.request(
        'learnMix',
        {
          ...this.changedModel(),
          train: { file: train.fsPath, column },
          test: test === null ? [] : { file: test.fsPath, column },
          ...{ folds: FOLDS, seed: SEED, ...LEARNING },
        },
        options,
      ),
    );
  }

  /** Sentences of the workspace's texts, or of the chosen folder's, that are near to what is selected or to the sentence at the caret. */
  async findPassages(editor = vscode.window.activeTextEditor): Promise<void> {
    if (editor === undefined) throw new LensError('bad-input', 'No text editor is open.', 'Open a text.');
    const text = selectedPassage(editor);
    if (!/\p{L}|\p{N}/u.test(text))
      throw new LensError('bad-input', 'There is no text here.', 'Select a passage, or put the caret on a sentence.');
    this.look = { ...this.look, page: 'sentences' };
    const { pool } = this.look;
    this.passages.forget();
    await this.passages.want(this.key('passages', (this.questions += 1)), async (options) => {
      const params = { ...(await this.indexParams()), pool };
      if (params.sources.length === 0)
        throw new LensError('bad-input', 'There is no text file in the workspace.', 'Open a folder with texts.');
      const range = { start: 0, end: text.length };
      return this.engine.request('corpusNeighbours', { ...params, text, range, topK: PASSAGES }, options);
    });
    await this.indexes.list();
  }

  private get tableSummary(): EmbeddingsState['table'] {
    const { tableFile } = this;
    const info = this.opened.result;
    return tableFile === null || info === null ? null : { ...info, name: basename(tableFile.fsPath) };
  }

  /** Asks for a file of GloVe or word2vec, and shows it. */
  async askForVectors(): Promise<void> {
    const file = await askForFile(VECTORS);
    if (file !== undefined) await this.openVectors(file);
  }

  /** A file of static vectors beside the model. The state says what becomes of it. */
  async openVectors(file: vscode.Uri): Promise<void> {
    this.tableFile = file;
    this.look = { ...this.look, page: 'static' };
    this.opened.forget();
    this.scores.clear();
    await this.opened.want(this.key('table', file.fsPath, (this.questions += 1)), (options) =>
      this.engine.request('openTable', { table: { file: file.fsPath } }, options),
    );
    await this.updateStatic();
  }

  private closeVectors(): void {
    this.tableFile = null;
    this.opened.clear();
    this.scores.clear();
    void this.updateStatic();
  }

  /** The file that is open, and the model's own input embeddings. */
  private tables(): { name: string; table: TableRef }[] {
    const { tableFile } = this;
    const { ref: model } = this.library.require();
    return [
      ...(tableFile === null || this.opened.result === null
        ? []
        : [{ name: basename(tableFile.fsPath), table: { file: tableFile.fsPath } }]),
      { name: model.id, table: { model } },
    ];
  }

  private async updateStatic(): Promise<void> {
    const { question } = this.look;
    if (question === null || this.opened.loading) {
      if (question === null) this.static.clear();
      return;
    }
    const { words, exclude } = question;
    await this.static.want(this.key('static', this.opened.changes, question), async (options) => ({
      ...{ words, exclude },
      tables: await this.eachTable(async (table) => ({
        answer: await this.engine.request('askTable', { table, words, exclude, topK: NEIGHBOURS }, options),
      })).then((tables) => tables.map((table) => ({ answer: null, ...table }))),
    }));
  }

  /** A word that one table does not have is no reason to say nothing of the other. */
  private async eachTable<T>(
    ask: (table: TableRef) => Promise<T>,
  ): Promise<({ name: string; why: string | null } & Partial<T>)[]> {
    const answers: ({ name: string; why: string | null } & Partial<T>)[] = [];
    for (const { name, table } of this.tables())
      try {
        answers.push({ name, why: null, ...(await ask(table)) });
      } catch (thrown) {
        const error = LensError.from(thrown);
        if (error.code !== 'bad-input') throw error;
        answers.push({ name, why: error.message } as (typeof answers)[number]);
      }
    return answers;
  }

  private async askAndScore(what: 'rated' | 'analogies'): Promise<void> {
    const file = await askForFile(QUESTIONS);
    if (file !== undefined) await this.score(what, file);
  }

  /** Pairs of words with ratings, or analogies, put to each table. The state says what becomes of it. */
  async score(what: 'rated' | 'analogies', file: vscode.Uri): Promise<void> {
    this.look = { ...this.look, page: 'static' };
    this.scores.forget();
    const path = file.fsPath;
    await this.scores.want(this.key('scores', (this.questions += 1)), async (options) => {
      const tables = await this.eachTable<Partial<StaticScores['tables'][number]>>(async (table) =>
        what === 'rated'
          ? { rated: await this.engine.request('ratedWords', { table, file: path }, options) }
          : {
              analogies: await this.engine.request(
                'analogies',
                { table, questions: { file: path }, most: MOST_ANSWERS },
                options,
              ),
            },
      );
      return {
        file: basename(path),
        tables: tables.map(({ name, why, rated = null, analogies = null }) => ({
          ...{ name, why, rated, analogies },
        })),
      };
    });
  }

  private async lastLayer(): Promise<number> {
    const { layers, id } = await this.engine.info(this.library.require().ref);
    if (layers === null) throw new LensError('model-unsupported', `The layers of ${id} are not known.`);
    return layers;
  }

  private async layersFor(only: EmbeddingsLook['layer'] | 'all'): Promise<VectorLayer[]> {
    if (only !== null && only !== 'all') return [only];
    const layers = await this.lastLayer();
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

  /** Asks for another model, and for files when none were measured. */
  private async askAndCompare(): Promise<void> {
    const { id } = this.library.require().ref;
    const others = this.library.models.map(({ ref }) => ref.id).filter((other) => other !== id);
    if (others.length === 0)
      throw new LensError('bad-input', 'There is no other model.', 'Add the folder of one to the library.');
    const other = await vscode.window.showQuickPick(others, { title: vscode.l10n.t('Compare Layers with') });
    if (other === undefined) return;
    const files = this.measured === null ? await askForFiles(TEXTS, vscode.l10n.t('Texts')) : [];
    if (files === undefined) return;
    await this.compareWith(other, this.measured ?? (await sourcesOf(files, TEXTS)));
  }

  /** Linear CKA of all layers with those of another model. The state says what becomes of it. */
  async compareWith(other: string, sources: CorpusSource[]): Promise<void> {
    const { ref } = this.library.require(other);
    this.measured = sources;
    this.look = { ...this.look, page: 'contextuality' };
    this.models.forget();
    await this.models.want(this.key('compared', (this.questions += 1)), (options) =>
      this.engine.request(
        'compareModels',
        {
          ...{ model: this.library.require().ref, other: ref, sources },
          ...{ limit: MOST_MEASURED, samples: SAMPLES, seed: SEED },
        },
        options,
      ),
    );
  }

  /** Asks for files, and measures them. */
  private async measure(): Promise<void> {
    const files = await askForFiles(TEXTS, vscode.l10n.t('Texts'));
    if (files === undefined) return;
    const sources = await sourcesOf(files, TEXTS);
    this.measured = sources;
    this.models.clear();
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
    await openPlace(uri, found);
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
        neighbours: this.neighbours.result,
        passages: this.passages.result,
        compared: this.models.result,
        mix: this.mix.result,
        static: this.static.result,
      }),
    );
  }
}

/** What is selected, or the sentence at the caret. */
function selectedPassage({ document, selection }: vscode.TextEditor): string {
  if (!selection.isEmpty) return document.getText(selection).trim();
  const caret = document.offsetAt(selection.active);
  const start = Math.max(0, caret - MOST_AROUND);
  const text = document.getText(new vscode.Range(document.positionAt(start), document.positionAt(caret + MOST_AROUND)));
  return (
    SEGMENTER.segment(text)
      .containing(caret - start)
      ?.segment.trim() ?? ''
  );
}

async function openFound(result: CorpusNeighboursResult | null, index: number): Promise<void> {
  const found = result?.neighbours[index];
  if (found === undefined) throw new LensError('bad-input', 'There is no such place any more.', 'Look for it again.');
  await openPlace(vscode.Uri.file(found.file), found);
}

/** Shows what a range of a sentence is of. `line` from 1, `column` from 0. */
async function openPlace(
  uri: vscode.Uri,
  { line, column, range }: { line: number; column: number; range: TextRange },
): Promise<void> {
  const at = new vscode.Position(line - 1, column);
  const selection = new vscode.Range(at, at.translate(0, range.end - range.start));
  await vscode.window.showTextDocument(uri, { selection, preserveFocus: true, preview: true });
}
