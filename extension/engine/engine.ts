/** All that the engine can be asked for, wherever it runs: behind its pipe, or in the command line's own process. */
import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  DEFAULT_SETTINGS,
  type EngineMessage,
  type EngineMethod,
  type EngineParams,
  type EngineResult,
  type ModelRef,
} from '../protocol/engine';
import type { TableRef } from '../protocol/embeddings';
import { LensError } from '../protocol/errors';
import { ablate } from './analysis/attention/ablate';
import { inputTokens } from './analysis/attention/inputTokens';
import { headCorpus } from './analysis/attention/corpus';
import { attentionMaps } from './analysis/attention/maps';
import { attentionOverview } from './analysis/attention/overview';
import { relationExamples } from './analysis/attention/relationExamples';
import { headRelations } from './analysis/attention/relations';
import { attentionSteps } from './analysis/attention/steps';
import { headWeights } from './analysis/attention/weights';
import { analogyQuestions, ratedPairs } from './analysis/corpora/questions';
import { readText } from './analysis/corpora/textFile';
import { analogies, askTable, ownTable, ratedWords, tableInfo, tableWords } from './analysis/embeddings/analogies';
import { compareModels, type Reader } from './analysis/embeddings/compareModels';
import { contextuality, measureContextuality } from './analysis/embeddings/contextuality';
import { indexState, updateIndex } from './analysis/embeddings/corpusIndex';
import { corpusNeighbours } from './analysis/embeddings/corpusNeighbours';
import { embed } from './analysis/embeddings/embed';
import { IndexMemory } from './analysis/embeddings/indexMemory';
import { learnMix } from './analysis/embeddings/learnMix';
import { occurrences } from './analysis/embeddings/occurrences';
import { sentenceSimilarity } from './analysis/embeddings/sentences';
import { readStaticTable, type StaticTable } from './analysis/embeddings/staticTable';
import { wordInContext } from './analysis/embeddings/word';
import { mixedWord } from './analysis/embeddings/wordMix';
import { requireEverywhere, underChanges } from './analysis/changedModel';
import { corrupt } from './analysis/corrupt';
import { logitLens, logitLensTable } from './analysis/ffn/logitLens';
import { intervene } from './analysis/ffn/intervene';
import { memories } from './analysis/ffn/memories';
import { memoryGroups } from './analysis/ffn/memoryGroups';
import { memoryStats } from './analysis/ffn/memoryStats';
import { similarMemories } from './analysis/ffn/similarMemories';
import { triggers } from './analysis/ffn/triggers';
import { requireLens, tunedFolder, tunedStatus, type TunedLens } from './analysis/ffn/tunedLens';
import { MOST_NUMBERS, SAVE_MS, tuneLens } from './analysis/ffn/tuneLens';
import { TuneRuns } from './analysis/ffn/tuneRuns';
import { valueClusters } from './analysis/ffn/valueClusters';
import { buildIndex, indexFolder } from './analysis/ffn/valueIndex';
import { searchValues, valueWords } from './analysis/ffn/valueSearch';
import { fillMask } from './analysis/fillMask';
import { throwIfCancelled } from './analysis/forward';
import { nextSentence } from './analysis/nextSentence';
import { layerReader } from './analysis/probes/layers';
import { isShort, probe } from './analysis/probes/probe';
import { checkAnswers } from './analysis/probes/queries';
import { score } from './analysis/score';
import { traceText } from './analysis/trace';
import { requireOwn } from '../files/recipe';
import { OpenModels } from './openModels';
import { isMethod, readParams } from './requests/requests';
import { anatomyOf, inspectModel } from './session/describe';
import { exportModel } from './session/exportModel';
import { fingerprint } from './session/fingerprint';
import type { Internals } from './session/internals';
import type { LanguageModel, RunContext } from './session/languageModel';
import { openModel, type OrtModel } from './session/ortModel';
import { withRowProducts } from './session/rowProducts';
import { TraceCache } from './session/traceCache';
import { tokensOf } from './text/encoding';
import { loadTokenizer } from './text/huggingFaceTokenizer';
import type { LensTokenizer } from './text/tokenizer';
import { inTurns, Turns, type Priority } from './turns';

type EngineEvent = Extract<EngineMessage, { type: 'event' }>['event'];
type LogLevel = Extract<EngineMessage, { type: 'log' }>['level'];

/** For which a change at one token means nothing. */
const MANY_TEXTS = 'work over several texts';

type Handlers = { [M in EngineMethod]: (params: EngineParams<M>, context: RunContext) => Promise<EngineResult<M>> };

export class Engine {
  private settings = DEFAULT_SETTINGS;
  private readonly turns = new Turns();
  private readonly models: OpenModels;
  private tables: { key: string; table: StaticTable } | null = null;
  private readonly indexes = new IndexMemory();
  private readonly tuning = new TuneRuns();
  private readonly traces = new WeakMap<OrtModel, TraceCache>();
  /** Of models that are not loaded. One is kept: a person tries texts with one model after the other. */
  private tokenizer: { folder: string; tokenizer: Promise<LensTokenizer> } | null = null;

  constructor(
    onEvent: (event: EngineEvent) => void,
    private readonly log: (level: LogLevel, message: string) => void,
    /** Replaced in tests. */
    open: typeof openModel = openModel,
  ) {
    this.models = new OpenModels(
      this.settings,
      (name, model) => {
        this.log('info', `${model}: ${name}`);
        onEvent({ name, model });
      },
      // To open a model takes the machine as a run does.
      (...args) => this.turns.run('interactive', () => open(...args)),
    );
  }

  /** Every answer is a result or a `LensError`; after a cancel it is `cancelled`. */
  async handle<M extends EngineMethod>(
    method: M,
    params: EngineParams<M>,
    context: RunContext,
  ): Promise<EngineResult<M>> {
    if (!isMethod(method)) throw new LensError('bad-input', `The engine has no method “${String(method)}”.`);
    throwIfCancelled(context.signal);
    return this.handlers[method](readParams(method, params), context);
  }

  async dispose(): Promise<void> {
    await this.models.dispose();
  }

  private readonly handlers: Handlers = {
    configure: async (changes) => {
      this.settings = { ...this.settings, ...changes };
      this.models.configure(this.settings);
      return null;
    },
    inspect: async ({ model }) => (await this.models.find(model))?.info ?? inspectModel(model),
    anatomy: ({ model }) => anatomyOf(model),
    load: ({ model }, context) => this.run(model, 'interactive', context, async ({ info }) => info),
    unload: async ({ model }) => {
      await this.models.unload(model);
      return null;
    },
    tokens: async ({ model, text }) => ({ tokens: tokensOf((await this.tokenizerOf(model)).encode(text)) }),
    fillMask: ({ model, interventions, compare, ...params }, context) =>
      this.run(model, 'interactive', context, (loaded) =>
        underChanges(loaded, interventions, (changed) =>
          fillMask(changed, params, context, compare === true && changed !== loaded ? loaded : null),
        ),
      ),
    score: ({ model, interventions, ...params }, context) => {
      requireEverywhere(interventions, 'the score of a text, which is read in many rows');
      return this.run(model, 'batch', context, (loaded) =>
        underChanges(loaded, interventions, (changed) => score(changed, params, context)),
      );
    },
    nextSentence: ({ model, interventions, ...params }, context) =>
      this.run(model, 'interactive', context, (loaded) =>
        underChanges(loaded, interventions, (changed) => nextSentence(changed, params)),
      ),
    corrupt: ({ model, interventions, ...params }, context) =>
      this.run(model, 'interactive', context, (loaded) =>
        underChanges(loaded, interventions, (changed) => corrupt(changed, params, context)),
      ),
    trace: ({ model, interventions, ...params }, context) =>
      this.run(model, 'inside', context, (loaded) =>
        underChanges(loaded, interventions, (changed) => traceText(changed, params)),
      ),
    inputTokens: ({ model, ...params }, context) =>
      this.run(model, 'inside', context, async (loaded) => inputTokens(loaded, params)),
    attention: ({ model, ...params }, context) =>
      this.run(model, 'inside', context, (loaded, opened) =>
        attentionOverview(this.remembering(loaded, opened), params, context),
      ),
    attentionMaps: ({ model, ...params }, context) =>
      this.run(model, 'inside', context, (loaded, opened) =>
        attentionMaps(this.remembering(loaded, opened), params, context),
      ),
    attentionSteps: ({ model, ...params }, context) =>
      this.run(model, 'inside', context, (loaded, opened) =>
        attentionSteps(this.remembering(loaded, opened), params, context),
      ),
    ablate: ({ model, ...params }, context) =>
      this.run(model, 'inside', context, (loaded) => ablate(loaded, params, context)),
    headCorpus: ({ model, ...params }, context) =>
      this.run(model, 'inside batch', context, (loaded) => headCorpus(loaded, params, context)),
    headRelations: ({ model, ...params }, context) =>
      this.run(model, 'inside batch', context, (loaded) => headRelations(loaded, params, context)),
    relationExamples: ({ model, ...params }, context) =>
      this.run(model, 'inside', context, (loaded) => relationExamples(loaded, params, context)),
    headWeights: ({ model }, context) => this.run(model, 'inside', context, (loaded) => headWeights(loaded, context)),
    logitLens: ({ model, ...params }, context) =>
      this.run(model, 'inside', context, async (loaded, opened) => {
        const lens = await this.tunedLensOf(model, params);
        return logitLens(this.remembering(loaded, opened), params, context, lens);
      }),
    logitLensTable: ({ model, ...params }, context) =>
      this.run(model, 'inside', context, async (loaded, opened) => {
        const lens = await this.tunedLensOf(model, params);
        return logitLensTable(this.remembering(loaded, opened), params, context, lens);
      }),
    embed: ({ model, interventions, ...params }, context) => {
      const several = params.texts.length > 1;
      if (several) requireEverywhere(interventions, MANY_TEXTS);
      return this.run(model, several ? 'inside batch' : 'inside', context, (loaded, opened) =>
        underChanges(
          several ? this.withWeights(loaded, opened) : this.remembering(loaded, opened),
          interventions,
          (changed) => embed(changed, params, context),
        ),
      );
    },
    wordInContext: ({ model, interventions, ...params }, context) =>
      this.run(model, 'inside', context, (loaded, opened) =>
        underChanges(this.remembering(loaded, opened), interventions, (changed) =>
          wordInContext(changed, params, context),
        ),
      ),
    wordMix: ({ model, interventions, ...params }, context) =>
      this.run(model, 'inside', context, (loaded, opened) =>
        underChanges(this.remembering(loaded, opened), interventions, (changed) => mixedWord(changed, params, context)),
      ),
    sentenceSimilarity: ({ model, interventions, ...params }, context) => {
      requireEverywhere(interventions, MANY_TEXTS);
      return this.run(model, 'inside', context, (loaded, opened) =>
        underChanges(this.withWeights(loaded, opened), interventions, (changed) =>
          sentenceSimilarity(changed, params, context),
        ),
      );
    },
    occurrences: ({ model, interventions, ...params }, context) => {
      requireEverywhere(interventions, MANY_TEXTS);
      return this.run(model, 'inside batch', context, (loaded, opened) =>
        underChanges(this.withWeights(loaded, opened), interventions, (changed) =>
          occurrences(changed, params, context),
        ),
      );
    },
    contextuality: ({ model, interventions, ...params }, context) => {
      requireEverywhere(interventions, MANY_TEXTS);
      return this.run(model, 'inside batch', context, (loaded) =>
        underChanges(loaded, interventions, (changed) => contextuality(changed, params, context)),
      );
    },
    contextualityShard: ({ model, interventions, ...params }, context) => {
      requireEverywhere(interventions, MANY_TEXTS);
      return this.run(model, 'inside batch', context, async (loaded) => ({
        ...(await underChanges(loaded, interventions, (changed) => measureContextuality(changed, params, context))),
        ...{ fingerprint: (await fingerprint(model)).sha256, changes: interventions ?? [] },
      }));
    },
    compareModels: async ({ model, other, ...params }, context) => {
      // A folder that is gone has no model, rather than no tokenizer.
      const readerOf = async (ref: ModelRef): Promise<Reader> => ({
        info: (await this.models.find(ref))?.info ?? (await inspectModel(ref)),
        tokenizer: await this.tokenizerOf(ref),
      });
      return compareModels(
        [await readerOf(model), await readerOf(other)],
        (which, work) => this.run(which === 0 ? model : other, 'inside batch', context, (loaded) => work(loaded)),
        params,
        context,
      );
    },
    indexState: async ({ model, folder, layer, pool }) =>
      indexState({ folder, layer, pool, fingerprint: (await fingerprint(model)).sha256 }),
    updateIndex: ({ model, folder, layer, pool, sources }, context) =>
      this.run(model, 'inside batch', context, async (loaded, opened) => {
        const place = { folder, layer, pool, fingerprint: (await fingerprint(model)).sha256 };
        return (await updateIndex(this.withWeights(loaded, opened), place, sources, this.indexes, context)).info;
      }),
    corpusNeighbours: ({ model, ...params }, context) =>
      this.run(model, 'inside batch', context, async (loaded, opened) => {
        const { sha256 } = await fingerprint(model);
        const searching = { fingerprint: sha256, memory: this.indexes, withProducts: withRowProducts };
        return corpusNeighbours(this.withWeights(loaded, opened), searching, params, context);
      }),
    learnMix: ({ model, interventions, ...params }, context) => {
      requireEverywhere(interventions, MANY_TEXTS);
      return this.run(model, 'inside batch', context, (loaded, opened) =>
        underChanges(this.withWeights(loaded, opened), interventions, (changed) => learnMix(changed, params, context)),
      );
    },
    askTable: async ({ table, ...question }, context) => askTable(await this.table(table, context), question),
    tableWords: async ({ table, words }, context) => ({ words: tableWords(await this.table(table, context), words) }),
    analogies: async ({ table, questions, most }, context) => {
      const asked = 'file' in questions ? analogyQuestions(readText(questions.file), questions.file) : questions;
      return analogies(await this.table(table, context), asked, most, context);
    },
    openTable: async ({ table }, context) => tableInfo(await this.table(table, context)),
    ratedWords: async ({ table, file }, context) => {
      const pairs = ratedPairs(readText(file), file);
      return ratedWords(await this.table(table, context), pairs);
    },
    memories: ({ model, ...params }, context) =>
      this.run(model, 'inside', context, (loaded, opened) =>
        memories(this.remembering(loaded, opened), params, context),
      ),
    intervene: ({ model, ...params }, context) =>
      this.run(model, 'inside', context, (loaded, opened) =>
        intervene(this.remembering(loaded, opened), params, context),
      ),
    exportModel: async ({ model, recipe, folder }, context) => {
      requireOwn(recipe, model.id, await fingerprint(model));
      return exportModel(model, recipe, folder, context);
    },
    value: ({ model, ...params }, context) =>
      this.run(model, 'inside', context, (loaded, opened) => valueWords(this.remembering(loaded, opened), params)),
    valueIndex: ({ model, cache }, context) =>
      this.run(model, 'inside batch', context, async (loaded) =>
        buildIndex(loaded, indexFolder(cache, (await fingerprint(model)).sha256), context),
      ),
    valueSearch: ({ model, cache, ...params }, context) =>
      this.run(model, 'inside batch', context, async (loaded) =>
        searchValues(loaded, indexFolder(cache, (await fingerprint(model)).sha256), params, context),
      ),
    triggers: ({ model, ...params }, context) =>
      this.run(model, 'inside batch', context, (loaded) => triggers(loaded, params, context)),
    // Keys of all layers are as much as all of its memory: they are read anew.
    tuneLens: ({ model, cache, ...params }, context) =>
      this.run(model, 'inside batch', context, async (loaded) => {
        const place = tunedFolder(cache, (await fingerprint(model)).sha256);
        const turn = <T>(work: () => Promise<T>): Promise<T> => this.turns.run('batch', work);
        const means = { settings: this.settings, turn, saveMs: SAVE_MS, mostNumbers: MOST_NUMBERS };
        return this.tuning.run(place, context.signal, () => tuneLens(loaded, params, place, means, context));
      }),
    tunedLens: async ({ model, cache }) => {
      const place = tunedFolder(cache, (await fingerprint(model)).sha256);
      await this.tuning.saved(place.folder);
      return tunedStatus(place);
    },
    similarMemories: ({ model, ...params }, context) =>
      this.run(model, 'inside', context, (loaded) => similarMemories(loaded, params, context)),
    memoryStats: ({ model, cache, ...params }, context) =>
      this.run(model, 'inside batch', context, async (loaded) =>
        memoryStats(loaded, params, indexFolder(cache, (await fingerprint(model)).sha256), context),
      ),
    valueClusters: ({ model, ...params }, context) =>
      this.run(model, 'inside batch', context, (loaded) =>
        withRowProducts((products) => valueClusters(loaded, products, params, context)),
      ),
    memoryGroups: ({ model, ...params }, context) =>
      this.run(model, 'inside', context, (loaded, opened) =>
        memoryGroups(this.remembering(loaded, opened), params, context),
      ),
    probe: ({ model, ...params }, context) => {
      const { interventions, byLayer } = params.options;
      requireEverywhere(interventions, MANY_TEXTS);
      return this.run(model, isShort(params) ? 'interactive' : 'batch', context, (loaded) =>
        underChanges(loaded, interventions, (changed) =>
          probe(changed, params, context, byLayer === true ? layerReader(changed, context) : null),
        ),
      );
    },
    probeAnswers: async ({ model, groups }) => ({ groups: checkAnswers(await this.tokenizerOf(model), groups) }),
    fingerprint: ({ model }) => fingerprint(model),
    status: async () => ({ pid: process.pid, rss: process.memoryUsage.rss(), loaded: this.models.loaded }),
  };

  /** `inside`: only internals are asked for, which have a session of their own. Work over files lets a hover go first. */
  private run<T>(
    ref: ModelRef,
    priority: Priority | 'inside' | 'inside batch',
    context: RunContext,
    work: (model: LanguageModel & Internals, opened: OrtModel) => Promise<T>,
  ): Promise<T> {
    const inside = priority === 'inside' || priority === 'inside batch';
    const turn = priority === 'batch' || priority === 'inside batch' ? 'batch' : 'interactive';
    return this.models.use(
      ref,
      context.progress,
      async (model) => {
        if (!inside) await this.turns.run(turn, () => model.load(context.progress));
        throwIfCancelled(context.signal);
        const result = await work(inTurns(model, this.turns, turn), model);
        throwIfCancelled(context.signal);
        return result;
      },
      inside ? 'later' : 'now',
    );
  }

  /** Null where it was not asked for. Throws `bad-input` where there is none. */
  private async tunedLensOf(model: ModelRef, { tuned }: { tuned?: string }): Promise<TunedLens | null> {
    return tuned === undefined ? null : requireLens(tunedFolder(tuned, (await fingerprint(model)).sha256), model.id);
  }

  /** Of files the last one is kept: questions come one after the other. */
  private async table(ref: TableRef, context: RunContext): Promise<StaticTable> {
    if ('model' in ref)
      return this.run(ref.model, 'inside', context, (loaded, opened) => ownTable(this.remembering(loaded, opened)));
    const stats = statSync(ref.file, { throwIfNoEntry: false });
    const key = JSON.stringify([ref.file, stats?.mtimeMs, stats?.size]);
    if (this.tables?.key === key) return this.tables.table;
    this.tables = null;
    const table = await readStaticTable(ref.file, context);
    this.tables = { key, table };
    return table;
  }

  /** What was traced of a text is kept while the model is loaded: a person looks at one head after the other. */
  private remembering(loaded: LanguageModel & Internals, opened: OrtModel): LanguageModel & Internals {
    const known = this.traces.get(opened) ?? new TraceCache();
    this.traces.set(opened, known);
    return known.over(loaded);
  }

  /** Work over many texts leaves room for what a person looks at, but the table of embeddings is worth keeping. */
  private withWeights(loaded: LanguageModel & Internals, opened: OrtModel): LanguageModel & Internals {
    const known = this.remembering(loaded, opened);
    return { ...known, trace: (...asked) => loaded.trace(...asked) };
  }

  /** No weights are loaded for this, and there need not be any. */
  private async tokenizerOf(ref: ModelRef): Promise<LensTokenizer> {
    const loaded = await this.models.find(ref);
    if (loaded !== undefined) return loaded.tokenizer;
    const own = ref.file === undefined ? ref.folder : dirname(join(ref.folder, ref.file));
    const folder = [own, ref.folder, dirname(own)].find((place) => existsSync(join(place, 'tokenizer.json'))) ?? own;
    if (this.tokenizer?.folder !== folder) this.tokenizer = { folder, tokenizer: loadTokenizer(folder) };
    try {
      return await this.tokenizer.tokenizer;
    } catch (error) {
      this.tokenizer = null; // the file may be repaired before the next request
      throw error;
    }
  }
}
