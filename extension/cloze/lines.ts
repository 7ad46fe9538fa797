/** Lines of files of any size, plain or gzip: never more than one line is held. */
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { createGunzip } from 'node:zlib';
import { LensError } from '../protocol/errors';

export interface Line {
  /** From 1. */
  number: number;
  text: string;
  /** The line was longer than is read; `text` is its begin. */
  cut: boolean;
}

/** UTF-16 units. Facts with all their evidence have some thousand. */
const LONGEST_LINE = 8 * 2 ** 20;

/** Throws `bad-input` when the file cannot be read to its end; what stands before is given out. */
export async function* readLines(path: string): AsyncGenerator<Line> {
  const file = createReadStream(path, { highWaterMark: 2 ** 18 });
  // An error of the file ends the reading of what is piped from it, too.
  const chunks = path.endsWith('.gz') ? pipeline(file, createGunzip(), () => undefined) : file;
  const decoder = new StringDecoder('utf8');
  let rest = '';
  let isCut = false;
  let number = 0;
  const give = (text: string): Line => {
    const line = { number: ++number, text: text.replace(/\r$/u, ''), cut: isCut };
    if (number === 1) line.text = line.text.replace(/^\ufeff/u, '');
    isCut = false;
    return line;
  };
  try {
    for await (const chunk of chunks) {
      const lines = decoder.write(chunk as Buffer).split('\n');
      lines[0] = rest + (isCut ? '' : (lines[0] as string));
      rest = lines.pop() as string;
      for (const line of lines) yield give(line);
      if (rest.length > LONGEST_LINE) {
        rest = rest.slice(0, LONGEST_LINE);
        isCut = true;
      }
    }
  } catch (error) {
    throw new LensError(
      'bad-input',
      `${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
      'Check the path, and that the file is whole.',
      { cause: error },
    );
  } finally {
    file.destroy();
  }
  rest += decoder.end();
  if (rest !== '') yield give(rest);
}
