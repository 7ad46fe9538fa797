/**
 * The Probes view without its HTML: runs of the probe runner and of the workspace's history, one that is looked at, one beside it. What
 * is said of a run is made when a view asks for it; long work leaves the host's event loop free.
 */
import { basename } from 'node:path';
import * as vscode from 'vscode';
import { COMMANDS } from '../commands/ids';
import * as settings from '../commands/settings';
import { comparisonSteps } from '../cloze/compare';
import { summarySteps } from '../cloze/metrics';
import { seededRandom } from '../cloze/random';
import type { Run } from '../cloze/runFile';
import { inTurns } from '../cloze/steps';
import { contentOf, factDetails, factRows, relationLine, type RunContent } from '../cloze/table';
import type { ModelLibrary } from '../models/library';
import { LensError, type ErrorData } from '../protocol/errors';
import { counted, modelName } from '../protocol/format';
import type {
  ProbeFactDetails,
  ProbesComparison,
  ProbesMethods,
  ProbesPage,
  ProbesState,
  ProbesSummary,
  ProbesTable,
  ShownRun,
} from '../protocol/probesView';
import type { FactPlace, ProbeRun, ProbeRunner } from '../testing/probeRunner';
import { interventionHandlers } from './interventionHandlers';
import type { ViewPlaces } from './lensView';
import type { KeptRun, ProbeHistory } from './probeHistory';
import { comparisonCells, factCells, latexTable, markdownTable, relationCells } from './probesExport';
import { exportAs, saveAs } from './save';
import type { SharedSubject } from './sharedSubject';
import type { Handlers } from './viewHost';

/** Rows of a run under way are told of so often, in milliseconds, and less often the more there are. */
const ROWS_EVERY = 1000;
const ROWS_A_MS = 5;

/** A run that the view can show: of this session, or kept. */
interface Entry {
  id: string;
  /** Of this session. */
  live: ProbeRun | null;
  kept: KeptRun | null;
  /** Null: not read yet. */
  content: RunContent | null;
  record: Run | null;
  places: (FactPlace | null)[];
  summary: Promise<ProbesSummary | null> | null;
}

export class ProbesController implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<void>();
  readonly onDidChange = this.changed.event;
  private entries: Entry[] = [];
  private shown: Entry | null = null;
  private other: Entry | null = null;
  private page: ProbesPage = 'facts';
  private error: ErrorData | null = null;
  private readonly revision: ProbesState['revision'] = { rows: 0, summary: 0, comparison: 0 };
  private timer: NodeJS.Timeout | null = null;
  private readonly subscriptions: vscode.Disposable[];
  /** The kept runs are listed once, when the view is first looked at. */
  private listed: Promise<void> | null = null;

  constructor(
    private readonly runner: ProbeRunner,
    private readonly library: ModelLibrary,
    private readonly shared: SharedSubject,
    private readonly history: ProbeHistory,
    private readonly view: ViewPlaces,
  ) {
    this.subscriptions = [
      runner.onDidStart((run) => this.onStart(run)),
      runner.onDidAnswer(({ run, results }) =>
        this.onAnswer(
          run,
          results.map(({ place }) => place),
        ),
      ),
      runner.onDidFinish((run) => void this.onFinish(run)),
      library.onDidChange(() => this.changed.fire()),
      shared.onDidChange((change) => {
        if (change === 'interventions') this.changed.fire();
      }),
    ];
  }

  get state(): ProbesState {
    const { shown, other, page, error, revision } = this;
    const model = this.library.selected;
    const live = shown?.live ?? null;
    const running = live?.state === 'running';
    const failure = live?.error ?? error;
    return {
      status: running ? 'loading' : failure !== null ? 'error' : shown === null ? 'empty' : 'ready',
      ...(running
        ? {
            progress: {
              message: `${live.job.title}: ${live.facts.length} of ${counted(live.total, 'fact')}`,
              fraction: live.facts.length / Math.max(1, live.total),
            },
          }
        : {}),
      ...(failure === null || running ? {} : { error: failure }),
      model: model === undefined ? null : this.library.summary(model),
      interventions: [...this.shared.interventions],
      page,
      runs: this.entries.map(shownRun),
      run: shown?.id ?? null,
      other: other?.id ?? null,
      revision: { ...revision },
      models: this.library.models
        .filter(({ info }) => info === undefined || info.kind === 'masked' || info.kind === 'causal')
        .map(({ ref }) => ref.id),
    };
  }

  readonly handlers: Handlers<ProbesMethods> = {
    ...interventionHandlers(this.shared),
    ready: () => this.list(),
    look: ({ page }) => {
      this.page = page;
      this.changed.fire();
    },
    show: async ({ run }) => {
      const entry = this.entry(run);
      await this.read(entry);
      this.show(entry);
    },
    compareWith: async ({ run }) => {
      const entry = run === null ? null : this.entry(run);
      if (entry !== null) await this.read(entry);
      this.other = entry;
      this.renew('comparison');
    },
    rows: () => (this.shown?.content == null ? [] : factRows(this.shown.content, this.shown.places)),
    summary: () => (this.shown === null ? null : this.summaryOf(this.shown)),
    comparison: () => this.comparison(),
    details: ({ index }) => this.details(index),
    reveal: ({ index }) => this.reveal(index),
    again: ({ model }) => this.again(model),
    askLayers: () => this.askLayers(),
    remove: async ({ run }) => {
      await this.history.remove(this.entry(run).id);
      this.drop([run]);
    },
    removeAll: () => this.removeAll(),
    refresh: () => this.again(null),
    cancel: () => this.shown?.live?.cancel(),
    selectModel: () => this.command(COMMANDS.selectModel),
    export: async ({ format }) => {
      const { name, rows, ...json } = await this.exported();
      await exportAs(format, { name, rows, json });
    },
    exportTable: ({ format }) => this.exportTable(format),
    openInEditor: () => this.view.openInEditor(),
    showLog: () => this.command(COMMANDS.showLog),
    help: () => this.command('workbench.action.openWalkthrough', 'onnx-lens.onnx-lens#onnxLens.start', false),
    run: ({ command }) => this.command(command),
  };

  dispose(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    for (const subscription of this.subscriptions) subscription.dispose();
    this.changed.dispose();
  }

  /** The numbers of a run, as the command line tells them. Null while it is under way. */
  async summaryOf(entry: Entry): Promise<ProbesSummary | null> {
    const { record } = entry;
    if (record === null) return null;
    entry.summary ??= (async () => {
      const { header, facts } = record;
      const random = seededRandom(header.options.seed);
      const summary = await inTurns(summarySteps(facts, header.relations, header.options.ensemble, random));
      const byId = new Map(header.relations.map((relation) => [relation.id, relation]));
      return {
        relations: summary.relations.map((each) => relationLine(each, byId.get(each.relation))),
        macro: summary.macro,
        ranking: rankingOf(record),
        notes: [...(entry.live?.notes ?? [])],
      };
    })();
    return entry.summary;
  }

  private list(): Promise<void> {
    this.listed ??= this.history.list().then((kept) => {
      const known = new Set(this.entries.map(({ id }) => id));
      this.entries.push(...kept.filter(({ id }) => !known.has(id)).map(keptEntry));
      this.changed.fire();
    });
    return this.listed;
  }

  private entry(id: string): Entry {
    const entry = this.entries.find((each) => each.id === id);
    if (entry === undefined) throw new LensError('bad-input', 'This run is not there any more.');
    return entry;
  }

  private async read(entry: Entry): Promise<void> {
    if (entry.content !== null) return;
    const { run, places } = await this.history.load(entry.id);
    Object.assign(entry, { record: run, content: contentOf(run), places });
  }

  private show(entry: Entry | null): void {
    this.shown = entry;
    this.error = null;
    if (this.other === entry) this.other = null;
    this.renew('rows', 'summary', 'comparison');
  }

  private renew(...parts: (keyof ProbesState['revision'])[]): void {
    for (const part of parts) this.revision[part]++;
    this.changed.fire();
  }

  private onStart(run: ProbeRun): void {
    const { relations } = run.job;
    const entry: Entry = {
      id: run.id,
      live: run,
      kept: null,
      content: { relations, ensemble: run.options.ensemble, facts: run.facts },
      record: null,
      places: [],
      summary: null,
    };
    this.entries.unshift(entry);
    // Two at once: the one that is looked at stays, and the next is a click away.
    if (this.shown?.live?.state !== 'running') this.show(entry);
    else this.changed.fire();
  }

  private onAnswer(run: ProbeRun, places: readonly FactPlace[]): void {
    const entry = this.entries.find(({ live }) => live === run);
    if (entry === undefined) return;
    for (const place of places) entry.places.push(place);
    if (entry !== this.shown || this.timer !== null) return;
    this.changed.fire();
    const wait = this.revision.rows === 0 ? 0 : ROWS_EVERY + run.facts.length / ROWS_A_MS;
    this.timer = setTimeout(() => {
      this.timer = null;
      this.renew('rows');
    }, wait);
  }

  private async onFinish(run: ProbeRun): Promise<void> {
    const entry = this.entries.find(({ live }) => live === run);
    if (entry === undefined) return;
    const { record } = run;
    entry.record = record;
    if (record !== null) entry.content = contentOf(record);
    if (entry === this.shown) this.renew('rows', 'summary', 'comparison');
    else this.changed.fire();
    if (record === null || run.job.origin === 'line' || record.facts.length === 0 || run.state === 'running') return;
    const summary = await this.summaryOf(entry);
    const { id, startedAt, job, model, state, total, facts } = run;
    entry.kept = {
      ...{ id, title: job.title, model: model.id, startedAt, state, facts: facts.length, total },
      ...(run.changes.length === 0 ? {} : { changes: [...run.changes] }),
      p1: summary?.relations.some(({ n }) => n > 0) === true ? summary.macro.p1 : null,
    };
    try {
      await this.history.keep(entry.kept, record, entry.places, settings.probeHistory());
    } catch (thrown) {
      this.error = LensError.from(thrown).toData();
    }
    this.changed.fire();
  }

  private async comparison(): Promise<ProbesComparison | null> {
    const { shown, other } = this;
    if (shown?.record == null || other === null) return null;
    await this.read(other);
    if (other.record === null) return null;
    // The one that is looked at is the second: what it has gained.
    const { relations, all, changes, unpaired } = await inTurns(comparisonSteps(other.record, shown.record));
    return { first: nameOf(other), second: nameOf(shown), relations, all, unpaired, changes };
  }

  private details(index: number): ProbeFactDetails | null {
    const { shown } = this;
    const fact = shown?.content?.facts[index];
    if (shown?.content == null || fact === undefined) return null;
    const relation = shown.content.relations.find(({ id }) => id === fact.relation);
    const place = shown.places[index] ?? null;
    return {
      place: place === null ? null : { file: basename(place.file), line: place.line },
      answers: factDetails(fact, relation),
    };
  }

  private async reveal(index: number): Promise<void> {
    const place = this.shown?.places[index];
    if (place == null) throw new LensError('bad-input', 'It is not known any more where this fact stands.');
    const uri = /^[a-z][a-z0-9+.-]+:/i.test(place.file)
      ? vscode.Uri.parse(place.file, true)
      : vscode.Uri.file(place.file);
    const document = await vscode.workspace.openTextDocument(uri);
    const line = document.lineAt(Math.min(place.line, document.lineCount) - 1);
    const visible = vscode.window.visibleTextEditors.find((editor) => editor.document === document);
    await vscode.window.showTextDocument(document, {
      ...(visible?.viewColumn === undefined ? {} : { viewColumn: visible.viewColumn }),
      preserveFocus: true,
      selection: line.range,
    });
  }

  /** The old run stands beside the new one when it was of another model, or of one that was changed otherwise. */
  private again(model: string | null): void {
    const { shown } = this;
    const live = this.repeatable();
    const id = model ?? this.library.require().ref.id;
    const { interventions: _, ...job } = live.job;
    const run = this.runner.start({ ...job, model: id, origin: 'view' });
    if (id !== live.model.id || JSON.stringify(run.changes) !== JSON.stringify(live.changes)) {
      this.other = shown;
      this.renew('comparison');
    }
  }

  private askLayers(): void {
    const { job, model, changes } = this.repeatable();
    const options = { ...job.options, byLayer: true };
    this.runner.start({ ...job, model: model.id, origin: 'view', options, interventions: changes });
  }

  /** Throws `bad-input`. */
  private repeatable(): ProbeRun {
    const { shown } = this;
    if (shown?.live != null) return shown.live;
    throw new LensError(
      'bad-input',
      shown === null ? 'There is no run yet.' : 'The facts of a run of an earlier session are not kept.',
      'Run the file again.',
    );
  }

  private async removeAll(): Promise<void> {
    const remove = vscode.l10n.t('Delete');
    const gone = this.entries.filter(({ live }) => live?.state !== 'running');
    const message = vscode.l10n.t('Delete all {0} kept runs of this workspace?', gone.length);
    if ((await vscode.window.showWarningMessage(message, { modal: true }, remove)) !== remove) return;
    for (const { id } of gone) await this.history.remove(id);
    this.drop(gone.map(({ id }) => id));
  }

  private drop(ids: readonly string[]): void {
    this.entries = this.entries.filter(({ id }) => !ids.includes(id));
    if (this.other !== null && ids.includes(this.other.id)) this.other = null;
    this.show(
      this.shown !== null && ids.includes(this.shown.id)
        ? (this.entries.find(({ content }) => content !== null) ?? null)
        : this.shown,
    );
  }

  /** What the page shows, as a table and as data. Throws `bad-input` without a run. */
  private async exported() {
    const { shown, page } = this;
    if (shown?.content == null) throw new LensError('bad-input', 'There is no run yet to export.');
    const summary = await this.summaryOf(shown);
    const comparison = page === 'compare' ? await this.comparison() : null;
    const { content, record } = shown;
    const rows =
      comparison !== null
        ? comparisonCells(comparison)
        : page === 'relations' && summary !== null
          ? relationCells(summary)
          : factCells(factRows(content), content.facts);
    return { name: `probes-${page}`, rows, header: record?.header ?? null, summary, comparison, facts: content.facts };
  }

  private async exportTable(format: ProbesTable): Promise<void> {
    const { name, rows } = await this.exported();
    const text = format === 'md' ? markdownTable(rows) : latexTable(rows);
    await saveAs({ name, format, filter: format === 'md' ? 'Markdown' : 'LaTeX', content: Buffer.from(text) });
  }

  private command(id: string, ...parameters: unknown[]): void {
    void vscode.commands.executeCommand(id, ...parameters);
  }
}

const keptEntry = (kept: KeptRun): Entry => ({
  ...{ id: kept.id, live: null, kept, content: null, record: null, places: [], summary: null },
});

function shownRun({ id, live, kept }: Entry): ShownRun {
  if (live === null) return { changes: [], ...(kept as KeptRun), repeatable: false };
  const { job, model, startedAt, state, facts, total } = live;
  return {
    ...{ id, title: job.title, model: model.id, startedAt, state, facts: facts.length, total },
    ...{ p1: kept?.p1 ?? null, repeatable: true, changes: [...live.changes] },
  };
}

const nameOf = (entry: Entry): string => {
  const { title, model, changes } = shownRun(entry);
  return `${title} · ${modelName(model, changes)}`;
};

/** In words, what answers are ranked among. */
function rankingOf({ header }: Run): string {
  const rankings = new Set(header.relations.map(({ ranking }) => ranking));
  return rankings.has('candidates') ? (rankings.size > 1 ? 'vocabulary or candidates' : 'candidates') : 'vocabulary';
}
