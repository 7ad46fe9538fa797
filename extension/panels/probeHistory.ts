/**
 * Runs that were finished, in the workspace's storage: the file that `lens probe --out` would have written, and beside it what such a
 * file does not say (title, places of the facts). The oldest go when there are too many. Plain Node.
 */
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as otherWork } from 'node:timers/promises';
import { readRun, type Run } from '../cloze/runFile';
import type { FactPlace } from '../testing/probeRunner';
import { replaceFile, storageError } from '../files/replaceFile';
import type { Scale } from '../protocol/interventions';

export interface KeptRun {
  id: string;
  title: string;
  model: string;
  /** Absent: none. */
  changes?: Scale[];
  startedAt: number;
  state: 'finished' | 'cancelled' | 'failed';
  facts: number;
  total: number;
  p1: number | null;
}

interface Sidecar extends KeptRun {
  /** Of the facts, in the order of the run: indices into `files`, and lines. */
  files: string[];
  places: [file: number, line: number][];
}

/** Facts that are written as one piece: a turn of the host's event loop. */
const FACTS_A_PIECE = 100;
const ID = /^[0-9a-f-]{36}$/;

export class ProbeHistory {
  /** `folder`: null without a workspace, where nothing is kept. */
  constructor(private readonly folder: string | null) {}

  /** Newest first. What cannot be read is left out. */
  async list(): Promise<KeptRun[]> {
    const { folder } = this;
    if (folder === null) return [];
    const names = await readdir(folder).catch(() => []);
    const kept: KeptRun[] = [];
    for (const name of names) {
      const id = name.replace(/\.json$/, '');
      if (id === name || !ID.test(id)) continue;
      const { files: _, places: __, ...run } = (await this.sidecar(id)) ?? { files: [], places: [], id: '' };
      if (run.id === id) kept.push(run as KeptRun);
    }
    return kept.sort((a, b) => b.startedAt - a.startedAt);
  }

  /** Throws `bad-input` for a damaged file. */
  async load(id: string): Promise<{ run: Run; places: (FactPlace | null)[] }> {
    const run = await readRun(this.path(id, 'jsonl'));
    const { files = [], places = [] } = (await this.sidecar(id)) ?? {};
    return {
      run,
      places: run.facts.map((_, index) => {
        const [file, line] = places[index] ?? [];
        const name = files[file ?? -1];
        return name === undefined || line === undefined ? null : { file: name, line };
      }),
    };
  }

  /** Throws `storage`. The file without its sidecar is no run yet. */
  async keep(
    kept: KeptRun,
    { header, facts }: Run,
    places: readonly (FactPlace | null)[],
    most: number,
  ): Promise<void> {
    const { folder } = this;
    if (folder === null || most === 0) return;
    const path = this.path(kept.id, 'jsonl');
    try {
      await mkdir(folder, { recursive: true });
      const file = await open(`${path}.tmp`, 'w');
      try {
        await file.write(`${JSON.stringify(header)}\n`);
        for (let at = 0; at < facts.length; at += FACTS_A_PIECE) {
          const piece = facts.slice(at, at + FACTS_A_PIECE).map((fact) => `${JSON.stringify(fact)}\n`);
          await file.write(piece.join(''));
          await otherWork();
        }
      } finally {
        await file.close();
      }
      await rename(`${path}.tmp`, path);
    } catch (cause) {
      await rm(`${path}.tmp`, { force: true });
      throw storageError(path, cause);
    }
    const files = [...new Set(places.flatMap((place) => (place === null ? [] : [place.file])))];
    const indices = new Map(files.map((file, index) => [file, index]));
    const sidecar: Sidecar = {
      ...kept,
      files,
      places: places.map((place) => (place === null ? [-1, 0] : [indices.get(place.file) ?? -1, place.line])),
    };
    await replaceFile(this.path(kept.id, 'json'), Buffer.from(JSON.stringify(sidecar)));
    for (const { id } of (await this.list()).slice(most)) await this.remove(id);
  }

  async remove(id: string): Promise<void> {
    // The sidecar first: without it the rest is no run.
    for (const extension of ['json', 'jsonl'] as const) await rm(this.path(id, extension), { force: true });
  }

  private async sidecar(id: string): Promise<Sidecar | null> {
    try {
      return JSON.parse(await readFile(this.path(id, 'json'), 'utf8')) as Sidecar;
    } catch {
      return null;
    }
  }

  private path(id: string, extension: 'json' | 'jsonl'): string {
    return join(this.folder ?? '', `${id}.${extension}`);
  }
}
