/** What tells whether two runs were made with the same model. */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { env } from 'onnxruntime-node';
import type { ModelRef } from '../../protocol/engine';
import type { ModelFingerprint } from '../../protocol/probes';
import { checkExternalData } from '../onnx/externalData';
import { readModel } from '../onnx/model';
import { companionFolder, onnxPath } from './modelFolder';

/** Content of files that were read before and have not changed since: models are large. */
const known = new Map<string, string>();

/** Throws `model-*`, `external-data`. */
export async function fingerprint(ref: ModelRef): Promise<ModelFingerprint> {
  const path = onnxPath(ref);
  const model = readModel(path);
  checkExternalData(model, path);
  const external = new Set<string>();
  for (const { place } of [...model.graph.initializers.values(), ...model.hiddenExternal])
    if (place.kind === 'external') external.add(place.location);
  const tokenizer = join(companionFolder(ref, 'tokenizer.json'), 'tokenizer.json');
  const paths = [
    path,
    ...[...external].sort().map((location) => join(dirname(path), location)),
    ...(existsSync(tokenizer) ? [tokenizer] : []),
  ];
  const state = JSON.stringify(paths.map((file) => [realpathSync(file), statSync(file).mtimeMs, statSync(file).size]));
  let sha256 = known.get(state);
  if (sha256 === undefined) {
    const hash = createHash('sha256');
    for (const file of paths)
      for await (const chunk of createReadStream(realpathSync(file))) hash.update(chunk as Buffer);
    sha256 = hash.digest('hex');
    known.set(state, sha256);
  }
  return {
    sha256,
    files: paths.map((file) => ({ name: basename(file), bytes: statSync(file).size })),
    versions: { node: process.versions.node, onnxruntime: env.versions.node ?? 'unknown' },
  };
}
