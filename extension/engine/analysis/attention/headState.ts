/** Reading back what a run has found: states come from files, and files can be anything. */
import { LensError } from '../../../protocol/errors';
import type { Fields } from '../../requests/fields';

/** What is wrong with a state that is to be gone on from. */
export const unfit = (what: string): LensError =>
  new LensError(
    'bad-input',
    `The saved state cannot be gone on from: ${what}.`,
    'Begin anew, or take the state of the same work.',
  );

const isNumberList = (value: unknown): value is ArrayLike<number> =>
  (Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView))) &&
  Array.prototype.every.call(value, (each: unknown) => typeof each === 'number' && Number.isFinite(each));

/** A list of so many finite numbers, as JSON or as it crossed a process border. */
export function numbers(value: unknown, name: string, length?: number): ArrayLike<number> {
  if (!isNumberList(value) || (length !== undefined && value.length !== length))
    throw unfit(`“${name}” is no list of ${length === undefined ? '' : `${length} `}numbers`);
  return value;
}

export function wholeNumber(value: unknown, name: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    throw unfit(`“${name}” is no whole number`);
  return value;
}

export function numberOf(value: unknown, name: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw unfit(`“${name}” is no number`);
  return value;
}

export function listOf(value: unknown, name: string): unknown[] {
  if (!Array.isArray(value)) throw unfit(`“${name}” is no list`);
  return value;
}

export function fieldsOf(value: unknown, name: string): Fields {
  if (typeof value !== 'object' || value === null) throw unfit(`“${name}” is not what was saved`);
  return value as Fields;
}

export const namesOf = (value: unknown): string[] => listOf(value, 'sources').map(String);

export interface Skipped {
  name: string;
  why: string;
}

export function skippedOf(value: unknown): Skipped[] {
  return listOf(value, 'skipped').map((each) => {
    const { name, why } = fieldsOf(each, 'skipped');
    return { name: String(name), why: String(why) };
  });
}

/** What was left out. Every shard reads every file, and a run that goes on reads them again: each is told once. */
export class SkipList {
  private readonly known = new Map<string, Skipped>();

  constructor(...before: readonly (readonly Skipped[])[]) {
    for (const { name, why } of before.flat()) this.add(name, why);
  }

  add(name: string, why: string): void {
    this.known.set(JSON.stringify([name, why]), { name, why });
  }

  get list(): Skipped[] {
    return [...this.known.values()];
  }

  /** For a message. */
  get first(): string {
    const [first] = this.known.values();
    return first === undefined ? '' : ` (${first.name}: ${first.why})`;
  }
}

/** Throws `bad-input` when two states hold the same piece of work. */
export function joinDone(before: readonly number[], more: readonly number[], what: string): number[] {
  const all = [...before, ...more];
  if (new Set(all).size < all.length) throw unfit(`both states hold some of the same ${what}, which would count twice`);
  return all.sort((a, b) => a - b);
}

/** Adds `more` to `sums`, entry by entry. */
export function addTo(sums: Float64Array | Float32Array | Int32Array, more: ArrayLike<number>): void {
  for (let index = 0; index < sums.length; index++) sums[index] = (sums[index] as number) + (more[index] as number);
}
