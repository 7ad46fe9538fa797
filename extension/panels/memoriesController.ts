/**
 * The Memories view without its HTML: what the layers of a model write at the word that all views look at, which memories wrote it, and
 * what the model would say after each of them.
 */
import * as vscode from 'vscode';
import { COMMANDS } from '../commands/ids';
import * as settings from '../commands/settings';
import type { MemoryColors } from '../editor/memoryColors';
import type { EngineService } from '../models/engineService';
import type { ModelLibrary } from '../models/library';
import type { InputTokens } from '../protocol/attention';
import type { EngineParams, EngineResult } from '../protocol/engine';
import { LensError } from '../protocol/errors';
import type {
  FfnInput,
  LogitLensTable,
  MemoryGroups,
  SimilarMemories,
  TriggerText,
  ValueClusters,
  ValueSearch,
  ValueWords,
} from '../protocol/ffn';
import { neuronName } from '../protocol/format';
import type { NeuronRef } from '../protocol/interventions';
import type {
  MemoriesLook,
  MemoriesMethods,
  MemoriesPage,
  MemoriesState,
  NamesState,
  ShownLens,
  ShownMemories,
  TriggerEnd,
  TriggerScope,
  VocabularyWord,
} from '../protocol/memoriesView';
import { placeIn } from '../protocol/places';
import { Answer } from './answer';
import { placeOf, tokenAt } from './attentionPlan';
import { interventionHandlers } from './interventionHandlers';
import type { WorkOptions } from './latest';
import type { ViewPlaces } from './lensView';
import { memoriesExport } from './memoriesExport';
import { FIRST_LOOK, questionAt, wordIn } from './memoriesPlan';
import { NAMES_FILE, type MemoryNames } from './memoryNames';
import type { Place } from './place';
import { exportAs, saveAs } from './save';
import { requirePlace, type SharedSubject } from './sharedSubject';
import { endOf, TriggerWork } from './triggerWork';
import { TunedLensWork } from './tunedLensWork';
import type { Handlers } from './viewHost';

/** Words of a memory's value, each way. */
const WORDS = 8;
const MOST_WORDS = 30;
const PREDICTIONS = 5;
/** Switched off one by one. */
const CANDIDATES = 200;
const MOST_FOUND = 200;
/** Of each group or cluster. */
const MEMBERS = 12;
const CLUSTERS = 100;
const MOST_SIMILAR = 10;
/** Lines of a treebank above the words of a sentence. */
const MOST_COMMENTS = 50;
const IMAGE_NAMES = { png: 'PNG', svg: 'SVG' } as const;

type ResultPage = Exclude<MemoriesPage, 'names'>;

export class MemoriesController implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<void>();
  readonly onDidChange = this.changed.event;
  private readonly fire = (): void => this.changed.fire();
  private readonly input = new Answer<InputTokens>(this.fire);
  private readonly answers = {
    memories: new Answer<ShownMemories>(this.fire),
    lens: new Answer<ShownLens>(this.fire),
    text: new Answer<LogitLensTable>(this.fire),
    groups: new Answer<MemoryGroups>(this.fire),
    search: new Answer<ValueSearch>(this.fire),
    memory: new Answer<ValueWords>(this.fire),
  };
  private readonly similar = new Answer<SimilarMemories>(this.fire);
  private readonly clusters = new Answer<ValueClusters>(this.fire);
  private readonly triggers: TriggerWork;
  private readonly tuned: TunedLensWork;
  private look: MemoriesLook;
  private lastModel: string | undefined;
  private readonly subscriptions: vscode.Disposable[];

  constructor(
    private readonly engine: EngineService,
    private readonly library: ModelLibrary,
    private readonly shared: SharedSubject,
    private readonly names: MemoryNames,
    private readonly colors: MemoryColors,
    /** Where indices of values are kept, and texts that come with the extension. */
    private readonly folders: { cache: string; texts: vscode.Uri },
    private readonly view: ViewPlaces,
  ) {
    this.look = { ...FIRST_LOOK, by: settings.memoryMeasure() };
    this.lastModel = library.selected?.ref.id;
    this.triggers = new TriggerWork(engine, library, folders.texts, this.fire);
    this.tuned = new TunedLensWork(engine, library, folders, this.fire);
    this.subscriptions = [
      this.triggers,
      this.tuned,
      colors.onDidChange(this.fire),
      shared.onDidChange((change) => {
        if (change === 'text') this.fire();
        else this.refreshIfSeen();
      }),
      library.onDidChange(() => this.onLibraryChange()),
      names.onDidChange(this.fire),
      vscode.workspace.onDidChangeConfiguration((event) => {
        if (!event.affectsConfiguration('onnxLens.memories')) return;
        this.look = { ...this.look, by: settings.memoryMeasure() };
        this.refreshIfSeen();
      }),
    ];
  }

  get state(): MemoriesState {
    const { place, interventions } = this.shared;
    const { look, answers } = this;
    const model = this.library.selected;
    const shown = this.visible;
    const running = shown.find(({ loading }) => loading);
    const error = shown.find((answer) => answer.error !== null)?.error ?? null;
    const status = running !== undefined ? 'loading' : error !== null ? 'error' : this.hasContent ? 'ready' : 'empty';
    const input = this.input.result;
    const revisionOf = (page: ResultPage): number => answers[page].revision;
    return {
      status,
      ...(running?.progress === undefined ? {} : { progress: running.progress }),
      ...(status === 'error' && error !== null ? { error } : {}),
      model: model === undefined ? null : this.library.summary(model),
      subject: place === null ? null : { ...place.subject.summary(), stale: place.stale },
      input: input === null ? null : { tokens: input.tokens, window: input.window, mask: input.mask },
      target: this.token,
      look,
      interventions: [...interventions],
      names: this.names.stateOf(model?.ref),
      triggers: {
        corpus: this.triggers.label,
        running: this.triggers.running,
        error: this.triggers.errorOf(look.memory),
      },
      tuned: this.tuned.state,
      inDocument: this.colors.active,
      revision: {
        memories: revisionOf('memories'),
        lens: revisionOf('lens'),
        text: revisionOf('text'),
        groups: revisionOf('groups'),
        search: revisionOf('search'),
        memory: revisionOf('memory'),
        clusters: this.clusters.revision,
        triggers: this.triggers.revisionOf(look.memory),
        similar: this.similar.revision,
      },
    };
  }

  readonly handlers: Handlers<MemoriesMethods> = {
    ...interventionHandlers(this.shared),
    ready: () => {
      void this.names.read(this.library.selected?.ref);
      this.refreshIfSeen();
    },
    look: (change) => {
      this.look = { ...this.look, ...change };
      this.fire();
      // The state says what becomes of it.
      void this.update();
    },
    memories: () => this.answers.memories.result,
    lens: () => this.answers.lens.result,
    text: () => this.answers.text.result,
    groups: () => this.answers.groups.result,
    search: () => this.answers.search.result,
    clusters: () => this.clusters.result,
    findClusters: () => this.findClusters(),
    memory: () => this.answers.memory.result,
    triggers: () => this.triggers.of(this.look.memory),
    similar: () => this.similar.result,
    scan: ({ scope }) => this.scan(scope),
    stopScan: () => this.triggers.stop(),
    goOn: async () => {
      if (this.look.memory !== null) await this.triggers.want(this.look.memory, true);
    },
    trainLens: () => this.trainLens(),
    stopTraining: () => this.tuned.stop(),
    goOnTraining: () => this.afterTraining(this.tuned.goOn()),
    openTrigger: ({ end, index }) => this.openTrigger(end, index),
    inDocument: ({ on }) => this.showInDocument(on),
    addWord: ({ text, to }) => this.addWord(text, to),
    target: ({ index }) => this.setToken(index),
    name: (memory) => this.askName(memory),
    openNames: () => this.names.open(),
    reveal: (target) => this.shared.reveal(requirePlace(this.shared.place), target),
    refresh: () => this.refresh(),
    cancel: () => {
      for (const answer of this.visible) answer.cancel();
    },
    selectModel: () => this.command(COMMANDS.selectModel),
    export: ({ format }) => this.export(format),
    saveImage: async ({ format, data }) => {
      await saveAs({ name: this.look.page, format, content: data, filter: IMAGE_NAMES[format] });
    },
    openInEditor: () => this.view.openInEditor(),
    showLog: () => this.command(COMMANDS.showLog),
    help: () => this.command('workbench.action.openWalkthrough', 'onnx-lens.onnx-lens#onnxLens.start', false),
    run: ({ command }) => this.command(command),
  };

  /** The one that is looked at by itself. */
  get memory(): NeuronRef | null {
    return this.look.memory;
  }

  /** Computes what the page needs, whether anybody sees it yet or not. Resolves when the state shows it or the error. */
  async show(page?: MemoriesPage): Promise<void> {
    if (page !== undefined) this.look = { ...this.look, page };
    this.fire();
    await Promise.all([this.names.read(this.library.selected?.ref), this.update()]);
  }

  /** One memory: its words, and what fires it. */
  async showMemory(memory: NeuronRef): Promise<void> {
    this.look = { ...this.look, memory: { layer: memory.layer, neuron: memory.neuron } };
    await this.show('memory');
  }

  /** The texts that fire the memory that is looked at. Resolves when they were read. Throws `bad-input`. */
  async scan(scope: TriggerScope): Promise<void> {
    const { memory } = this.look;
    if (memory === null) throw noMemory();
    if (await this.triggers.choose(scope)) await this.triggers.want(memory);
  }

  /** Trains a tuned lens of the selected model; asks for what is not given. Resolves when it is trained, has failed or was stopped. */
  async trainLens(texts?: readonly vscode.Uri[], tokens?: number): Promise<void> {
    await this.afterTraining(this.tuned.train(texts, tokens));
  }

  /** The words of the document coloured by the memory's activation, or not any more. Throws `bad-input`. */
  async showInDocument(on: boolean): Promise<void> {
    if (!on) {
      this.colors.hide();
      return;
    }
    const { memory } = this.look;
    if (memory === null) throw noMemory();
    await this.colors.show(memory);
  }

  /** The values that write these words, in place of those that were looked for. Throws `bad-input` where one is no single token. */
  async find(texts: readonly string[]): Promise<void> {
    const search: VocabularyWord[] = [];
    for (const text of texts) search.push(await this.wordOf(text));
    this.look = { ...this.look, search };
    await this.show('search');
  }

  /** Asks for a name. Throws as `MemoryNames.name`. */
  async askName({ layer, neuron }: NeuronRef): Promise<void> {
    const { names } = await this.readableNames();
    const present = names.find((each) => each.layer === layer && each.neuron === neuron);
    const answer = await vscode.window.showInputBox({
      title: vscode.l10n.t('Name of Memory {0}', neuronName({ layer, neuron })),
      prompt: vscode.l10n.t('A name, and #tags at its end. Nothing takes the name away. Kept in {0}.', NAMES_FILE),
      value: present === undefined ? '' : [present.name, ...present.tags.map((tag) => `#${tag}`)].join(' '),
      ignoreFocusOut: true,
    });
    if (answer !== undefined) await this.name({ layer, neuron }, answer);
  }

  /** “name #tag #tag”; nothing takes the name away. Throws as `MemoryNames.name`. */
  async name(memory: NeuronRef, text: string): Promise<void> {
    await this.readableNames();
    const [, name = '', tags = ''] = /^(.*?)((?:\s+#\S+|^#\S+)*)\s*$/su.exec(text.trim()) ?? [];
    await this.names.name(this.library.require().ref, memory, name, tags.split(/\s+/u));
  }

  private async readableNames(): Promise<NamesState> {
    const { ref } = this.library.require();
    await this.names.read(ref);
    const state = this.names.stateOf(ref);
    if (state.error !== null) throw LensError.fromData(state.error);
    return state;
  }

  dispose(): void {
    this.input.clear();
    this.similar.clear();
    this.clusters.clear();
    for (const answer of Object.values(this.answers)) answer.clear();
    for (const subscription of this.subscriptions) subscription.dispose();
    this.changed.dispose();
  }

  /** Those whose progress and errors the page shows. */
  private get visible(): readonly Answer<unknown>[] {
    const { page } = this.look;
    if (page === 'names') return [];
    if (page === 'memory') return [this.answers.memory, this.similar];
    return page === 'search' ? [this.answers.search, this.clusters] : [this.input, this.answers[page]];
  }

  private get hasContent(): boolean {
    const { page } = this.look;
    if (page === 'names') return this.names.stateOf(this.library.selected?.ref).names.length > 0;
    return this.answers[page].revision > 0;
  }

  /** Index of the target's token, as far as it is known. */
  private get token(): number | null {
    const { target } = this.shared;
    const tokens = this.input.result?.tokens;
    return tokens === undefined || target === null ? null : tokenAt(tokens, target);
  }

  private command(id: string, ...parameters: unknown[]): void {
    void vscode.commands.executeCommand(id, ...parameters);
  }

  private refreshIfSeen(): void {
    this.fire();
    if (this.view.audience() > 0) void this.update();
  }

  private async refresh(): Promise<void> {
    const { page } = this.look;
    this.input.forget();
    if (page !== 'names') this.answers[page].forget();
    if (this.shared.place?.stale === true) await this.shared.recapture();
    await Promise.all([this.names.read(this.library.selected?.ref), this.update()]);
  }

  private onLibraryChange(): void {
    const id = this.library.selected?.ref.id;
    if (id === this.lastModel) {
      this.fire();
      return;
    }
    this.lastModel = id;
    this.clusters.clear();
    // Layers, memories and ids of words of another model are others.
    this.look = { ...this.look, layer: null, word: null, watch: [], steps: null, search: [], memory: null };
    void this.names.read(this.library.selected?.ref);
    this.refreshIfSeen();
  }

  private async setToken(index: number): Promise<void> {
    const { place } = this.shared;
    const tokens = this.input.result?.tokens;
    if (place === null || tokens === undefined) return;
    const target = placeOf(tokens, index, false);
    this.shared.setTarget(target);
    if (target !== null && place.subjectOf(target.text).document !== null) await this.shared.reveal(place, target);
  }

  private async addWord(text: string, to: MemoriesMethods['addWord'][0]['to']): Promise<void> {
    const word = await this.wordOf(text);
    const added = (words: readonly VocabularyWord[]): VocabularyWord[] => [
      ...words.filter(({ id }) => id !== word.id),
      word,
    ];
    this.look = {
      ...this.look,
      ...(to === 'word'
        ? { word }
        : to === 'watch'
          ? { watch: added(this.look.watch) }
          : { search: added(this.look.search) }),
    };
    this.fire();
    void this.update();
  }

  private async wordOf(text: string): Promise<VocabularyWord> {
    const model = this.library.require().ref;
    const { tokens } = await this.engine.request('tokens', { model, text });
    return wordIn(tokens, text);
  }

  /** What decides an answer, as text. */
  private key(...parts: unknown[]): string {
    return JSON.stringify([this.library.selected?.ref, ...parts]);
  }

  private request<
    M extends
      | 'memories'
      | 'logitLens'
      | 'logitLensTable'
      | 'memoryGroups'
      | 'value'
      | 'valueClusters'
      | 'valueSearch'
      | 'similarMemories'
      | 'inputTokens',
  >(method: M, params: EngineParams<M>, { signal, progress }: WorkOptions): Promise<EngineResult<M>> {
    return this.engine.request(method, params, { signal, progress });
  }

  /** Asks for what the page needs and is not there. */
  private async update(): Promise<void> {
    const { page } = this.look;
    switch (page) {
      case 'names':
        return;
      case 'search':
        return this.updateSearch();
      case 'memory':
        return this.updateMemory();
      default: {
        const { place } = this.shared;
        if (place === null) {
          this.answers[page].clear();
          return;
        }
        const key = this.key('input', place.id);
        await this.input.want(key, (options) =>
          this.request('inputTokens', { model: this.library.require().ref, ...place.input }, options),
        );
        const input = this.input.resultOf(key);
        // Another question may have taken its place meanwhile; who asked that one goes on.
        if (input === null || this.shared.place !== place || this.key('input', place.id) !== key) return;
        place.tell(input.window);
        await this.updatePage(page, place, input);
      }
    }
  }

  private async updatePage(
    page: 'memories' | 'lens' | 'text' | 'groups',
    place: Place,
    input: InputTokens,
  ): Promise<void> {
    const { look, token } = this;
    const interventions = [...this.shared.interventions];
    const question = questionAt(input, token, look.mask);
    const params = (): FfnInput => ({
      ...{ model: this.library.require().ref, ...place.input, interventions },
      ...(question.masked.length === 0 ? {} : { masked: question.masked }),
    });
    const at = question.position === null ? {} : { position: question.position };
    const key = (...more: unknown[]): string => this.key(page, place.id, question.masked, interventions, ...more);
    const isLens = page === 'lens' || page === 'text';
    if (isLens) {
      const known = this.tuned.read(this.library.require().ref);
      // What does not go through it need not wait.
      if (look.tuned) await known;
    }
    const tuned = isLens && look.tuned && this.tuned.state.lens !== null ? { tuned: this.folders.cache } : {};
    const lensKey = 'tuned' in tuned ? this.tuned.revision : null;
    switch (page) {
      case 'memories': {
        const { by, layer, count, word } = look;
        const asked = by === 'logit' || by === 'ablation' ? word?.id : undefined;
        await this.answers.memories.want(key(at, by, layer, count, asked), async (options) => {
          const common = { ...params(), ...at, ...(asked === undefined ? {} : { token: asked }) };
          const ask = (more: Pick<EngineParams<'memories'>, 'by' | 'topK' | 'words' | 'candidates' | 'layers'>) =>
            this.request('memories', { ...common, ...more }, options);
          const list = await ask({
            ...{ by, topK: count, words: WORDS, candidates: by === 'ablation' ? CANDIDATES : 0 },
            ...(layer === null ? {} : { layers: [layer] }),
          });
          if (layer === null) return list;
          // What the other layers write is shown beside.
          const all = await ask({ by: by === 'logit' ? by : 'norm', topK: 1, words: 0, candidates: 0 });
          return { ...list, layers: all.layers };
        });
        return;
      }
      case 'lens': {
        const watch = look.watch.map(({ id }) => id);
        await this.answers.lens.want(key(at, watch, lensKey), async (options) => {
          const common = { ...params(), ...at, ...tuned, topK: PREDICTIONS };
          const lens = await this.request('logitLens', { ...common, watch }, options);
          if (interventions.length === 0) return { ...lens, before: null };
          const words = lens.watched.map(({ id }) => id);
          const before = await this.request('logitLens', { ...common, watch: words, interventions: [] }, options);
          return { ...lens, before };
        });
        return;
      }
      case 'text':
        // A tuned lens has no map of what stands between attention and FFN.
        await this.answers.text.want(key(look.between, lensKey), (options) =>
          this.request(
            'logitLensTable',
            { ...params(), ...tuned, attention: look.between && lensKey === null },
            options,
          ),
        );
        return;
      case 'groups':
        await this.answers.groups.want(key(look.groups), (options) =>
          this.request('memoryGroups', { ...params(), groups: look.groups, members: MEMBERS, seed: 0 }, options),
        );
    }
  }

  private async updateSearch(): Promise<void> {
    const { search, direction } = this.look;
    if (search.length === 0) {
      this.answers.search.clear();
      return;
    }
    const words = search.map(({ id }) => id);
    await this.answers.search.want(this.key('search', words, direction), (options) =>
      this.request(
        'valueSearch',
        { model: this.library.require().ref, cache: this.folders.cache, words, direction, topK: MOST_FOUND },
        options,
      ),
    );
  }

  /** A person who has trained a lens wants to see what it shows. */
  private async afterTraining(training: Promise<boolean>): Promise<void> {
    if (!(await training)) return;
    this.look = { ...this.look, tuned: true };
    this.fire();
    await this.update();
  }

  private async findClusters(): Promise<void> {
    const model = this.library.require().ref;
    await this.clusters.want(this.key('clusters'), (options) =>
      this.request('valueClusters', { model, clusters: CLUSTERS, words: WORDS, members: MEMBERS, seed: 0 }, options),
    );
  }

  private async updateMemory(): Promise<void> {
    const { memory } = this.look;
    if (memory === null) {
      this.answers.memory.clear();
      this.similar.clear();
      return;
    }
    if (this.colors.active) void this.colors.show(memory);
    await this.answers.memory.want(this.key('memory', memory), (options) =>
      this.request('value', { model: this.library.require().ref, ...memory, words: MOST_WORDS }, options),
    );
    if (this.look.memory !== memory) return;
    await this.similar.want(this.key('similar', memory), (options) =>
      this.request('similarMemories', { model: this.library.require().ref, ...memory, topK: MOST_SIMILAR }, options),
    );
    // A memory of a model that predicts no words has no words, and is fired by texts all the same.
    if (this.look.memory === memory) void this.triggers.want(memory);
  }

  /** Shows it in its file, the firing token selected. */
  private async openTrigger(end: TriggerEnd, index: number): Promise<void> {
    const { memory } = this.look;
    const triggers = this.triggers.of(memory);
    if (triggers === null) throw new LensError('bad-input', 'There is no such text any more.', 'Read the texts again.');
    const { source, ...found } = endOf(triggers, end, index);
    const uri = vscode.Uri.file(this.triggers.fileOf(memory, source));
    const document = await vscode.workspace.openTextDocument(uri);
    const selection = placeInDocument(document, found);
    await vscode.window.showTextDocument(document, { selection, preserveFocus: true, preview: true });
  }

  private async export(format: 'json' | 'csv' | 'clipboard'): Promise<void> {
    const { place, target, interventions } = this.shared;
    const { memories, lens, text, groups, search, memory } = this.answers;
    const model = this.library.selected?.ref;
    const { name, result, rows } = memoriesExport(
      this.look.page,
      {
        clusters: this.clusters.result,
        ...{ memories: memories.result, lens: lens.result, text: text.result, groups: groups.result },
        ...{ search: search.result, memory: memory.result, triggers: this.triggers.of(this.look.memory) },
      },
      { model: model?.id ?? '', names: this.names.stateOf(model).names },
    );
    const subject =
      place === null ? null : { ...place.subject.summary(), text: place.subject.text, pair: place.pair?.text ?? null };
    await exportAs(format, { name, json: { subject, look: this.look, target, interventions, result }, rows });
  }
}

/** Where the firing token stands. Throws `bad-input` when the file is another one now. */
function placeInDocument(
  document: vscode.TextDocument,
  { text, range, lines, line }: Pick<TriggerText, 'text' | 'range' | 'lines' | 'line'>,
): vscode.Range {
  const at = (offset: number): vscode.Position => {
    const place = placeIn({ lines }, offset);
    return new vscode.Position(place.line - 1, place.column);
  };
  const place = new vscode.Range(at(range.start), at(range.end));
  const word = text.slice(range.start, range.end);
  if (document.getText(place) === word) return place;
  if (!document.uri.path.endsWith('.conllu') || line > document.lineCount)
    throw new LensError('bad-input', 'The file was changed since it was read.', 'Read the texts again.');
  // A treebank has the sentence in a comment before its words, if anywhere.
  for (let above = line - 1; above >= Math.max(0, line - 1 - MOST_COMMENTS); above--) {
    const column = document.lineAt(above).text.indexOf(text);
    if (column >= 0) return new vscode.Range(above, column + range.start, above, column + range.end);
  }
  return new vscode.Range(line - 1, 0, line - 1, 0);
}

const noMemory = (): LensError =>
  new LensError('bad-input', 'No memory is looked at.', 'Open one from the list of memories, or with its name.');
