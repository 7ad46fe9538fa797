/** Which model a command means: a folder, an .onnx file, or a name of the catalogue. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { resolveModel } from '../../extension/engine/session/modelFolder';
import { readCatalog } from '../../extension/models/catalog';
import type { ModelRef } from '../../extension/protocol/engine';
import { LensError } from '../../extension/protocol/errors';

/** Beside the folder of the bundled program. */
const MODELS = join(dirname(__dirname), 'models');

/** Throws `model-not-found`. Without a name: the first entry of the catalogue. */
export function findModel(name: string | undefined): ModelRef {
  const entries = readCatalog(MODELS);
  const entry = name === undefined ? entries[0] : entries.find(({ id }) => id === name);
  // A catalogue name means the catalogue, unless a path is written as one.
  if (entry !== undefined) return resolveModel(entry.folder, entry.id);
  if (name === undefined)
    throw new LensError('model-not-found', `There is no catalogue of models in ${MODELS}.`, 'Name a model folder.');
  if (existsSync(name)) return resolveModel(name);
  throw new LensError(
    'model-not-found',
    `There is no model “${name}”: no folder, no .onnx file, and no name of the catalogue (${entries.map(({ id }) => id).join(', ')}).`,
    'Check the path, or leave it out for the bundled model.',
  );
}
