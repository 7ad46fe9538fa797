/** The tiny models of test/fixtures with their PyTorch references, and the settings that tests run with. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { DEFAULT_SETTINGS, type EngineSettings, type ModelRef } from '../../extension/protocol/engine';
import { readSafetensors, type ReferenceTensor } from '../../scripts/lens/safetensors';
import type { Reference } from '../../scripts/lens/verify';

export const SETTINGS: EngineSettings = { ...DEFAULT_SETTINGS, threads: 2, idleMinutes: 0 };

export const BUNDLED: ModelRef = { id: 'bert-base-cased', folder: resolve('models/bert-base-cased') };

const FIXTURES = resolve('test/fixtures');

export const fixture = (name: string): ModelRef => ({ id: name, folder: join(FIXTURES, name) });

export const fixtureNames: string[] = readdirSync(FIXTURES).filter((name) =>
  existsSync(join(FIXTURES, name, 'model.onnx')),
);

export function reference(name: string): { meta: Reference; tensors: Map<string, ReferenceTensor> } {
  const meta = JSON.parse(readFileSync(join(FIXTURES, name, 'reference.json'), 'utf8')) as Reference;
  return { meta, tensors: readSafetensors(join(FIXTURES, name, 'reference.safetensors')) };
}

/** A file of the extra test data that the repository may not hold, or null. */
export function extraData(path: string): string | null {
  const file = resolve(process.env.ONNX_LENS_TEST_DATA ?? '../shared', path);
  return existsSync(file) ? file : null;
}
