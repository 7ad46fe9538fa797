/**
 * Indexes of vectors: which files they are of (those of the workspace, or of a folder that the person chose), where they lie, and that
 * they go with their model. Files that change are noticed, and told once they have been quiet for a moment.
 */
import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as vscode from 'vscode';
import { deleteIndexes, storedIndexes } from '../files/vectorIndexes';
import type { ModelLibrary } from '../models/library';
import type { IndexSource, StoredIndex } from '../protocol/embeddings';
import { filesIn, inNameOrder, TEXTS, workspaceFiles } from './corpusFiles';

const QUIET_MS = 1_000;
const FOLDER_NAME = 16;

/** Where indexes are kept, on this machine. */
export interface IndexRoots {
  /** Of this workspace. */
  workspace: string;
  /** Of folders, whatever workspace they are looked at from; each has a folder of its own in it. */
  folders: string;
}

export class IndexStore implements vscode.Disposable {
  /** Null: the workspace. */
  private chosen: vscode.Uri | null = null;
  private files: Promise<IndexSource[]> | null = null;
  private listed: StoredIndex[] = [];
  private changes = 0;
  /** Folders of the models whose indexes were looked through last. */
  private models = '';
  private watcher: vscode.Disposable | null = null;
  private timer: NodeJS.Timeout | null = null;
  private readonly subscriptions: vscode.Disposable[];

  constructor(
    private readonly roots: IndexRoots,
    private readonly library: ModelLibrary,
    private readonly onChange: () => void,
  ) {
    this.subscriptions = [
      library.onDidChange(() => void this.removeOrphans()),
      vscode.workspace.onDidChangeWorkspaceFolders(() => this.noticed()),
    ];
  }

  /** Its name for the person; null: the workspace. */
  get folder(): string | null {
    return this.chosen === null ? null : vscode.workspace.asRelativePath(this.chosen);
  }

  /** Where the indexes of these files lie. */
  get root(): string {
    if (this.chosen === null) return this.roots.workspace;
    const name = createHash('sha256').update(this.chosen.fsPath).digest('hex').slice(0, FOLDER_NAME);
    return join(this.roots.folders, name);
  }

  /** Another number whenever the files are others. */
  get revision(): number {
    return this.changes;
  }

  /** As they were listed last. */
  get stored(): readonly StoredIndex[] {
    return this.listed;
  }

  /** Null: the workspace. */
  choose(folder: vscode.Uri | null): void {
    this.chosen = folder;
    this.watcher?.dispose();
    this.watcher = null;
    this.changed();
  }

  /** Texts, in the order of their names; may be none. */
  async sources(): Promise<IndexSource[]> {
    this.watch();
    this.files ??= (this.chosen === null ? workspaceFiles(TEXTS) : filesIn(this.chosen, TEXTS)).then(inNameOrder);
    return this.files;
  }

  /** Looks what there is on disk. */
  async list(): Promise<void> {
    this.listed = await storedIndexes(this.root);
    this.onChange();
  }

  /** Throws `storage`. */
  async remove(indexes: readonly StoredIndex[]): Promise<void> {
    await deleteIndexes(indexes.map(({ folder }) => folder));
    await this.list();
  }

  /** An index goes with its model. */
  async removeOrphans(): Promise<void> {
    const known = new Set(this.library.models.map(({ ref }) => ref.folder));
    const models = JSON.stringify([...known]);
    if (models === this.models) return;
    this.models = models;
    const others = await readdir(this.roots.folders).catch(() => []);
    const roots = [this.roots.workspace, ...others.map((name) => join(this.roots.folders, name))];
    for (const root of roots) {
      const orphans = (await storedIndexes(root)).filter(({ model }) => !known.has(model.folder));
      if (orphans.length > 0) await this.remove(orphans);
    }
  }

  dispose(): void {
    this.watcher?.dispose();
    if (this.timer !== null) clearTimeout(this.timer);
    for (const subscription of this.subscriptions) subscription.dispose();
  }

  private watch(): void {
    if (this.watcher !== null) return;
    const pattern = this.chosen === null ? TEXTS.glob : new vscode.RelativePattern(this.chosen, TEXTS.glob);
    const watcher = vscode.workspace.createFileSystemWatcher(pattern);
    const noticed = (): void => this.noticed();
    watcher.onDidChange(noticed);
    watcher.onDidCreate(noticed);
    watcher.onDidDelete(noticed);
    this.watcher = watcher;
  }

  private noticed(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = setTimeout(() => this.changed(), QUIET_MS);
  }

  private changed(): void {
    this.timer = null;
    this.files = null;
    this.changes++;
    this.onChange();
  }
}
