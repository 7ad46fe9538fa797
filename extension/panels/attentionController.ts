/**
 * The Attention view without its HTML. Asks the engine for what the visible page needs, keeps the pictures, and hands them out when
 * the page fetches them. Looks at what all views look at together, unless it is pinned.
 */
import * as vscode from 'vscode';
import { COMMANDS } from '../commands/ids';
import * as settings from '../commands/settings';
import type { AttentionColors } from '../editor/attentionColors';
import type { EngineService } from '../models/engineService';
import type { ModelLibrary } from '../models/library';
import type {
  AblationResult,
  AttentionInput,
  AttentionMaps,
  AttentionOverview,
  AttentionSteps,
  HeadRef,
  HeadWeights,
} from '../protocol/attention';
import type {
  AttentionComparison,
  AttentionLook,
  AttentionMethods,
  AttentionState,
  CompareKind,
} from '../protocol/attentionView';
import type { EngineParams, EngineResult, ModelRef } from '../protocol/engine';
import { LensError } from '../protocol/errors';
import { changesText, headName } from '../protocol/format';
import { withIntervention, type Scale } from '../protocol/interventions';
import { Answer } from './answer';
import { attentionExport } from './attentionExport';
import {
  ablationOf,
  aligned,
  comparable,
  FIRST_LOOK,
  fitLook,
  nextHead,
  placeOf,
  requireSameTokens,
  selectionOf,
  tokenAt,
  type Target,
} from './attentionPlan';
import { FileWork } from './fileWork';
import { RECIPE_COMMANDS } from './interventionHandlers';
import type { WorkOptions } from './latest';
import type { ViewPlaces } from './lensView';
import type { Place } from './place';
import { exportAs, saveAs } from './save';
import { requirePlace, type SharedSubject } from './sharedSubject';
import type { Handlers } from './viewHost';

const MOST_PREDICTIONS = 10;
const IMAGE_NAMES = { png: 'PNG', svg: 'SVG', html: 'HTML' } as const;

/** What is looked at: shared with the other views, or this view's own while it is pinned. */
interface LookedAt {
  place: Place | null;
  target: Target | null;
  interventions: readonly Scale[];
}

interface Comparison {
  kind: CompareKind;
  other: HeadRef | string | null;
}

export class AttentionController implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<void>();
  readonly onDidChange = this.changed.event;
  private readonly fire = (): void => this.changed.fire();
  private readonly overview = new Answer<AttentionOverview>(this.fire);
  private readonly maps = new Answer<AttentionMaps>(this.fire);
  private readonly steps = new Answer<AttentionSteps>(this.fire);
  private readonly comparison = new Answer<AttentionComparison>(this.fire);
  private readonly effects = new Answer<AblationResult>(this.fire);
  private readonly together = new Answer<AblationResult>(this.fire);
  private readonly weights = new Answer<HeadWeights>(this.fire);
  readonly work: FileWork;
  private look: AttentionLook;
  private pinned: LookedAt | null = null;
  /** A token that stands in no text is this view's own target. */
  private special: { place: Place; token: number } | null = null;
  private kept: { place: Place; label: string } | null = null;
  private compared: Comparison | null = null;
  /** What the answers that are only given on request belong to. */
  private answeredFor = '';
  private lastModel: string | undefined;
  private readonly subscriptions: vscode.Disposable[];

  constructor(
    private readonly engine: EngineService,
    private readonly library: ModelLibrary,
    private readonly shared: SharedSubject,
    private readonly colors: AttentionColors,
    private readonly view: ViewPlaces,
  ) {
    this.look = { ...FIRST_LOOK, ...settings.attentionLook() };
    colors.setLook(this.look);
    this.lastModel = library.selected?.ref.id;
    this.work = new FileWork(engine, library, this.fire);
    this.subscriptions = [
      this.work,
      shared.onDidChange((change) => {
        if (this.pinned === null && (change === 'place' || change === 'target')) this.special = null;
        if (change === 'text' || this.pinned !== null) this.fire();
        else this.refreshIfSeen();
      }),
      library.onDidChange(() => this.onLibraryChange()),
      colors.onDidChange(this.fire),
      vscode.workspace.onDidChangeConfiguration((event) => {
        if (event.affectsConfiguration('onnxLens.attention')) this.setLook(settings.attentionLook());
      }),
    ];
  }

  get state(): AttentionState {
    const { overview, look } = this;
    const { place, interventions } = this.at;
    const model = this.library.selected;
    const answers = this.visibleAnswers;
    const running = answers.find((answer) => answer.loading);
    const error = answers.find((answer) => answer.error !== null)?.error ?? null;
    const status = running !== undefined ? 'loading' : error !== null ? 'error' : this.hasContent ? 'ready' : 'empty';
    return {
      status,
      ...(running?.progress === undefined ? {} : { progress: running.progress }),
      ...(status === 'error' && error !== null ? { error } : {}),
      model: model === undefined ? null : this.library.summary(model),
      subject: place === null ? null : { ...place.subject.summary(), stale: place.stale },
      pinned: this.pinned !== null,
      look: { ...look, target: this.token },
      interventions: [...interventions],
      revision: {
        overview: overview.revision,
        maps: this.maps.revision,
        steps: this.steps.revision,
        comparison: this.comparison.revision,
        effects: this.effectsRevision,
        corpus: this.work.revision('corpus'),
        relations: this.work.revision('relations'),
      },
      overview: overview.result === null ? null : withoutPictures(overview.result),
      comparable: comparable({
        look,
        kept: this.kept?.label ?? null,
        target: this.at.target,
        masks: model?.info?.tokenizer?.maskToken != null,
        interventions,
        others: this.library.models.map(({ ref }) => ref.id).filter((id) => id !== model?.ref.id),
      }),
      work: this.work.running,
      workError: this.work.error,
      inDocument: this.colors.active,
    };
  }

  readonly handlers: Handlers<AttentionMethods> = {
    ready: () => this.refreshIfSeen(),
    look: async (change) => {
      await this.takeLook(change);
      // The state says what became of it.
      void this.update();
    },
    thumbnails: () => this.overview.result?.thumbnails ?? null,
    maps: () => this.maps.result,
    steps: () => this.steps.result,
    comparison: () => this.comparison.result,
    effects: () => ({
      effects: this.effects.result,
      together: this.together.result,
      weights: this.weights.result,
    }),
    corpus: () => this.work.corpus,
    relations: () => this.work.relations,
    examples: (cell) => this.work.examples(cell),
    openExample: ({ source, line }) => this.work.open(source, line),
    intervene: (change) => this.intervene(change),
    clearInterventions: () => this.setInterventions([]),
    recipe: ({ action }) =>
      this.command(RECIPE_COMMANDS[action], ...(action === 'apply' ? [] : [this.at.interventions])),
    ablate: (what) => this.ablate(what),
    compare: (what) => this.compare(what === null ? null : { kind: what.kind, other: what.other ?? null }),
    keepForComparison: () => this.keepForComparison(),
    corpusFiles: ({ what }) => this.work.choose(what),
    stopWork: () => this.work.stop(),
    resumeWork: ({ what }) => this.work.goOn(what),
    pin: ({ on }) => this.pin(on),
    inDocument: ({ on }) => this.showInDocument(on),
    reveal: ({ range, text }) => this.shared.reveal(requirePlace(this.at.place), { text, range }),
    refresh: () => this.refresh(),
    cancel: () => {
      for (const answer of this.visibleAnswers) answer.cancel();
    },
    selectModel: () => this.command(COMMANDS.selectModel),
    export: ({ format }) => this.export(format),
    saveImage: async ({ format, data }) => {
      await saveAs({ name: 'attention', format, content: data, filter: IMAGE_NAMES[format] });
    },
    saveState: () => this.command(COMMANDS.saveAttentionState),
    openInEditor: () => this.view.openInEditor(),
    showLog: () => this.command(COMMANDS.showLog),
    help: () => this.command('workbench.action.openWalkthrough', 'onnx-lens.onnx-lens#onnxLens.start', false),
    run: ({ command }) => this.command(command),
  };

  /** What is looked at, and how. */
  get looked(): LookedAt & { look: AttentionLook } {
    const { place, target, interventions } = this.at;
    return { place, target, interventions, look: this.look };
  }

  /** Computes what the page needs, whether anybody sees it yet or not. Resolves when the state shows it or the error. */
  async show(page?: AttentionLook['page']): Promise<void> {
    if (page !== undefined) this.look = { ...this.look, page };
    this.fire();
    await this.update();
  }

  /** Resolves when the state shows what that needs, or the error. */
  async changeLook(change: Partial<AttentionLook>): Promise<void> {
    await this.takeLook(change);
    await this.update();
  }

  /** The whole look, for example a saved one, at what all views look at. */
  restore(look: Omit<AttentionLook, 'target'>): void {
    this.unpin();
    this.setLook(look);
  }

  async step(by: 1 | -1): Promise<void> {
    const size = this.overview.result ?? (await this.size());
    const head = nextHead(this.look, size, by);
    await this.changeLook({ layer: head.layer, heads: [head] });
  }

  async compare(what: Comparison | null): Promise<void> {
    this.compared = what;
    if (what === null) this.comparison.clear();
    else this.look = { ...this.look, page: 'compare' };
    this.fire();
    await this.update();
  }

  /** What is looked at now stays at hand, to be compared with the next text. */
  keepForComparison(): void {
    const place = requirePlace(this.at.place);
    const { document, line } = place.subject.summary();
    this.kept = { place, label: `${document}:${line}` };
    this.fire();
  }

  /** Every head off by itself, and what that does to the prediction at the target. */
  async ablate({ mean, importance }: { mean: boolean; importance: boolean }): Promise<void> {
    this.look = { ...this.look, page: 'effects' };
    await this.show();
    const { overview, token } = this;
    if (overview.result === null) return;
    const { tokens } = overview.result;
    const { kind } = await this.engine.info(this.library.require().ref);
    const question = ablationOf(kind, tokens, token);
    const key = this.key('effects', token, mean, importance);
    await this.effects.want(key, (options) =>
      this.request('ablate', options, (input) => ({
        ...input,
        ...question,
        ablate: { each: 'all' },
        mean,
        importance,
        topK: MOST_PREDICTIONS,
      })),
    );
  }

  async showInDocument(on: boolean): Promise<void> {
    if (on) await this.colors.show();
    else this.colors.hide();
  }

  dispose(): void {
    for (const answer of this.answers) answer.clear();
    for (const subscription of this.subscriptions) subscription.dispose();
    this.changed.dispose();
  }

  private get answers(): readonly Answer<unknown>[] {
    return [this.overview, this.maps, this.steps, this.comparison, this.effects, this.together, this.weights];
  }

  /** Those whose progress and errors the page shows. */
  private get visibleAnswers(): readonly Answer<unknown>[] {
    const { overview } = this;
    switch (this.look.page) {
      case 'heads':
        return [overview, this.effects];
      case 'head':
        return [overview, this.maps];
      case 'steps':
        return [overview, this.steps];
      case 'compare':
        return [overview, this.comparison];
      case 'effects': {
        const { effects, together, weights } = this;
        // What the weights alone tell stands beside; that it is missing is no matter where there are effects.
        const measured = effects.result !== null || together.result !== null;
        return [overview, effects, together, ...(measured ? [] : [weights])];
      }
      case 'relations':
      case 'corpus':
        return [];
    }
  }

  /** Of all that one page shows together. */
  private get effectsRevision(): number {
    const shown = [this.effects, this.together, this.weights];
    return shown.every(({ result }) => result === null) ? 0 : shown.reduce((sum, { changes }) => sum + changes, 0);
  }

  /** The page is about files, whatever text is looked at. */
  private get overFiles(): boolean {
    return this.look.page === 'corpus' || this.look.page === 'relations';
  }

  /** There is something to show, or it can be computed. */
  private get hasContent(): boolean {
    const { page } = this.look;
    return page === 'corpus' || page === 'relations' ? this.work.revision(page) > 0 : this.at.place !== null;
  }

  private get at(): LookedAt {
    return this.pinned ?? this.shared;
  }

  /** Index of the target's token, as far as it is known. */
  private get token(): number | null {
    const { place, target } = this.at;
    if (this.special !== null && this.special.place === place) return this.special.token;
    const tokens = this.overview.result?.tokens;
    return tokens === undefined || target === null ? null : tokenAt(tokens, target);
  }

  private command(id: string, ...parameters: unknown[]): void {
    void vscode.commands.executeCommand(id, ...parameters);
  }

  private async takeLook({ target, ...change }: Partial<AttentionLook>): Promise<void> {
    this.setLook(change);
    if (target !== undefined) await this.setToken(target);
  }

  private setLook(change: Partial<AttentionLook>): void {
    this.look = { ...this.look, ...change };
    this.colors.setLook(this.look);
    this.fire();
  }

  /** A token was chosen here: the target of all views. */
  private async setToken(token: number | null): Promise<void> {
    const { place } = this.at;
    const tokens = this.overview.result?.tokens;
    if (place === null || tokens === undefined) return;
    const target = token === null ? null : placeOf(tokens, token, this.look.words);
    if (this.pinned === null) this.shared.setTarget(target);
    else this.pinned = { ...this.pinned, target };
    this.special = token !== null && target === null ? { place, token } : null;
    this.fire();
    if (this.pinned === null && target !== null && place.subjectOf(target.text).document !== null)
      await this.shared.reveal(place, target);
  }

  private refreshIfSeen(): void {
    this.fire();
    if (this.view.audience() > 0) void this.update();
  }

  private async refresh(): Promise<void> {
    for (const answer of this.answers) answer.forget();
    if (this.pinned === null && this.shared.place?.stale === true) await this.shared.recapture();
    await this.update();
  }

  private pin(on: boolean): void {
    const { place, target, interventions } = this.shared;
    this.unpin();
    if (on && place !== null) {
      this.pinned = { place, target, interventions };
      this.shared.hold(place);
    }
    this.refreshIfSeen();
  }

  private unpin(): void {
    if (this.pinned?.place != null) this.shared.release(this.pinned.place);
    this.pinned = null;
  }

  private intervene(change: Scale): void {
    this.setInterventions(withIntervention(this.at.interventions, change));
  }

  private setInterventions(interventions: readonly Scale[]): void {
    if (this.pinned === null) this.shared.setInterventions(interventions);
    else {
      this.pinned = { ...this.pinned, interventions };
      this.refreshIfSeen();
    }
  }

  private onLibraryChange(): void {
    const id = this.library.selected?.ref.id;
    if (id === this.lastModel) {
      this.fire();
      return;
    }
    this.lastModel = id;
    // Heads of another model are others.
    if (this.pinned !== null) this.pinned = { ...this.pinned, interventions: [] };
    this.refreshIfSeen();
  }

  /** How many layers and heads, before anything was computed. */
  private async size(): Promise<{ layers: number; heads: number }> {
    const { ref } = this.library.require();
    const { layers, heads } = await this.engine.info(ref);
    if (layers !== null && heads !== null) return { layers, heads };
    throw new LensError('bad-input', `How many heads “${ref.id}” has is not known yet.`, 'Run “Show Attention” first.');
  }

  /** What decides an answer, as text. */
  private key(what: string, ...more: unknown[]): string {
    const { place, interventions } = this.at;
    return JSON.stringify([what, place?.id, this.library.selected?.ref.folder, interventions, ...more]);
  }

  private request<M extends 'attention' | 'attentionMaps' | 'attentionSteps' | 'ablate'>(
    method: M,
    { signal, progress }: WorkOptions,
    params: (input: AttentionInput) => EngineParams<M>,
  ): Promise<EngineResult<M>> {
    return this.engine.request(method, params(this.input(this.library.require().ref)), { signal, progress });
  }

  private input(model: ModelRef, changes: Partial<AttentionInput> = {}): AttentionInput {
    const { place, interventions } = this.at;
    return { model, ...requirePlace(place).input, interventions: [...interventions], ...changes };
  }

  /** Asks for what the page needs and is not there. What is on its way already is waited for. */
  private async update(): Promise<void> {
    const { place } = this.at;
    if (place === null || this.overFiles) return;
    const key = this.key('overview');
    await this.overview.want(key, (options) => this.request('attention', options, (input) => input));
    const overview = this.overview.resultOf(key);
    // Another question may have taken its place meanwhile; who asked that one goes on.
    if (overview === null || this.at.place !== place || this.key('overview') !== key) return;
    place.tell(overview.window);
    const look = fitLook(this.look, overview);
    if (look !== this.look) this.setLook(look);
    this.dropOthers();
    await this.updatePage(overview);
  }

  /** What was computed on request for another text, model or change would be taken for this one's. */
  private dropOthers(): void {
    const key = this.key('');
    if (this.answeredFor !== key) this.effects.clear();
    this.answeredFor = key;
  }

  private async updatePage({ tokens }: AttentionOverview): Promise<void> {
    const { look, token } = this;
    switch (look.page) {
      case 'heads':
      case 'relations':
      case 'corpus':
        return; // the overview is all of it, or it is no matter of this text
      case 'head': {
        const selection = selectionOf(look);
        await this.maps.want(this.key('maps', selection), (options) =>
          this.request('attentionMaps', options, (input) => ({ ...input, ...selection })),
        );
        return;
      }
      case 'steps': {
        const { layer, head } = look.heads[0] ?? { layer: look.layer, head: 0 };
        if (token === null) this.steps.clear();
        else
          await this.steps.want(this.key('steps', layer, head, token), (options) =>
            this.request('attentionSteps', options, (input) => ({ ...input, layer, head, query: token })),
          );
        return;
      }
      case 'compare':
        await this.updateComparison();
        return;
      case 'effects':
        await Promise.all([this.updateTogether(tokens, token), this.updateWeights()]);
    }
  }

  private async updateTogether(tokens: AttentionOverview['tokens'], token: number | null): Promise<void> {
    const { interventions } = this.at;
    if (interventions.length === 0 || token === null) {
      this.together.clear();
      return;
    }
    await this.together.want(this.key('together', token), async (options) => {
      const { kind } = await this.engine.info(this.library.require().ref);
      const question = ablationOf(kind, tokens, token);
      return this.request('ablate', options, (input) => ({
        ...input,
        ...question,
        interventions: [],
        ablate: { together: [...interventions] },
        mean: false,
        importance: false,
        topK: MOST_PREDICTIONS,
      }));
    });
  }

  private updateWeights(): Promise<void> {
    return this.weights.want(JSON.stringify(['weights', this.library.selected?.ref.folder]), ({ signal, progress }) =>
      this.engine.request('headWeights', { model: this.library.require().ref }, { signal, progress }),
    );
  }

  private async updateComparison(): Promise<void> {
    const { compared, look } = this;
    if (compared === null) {
      this.comparison.clear();
      return;
    }
    const { target } = this.at;
    const of = compared.kind === 'texts' ? this.kept?.place.id : compared.kind === 'masked' ? target : null;
    await this.comparison.want(this.key('comparison', compared, selectionOf(look), of), (options) =>
      this.answerComparison(compared, options),
    );
  }

  /** Both pictures, the present one first or, of a change, the one before it. */
  private async answerComparison(
    { kind, other }: Comparison,
    { signal, progress }: WorkOptions,
  ): Promise<AttentionComparison> {
    const { look, kept } = this;
    const { target, interventions } = this.at;
    const { ref } = this.library.require();
    const selection = selectionOf(look);
    const ask = (input: AttentionInput, change: Partial<typeof selection> = {}): Promise<AttentionMaps> =>
      this.engine.request('attentionMaps', { ...input, ...selection, ...change }, { signal, progress });
    const here = this.input(ref);
    // One after the other: what the second shares with the first is still there then.
    const both = async (
      labels: [string, string],
      first: () => Promise<AttentionMaps>,
      second: () => Promise<AttentionMaps>,
      sameLabels: boolean,
    ): Promise<AttentionComparison> => {
      const maps: [AttentionMaps, AttentionMaps] = [await first(), await second()];
      return { kind, labels, maps, aligned: aligned(...maps, sameLabels) };
    };
    switch (kind) {
      case 'heads': {
        const [head] = look.heads;
        if (head === undefined || other === null || typeof other === 'string')
          throw new LensError(
            'bad-input',
            'Two heads are needed.',
            'Look at one head, then choose another to compare with.',
          );
        return both(
          [headName(head), headName(other)],
          () => ask(here, { layer: head.layer, heads: [head] }),
          () => ask(here, { layer: other.layer, heads: [other] }),
          true,
        );
      }
      case 'texts': {
        if (kept === null)
          throw new LensError('bad-input', 'There is no other text.', 'Keep one with “Keep for Comparison” first.');
        const { document, line } = requirePlace(this.at.place).subject.summary();
        return both(
          [kept.label, `${document}:${line}`],
          () => ask({ model: ref, ...kept.place.input, interventions: [...interventions] }),
          () => ask(here),
          true,
        );
      }
      case 'masked': {
        if (target === null || target.text === 1)
          throw new LensError('bad-input', 'There is no word to mask.', 'Put the caret on a word of the first text.');
        return both(
          ['as it is', 'masked'],
          () => ask(here),
          () => ask({ ...here, masked: [target.range] }),
          false,
        );
      }
      case 'interventions': {
        if (interventions.length === 0)
          throw new LensError('bad-input', 'Nothing is changed in the model.', 'Switch a head off first.');
        return both(
          ['unchanged', changesText(interventions)],
          () => ask({ ...here, interventions: [] }),
          () => ask(here),
          true,
        );
      }
      case 'models': {
        const model = this.library.require(typeof other === 'string' ? other : '');
        const result = await both(
          [ref.id, model.ref.id],
          () => ask(here),
          () => ask({ ...here, model: model.ref, interventions: [] }),
          true,
        );
        requireSameTokens(...result.maps);
        return result;
      }
    }
  }

  private async export(format: 'json' | 'csv' | 'clipboard'): Promise<void> {
    const { place, target, interventions } = this.at;
    const { name, result, rows } = attentionExport(this.look.page, {
      overview: this.overview.result,
      maps: this.maps.result,
      steps: this.steps.result,
      comparison: this.comparison.result,
      effects: this.effects.result,
      together: this.together.result,
      weights: this.weights.result,
      corpus: this.work.corpus,
      relations: this.work.relations,
    });
    const subject =
      place === null ? null : { ...place.subject.summary(), text: place.subject.text, pair: place.pair?.text ?? null };
    await exportAs(format, { name, json: { subject, look: this.look, target, interventions, result }, rows });
  }
}

/**
 * With arrays of their own: an array crosses to the webview with all of the buffer that it lies in, and the state crosses often.
 */
const small = new WeakMap<AttentionOverview, NonNullable<AttentionState['overview']>>();
function withoutPictures(overview: AttentionOverview): NonNullable<AttentionState['overview']> {
  const known = small.get(overview);
  if (known !== undefined) return known;
  const { thumbnails: _, statistics, ...rest } = overview;
  const result = {
    ...rest,
    statistics: {
      previous: statistics.previous.slice(),
      next: statistics.next.slice(),
      same: statistics.same.slice(),
      special: statistics.special.slice(),
      punctuation: statistics.punctuation.slice(),
      local: statistics.local.slice(),
      entropy: statistics.entropy.slice(),
      types: statistics.types,
    },
  };
  small.set(overview, result);
  return result;
}
