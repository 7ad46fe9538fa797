/** The texts that fire one memory: found in files that the person has chosen, which are read again for the next memory. */
import * as vscode from 'vscode';
import type { EngineService } from '../models/engineService';
import type { ModelLibrary } from '../models/library';
import type { CorpusSource } from '../protocol/attention';
import type { ModelRef, Progress } from '../protocol/engine';
import { LensError, type ErrorData } from '../protocol/errors';
import { ACTIVE_THRESHOLD, type TriggersResult } from '../protocol/ffn';
import { neuronName } from '../protocol/format';
import type { NeuronRef } from '../protocol/interventions';
import type { ShownTriggers, TriggerEnd, TriggerScope } from '../protocol/memoriesView';
import { askForFiles, askForFolder, sourcesOf, TEXTS, workspaceFiles } from './corpusFiles';
import { Latest } from './latest';

/** Texts at either end. */
const TOP = 30;
/** What was found of so many memories stays at hand. */
const MOST_KEPT = 20;
/** What is found so far is shown this often. */
const SHOW_EVERY_MS = 1_000;

interface Corpus {
  /** No other choice of files has it. */
  id: number;
  label: string;
  sources: CorpusSource[];
}

interface Job {
  key: string;
  model: ModelRef;
  memory: NeuronRef;
  corpus: Corpus;
}

interface Found {
  job: Job;
  result: TriggersResult | null;
  complete: boolean;
  error: ErrorData | null;
}

export class TriggerWork implements vscode.Disposable {
  private readonly latest: Latest<Job>;
  /** What `latest` works at. */
  private reading: Promise<void> = Promise.resolve();
  private corpus: Corpus | null = null;
  private readonly found = new Map<string, Found>();
  private count = 0;
  private corpora = 0;
  private shownAt = 0;

  constructor(
    private readonly engine: EngineService,
    private readonly library: ModelLibrary,
    /** Texts that come with the extension. */
    private readonly included: vscode.Uri,
    private readonly onChange: () => void,
  ) {
    this.latest = new Latest<Job>(onChange);
  }

  /** For people: what is read; null until something was chosen. */
  get label(): string | null {
    return this.corpus?.label ?? null;
  }

  get running(): Progress | null {
    const { question, progress } = this.latest;
    if (question === null) return null;
    const { message = vscode.l10n.t('Starting…'), fraction } = progress ?? {};
    return { message, ...(fraction === undefined ? {} : { fraction }) };
  }

  /** What is known of a memory in the present files. */
  of(memory: NeuronRef | null): ShownTriggers | null {
    const found = memory === null ? undefined : this.foundOf(memory);
    const neuron = found?.result?.neurons[0];
    if (found?.result == null || neuron === undefined) return null;
    const { state, rule } = found.result;
    const { sentences, tokens, threshold, sources, skipped } = state;
    return { ...neuron, sentences, tokens, threshold, sources, skipped, rule, complete: found.complete };
  }

  errorOf(memory: NeuronRef | null): ErrorData | null {
    return (memory === null ? undefined : this.foundOf(memory))?.error ?? null;
  }

  /** Another number for every other result; 0: there is none. */
  revisionOf(memory: NeuronRef | null): number {
    return this.of(memory) === null ? 0 : this.count;
  }

  /** Files from now on. Gives false when the person gave up. Throws `bad-input`. */
  async choose(scope: TriggerScope): Promise<boolean> {
    const uris =
      scope === 'workspace'
        ? await workspaceFiles(TEXTS)
        : scope === 'included'
          ? [this.included]
          : await (scope === 'folder' ? askForFolder() : askForFiles(TEXTS, vscode.l10n.t('Texts')));
    if (uris === undefined) return false;
    const sources = await sourcesOf(uris, TEXTS);
    const [first] = sources;
    const label =
      scope === 'workspace'
        ? vscode.l10n.t('the workspace')
        : scope === 'included'
          ? vscode.l10n.t('the included texts')
          : sources.length === 1 && first !== undefined
            ? first.name
            : vscode.l10n.t('{0} files', sources.length);
    this.corpus = { id: (this.corpora += 1), label, sources };
    return true;
  }

  /**
   * Reads the chosen files for this memory, from where that was stopped; resolves when they are read, whoever asked first. Does nothing
   * without files, or when all is known.
   */
  async want(memory: NeuronRef, again = false): Promise<void> {
    const { corpus } = this;
    if (corpus === null) return;
    const model = this.library.require().ref;
    const key = this.keyOf(memory);
    const known = this.found.get(key);
    if (this.latest.question?.key === key) return this.reading;
    if (known !== undefined && !again && (known.complete || known.result !== null || known.error !== null)) {
      this.latest.cancel();
      return;
    }
    this.reading = this.work({ key, model, memory, corpus });
    await this.reading;
  }

  /** What was found stays, and can be gone on from. */
  stop(): void {
    this.count += 1;
    this.latest.cancel();
  }

  /** Where a text stands. Throws `bad-input` when it is not known any more. */
  fileOf(memory: NeuronRef | null, source: number): string {
    const found = memory === null ? undefined : this.foundOf(memory);
    const file = found?.job.corpus.sources[source];
    if (file !== undefined && 'file' in file) return file.file;
    throw new LensError('bad-input', 'There is no such text any more.', 'Read the texts again.');
  }

  dispose(): void {
    this.latest.cancel();
  }

  private keyOf(memory: NeuronRef): string {
    return JSON.stringify([this.library.selected?.ref, this.corpus?.id, neuronName(memory)]);
  }

  private foundOf(memory: NeuronRef): Found | undefined {
    return this.found.get(this.keyOf(memory));
  }

  private async work(job: Job): Promise<void> {
    const before = this.found.get(job.key)?.result ?? null;
    const found: Found = { job, result: before, complete: false, error: null };
    this.found.delete(job.key);
    this.found.set(job.key, found);
    for (const key of [...this.found.keys()].slice(0, -MOST_KEPT)) this.found.delete(key);
    const { model, memory, corpus } = job;
    const outcome = await this.latest.start(job, ({ signal, progress }) =>
      this.engine.request(
        'triggers',
        {
          ...{ model, neurons: [memory], sources: corpus.sources, topK: TOP, threshold: ACTIVE_THRESHOLD },
          ...(before === null ? {} : { resume: before.state }),
        },
        {
          signal,
          progress: (news) => {
            if (news.triggers !== undefined && !signal.aborted) this.keepEarly(found, news.triggers);
            progress(news);
          },
        },
      ),
    );
    if (outcome !== null && 'result' in outcome) Object.assign(found, { result: outcome.result, complete: true });
    else if (outcome !== null) found.error = outcome.error;
    this.count += 1;
    this.onChange();
  }

  /** Shown now, or with a later one. */
  private keepEarly(found: Found, result: TriggersResult): void {
    found.result = result;
    if (performance.now() - this.shownAt < SHOW_EVERY_MS) return;
    this.shownAt = performance.now();
    this.count += 1;
  }
}

export const endOf = (triggers: ShownTriggers, end: TriggerEnd, index: number): ShownTriggers[TriggerEnd][number] => {
  const text = triggers[end][index];
  if (text !== undefined) return text;
  throw new LensError('bad-input', 'There is no such text any more.', 'Read the texts again.');
};
