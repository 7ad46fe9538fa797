/** Work over a corpus in shards: what was found so far is written to a file, gone on from, and put together. */
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { replaceFile } from '../../extension/files/replaceFile';
import { LensError } from '../../extension/protocol/errors';
import { wholeNumber, type OptionSpec, type OptionValues } from './options';
import { visible } from './table';

/** What an interrupted run has found is lost from the last saving on. */
const SAVE_MS = 20_000;

export const SHARD: OptionSpec = {
  type: 'string',
  value: 'I/N',
  help: 'every N-th document or sentence, beginning with the I-th (from 0)',
};
export const OUT: OptionSpec = {
  type: 'string',
  value: 'STATE',
  help: 'write what was found, to be gone on from or merged',
};
export const RESUME: OptionSpec = { type: 'string', value: 'STATE', help: 'go on from there' };

export function shardOf(options: OptionValues): { shard?: { index: number; of: number } } {
  const value = options['shard'];
  if (value === undefined) return {};
  const [, index, of] = /^(\d+)\/(\d+)$/u.exec(String(value)) ?? [];
  if (index === undefined || Number(index) >= Number(of))
    throw new LensError(
      'bad-input',
      `“${String(value)}” is no shard.`,
      'Write --shard I/N with I from 0 to N − 1, for example 0/4.',
    );
  return { shard: { index: Number(index), of: Number(of) } };
}

export const numberOf = <K extends string>(options: OptionValues, name: K): Partial<Record<K, number>> =>
  options[name] === undefined ? {} : ({ [name]: wholeNumber(options, name, 0) } as Record<K, number>);

/** What `--out` wrote, by its kind. Throws `bad-input`. */
export function readSaved(file: string): { kind: string } & Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch (thrown) {
    throw new LensError(
      'bad-input',
      `${file} cannot be read: ${(thrown as Error).message}.`,
      'Name a file that --out wrote.',
    );
  }
  const { kind } = (value ?? {}) as { kind?: unknown };
  if (typeof kind !== 'string')
    throw new LensError('bad-input', `${file} is no saved state.`, 'Name a file that --out wrote.');
  return value as { kind: string } & Record<string, unknown>;
}

/** A state of one kind. Throws `bad-input`. */
export function readSavedAs(file: string, kind: string): Record<string, unknown> {
  const state = readSaved(file);
  if (state.kind === kind) return state;
  throw new LensError('bad-input', `${file} holds ${state.kind}, not ${kind}.`, 'Name a file that --out wrote.');
}

/** The state that `--resume` names, where it is given. */
export const resumeOf = <S>(options: OptionValues, read: (file: string) => S): { resume?: S } =>
  options['resume'] === undefined ? {} : { resume: read(String(options['resume'])) };

/**
 * `merge STATE…` as the first of the names: the states as one, read one after the other, since they may be large; null: it is not asked
 * for. Throws `bad-input` without a state.
 */
export function mergedOf<S>(
  command: string,
  [first, ...names]: readonly string[],
  read: (file: string) => S,
  merge: (one: S, other: S) => S,
): S | null {
  if (first !== 'merge' || existsSync(first)) return null;
  const [name, ...rest] = names;
  if (name === undefined)
    throw new LensError(
      'bad-input',
      'No state was named.',
      `Write lens ${command} merge STATE…, files that --out wrote.`,
    );
  return rest.reduce((state, each) => {
    const more = read(each);
    return naming(each, () => merge(state, more));
  }, read(name));
}

/** What `work` throws, with the file that it was about. */
export function naming<T>(file: string, work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    const { code, message, hint } = LensError.from(thrown);
    throw new LensError(code, `${file}: ${message}`, hint, { cause: thrown });
  }
}

/** Writes states to `--out`, now and then while the work goes on, one after the other. */
export function saver<T extends { kind: string }>(
  options: OptionValues,
): { later(state: () => T): void; now(state: T): Promise<void> } {
  const out = options['out'];
  if (out === undefined) return { later: () => undefined, now: async () => undefined };
  let last: Promise<unknown> = Promise.resolve();
  let saved = Date.now();
  const write = (state: T): Promise<void> =>
    replaceFile(
      resolve(String(out)),
      Buffer.from(
        JSON.stringify(state, (_key, value: unknown) =>
          ArrayBuffer.isView(value) ? Array.from(value as unknown as ArrayLike<number>) : value,
        ),
      ),
    );
  return {
    later: (state) => {
      if (Date.now() - saved < SAVE_MS) return;
      saved = Date.now();
      const present = state();
      // A disk that is full now is told at the end.
      last = last.then(() => write(present)).catch(() => undefined);
    },
    now: async (state) => {
      await last;
      await write(state);
    },
  };
}

export const skippedText = (skipped: readonly { name: string; why: string }[]): string[] =>
  skipped.length === 0
    ? []
    : [`Left out:\n${skipped.map(({ name, why }) => `  ${visible(name)}: ${visible(why)}`).join('\n')}`];
