/** Models that are loaded: each once, kept while used and some time after. */
import type { EngineSettings, ModelRef, Progress } from '../protocol/engine';
import { openModel, type OrtModel } from './session/ortModel';

interface Entry {
  id: string;
  /** Files and settings; another key is another session. */
  key: string;
  model: Promise<OrtModel>;
  /** Requests that use it or wait for it to load. */
  users: number;
  /** No longer to be given out; released with its last user. */
  retired: boolean;
  idle: NodeJS.Timeout | null;
  /** Requests that wait for it, to be told how far it is. */
  listeners: Set<(progress: Progress) => void>;
}

const MINUTE = 60_000;

export class OpenModels {
  private readonly entries = new Map<string, Entry>();

  constructor(
    private settings: EngineSettings,
    private readonly onChange: (name: 'loaded' | 'unloaded', model: string) => void,
    private readonly openOne: typeof openModel = openModel,
  ) {}

  get loaded(): string[] {
    return [...this.entries.values()].map(({ id }) => id);
  }

  /** A model whose session would now be made otherwise is released, at once or with its last user. */
  configure(settings: EngineSettings): void {
    this.settings = settings;
    for (const entry of [...this.entries.values()]) {
      if (entry.key !== this.keyOf(JSON.parse(entry.key) as KeyParts)) void this.retire(entry);
      else this.restartIdleTimer(entry);
    }
  }

  /** Runs `work` with the model, loaded when it is not yet. Throws what `openModel` throws. */
  async use<T>(
    ref: ModelRef,
    onProgress: (progress: Progress) => void,
    work: (model: OrtModel) => Promise<T>,
    load: 'now' | 'later' = 'now',
  ): Promise<T> {
    const entry = this.entryOf(ref, load);
    entry.users++;
    if (entry.idle !== null) clearTimeout(entry.idle);
    entry.idle = null;
    entry.listeners.add(onProgress);
    try {
      const model = await entry.model;
      entry.listeners.delete(onProgress);
      return await work(model);
    } finally {
      entry.listeners.delete(onProgress);
      entry.users--;
      if (entry.retired) await this.releaseUnused(entry);
      else this.restartIdleTimer(entry);
    }
  }

  /** The model if it is loaded or being loaded; nothing is loaded for this. */
  find(ref: ModelRef): Promise<OrtModel> | undefined {
    return this.entries.get(this.keyOf(ref))?.model;
  }

  /** Every session of these files. */
  async unload(ref: ModelRef): Promise<void> {
    const same = [...this.entries.values()].filter(({ key }) => {
      const parts = JSON.parse(key) as KeyParts;
      return parts.folder === ref.folder && parts.file === ref.file;
    });
    await Promise.all(same.map((entry) => this.retire(entry)));
  }

  async dispose(): Promise<void> {
    await Promise.all([...this.entries.values()].map((entry) => this.retire(entry)));
  }

  private entryOf(ref: ModelRef, load: 'now' | 'later'): Entry {
    const key = this.keyOf(ref);
    const known = this.entries.get(key);
    if (known !== undefined) return known;
    const listeners: Entry['listeners'] = new Set();
    const entry: Entry = {
      id: ref.id,
      key,
      model: this.openOne(
        ref,
        this.settings,
        (progress) => {
          for (const listener of listeners) listener(progress);
        },
        load,
      ),
      users: 0,
      retired: false,
      idle: null,
      listeners,
    };
    this.entries.set(key, entry);
    entry.model.then(
      () => this.onChange('loaded', ref.id),
      // The next request tries again: the file may have been repaired.
      () => {
        if (this.entries.get(key) === entry) this.entries.delete(key);
        entry.retired = true;
      },
    );
    return entry;
  }

  private restartIdleTimer(entry: Entry): void {
    if (entry.idle !== null) clearTimeout(entry.idle);
    entry.idle = null;
    if (entry.users > 0 || entry.retired || this.settings.idleMinutes <= 0) return;
    entry.idle = setTimeout(() => void this.retire(entry), this.settings.idleMinutes * MINUTE);
    // An idle model is no reason for a process to stay.
    entry.idle.unref();
  }

  private async retire(entry: Entry): Promise<void> {
    if (entry.retired) return;
    entry.retired = true;
    if (entry.idle !== null) clearTimeout(entry.idle);
    this.entries.delete(entry.key);
    await this.releaseUnused(entry);
  }

  private async releaseUnused(entry: Entry): Promise<void> {
    if (entry.users > 0) return;
    const model = await entry.model.catch(() => null);
    if (model === null) return;
    await model.release();
    this.onChange('unloaded', entry.id);
  }

  private keyOf({ id, folder, file }: KeyParts): string {
    const { threads, executionProvider, quantised, lowMemory, maxModelMegabytes } = this.settings;
    const parts: KeyParts = { id, folder, ...(file === undefined ? {} : { file }) };
    return JSON.stringify({ ...parts, threads, executionProvider, quantised, lowMemory, maxModelMegabytes });
  }
}

type KeyParts = Pick<ModelRef, 'id' | 'folder' | 'file'>;
