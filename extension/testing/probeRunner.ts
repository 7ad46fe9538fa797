/**
 * Runs facts through the engine for all that show them: lines, tests, the Probes view. Runs of several people's clicks may be under
 * way at once; each tells of its facts batch by batch, and keeps them as the lines that `lens probe --out` would write.
 */
import { randomUUID } from 'node:crypto';
import * as vscode from 'vscode';
import { probeRequests, runFact, type ProbeQuestion } from '../cloze/plan';
import { digestInTurns, newHeader, type Run, type RunFact, type RunHeader, type RunRelation } from '../cloze/runFile';
import type { EngineService } from '../models/engineService';
import type { ModelLibrary } from '../models/library';
import type { SharedSubject } from '../panels/sharedSubject';
import type { ModelRef } from '../protocol/engine';
import { isSilent, LensError, type ErrorData } from '../protocol/errors';
import type { Scale } from '../protocol/interventions';
import type { ProbeFact } from '../protocol/probes';

/** Where a fact stands. */
export interface FactPlace {
  /** Absolute path of a file, or the URI of a document that is none. */
  file: string;
  /** From 1. */
  line: number;
}

export interface PlacedRelation extends RunRelation {
  /** One a fact. */
  places: readonly FactPlace[];
}

/** `line`: of a text or of a single fact, asked in passing. */
export type RunOrigin = 'line' | 'file' | 'tests' | 'view';

export interface ProbeJob {
  /** For people: `capital`, `lecture.cloze`, `3 relations of trex`. */
  title: string;
  origin: RunOrigin;
  relations: readonly PlacedRelation[];
  /** Id in the library; the selected one without it. */
  model?: string;
  options?: Partial<Omit<RunHeader['options'], 'interventions'>>;
  /** Without it those in force, where the model is the selected one: heads and neurons are that one's. */
  interventions?: readonly Scale[];
}

export type RunState = 'running' | 'finished' | 'cancelled' | 'failed';

export interface PlacedResult {
  fact: RunFact;
  /** The fact as it was asked, the same object as in the job. */
  asked: ProbeFact;
  relation: PlacedRelation;
  place: FactPlace;
}

export interface ResultBatch {
  run: ProbeRun;
  results: readonly PlacedResult[];
}

export const DEFAULT_OPTIONS: RunHeader['options'] = {
  topK: 10,
  variants: [],
  uhn: false,
  joint: 'pll',
  ensemble: 'first',
  seed: 0,
};

/** Small, so that the host's event loop is never held up by writing a question down. */
const FACTS_TOGETHER = 1024;
/** Runs that are remembered; older ones are in the view's history. */
const MOST_RUNS = 20;

export class ProbeRun {
  readonly id = randomUUID();
  /** Milliseconds since 1970. */
  readonly startedAt = Date.now();
  readonly options: RunHeader['options'];
  /** Facts of the job. */
  readonly total: number;
  /** In the order in which they were finished. */
  readonly facts: RunFact[] = [];
  readonly notes = new Set<string>();
  state: RunState = 'running';
  /** Why it failed. */
  error: ErrorData | null = null;
  /** Known when the run has ended. */
  header: RunHeader | null = null;
  /** Resolves when the run has ended, however. */
  readonly ended: Promise<void>;
  private readonly controller = new AbortController();

  constructor(
    readonly job: ProbeJob,
    readonly model: ModelRef,
    /** Heads and neurons that are scaled in it. */
    readonly changes: readonly Scale[],
    work: (run: ProbeRun, signal: AbortSignal) => Promise<void>,
  ) {
    this.options = {
      ...DEFAULT_OPTIONS,
      ...job.options,
      ...(changes.length === 0 ? {} : { interventions: [...changes] }),
    };
    this.total = job.relations.reduce((sum, { facts }) => sum + facts.length, 0);
    this.ended = work(this, this.controller.signal);
  }

  /** As a run file has it. Null while it is running, and when the model could not be read. */
  get record(): Run | null {
    return this.header === null ? null : { header: this.header, facts: this.facts };
  }

  cancel(): void {
    this.controller.abort();
  }
}

export class ProbeRunner implements vscode.Disposable {
  private readonly started = new vscode.EventEmitter<ProbeRun>();
  readonly onDidStart = this.started.event;
  private readonly answered = new vscode.EventEmitter<ResultBatch>();
  readonly onDidAnswer = this.answered.event;
  private readonly finished = new vscode.EventEmitter<ProbeRun>();
  /** Finished, cancelled or failed; what was answered until then stays in the run. */
  readonly onDidFinish = this.finished.event;
  private known: ProbeRun[] = [];

  constructor(
    private readonly engine: EngineService,
    private readonly library: ModelLibrary,
    private readonly shared: SharedSubject,
    private readonly version: string,
  ) {}

  /** Newest last. */
  get runs(): readonly ProbeRun[] {
    return this.known;
  }

  /** Begins at once. Throws `model-not-found`; what fails later is in the run. */
  start(job: ProbeJob): ProbeRun {
    const { ref } = this.library.require(job.model);
    const inForce = ref.id === this.library.selected?.ref.id ? this.shared.interventions : [];
    const changes = job.interventions ?? inForce;
    // The run begins after it was told of.
    const run = new ProbeRun(job, ref, changes, async (own, signal) => {
      await Promise.resolve();
      await this.work(own, signal);
    });
    this.known = [...this.known, run].slice(-MOST_RUNS);
    this.started.fire(run);
    return run;
  }

  dispose(): void {
    for (const run of this.known) run.cancel();
    for (const emitter of [this.started, this.answered, this.finished]) emitter.dispose();
  }

  private async work(run: ProbeRun, signal: AbortSignal): Promise<void> {
    try {
      const places = placesOf(run.job.relations);
      for (const question of probeRequests(run.job.relations, FACTS_TOGETHER))
        await this.ask(run, question, places, signal);
      run.state = 'finished';
    } catch (thrown) {
      const error = LensError.from(thrown);
      run.state = isSilent(error) ? 'cancelled' : 'failed';
      if (run.state === 'failed') run.error = error.toData();
    }
    run.header = await this.headerOf(run);
    this.finished.fire(run);
  }

  private async ask(
    run: ProbeRun,
    { words, asked }: ProbeQuestion,
    places: ReadonlyMap<ProbeFact, { relation: PlacedRelation; place: FactPlace }>,
    signal: AbortSignal,
  ): Promise<void> {
    const byId = new Map(asked.map((relation) => [relation.id, relation.facts]));
    const { ensemble: _, ...options } = run.options;
    const { notes } = await this.engine.request(
      'probe',
      {
        model: run.model,
        relations: asked,
        options: { ...options, ...(words === null ? {} : { vocabulary: [...words] }) },
      },
      {
        signal,
        progress: ({ facts = [] }) => {
          if (signal.aborted || facts.length === 0) return;
          const results = facts.map((each): PlacedResult => {
            const own = byId.get(each.relation) ?? [];
            const fact = own[each.fact] as ProbeFact;
            return {
              ...{ fact: runFact(each, own), asked: fact },
              ...(places.get(fact) as { relation: PlacedRelation; place: FactPlace }),
            };
          });
          for (const { fact } of results) run.facts.push(fact);
          this.answered.fire({ run, results });
        },
      },
    );
    for (const note of notes) run.notes.add(note);
  }

  private async headerOf({ model, options, job }: ProbeRun): Promise<RunHeader | null> {
    try {
      const { versions, ...fingerprint } = await this.engine.fingerprint(model);
      return newHeader(
        model.id,
        { ...fingerprint, versions: { 'onnx-lens': this.version, ...versions } },
        options,
        job.relations,
        { index: 0, of: 1 },
        await digestInTurns(job.relations),
      );
    } catch {
      return null; // the model's files are not there; the run says so itself
    }
  }
}

function placesOf(
  relations: readonly PlacedRelation[],
): Map<ProbeFact, { relation: PlacedRelation; place: FactPlace }> {
  return new Map(
    relations.flatMap((relation) =>
      relation.facts.map((fact, index) => [fact, { relation, place: relation.places[index] as FactPlace }]),
    ),
  );
}
