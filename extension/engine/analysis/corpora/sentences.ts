/**
 * Sentences of a corpus with their places. Plain text and Markdown: sentences of paragraphs, by the rules of Unicode; a line that
 * begins with a small letter goes on with the sentence before it, where that has no end yet. `.tsv`: each line is a text, and what
 * follows its first tab a label. `.conllu`: the sentences of a treebank.
 */
import type { CorpusSource } from '../../../protocol/attention';
import type { TextRange } from '../../../protocol/engine';
import { LensError } from '../../../protocol/errors';
import type { LineBegin } from '../../../protocol/places';
import { sentencesOf } from './conllu';
import { linesOf } from './lines';

export interface CorpusSentence {
  /** In the order of the corpus. */
  index: number;
  /** Index of its source. */
  source: number;
  text: string;
  /** Where each line of it begins. */
  lines: LineBegin[];
  label: string | null;
  /** Words of a treebank with their parts of speech. */
  words?: { range: TextRange; tag: string }[];
}

/** Longer paragraphs are cut: a machine wrote them. */
const LONGEST_PARAGRAPH = 2 ** 16;
const SEGMENTER = new Intl.Segmenter('en', { granularity: 'sentence' });

type Sentence = Omit<CorpusSentence, 'index' | 'source'>;

/** What cannot be read goes to `skip`. */
export async function* corpusSentences(
  sources: readonly CorpusSource[],
  skip: (name: string, why: string) => void,
): AsyncGenerator<CorpusSentence> {
  let index = 0;
  for (const [place, source] of sources.entries()) {
    const sentences = sentencesIn(source);
    for (;;) {
      let next: IteratorResult<Sentence>;
      try {
        next = await sentences.next();
      } catch (thrown) {
        const error = LensError.from(thrown);
        if (error.code === 'internal') throw thrown;
        skip(source.name, error.message);
        break;
      }
      if (next.done === true) break;
      yield { ...next.value, index: index++, source: place };
    }
  }
}

function sentencesIn(source: CorpusSource): AsyncGenerator<Sentence> {
  if (source.name.endsWith('.tsv')) return labelled(source);
  if (source.name.endsWith('.conllu')) return annotated(source);
  return prose(source);
}

async function* labelled(source: CorpusSource): AsyncGenerator<Sentence> {
  let number = 0;
  for await (const line of linesOf(source)) {
    number++;
    const [text = '', label] = line.split('\t');
    if (text.trim() === '') continue;
    yield { text, lines: [{ line: number, column: 0, at: 0 }], label: label?.trim() ?? null };
  }
}

async function* annotated(source: CorpusSource): AsyncGenerator<Sentence> {
  for await (const { text, line, words } of sentencesOf(source, () => undefined))
    yield {
      ...{ text, lines: [{ line, column: 0, at: 0 }], label: null },
      words: words.map(({ range, upos }) => ({ range, tag: upos })),
    };
}

async function* prose(source: CorpusSource): AsyncGenerator<Sentence> {
  let block: { line: number; text: string }[] = [];
  let size = 0;
  let number = 0;
  for await (const line of linesOf(source)) {
    number++;
    const blank = line.trim() === '';
    if (!blank) {
      block.push({ line: number, text: line });
      size += line.length;
    }
    if (!blank && size < LONGEST_PARAGRAPH) continue;
    yield* sentencesOfBlock(block);
    block = [];
    size = 0;
  }
  yield* sentencesOfBlock(block);
}

const goesOn = (line: string, next: string): boolean =>
  /^\s*\p{Ll}/u.test(next) && !/\p{Sentence_Terminal}["'”’»)\]]*\s*$/u.test(line);

function* sentencesOfBlock(block: readonly { line: number; text: string }[]): Generator<Sentence> {
  const starts: { line: number; at: number }[] = [];
  let text = '';
  for (const [index, each] of block.entries()) {
    starts.push({ line: each.line, at: text.length });
    // The end of a line ends a sentence by Unicode's rules; of text that was wrapped it does not.
    text += `${each.text}${goesOn(each.text, block[index + 1]?.text ?? '') ? ' ' : '\n'}`;
  }
  for (const { segment, index } of SEGMENTER.segment(text)) {
    const begin = index + (segment.length - segment.trimStart().length);
    const sentence = segment.trim();
    if (sentence === '') continue;
    const end = begin + sentence.length;
    const first = starts.findLastIndex(({ at }) => at <= begin);
    yield {
      text: sentence,
      lines: starts
        .slice(first)
        .filter(({ at }) => at < end)
        .map(({ line, at }) => ({ line, column: Math.max(0, begin - at), at: Math.max(0, at - begin) })),
      label: null,
    };
  }
}
