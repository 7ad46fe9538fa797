// Patterns of tokenizer.json are Oniguruma expressions; the tokenizers package rewrites them for JavaScript.
import { SplitPreTokenizer } from '@huggingface/tokenizers';
import { LensError } from '../../protocol/errors';
import { asRecord, asString, type Json } from './json';

/** The global JavaScript expression of `{ "String": … }` or `{ "Regex": … }`. */
export function compilePattern(pattern: Json | undefined, place: string): RegExp {
  const record = asRecord(pattern, place);
  const source = record['Regex'] === undefined ? escapeRegex(asString(record['String'], place)) : record['Regex'];
  const text = asString(source, `${place}.Regex`);
  try {
    const { pattern: compiled } = new SplitPreTokenizer({
      type: 'Split',
      pattern: { Regex: text },
      behavior: 'Isolated',
      invert: false,
    });
    if (compiled !== null) return compiled;
  } catch (error) {
    throw new LensError(
      'tokenizer',
      `tokenizer.json has an expression that cannot be read, at “${place}”: ${text.slice(0, 200)}`,
      'Choose another model, or export the tokenizer with a simpler expression.',
      { cause: error },
    );
  }
  throw new LensError('tokenizer', `tokenizer.json has no pattern at “${place}”.`, 'Download tokenizer.json again.');
}

export function escapeRegex(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
}
