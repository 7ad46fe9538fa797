/** Which model a command means: a folder, an .onnx file, or a name of the catalogue. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { ModelRef } from '../../extension/protocol/engine';
import { LensError } from '../../extension/protocol/errors';
import { resolveModel } from '../../extension/engine/session/modelFolder';

interface CatalogEntry {
  id: string;
  /** Relative to the catalogue. */
  folder: string;
}

/** Beside the folder of the bundled program. */
const CATALOG = join(dirname(__dirname), 'models', 'catalog.json');

/** Throws `model-not-found`. Without a name: the first entry of the catalogue. */
export function findModel(name: string | undefined): ModelRef {
  const entries = readCatalog();
  const entry = name === undefined ? entries[0] : entries.find(({ id }) => id === name);
  // A catalogue name means the catalogue, unless a path is written as one.
  if (entry !== undefined) return resolveModel(resolve(dirname(CATALOG), entry.folder), entry.id);
  if (name === undefined)
    throw new LensError('model-not-found', `There is no catalogue of models at ${CATALOG}.`, 'Name a model folder.');
  if (existsSync(name)) return resolveModel(name);
  throw new LensError(
    'model-not-found',
    `There is no model “${name}”: no folder, no .onnx file, and no name of the catalogue (${entries.map(({ id }) => id).join(', ')}).`,
    'Check the path, or leave it out for the bundled model.',
  );
}

function readCatalog(): CatalogEntry[] {
  return existsSync(CATALOG) ? (JSON.parse(readFileSync(CATALOG, 'utf8')) as CatalogEntry[]) : [];
}
