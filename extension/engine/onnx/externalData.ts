/** Weights beside the .onnx file: never read outside the model's folder, and never shorter than the tensors say. */
import { realpathSync, statSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, relative, sep } from 'node:path';
import { LensError } from '../../protocol/errors';
import { byteSize, type OnnxModel } from './model';

function refuse(message: string, hint: string): LensError {
  return new LensError('external-data', message, hint);
}

/**
 * Checks every external tensor of the model at `onnxPath` and returns the total bytes of the files (the .onnx file included).
 * Throws `external-data` naming the file and what is wrong with it; `model-invalid` for weights shorter than their shape.
 */
export function checkExternalData(model: OnnxModel, onnxPath: string): number {
  const folder = realpathSync(dirname(onnxPath));
  const sizes = new Map<string, number>();
  for (const initializer of [...model.graph.initializers.values(), ...model.hiddenExternal]) {
    const needed = byteSize(initializer);
    const { place } = initializer;
    if (place.kind === 'file' && needed !== null && place.length < needed)
      throw new LensError(
        'model-invalid',
        `This is not a valid ONNX file: the tensor ${initializer.name} has ${place.length} bytes and needs ${needed}.`,
        'Export or download the model again.',
      );
    if (place.kind !== 'external') continue;
    const { location, offset } = place;
    let size = sizes.get(location);
    if (size === undefined) {
      size = fileSize(folder, location, onnxPath);
      sizes.set(location, size);
    }
    const end = offset + Math.max(place.length ?? 0, needed ?? 0);
    if (end > size)
      throw refuse(
        `The weights file ${location} is too short: ${initializer.name || 'a constant'} needs ${end} bytes, the file has ${size}.`,
        'It was probably not downloaded whole (a Git LFS pointer is a few hundred bytes); get the file again.',
      );
  }
  return [...sizes.values()].reduce((sum, size) => sum + size, statSync(onnxPath).size);
}

function fileSize(folder: string, location: string, onnxPath: string): number {
  const outside = refuse(
    `${basename(onnxPath)} wants weights from “${location}”, which is outside the model's folder; that is refused.`,
    'Put the weights beside the .onnx file and export again with a relative location.',
  );
  // A star begins the runtime's own mark for “this is an address in memory”.
  if (location === '' || isAbsolute(location) || /^[A-Za-z]:|^[\\/*]|\0/.test(location)) throw outside;
  if (location.split(/[\\/]/).includes('..')) throw outside;
  const path = join(folder, location);
  let real: string;
  try {
    real = realpathSync(path);
  } catch {
    throw refuse(
      `The weights file ${location} is missing beside ${basename(onnxPath)}.`,
      'Put it into the same folder; large exports consist of several files.',
    );
  }
  const inside = relative(folder, real);
  if (inside === '' || inside === '..' || inside.startsWith(`..${sep}`) || isAbsolute(inside)) throw outside;
  const stats = statSync(real);
  if (!stats.isFile()) throw refuse(`The weights file ${location} is not a file.`, 'Get the model again.');
  return stats.size;
}
