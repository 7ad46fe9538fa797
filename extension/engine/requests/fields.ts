/** Readers of untrusted values: what they give has the type and is in its bounds. All throw `bad-input`. */
import { isAbsolute } from 'node:path';
import type { ModelRef, TextRange } from '../../protocol/engine';
import { LensError } from '../../protocol/errors';
import { count } from '../../protocol/format';

/** UTF-16 units; 10 MB of plain text. */
const MOST_TEXT = 10 * 2 ** 20;

export type Fields = Record<string, unknown>;

export const wrong = (name: string, expected: string): LensError =>
  new LensError('bad-input', `“${name}” must be ${expected}.`);

export function fields(value: unknown, name: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(name, 'an object');
  return value as Fields;
}

export function integer(value: unknown, name: string, least: number, most: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value;
  throw wrong(name, `a whole number from ${count(least)} to ${count(most)}`);
}

export function flag(value: unknown, name: string): boolean {
  if (typeof value === 'boolean') return value;
  throw wrong(name, 'true or false');
}

export function list(value: unknown, name: string, most: number): unknown[] {
  if (!Array.isArray(value)) throw wrong(name, 'a list');
  if (value.length > most) throw wrong(name, `a list of at most ${most} entries; it has ${count(value.length)}`);
  return value;
}

export function textOf(value: unknown, name: string, most = MOST_TEXT): string {
  if (typeof value !== 'string') throw wrong(name, 'a text');
  if (value.length <= most) return value;
  throw new LensError(
    'bad-input',
    `“${name}” has ${count(value.length)} characters; at most ${count(most)} are taken.`,
    'Give a shorter text.',
  );
}

export function rangeOf(value: unknown, name: string): TextRange {
  const { start, end } = fields(value, name);
  const first = integer(start, `${name}.start`, 0, MOST_TEXT);
  return { start: first, end: integer(end, `${name}.end`, first, MOST_TEXT) };
}

export function modelOf(params: unknown): ModelRef {
  const { id, folder, file } = fields(fields(params, 'params')['model'], 'model');
  if (typeof id !== 'string' || id === '') throw wrong('model.id', 'a name');
  if (typeof folder !== 'string' || !isAbsolute(folder) || folder.includes('\0'))
    throw wrong('model.folder', 'an absolute path');
  if (file === undefined) return { id, folder };
  if (typeof file !== 'string' || isAbsolute(file) || file.includes('\0') || file.split(/[\\/]/u).includes('..'))
    throw wrong('model.file', 'a path inside of the model folder');
  return { id, folder, file };
}

/** An absolute path of this machine. */
export function pathOf(value: unknown, name: string): string {
  const path = textOf(value, name);
  if (isAbsolute(path) && !path.includes('\0')) return path;
  throw wrong(name, 'an absolute path');
}

/** One of a fixed set of words. */
export function oneOf<T extends string>(value: unknown, name: string, values: readonly T[]): T {
  const known = values.find((candidate) => candidate === value);
  if (known === undefined) throw wrong(name, `one of ${values.join(', ')}`);
  return known;
}

/** A finite number. */
export function numeric(value: unknown, name: string, least: number, most: number): number {
  if (typeof value === 'number' && value >= least && value <= most) return value;
  throw wrong(name, `a number from ${count(least)} to ${count(most)}`);
}

/** The field of that name when it is given. */
export function optional<K extends string, T>(
  params: Fields,
  name: K,
  read: (value: unknown, name: string) => T,
): Partial<Record<K, T>> {
  return params[name] === undefined ? {} : ({ [name]: read(params[name], name) } as Partial<Record<K, T>>);
}
