/**
 * Paragraphs of plain text and Markdown. Blank lines part them; within, lines are joined, unless one of them is so long that nobody
 * wraps lines there: then each line is a paragraph.
 */
import type { CorpusSource } from '../../../protocol/attention';
import { linesOf } from './lines';

/** In UTF-16 units. */
const LONGEST_WRAPPED_LINE = 200;
/** A block that goes on and on, as tables and logs do, is cut. */
const LONGEST_BLOCK = 2 ** 20;

/** Throws what `linesOf` throws. */
export async function* paragraphsOf(source: CorpusSource): AsyncGenerator<string> {
  let block: string[] = [];
  let size = 0;
  for await (const line of linesOf(source)) {
    const blank = line.trim() === '';
    if (!blank) {
      block.push(line);
      size += line.length;
    }
    if (!blank && size <= LONGEST_BLOCK) continue;
    yield* paragraphs(block);
    block = [];
    size = 0;
  }
  yield* paragraphs(block);
}

function paragraphs(block: readonly string[]): readonly string[] {
  if (block.length === 0) return [];
  return block.some((line) => line.length > LONGEST_WRAPPED_LINE) ? block : [block.join('\n')];
}
