// Reading JSON that somebody else wrote: each reader names the place when the structure is not the expected one.
import { LensError } from '../../protocol/errors';

export type Json = null | boolean | number | string | Json[] | JsonRecord;
export interface JsonRecord {
  [key: string]: Json | undefined;
}

/** `place` is the path inside tokenizer.json, for the message. */
export function asRecord(value: Json | undefined, place: string): JsonRecord {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  throw wrong(place, 'an object');
}

export function asArray(value: Json | undefined, place: string): Json[] {
  if (Array.isArray(value)) return value;
  throw wrong(place, 'a list');
}

export function asString(value: Json | undefined, place: string): string {
  if (typeof value === 'string') return value;
  throw wrong(place, 'a string');
}

/** A string that may be left out. */
export function optionalString(value: Json | undefined, place: string, otherwise: string): string {
  return value === null || value === undefined ? otherwise : asString(value, place);
}

/** A whole number from 0 that fits a tensor of 32-bit ids. */
export function asId(value: Json | undefined, place: string): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 2 ** 31) return value;
  throw wrong(place, 'a whole number from 0');
}

export function wrong(place: string, expected: string): LensError {
  return new LensError(
    'tokenizer',
    `tokenizer.json has no valid “${place}”: ${expected} is expected there.`,
    'Download or export the tokenizer again; it must be the JSON of the Hugging Face tokenizers library.',
  );
}
