/** Texts of a corpus, a line at a time: however large a file is, no more than a piece of it is held. */
import { createReadStream } from 'node:fs';
import type { CorpusSource } from '../../../protocol/attention';
import { LensError } from '../../../protocol/errors';

/** Longer lines are given in parts, in UTF-16 units. */
const LONGEST_LINE = 2 ** 20;

const REASONS: Record<string, string> = {
  ENOENT: 'there is no such file',
  EACCES: 'it may not be read',
  EPERM: 'it may not be read',
  EISDIR: 'it is a folder',
};

/** Lines without their ends. Throws `bad-input` with the reason alone as its message: what cannot be read, is binary, or is not UTF-8. */
export async function* linesOf(source: CorpusSource): AsyncGenerator<string> {
  let rest = '';
  let count = 0;
  for await (const piece of piecesOf(source, () => count)) {
    const lines = (rest + piece).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      count++;
      yield line.endsWith('\r') ? line.slice(0, -1) : line;
    }
    while (rest.length > LONGEST_LINE) {
      yield rest.slice(0, LONGEST_LINE);
      rest = rest.slice(LONGEST_LINE);
    }
  }
  if (rest !== '') yield rest;
}

async function* piecesOf(source: CorpusSource, linesSoFar: () => number): AsyncGenerator<string> {
  if ('text' in source) {
    yield source.text;
    return;
  }
  // `fatal`: other encodings are told, not turned into question marks. The decoder leaves out a byte order mark.
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const stream = createReadStream(source.file);
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      if (chunk.includes(0)) throw new LensError('bad-input', `it is binary${after(linesSoFar())}`);
      yield decode(() => decoder.decode(chunk, { stream: true }), linesSoFar());
    }
  } catch (thrown) {
    if (thrown instanceof LensError) throw thrown;
    const { code, message } = thrown as NodeJS.ErrnoException;
    throw new LensError('bad-input', REASONS[code ?? ''] ?? message, undefined, { cause: thrown });
  } finally {
    stream.destroy();
  }
  yield decode(() => decoder.decode(), linesSoFar());
}

function decode(read: () => string, lines: number): string {
  try {
    return read();
  } catch (thrown) {
    throw new LensError('bad-input', `it is not UTF-8${after(lines)}`, undefined, { cause: thrown });
  }
}

const after = (lines: number): string => (lines === 0 ? '' : ` somewhere after line ${lines}; what is before was used`);
