/** The engine for the rest of the extension: started with the first request, its news kept in the model library. */
import * as vscode from 'vscode';
import type { EngineClient, EngineEvent, LogLevel, RequestOptions } from '../client/engineClient';
import { engineSettings } from '../commands/settings';
import type { EngineMethod, EngineParams, EngineResult, ModelAnatomy, ModelInfo, ModelRef } from '../protocol/engine';
import { LensError } from '../protocol/errors';
import type { ModelFingerprint } from '../protocol/probes';
import type { ModelLibrary } from './library';

/** They read the model's files, and load no weights. */
const READS_FILES: readonly EngineMethod[] = [
  'inspect',
  'anatomy',
  'tokens',
  'probeAnswers',
  'fingerprint',
  'tunedLens',
  'indexState',
];

export interface EngineServiceOptions {
  enginePath: string;
  library: ModelLibrary;
  log(level: LogLevel, message: string): void;
  /** Crashes that no request reports. */
  onCrash(error: LensError): void;
}

export class EngineService implements vscode.Disposable {
  private client: Promise<EngineClient> | undefined;
  private started: EngineClient | undefined;
  /** Requests without an answer, by model. */
  private readonly waiting = new Map<string, number>();
  private readonly fingerprints = new Map<string, Promise<ModelFingerprint>>();
  private readonly subscription: vscode.Disposable;

  constructor(private readonly options: EngineServiceOptions) {
    const { library } = options;
    this.subscription = vscode.Disposable.from(
      vscode.workspace.onDidChangeConfiguration((event) => {
        if (event.affectsConfiguration('onnxLens.engine')) this.started?.configure(engineSettings());
      }),
      // The files may be others when they are read again.
      library.onDidChange(() => {
        for (const { ref, state } of library.models) if (state !== 'ready') this.fingerprints.delete(ref.folder);
      }),
    );
  }

  get pid(): number | undefined {
    return this.started?.pid;
  }

  get running(): boolean {
    return this.started?.running === true;
  }

  async request<M extends EngineMethod>(
    method: M,
    params: EngineParams<M>,
    options?: RequestOptions,
  ): Promise<EngineResult<M>> {
    const client = await this.open();
    const model = modelOf(params);
    if (model === undefined || method === 'unload') return client.request(method, params, options);
    const { library } = this.options;
    const before = library.get(model.id)?.state ?? 'not-loaded';
    const loads = !READS_FILES.includes(method);
    if (before !== 'ready' && loads) library.setState(model.id, 'loading');
    this.waiting.set(model.id, (this.waiting.get(model.id) ?? 0) + 1);
    try {
      const result = await client.request(method, params, options);
      if (method === 'load' || method === 'inspect') library.setInfo(model.id, result as ModelInfo);
      if (method === 'anatomy') library.setInfo(model.id, (result as ModelAnatomy).info);
      if (loads) library.setState(model.id, 'ready');
      return result;
    } catch (thrown) {
      // A cancelled request leaves the model loading if others wait for it.
      library.setFailure(model.id, LensError.from(thrown), this.waiting.get(model.id) === 1);
      throw thrown;
    } finally {
      const others = (this.waiting.get(model.id) ?? 1) - 1;
      if (others > 0) this.waiting.set(model.id, others);
      else this.waiting.delete(model.id);
    }
  }

  /** What tells this model's files from others; of a loaded model they are read once. */
  fingerprint(model: ModelRef): Promise<ModelFingerprint> {
    const known = this.fingerprints.get(model.folder);
    if (known !== undefined) return known;
    const asked = this.request('fingerprint', { model });
    this.fingerprints.set(model.folder, asked);
    asked.catch(() => this.fingerprints.delete(model.folder));
    return asked;
  }

  /** What the model is; asks the engine once. */
  async info(model: ModelRef, options?: RequestOptions): Promise<ModelInfo> {
    return this.options.library.get(model.id)?.info ?? (await this.request('inspect', { model }, options));
  }

  async restart(): Promise<void> {
    (await this.open()).restart();
  }

  async dispose(): Promise<void> {
    this.subscription.dispose();
    await (await this.client)?.dispose();
  }

  private open(): Promise<EngineClient> {
    this.client ??= this.create();
    return this.client;
  }

  private async create(): Promise<EngineClient> {
    const { EngineClient } = await import('../client/engineClient');
    const { enginePath, log } = this.options;
    this.started = new EngineClient({
      enginePath,
      settings: engineSettings(),
      log,
      onEvent: (event) => this.onEvent(event),
    });
    return this.started;
  }

  private onEvent(event: EngineEvent): void {
    const { library } = this.options;
    switch (event.name) {
      case 'loaded':
        if (event.model !== undefined) library.setState(event.model, 'ready');
        return;
      case 'unloaded':
        if (event.model !== undefined) library.setState(event.model, 'not-loaded');
        return;
      case 'crashed':
        library.allUnloaded();
        // A request under way is sent again, and says so itself if it fails for good.
        if (event.error !== undefined && this.waiting.size === 0) this.options.onCrash(LensError.fromData(event.error));
        return;
      case 'restarted':
      case 'stopped':
        library.allUnloaded();
        return;
    }
  }
}

function modelOf(params: unknown): ModelRef | undefined {
  if (typeof params !== 'object' || params === null || !('model' in params)) return undefined;
  return params.model as ModelRef;
}
