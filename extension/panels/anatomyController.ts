/** The Anatomy view of one model without its HTML. */
import * as vscode from 'vscode';
import { COMMANDS } from '../commands/ids';
import type { EngineService } from '../models/engineService';
import type { ModelAnatomy, ModelRef } from '../protocol/engine';
import { LensError, type ErrorData } from '../protocol/errors';
import type { AnatomyMethods, AnatomyPlace, AnatomyState, ModelSummary } from '../protocol/view';
import { anatomyRows } from './export';
import { Latest } from './latest';
import { exportAs } from './save';
import type { Handlers } from './viewHost';

/** A model of the library, or a file that somebody opened. */
export interface AnatomySubject {
  /** For people, and the name of an export. */
  name: string;
  /** Throws `model-not-found` where it cannot be read from. */
  ref(): ModelRef;
  state(): ModelSummary['state'];
}

export class AnatomyController implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<void>();
  readonly onDidChange = this.changed.event;
  private readonly latest = new Latest<true>(() => this.changed.fire());
  private anatomy: ModelAnatomy | null = null;
  private error: ErrorData | null = null;
  private place: AnatomyPlace | null = null;

  constructor(
    private readonly engine: EngineService,
    private readonly subject: AnatomySubject,
  ) {}

  get state(): AnatomyState {
    const { latest, anatomy, error, subject, place } = this;
    const loading = latest.question !== null;
    return {
      status: loading ? 'loading' : error !== null ? 'error' : anatomy !== null ? 'ready' : 'empty',
      ...(loading ? { progress: { message: vscode.l10n.t('Reading the model…') } } : {}),
      ...(error === null || loading ? {} : { error }),
      model: { id: subject.name, kind: anatomy?.info.kind ?? 'unknown', state: subject.state() },
      anatomy,
      place,
    };
  }

  readonly handlers: Handlers<AnatomyMethods> = {
    ready: () => undefined,
    remember: (place) => {
      this.place = place;
    },
    copy: async ({ text }) => {
      await vscode.env.clipboard.writeText(text);
    },
    refresh: () => this.refresh(),
    cancel: () => this.latest.cancel(),
    selectModel: () => this.command(COMMANDS.showAnatomy),
    export: ({ format }) => this.export(format),
    showLog: () => this.command(COMMANDS.showLog),
    help: () => this.command('workbench.action.openWalkthrough', 'onnx-lens.onnx-lens#onnxLens.start', false),
  };

  /** Reads the model's files again. Resolves when the state shows the anatomy or the error. */
  async refresh(): Promise<void> {
    this.error = null;
    const outcome = await this.latest.start(true, async ({ signal }) =>
      this.engine.request('anatomy', { model: this.subject.ref() }, { signal }),
    );
    if (outcome !== null && 'error' in outcome) {
      this.error = outcome.error;
      this.anatomy = null;
    } else if (outcome !== null) this.anatomy = outcome.result;
    this.changed.fire();
  }

  dispose(): void {
    this.latest.cancel();
    this.changed.dispose();
  }

  private command(id: string, ...parameters: unknown[]): void {
    void vscode.commands.executeCommand(id, ...parameters);
  }

  private async export(format: 'json' | 'csv' | 'clipboard'): Promise<void> {
    if (this.anatomy === null) throw new LensError('bad-input', 'There is no anatomy yet to export.');
    const { parts } = this.anatomy;
    const name = `${this.subject.name.replace(/[\\/:*?"<>|]+/g, '-')}-anatomy`;
    await exportAs(format, { name, json: this.anatomy, rows: anatomyRows(parts) });
  }
}
