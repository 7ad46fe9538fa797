/**
 * The engine process as its owner sees it: requests with progress, cancel, supersede, and a process that comes back after a
 * crash. Plain Node, no VS Code in here, so that the tests and the benchmarks drive the same code as the extension.
 *
 * The runtime cannot be interrupted during a run, so a request that is cancelled in the middle of one ends by killing the
 * process. Requests are pure functions of their parameters; those that were under way for others are simply sent again.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import type { Duplex } from 'node:stream';
import type {
  EngineMessage,
  EngineMethod,
  EngineParams,
  EngineResult,
  EngineSettings,
  Progress,
} from '../protocol/engine';
import { LensError, type ErrorData } from '../protocol/errors';
import { encodeFrame, FrameDecoder } from '../protocol/frames';

export interface EngineEvent {
  name: 'loaded' | 'unloaded' | 'crashed' | 'restarted' | 'stopped';
  model?: string;
  error?: ErrorData;
}

export type LogLevel = 'trace' | 'info' | 'warn' | 'error';

export interface EngineClientOptions {
  /** The bundled engine, an absolute path. */
  enginePath: string;
  /** Node or Electron; default: the program that runs this code. */
  execPath?: string;
  settings: EngineSettings;
  log(level: LogLevel, message: string): void;
  onEvent?(event: EngineEvent): void;
}

export interface RequestOptions {
  signal?: AbortSignal;
  progress?(progress: Progress): void;
  /** A newer request with the same key cancels this one, which then fails with `superseded`. */
  supersedes?: string;
}

interface Pending {
  id: number;
  method: EngineMethod;
  params: unknown;
  resolve(result: unknown): void;
  reject(error: LensError): void;
  progress: ((progress: Progress) => void) | undefined;
  supersedes: string | undefined;
  /** How many processes died while this request was under way. */
  deaths: number;
}

/** A cancelled request gets this long to notice by itself, between two runs … */
const CANCEL_GRACE_MS = 400;
/** … and this long when a kill would throw away somebody else's work. */
const CANCEL_GRACE_SHARED_MS = 5_000;
/** They save what was done before they end, to be gone on with: large files, on disks that may be slow. */
const SAVING: readonly EngineMethod[] = ['tuneLens'];
const CANCEL_GRACE_SAVING_MS = 30_000;
/** Before the n-th restart in a row without any answer in between. */
const RESTART_DELAYS_MS = [0, 250, 1_000, 4_000];
/** A request that saw this many processes die is the likely cause, and fails. */
const MAX_DEATHS = 2;
/** After giving up, one new attempt is allowed after this time. */
const GIVE_UP_MS = 30_000;
const DISPOSE_GRACE_MS = 1_000;

/**
 * For glibc (others do not read it): memory of one run is kept for the next. A trace of 512 tokens has 150 MB of patterns, which would
 * be given back and taken anew, page by page, in each run.
 */
const KEEP_MEMORY = { MALLOC_MMAP_THRESHOLD_: String(32 * 2 ** 20), MALLOC_TRIM_THRESHOLD_: String(256 * 2 ** 20) };

export class EngineClient {
  private process: ChildProcess | null = null;
  private nextId = 1;
  private readonly pending = new Map<number, Pending>();
  /** Cancelled for its caller, not yet answered by the engine. */
  private readonly cancelling = new Map<number, NodeJS.Timeout>();
  private crashesInARow = 0;
  private gaveUpAt = 0;
  private restartTimer: NodeJS.Timeout | null = null;
  private disposed = false;
  private settings: EngineSettings;

  constructor(private readonly options: EngineClientOptions) {
    this.settings = options.settings;
  }

  get running(): boolean {
    return this.process !== null;
  }

  get pid(): number | undefined {
    return this.process?.pid;
  }

  /** Number of requests without an answer. */
  get busy(): number {
    return this.pending.size;
  }

  /** Fails with a `LensError`; the engine's own, or `cancelled`, `superseded`, `engine-crashed`, `engine-unavailable`. */
  request<M extends EngineMethod>(
    method: M,
    params: EngineParams<M>,
    options: RequestOptions = {},
  ): Promise<EngineResult<M>> {
    const { signal, supersedes } = options;
    if (this.disposed) return Promise.reject(new LensError('engine-unavailable', 'The engine was shut down.'));
    if (signal?.aborted) return Promise.reject(new LensError('cancelled', 'Cancelled.'));
    if (this.crashesInARow > RESTART_DELAYS_MS.length) {
      if (Date.now() - this.gaveUpAt < GIVE_UP_MS) return Promise.reject(unavailable());
      this.crashesInARow = RESTART_DELAYS_MS.length;
    }
    if (supersedes !== undefined) this.supersede(supersedes);
    const id = this.nextId++;
    return new Promise<EngineResult<M>>((resolve, reject) => {
      const onAbort = (): void => {
        this.cancel(id, new LensError('cancelled', 'Cancelled.'));
      };
      const done = (): void => signal?.removeEventListener('abort', onAbort);
      this.pending.set(id, {
        id,
        method,
        params,
        resolve: (result) => {
          done();
          resolve(result as EngineResult<M>);
        },
        reject: (error) => {
          done();
          reject(error);
        },
        progress: options.progress,
        supersedes,
        deaths: 0,
      });
      signal?.addEventListener('abort', onAbort);
      if (this.process !== null) this.send({ type: 'request', id, method, params });
      else if (this.restartTimer === null) this.start();
      // else: sent with the others when the new process is there
    });
  }

  /** New settings for this process and all later ones. */
  configure(settings: Partial<EngineSettings>): void {
    this.settings = { ...this.settings, ...settings };
    if (this.process !== null) this.sendSettings();
  }

  /** Kills the process; what is under way is sent again to a new one. Also ends a period of giving up. */
  restart(): void {
    this.crashesInARow = 0;
    if (this.process === null) return;
    this.replaceProcess();
  }

  async dispose(): Promise<void> {
    this.disposed = true;
    if (this.restartTimer !== null) clearTimeout(this.restartTimer);
    for (const timer of this.cancelling.values()) clearTimeout(timer);
    this.cancelling.clear();
    this.rejectAll(() => new LensError('engine-unavailable', 'The engine was shut down.'));
    const child = this.process;
    this.process = null;
    if (child?.exitCode !== null || child.signalCode !== null) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => child.kill('SIGKILL'), DISPOSE_GRACE_MS);
      child.once('exit', () => {
        clearTimeout(timer);
        resolve();
      });
      channelOf(child).end();
      channelOf(child).destroy();
    });
    this.options.onEvent?.({ name: 'stopped' });
  }

  private supersede(key: string): void {
    for (const request of this.pending.values())
      if (request.supersedes === key)
        this.cancel(request.id, new LensError('superseded', 'A newer request took its place.'));
  }

  private cancel(id: number, error: LensError): void {
    const request = this.pending.get(id);
    if (request === undefined) return;
    this.pending.delete(id);
    request.reject(error);
    if (this.process === null) return; // not sent yet
    this.send({ type: 'cancel', id });
    const cancelledAt = Date.now();
    const killUnlessAnswered = (): void => {
      const waited = Date.now() - cancelledAt;
      const saving = SAVING.includes(request.method);
      const grace = saving ? CANCEL_GRACE_SAVING_MS : this.pending.size > 0 ? CANCEL_GRACE_SHARED_MS : 0;
      if (waited < grace) {
        this.cancelling.set(id, setTimeout(killUnlessAnswered, CANCEL_GRACE_MS));
        return;
      }
      this.options.log(
        'info',
        `[client] request ${id} did not stop within ${waited} ms; the engine process is replaced`,
      );
      this.replaceProcess();
    };
    this.cancelling.set(id, setTimeout(killUnlessAnswered, CANCEL_GRACE_MS));
  }

  private start(): void {
    this.restartTimer = null;
    const child = spawn(this.options.execPath ?? process.execPath, [this.options.enginePath], {
      // 'overlapped' is 'pipe' with what Windows needs for a two-way channel.
      stdio: ['ignore', 'pipe', 'pipe', 'overlapped'],
      env: { ...KEEP_MEMORY, ...process.env, ELECTRON_RUN_AS_NODE: '1', ELECTRON_NO_ASAR: '1', NODE_OPTIONS: '' },
      windowsHide: true,
    });
    this.process = child;
    const decoder = new FrameDecoder((message) => {
      if (this.process === child) this.receive(message as EngineMessage);
    });
    const channel = channelOf(child);
    channel.on('data', (chunk: Uint8Array) => {
      try {
        decoder.push(chunk);
      } catch (thrown) {
        this.options.log('error', `[client] ${LensError.from(thrown).message}`);
        child.kill('SIGKILL');
      }
    });
    channel.on('error', () => undefined); // the exit says it
    for (const [stream, level] of [
      [child.stdout, 'info'],
      [child.stderr, 'warn'],
    ] as const)
      stream?.on('data', (chunk: Buffer) => {
        this.options.log(level, `[engine] ${chunk.toString('utf8').trimEnd()}`);
      });
    child.once('error', (error) => {
      this.ended(child, `it could not be started: ${error.message}`);
    });
    child.once('exit', (code, signal) => {
      this.ended(child, signal === null ? `exit code ${code}` : `signal ${signal}`);
    });
    this.sendSettings();
    for (const request of this.pending.values())
      this.send({ type: 'request', id: request.id, method: request.method, params: request.params });
  }

  private sendSettings(): void {
    // Id 0 belongs to nobody: its answer is dropped.
    this.send({ type: 'request', id: 0, method: 'configure', params: this.settings });
  }

  private send(message: EngineMessage): void {
    if (this.process === null) return;
    const channel = channelOf(this.process);
    if (channel.destroyed) return;
    channel.cork();
    for (const chunk of encodeFrame(message)) channel.write(chunk);
    channel.uncork();
  }

  private receive(message: EngineMessage): void {
    switch (message.type) {
      case 'progress':
        this.pending.get(message.id)?.progress?.(message.progress);
        return;
      case 'result':
      case 'error': {
        // The settings (id 0) are answered by an engine that then dies of every request, too.
        if (message.id !== 0) this.crashesInARow = 0;
        const timer = this.cancelling.get(message.id);
        if (timer !== undefined) {
          clearTimeout(timer);
          this.cancelling.delete(message.id);
        }
        const request = this.pending.get(message.id);
        this.pending.delete(message.id);
        if (message.type === 'result') request?.resolve(message.result);
        else request?.reject(LensError.fromData(message.error));
        return;
      }
      case 'event':
        this.options.onEvent?.(message.event);
        return;
      case 'log':
        this.options.log(message.level, `[engine] ${message.message}`);
        return;
      case 'request':
      case 'cancel':
        return; // never sent by the engine
    }
  }

  /** We end the process on purpose: nobody's fault, nobody's request fails. */
  private replaceProcess(): void {
    const child = this.process;
    this.forgetProcess();
    child?.kill('SIGKILL');
    this.options.onEvent?.({ name: 'restarted' });
    if (this.pending.size > 0) this.start();
  }

  private forgetProcess(): void {
    this.process = null;
    for (const timer of this.cancelling.values()) clearTimeout(timer);
    this.cancelling.clear();
  }

  private ended(child: ChildProcess, how: string): void {
    if (this.process !== child) return; // replaced, disposed, or said already
    this.forgetProcess();
    this.crashesInARow += 1;
    this.gaveUpAt = Date.now();
    const error = new LensError(
      'engine-crashed',
      `The engine process ended unexpectedly (${how}).`,
      'Try again; the log has the details. If it happens with one model only, its file may be damaged.',
    );
    this.options.log('error', `[client] ${error.message} ${this.pending.size} requests were under way.`);
    for (const request of [...this.pending.values()]) {
      request.deaths += 1;
      if (request.deaths < MAX_DEATHS) continue;
      this.pending.delete(request.id);
      request.reject(error);
    }
    this.options.onEvent?.({ name: 'crashed', error: error.toData() });
    const delay = RESTART_DELAYS_MS[this.crashesInARow - 1];
    if (delay === undefined) this.rejectAll(unavailable);
    else if (this.pending.size > 0) this.restartTimer = setTimeout(() => this.start(), delay);
  }

  private rejectAll(error: () => LensError): void {
    const requests = [...this.pending.values()];
    this.pending.clear();
    for (const request of requests) request.reject(error());
  }
}

function channelOf(child: ChildProcess): Duplex {
  return child.stdio[3] as Duplex;
}

function unavailable(): LensError {
  return new LensError(
    'engine-unavailable',
    'The engine process crashed several times in a row and is not started again for now.',
    'See the log, then run “ONNX Lens: Restart Engine”.',
  );
}
