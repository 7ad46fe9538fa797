/**
 * The models that can be chosen: the bundled ones and the folders that the settings name. Knows their state, never their
 * content; what a model is, the engine says.
 */
import { homedir } from 'node:os';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import * as vscode from 'vscode';
import { compareModelId, modelFolders, selectedModelId, update } from '../commands/settings';
import type { ModelInfo, ModelRef } from '../protocol/engine';
import { LensError, type ErrorData, type LensErrorCode } from '../protocol/errors';
import type { ModelSummary } from '../protocol/view';
import { readCatalog } from './catalog';

export interface LibraryModel {
  ref: ModelRef;
  bundled: boolean;
  state: ModelSummary['state'];
  /** Known once it was inspected or loaded. */
  info?: ModelInfo;
  /** Why it failed. */
  error?: ErrorData;
}

/** Errors that belong to the model's files and not to one request. */
const MODEL_ERRORS: readonly LensErrorCode[] = [
  'model-not-found',
  'model-invalid',
  'model-unsupported',
  'external-data',
  'tokenizer',
  'memory',
];

/** A folder's name, made different from the names that are taken. */
export function uniqueId(folder: string, taken: ReadonlySet<string>): string {
  const name = basename(folder);
  if (!taken.has(name)) return name;
  const longer = `${basename(dirname(folder))}/${name}`;
  let id = longer;
  for (let count = 2; taken.has(id); count += 1) id = `${longer} (${count})`;
  return id;
}

export class ModelLibrary implements vscode.Disposable {
  private entries = new Map<string, LibraryModel>();
  private readonly changed = new vscode.EventEmitter<void>();
  readonly onDidChange = this.changed.event;
  private readonly subscription: vscode.Disposable;

  constructor(private readonly bundledRoot: string) {
    this.refresh();
    this.subscription = vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration('onnxLens.modelFolders')) this.refresh();
      if (event.affectsConfiguration('onnxLens.model') || event.affectsConfiguration('onnxLens.compareModel'))
        this.changed.fire();
    });
  }

  get models(): readonly LibraryModel[] {
    return [...this.entries.values()];
  }

  get(id: string): LibraryModel | undefined {
    return this.entries.get(id);
  }

  /** The model that the setting names; without a setting the first. */
  get selected(): LibraryModel | undefined {
    const id = selectedModelId();
    return id === '' ? this.models[0] : this.entries.get(id);
  }

  /** Throws `model-not-found`. */
  require(id?: string): LibraryModel {
    const model = id === undefined ? this.selected : this.entries.get(id);
    if (model !== undefined) return model;
    const name = id ?? selectedModelId();
    throw new LensError(
      'model-not-found',
      name === '' ? 'There is no model yet.' : `The model “${name}” is not in the library.`,
      'Select another model or add its folder.',
    );
  }

  /** The model to compare with: the chosen one, else the first of the other kind. */
  comparison(): LibraryModel | undefined {
    const chosen = this.entries.get(compareModelId());
    if (chosen !== undefined && chosen !== this.selected) return chosen;
    const kind = this.selected?.info?.kind;
    return this.models.find((model) => isOtherKind(kind, model.info?.kind));
  }

  summary(model: LibraryModel): ModelSummary {
    return { id: model.ref.id, kind: model.info?.kind ?? 'unknown', state: model.state };
  }

  async select(id: string): Promise<void> {
    this.require(id);
    await update('model', id);
    this.changed.fire();
  }

  /** The id under which the folder stands in the library from now on. */
  async add(folder: string): Promise<string> {
    const known = this.models.find((model) => model.ref.folder === folder);
    if (known !== undefined) return known.ref.id;
    await update('modelFolders', [...modelFolders(), folder]);
    this.refresh();
    const added = this.models.find((model) => model.ref.folder === folder);
    if (added === undefined)
      throw new LensError('internal', `The folder ${folder} could not be added to the settings.`);
    return added.ref.id;
  }

  async remove(id: string): Promise<void> {
    const { ref, bundled } = this.require(id);
    if (bundled) throw new LensError('bad-input', `“${id}” comes with the extension and cannot be removed.`);
    await update(
      'modelFolders',
      modelFolders().filter((folder) => expand(folder) !== ref.folder),
    );
    if (selectedModelId() === id) await update('model', undefined);
    if (compareModelId() === id) await update('compareModel', undefined);
    this.refresh();
  }

  setInfo(id: string, info: ModelInfo): void {
    const model = this.entries.get(id);
    if (model === undefined) return;
    model.info = info;
    if (model.state === 'failed') model.state = 'not-loaded';
    delete model.error;
    this.changed.fire();
  }

  setState(id: string, state: LibraryModel['state']): void {
    const model = this.entries.get(id);
    if (model === undefined || model.state === state) return;
    model.state = state;
    delete model.error;
    this.changed.fire();
  }

  /** Keeps why the model failed, if it is the model's fault; `last`: no other request waits for it to load. */
  setFailure(id: string, error: LensError, last: boolean): void {
    const model = this.entries.get(id);
    if (model === undefined) return;
    if (MODEL_ERRORS.includes(error.code)) {
      model.state = 'failed';
      model.error = error.toData();
    } else if (model.state === 'loading' && last) model.state = 'not-loaded';
    this.changed.fire();
  }

  /** The engine process ended, and all models with it. */
  allUnloaded(): void {
    for (const model of this.entries.values()) if (model.state !== 'failed') model.state = 'not-loaded';
    this.changed.fire();
  }

  dispose(): void {
    this.subscription.dispose();
    this.changed.dispose();
  }

  private refresh(): void {
    const before = [...this.entries.values()];
    this.entries = new Map();
    const put = (folder: string, bundledId?: string): void => {
      if (this.models.some((model) => model.ref.folder === folder)) return;
      const known = before.find((model) => model.ref.folder === folder);
      const id = bundledId ?? uniqueId(folder, new Set(this.entries.keys()));
      const bundled = bundledId !== undefined;
      this.entries.set(id, known?.ref.id === id ? known : { ref: { id, folder }, bundled, state: 'not-loaded' });
    };
    for (const { id, folder } of readCatalog(this.bundledRoot)) put(folder, id);
    for (const folder of modelFolders().map(expand)) if (isAbsolute(folder)) put(folder);
    this.changed.fire();
  }
}

/** `~` is the person's home folder; trailing separators do not matter. */
function expand(folder: string): string {
  const path = folder === '~' || folder.startsWith('~/') ? join(homedir(), folder.slice(1)) : folder;
  return isAbsolute(path) ? resolve(path) : path;
}

function isOtherKind(kind: ModelInfo['kind'] | undefined, other: ModelInfo['kind'] | undefined): boolean {
  return (kind === 'masked' && other === 'causal') || (kind === 'causal' && other === 'masked');
}
