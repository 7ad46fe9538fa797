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

const ALL_DIGITS = /^\d+$/u;

export function wholeNumber(options: OptionValues, name: string, byDefault: number): number {
  const value = options[name];
  if (value === undefined) return byDefault;
  if (typeof value === 'string' && ALL_DIGITS.test(value)) return Number(value);
  throw new LensError('bad-input', `--${name} must be a whole number, not “${String(value)}”.`);
}

export function stringList(options: OptionValues, name: string): string[] {
  const value = options[name];
  return Array.isArray(value) ? value.map(String) : [];
}
