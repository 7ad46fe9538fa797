/** Files of a corpus. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { CorpusSource } from '../../extension/protocol/attention';
import { LensError } from '../../extension/protocol/errors';

/** What sentences are read from. */
export const CORPUS = /\.(txt|md|tsv|conllu)$/iu;

/** Files as they are named, and those of folders whose names fit, in the order of their names. */
export function sourcesOf(names: readonly string[], fits: RegExp): CorpusSource[] {
  const sources = names.flatMap((name): CorpusSource[] => {
    if (!existsSync(name) || !statSync(name).isDirectory()) return [{ name, file: resolve(name) }];
    return readdirSync(name, { recursive: true, encoding: 'utf8' })
      .filter((file) => fits.test(file))
      .sort()
      .map((file) => ({ name: join(name, file), file: resolve(name, file) }));
  });
  if (sources.length === 0)
    throw new LensError('bad-input', `There is no file in ${names.join(', ')} whose name ends as ${fits.source} says.`);
  return sources;
}
