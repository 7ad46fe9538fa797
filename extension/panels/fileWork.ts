/** Long work over files, which goes on beside the rest: statistics of heads, and heads against annotated relations. */
import * as vscode from 'vscode';
import type { EngineService } from '../models/engineService';
import type { ModelLibrary } from '../models/library';
import type {
  CorpusSource,
  HeadCorpusParams,
  HeadCorpusResult,
  HeadRef,
  HeadRelationsResult,
  RelationDirection,
  RelationExample,
} from '../protocol/attention';
import type { ModelRef, Progress } from '../protocol/engine';
import { LensError, type ErrorData } from '../protocol/errors';
import { counted } from '../protocol/format';
import { askForFiles, askForFolder, sourcesOf, type FileKind } from './corpusFiles';
import { Latest, type WorkOptions } from './latest';

export type WorkKind = 'corpus' | 'relations';

/** Documents whose heads are compared with each other, which costs a product of all heads with all heads a token. */
const DISTANCE_DOCUMENTS = 50;
/** As Clark et al. packed them. */
const PAIR_TOKENS = 128;
const MOST_EXAMPLES = 50;
/** What is found so far is shown this often. */
const SHOW_EVERY_MS = 1_000;
const PATTERNS: Record<WorkKind, FileKind> = {
  corpus: { glob: '**/*.{txt,text,md,markdown}', extensions: ['txt', 'text', 'md', 'markdown'] },
  relations: { glob: '**/*.{conllu,conll}', extensions: ['conllu', 'conll'] },
};

/** What was asked, so that it can be gone on with. */
interface Job {
  kind: WorkKind;
  model: ModelRef;
  sources: readonly CorpusSource[];
  packing: HeadCorpusParams['packing'];
}

interface Results {
  corpus: HeadCorpusResult | null;
  relations: HeadRelationsResult | null;
}

export class FileWork implements vscode.Disposable {
  private readonly latest: Latest<Job>;
  private readonly jobs: Partial<Record<WorkKind, Job>> = {};
  private readonly results: Results = { corpus: null, relations: null };
  private readonly counts: Record<WorkKind, number> = { corpus: 0, relations: 0 };
  private readonly complete = new WeakSet<Job>();
  private failure: ErrorData | null = null;
  private shownAt = 0;

  constructor(
    private readonly engine: EngineService,
    private readonly library: ModelLibrary,
    private readonly onChange: () => void,
  ) {
    this.latest = new Latest<Job>(() => this.onChange());
  }

  get corpus(): HeadCorpusResult | null {
    return this.results.corpus;
  }

  get relations(): HeadRelationsResult | null {
    return this.results.relations;
  }

  /** Another number for every other result; 0: there is none. */
  revision(kind: WorkKind): number {
    return this.results[kind] === null ? 0 : this.counts[kind];
  }

  get error(): ErrorData | null {
    return this.failure;
  }

  get running(): { what: WorkKind; progress: Progress } | null {
    const { question, progress } = this.latest;
    if (question === null) return null;
    // The results in it are kept here, and fetched when they are looked at.
    const { message = vscode.l10n.t('Starting…'), fraction } = progress ?? {};
    return { what: question.kind, progress: { message, ...(fraction === undefined ? {} : { fraction }) } };
  }

  /** Asks for files, and how to read them; then works on them. Resolves when that is done, has failed or was stopped. */
  async choose(kind: WorkKind): Promise<void> {
    const goOn = { label: `$(debug-continue) ${vscode.l10n.t('Go On')}`, detail: this.found(kind) };
    const folder = { label: `$(folder) ${vscode.l10n.t('Folder…')}`, detail: PATTERNS[kind].glob };
    const files = { label: `$(files) ${vscode.l10n.t('Files…')}`, detail: '' };
    const choice = await vscode.window.showQuickPick(
      this.stopped(kind) === undefined ? [folder, files] : [goOn, folder, files],
      {
        title:
          kind === 'corpus'
            ? vscode.l10n.t('Statistics of Heads over Texts')
            : vscode.l10n.t('Heads and Relations (CoNLL-U)'),
      },
    );
    if (choice === undefined) return;
    if (choice === goOn) {
      await this.goOn(kind);
      return;
    }
    const name = kind === 'corpus' ? vscode.l10n.t('Texts') : 'CoNLL-U';
    const uris = await (choice === folder ? askForFolder() : askForFiles(PATTERNS[kind], name));
    if (uris === undefined) return;
    const packing = kind === 'corpus' ? await askPacking() : ({ kind: 'text' } as const);
    if (packing !== undefined) await this.start(kind, uris, packing);
  }

  /** Files and folders. Fails with `bad-input` when there is nothing to read. */
  async start(kind: WorkKind, uris: readonly vscode.Uri[], packing: Job['packing'] = { kind: 'text' }): Promise<void> {
    const sources = await sourcesOf(uris, PATTERNS[kind]);
    this.keep(kind, null);
    await this.work({ kind, model: this.library.require().ref, sources, packing });
  }

  /** Where the work was stopped. Does nothing when there is nothing left. */
  async goOn(kind: WorkKind): Promise<void> {
    const job = this.stopped(kind);
    if (job !== undefined) await this.work(job);
  }

  /** What was found stays, and can be gone on from. */
  stop(): void {
    const { question } = this.latest;
    if (question !== null) this.counts[question.kind] += 1;
    this.latest.cancel();
  }

  /** Sentences behind a cell of the table. Throws `bad-input` without a table. */
  async examples(cell: HeadRef & { relation: string; direction: RelationDirection }): Promise<RelationExample[]> {
    const job = this.jobs.relations;
    if (job === undefined) throw new LensError('bad-input', 'There is no table yet.', 'Choose a CoNLL-U file first.');
    const { model, sources } = job;
    const { layer, head, relation, direction } = cell;
    const params = { model, sources: [...sources], layer, head, relation, direction, most: MOST_EXAMPLES };
    return (await this.engine.request('relationExamples', params, { supersedes: 'relation-examples' })).examples;
  }

  /** Shows the sentence in its file. `line` counts from 1. */
  async open(source: string, line: number): Promise<void> {
    const found = this.jobs.relations?.sources.find(({ name }) => name === source);
    if (found === undefined || !('file' in found))
      throw new LensError('bad-input', `“${source}” is not one of the files.`, 'Choose the files again.');
    const at = new vscode.Position(Math.max(line - 1, 0), 0);
    await vscode.window.showTextDocument(vscode.Uri.file(found.file), {
      selection: new vscode.Range(at, at),
      preserveFocus: true,
      preview: true,
    });
  }

  dispose(): void {
    this.latest.cancel();
  }

  /** Work that was not brought to its end. */
  private stopped(kind: WorkKind): Job | undefined {
    const job = this.jobs[kind];
    return job === undefined || this.complete.has(job) || this.latest.question === job ? undefined : job;
  }

  private found(kind: WorkKind): string {
    const { corpus, relations } = this.results;
    return kind === 'corpus'
      ? counted(corpus?.state.documents ?? 0, 'document')
      : counted(relations?.state.sentences ?? 0, 'sentence');
  }

  /** From where the present result ends. */
  private async work(job: Job): Promise<void> {
    this.jobs[job.kind] = job;
    this.failure = null;
    const outcome = await this.latest.start(job, (options) =>
      job.kind === 'corpus' ? this.readCorpus(job, options) : this.readRelations(job, options),
    );
    if (outcome !== null && 'result' in outcome) this.complete.add(job);
    else if (outcome !== null) this.failure = outcome.error;
    this.onChange();
  }

  private async readCorpus({ model, sources, packing }: Job, { signal, progress }: WorkOptions): Promise<void> {
    const state = this.results.corpus?.state;
    const result = await this.engine.request(
      'headCorpus',
      {
        model,
        sources: [...sources],
        packing,
        distances: DISTANCE_DOCUMENTS,
        ...(state === undefined ? {} : { resume: state }),
      },
      {
        signal,
        progress: (news) => {
          if (news.corpus !== undefined) this.keepEarly('corpus', news.corpus, signal);
          progress(news);
        },
      },
    );
    if (!signal.aborted) this.keep('corpus', result);
  }

  private async readRelations({ model, sources }: Job, { signal, progress }: WorkOptions): Promise<void> {
    const state = this.results.relations?.state;
    const result = await this.engine.request(
      'headRelations',
      { model, sources: [...sources], ...(state === undefined ? {} : { resume: state }) },
      {
        signal,
        progress: (news) => {
          if (news.relations !== undefined) this.keepEarly('relations', news.relations, signal);
          progress(news);
        },
      },
    );
    if (!signal.aborted) this.keep('relations', result);
  }

  private keep<K extends WorkKind>(kind: K, result: Results[K]): void {
    this.results[kind] = result;
    this.counts[kind] += 1;
    this.shownAt = performance.now();
  }

  /** Shown now, or with a later one. */
  private keepEarly<K extends WorkKind>(kind: K, result: Results[K], signal: AbortSignal): void {
    if (signal.aborted) return;
    if (performance.now() - this.shownAt >= SHOW_EVERY_MS) this.keep(kind, result);
    else this.results[kind] = result;
  }
}

async function askPacking(): Promise<HeadCorpusParams['packing'] | undefined> {
  const text = {
    label: vscode.l10n.t('Each paragraph by itself'),
    packing: { kind: 'text' } as const,
  };
  const pairs = {
    label: vscode.l10n.t('Pairs of paragraphs in {0} tokens', PAIR_TOKENS),
    detail: vscode.l10n.t('As in Clark et al. 2019; for models that take two texts.'),
    packing: { kind: 'pairs', tokens: PAIR_TOKENS } as const,
  };
  return (await vscode.window.showQuickPick([text, pairs], { title: vscode.l10n.t('What the Model Reads at Once') }))
    ?.packing;
}
