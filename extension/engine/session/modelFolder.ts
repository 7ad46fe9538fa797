/** Where the parts of a model are: the .onnx file, config.json, tokenizer.json. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { ModelRef } from '../../protocol/engine';
import { LensError } from '../../protocol/errors';

/** Best first; after these, alphabetically. Merged decoders hide their blocks in subgraphs. */
const PREFERRED = ['model.onnx', 'decoder_model.onnx', 'model_quantized.onnx', 'model_fp16.onnx', 'encoder_model.onnx'];
const MAX_CONFIG_BYTES = 4 * 2 ** 20;

/** The .onnx files of a model folder, relative to it, best first: at its top or in `onnx/`. */
export function listOnnxFiles(folder: string): string[] {
  const rank = (file: string): number => {
    const index = PREFERRED.indexOf(basename(file));
    return index < 0 ? PREFERRED.length : index;
  };
  return ['', 'onnx']
    .flatMap((sub) => {
      const path = join(folder, sub);
      if (!existsSync(path) || !statSync(path).isDirectory()) return [];
      return readdirSync(path)
        .filter((name) => name.endsWith('.onnx'))
        .sort()
        .map((name) => join(sub, name));
    })
    .sort((a, b) => rank(a) - rank(b));
}

/** A folder or an .onnx file as a model. Throws `model-not-found`. */
export function resolveModel(path: string, id?: string): ModelRef {
  const absolute = resolve(path);
  const stats = statSync(absolute, { throwIfNoEntry: false });
  if (stats === undefined)
    throw new LensError(
      'model-not-found',
      `There is no file or folder ${absolute}.`,
      'Check the path, or name a model of the catalogue.',
    );
  if (stats.isDirectory()) return { id: id ?? basename(absolute), folder: absolute };
  if (!absolute.endsWith('.onnx'))
    throw new LensError(
      'model-not-found',
      `${absolute} is no .onnx file.`,
      'Give a model folder or a file that ends in .onnx.',
    );
  const folder = dirname(absolute);
  const name = basename(folder) === 'onnx' ? basename(dirname(folder)) : basename(folder);
  return { id: id ?? name, folder, file: basename(absolute) };
}

/** The model's .onnx file, absolute. Throws `model-not-found`. */
export function onnxPath(ref: ModelRef): string {
  if (!existsSync(ref.folder))
    throw new LensError(
      'model-not-found',
      `The model folder ${ref.folder} does not exist.`,
      'It may have been moved; add it again.',
    );
  const file = ref.file ?? listOnnxFiles(ref.folder)[0];
  if (file === undefined)
    throw new LensError(
      'model-not-found',
      `The folder ${ref.folder} has no .onnx file.`,
      'A model folder has an .onnx file, tokenizer.json and config.json, as optimum exports them.',
    );
  const path = join(ref.folder, file);
  if (!existsSync(path))
    throw new LensError('model-not-found', `There is no file ${path}.`, 'It may have been moved; add the model again.');
  return path;
}

/** The folder that holds tokenizer.json: the model's, or the one above for the `onnx/` layout. */
export function companionFolder(ref: ModelRef, file: string): string {
  const own = dirname(onnxPath(ref));
  return [own, ref.folder, dirname(own)].find((folder) => existsSync(join(folder, file))) ?? ref.folder;
}

/** A small JSON object (or list, by index) beside the model; null when there is none. Throws `model-invalid` when it is damaged. */
export function readCompanion(
  ref: ModelRef,
  file: string,
  expected: 'an object' | 'a list' = 'an object',
): Record<string, unknown> | null {
  const path = join(companionFolder(ref, file), file);
  if (!existsSync(path)) return null;
  const broken = (what: string): LensError =>
    new LensError('model-invalid', `${path} ${what}.`, 'Get the file again from where the model came from.');
  if (statSync(path).size > MAX_CONFIG_BYTES) throw broken('is larger than 4 MB');
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    throw broken('is not valid JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value) !== (expected === 'a list'))
    throw broken(`is not ${expected} of JSON`);
  return value as Record<string, unknown>;
}
