/** What is known of indexes of vectors without opening them: which there are in a folder, how large, and of what. Plain Node. */
import { readFileSync, statSync } from 'node:fs';
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { IndexPool, StoredIndex, VectorLayer } from '../protocol/embeddings';
import { storageError } from './replaceFile';

/** Of what the files hold and how: another one is made anew. */
export const INDEX_VERSION = 2;
export const ABOUT = 'about.json';
const FORMAT = 'onnx-lens vectors';
const LARGEST_ABOUT = 2 ** 16;

/** Stands in the folder of each index. */
export interface IndexAbout {
  format: typeof FORMAT;
  version: number;
  /** Of the model's files. */
  fingerprint: string;
  model: { id: string; folder: string };
  layer: VectorLayer;
  pool: IndexPool;
  /** It was brought to its end once; since then only what changes is read. */
  finished: boolean;
}

export const aboutIndex = (what: Omit<IndexAbout, 'format' | 'version'>): IndexAbout => ({
  format: FORMAT,
  version: INDEX_VERSION,
  ...what,
});

/** Null when the folder is no index. */
export function readAbout(folder: string): IndexAbout | null {
  const file = join(folder, ABOUT);
  try {
    const stats = statSync(file);
    if (!stats.isFile() || stats.size > LARGEST_ABOUT) return null;
    const about = JSON.parse(readFileSync(file, 'utf8')) as IndexAbout | { format: unknown };
    return about.format === FORMAT ? (about as IndexAbout) : null;
  } catch {
    return null;
  }
}

/** All indexes that lie in this folder, whatever their version. A folder that is not there has none. */
export async function storedIndexes(root: string): Promise<StoredIndex[]> {
  const names = await readdir(root).catch(() => []);
  const found: StoredIndex[] = [];
  for (const name of names.sort()) {
    const folder = join(root, name);
    const about = readAbout(folder);
    if (about === null) continue;
    let bytes = 0;
    for (const file of await readdir(folder).catch(() => []))
      bytes += (await stat(join(folder, file)).catch(() => null))?.size ?? 0;
    const { model, layer, pool, finished, version, fingerprint } = about;
    found.push({ folder, model, layer, pool, bytes, fingerprint, finished: finished && version === INDEX_VERSION });
  }
  return found;
}

/** Takes out indexes, and nothing else: what has no description of one stays. Throws `storage`. */
export async function deleteIndexes(folders: readonly string[]): Promise<void> {
  for (const folder of folders) {
    if (readAbout(folder) === null) continue;
    try {
      await rm(folder, { recursive: true, force: true });
    } catch (error) {
      throw storageError(folder, error);
    }
  }
}
