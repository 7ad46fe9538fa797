/**
 * The workspace's names of memories: read from their file, watched, and changed by one line at a time, always of the file as it stands on
 * the disk, so that what others wrote there meanwhile stays.
 */
import { mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import * as vscode from 'vscode';
import { formatNames, namesOf, parseNames, withName, type NamedMemory, type NamesFile } from '../files/memoryNames';
import { replaceFile, storageError } from '../files/replaceFile';
import type { EngineService } from '../models/engineService';
import type { ModelRef } from '../protocol/engine';
import { LensError, type ErrorData } from '../protocol/errors';
import type { NeuronRef } from '../protocol/interventions';
import type { NamesState } from '../protocol/memoriesView';

export const NAMES_FILE = '.vscode/onnx-lens-memories.tsv';

export class MemoryNames implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<void>();
  readonly onDidChange = this.changed.event;
  private file: NamesFile | null = null;
  private failure: ErrorData | null = null;
  private readonly fingerprints = new Map<string, string>();
  private reading: Promise<void> | null = null;
  /** Reading and writing go one after the other, so that what is known is what was there last. */
  private turn: Promise<unknown> = Promise.resolve();
  private readonly subscriptions: vscode.Disposable[] = [];

  constructor(private readonly engine: EngineService) {
    this.watch();
    this.subscriptions.push(
      vscode.workspace.onDidChangeWorkspaceFolders(() => {
        this.watch();
        this.readAgain();
      }),
    );
  }

  private watcher: vscode.Disposable | null = null;

  /** What is known for a model; `read` finds out. */
  stateOf(model: ModelRef | undefined): NamesState {
    const { file, failure } = this;
    const fingerprint = model === undefined ? undefined : this.fingerprints.get(model.folder);
    const { names, notes } =
      file === null || fingerprint === undefined ? { names: [], notes: [] } : namesOf(file, fingerprint);
    return {
      ...{ names, notes },
      others: file === null ? 0 : file.entries.filter((each) => each.fingerprint !== fingerprint).length,
      file: this.path === null ? null : NAMES_FILE,
      error: failure,
    };
  }

  /** Reads the file, if there is one, and finds out which of its names are this model's. */
  async read(model: ModelRef | undefined): Promise<void> {
    this.reading ??= this.inTurn(() => this.load());
    await this.reading;
    if (model !== undefined && (this.file?.entries.length ?? 0) > 0) await this.fingerprintOf(model);
  }

  /** An empty name takes it away. Throws `bad-input` where the file cannot be read, `storage` where it cannot be written. */
  async name(model: ModelRef, memory: NeuronRef, name: string, tags: string[]): Promise<void> {
    await this.inTurn(() => this.write(model, memory, name, tags));
  }

  /** Throws `bad-input` where no folder is open, or no name was given yet. */
  async open(): Promise<void> {
    const path = this.requirePath();
    if ((await textOf(path)) === null)
      throw new LensError('bad-input', 'No memory has a name yet.', 'Name one, and its file is made.');
    const document = await vscode.workspace.openTextDocument(vscode.Uri.file(path));
    const line = Number(/, line (\d+):/u.exec(this.failure?.message ?? '')?.[1] ?? 1) - 1;
    const at = new vscode.Position(line, 0);
    await vscode.window.showTextDocument(document, { selection: new vscode.Range(at, at) });
  }

  dispose(): void {
    this.watcher?.dispose();
    for (const subscription of this.subscriptions) subscription.dispose();
    this.changed.dispose();
  }

  private get path(): string | null {
    const folder = vscode.workspace.workspaceFolders?.find(({ uri }) => uri.scheme === 'file');
    return folder === undefined ? null : vscode.Uri.joinPath(folder.uri, NAMES_FILE).fsPath;
  }

  private requirePath(): string {
    const { path } = this;
    if (path !== null) return path;
    throw new LensError(
      'bad-input',
      'Names of memories are kept in the workspace, and no folder is open.',
      'Open a folder first.',
    );
  }

  private watch(): void {
    this.watcher?.dispose();
    this.watcher = null;
    const folder = vscode.workspace.workspaceFolders?.find(({ uri }) => uri.scheme === 'file');
    if (folder === undefined) return;
    const watcher = vscode.workspace.createFileSystemWatcher(new vscode.RelativePattern(folder, NAMES_FILE));
    const again = (): void => this.readAgain();
    const events = [watcher.onDidChange(again), watcher.onDidCreate(again), watcher.onDidDelete(again)];
    this.watcher = vscode.Disposable.from(watcher, ...events);
  }

  private readAgain(): void {
    this.reading = this.inTurn(() => this.load());
  }

  private inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.turn.then(work);
    this.turn = done.catch(() => undefined);
    return done;
  }

  private async load(): Promise<void> {
    const { path } = this;
    try {
      const text = path === null ? null : await textOf(path);
      this.file = text === null ? null : parseNames(text, NAMES_FILE);
      this.failure = null;
    } catch (thrown) {
      this.file = null;
      this.failure = LensError.from(thrown).toData();
    }
    this.changed.fire();
  }

  private async write(model: ModelRef, memory: NeuronRef, name: string, tags: string[]): Promise<void> {
    const path = this.requirePath();
    const open = vscode.workspace.textDocuments.find(({ uri }) => uri.scheme === 'file' && uri.fsPath === path);
    if (open?.isDirty === true)
      throw new LensError(
        'bad-input',
        `${NAMES_FILE} has changes that are not saved.`,
        'Save it, then name the memory.',
      );
    const fingerprint = await this.fingerprintOf(model);
    const text = await textOf(path);
    const before = parseNames(text ?? '', NAMES_FILE);
    const entry: NamedMemory = { ...memory, name, tags, model: model.id, fingerprint };
    this.file = withName(before, entry);
    await mkdir(dirname(path), { recursive: true }).catch((cause: unknown) => {
      throw storageError(NAMES_FILE, cause);
    });
    await replaceFile(path, Buffer.from(formatNames(this.file)));
    this.failure = null;
    this.changed.fire();
  }

  private async fingerprintOf(model: ModelRef): Promise<string> {
    const { sha256 } = await this.engine.fingerprint(model);
    if (this.fingerprints.get(model.folder) !== sha256) {
      this.fingerprints.set(model.folder, sha256);
      this.changed.fire();
    }
    return sha256;
  }
}

/** Null: there is no such file. Throws `storage`. */
async function textOf(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new LensError('storage', `${NAMES_FILE} could not be read: ${String(cause)}`, 'Look at its permissions.', {
      cause,
    });
  }
}
