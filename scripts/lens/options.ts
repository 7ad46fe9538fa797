/** Options of the commands: how they are declared, and how their values are read. */
import { LensError } from '../../extension/protocol/errors';

export interface OptionSpec {
  type: 'string' | 'boolean';
  /** Name of its value in the help. */
  value?: string;
  help: string;
  required?: boolean;
  multiple?: boolean;
}

export type OptionValues = Record<string, string | boolean | (string | boolean)[] | undefined>;

export const TEXT: OptionSpec = {
  type: 'string',
  value: 'T',
  help: 'the text; - reads standard input',
  required: true,
};
export const PAIR: OptionSpec = {
  type: 'string',
  value: 'U',
  help: 'the second text of a pair; - reads standard input',
};
export const POSITION: OptionSpec = {
  type: 'string',
  value: 'N',
  help: 'index of the predicted token (from 0); the first mask, or what comes after the text',
};
export const TOP: OptionSpec = { type: 'string', value: 'K', help: 'number of predictions (10)' };

const ALL_DIGITS = /^\d+$/u;

export function wholeNumber(options: OptionValues, name: string, byDefault: number): number {
  const value = options[name];
  if (value === undefined) return byDefault;
  if (typeof value === 'string' && ALL_DIGITS.test(value)) return Number(value);
  throw new LensError('bad-input', `--${name} must be a whole number, not “${String(value)}”.`);
}

export function decimal(options: OptionValues, name: string, byDefault: number): number {
  const value = options[name] === undefined ? byDefault : Number(options[name]);
  if (Number.isFinite(value) && value >= 0) return value;
  throw new LensError('bad-input', `--${name} must be a number, 0 or more, not “${String(options[name])}”.`);
}

export function stringList(options: OptionValues, name: string): string[] {
  const value = options[name];
  return Array.isArray(value) ? value.map(String) : [];
}

/** One of a few words. */
export function choice<T extends string>(options: OptionValues, name: string, known: readonly T[], byDefault: T): T {
  const value = options[name];
  if (value === undefined) return byDefault;
  const found = known.find((each) => each === value);
  if (found === undefined)
    throw new LensError('bad-input', `--${name} must be one of ${known.join(', ')}, not “${String(value)}”.`);
  return found;
}
