/** Sentences of several treebanks, numbered through. */
import type { CorpusSource } from '../../../protocol/attention';
import { LensError } from '../../../protocol/errors';
import { sentencesOf, type TreebankSentence } from './conllu';

export interface NumberedSentence {
  /** In the order of the corpus. */
  index: number;
  /** The file's name, and how far it is in the corpus, in sources. */
  name: string;
  source: number;
  /** Fields of the document's Entity annotations. */
  entityFields: string[];
  /** Begins a document; every file begins one. */
  newDocument: boolean;
  sentence: TreebankSentence;
}

/** At most `limit` sentences. What is wrong with a file, or cannot be read, goes to `skip`. */
export async function* treebankOf(
  sources: readonly CorpusSource[],
  limit: number,
  skip: (name: string, why: string) => void,
): AsyncGenerator<NumberedSentence> {
  let index = 0;
  for (const [source, each] of sources.entries()) {
    const { name } = each;
    let entityFields: string[] = [];
    let isFirst = true;
    const sentences = sentencesOf(each, ({ line, why }) => skip(name, `line ${line}: ${why}`));
    for (;;) {
      let next: IteratorResult<TreebankSentence>;
      try {
        next = await sentences.next();
      } catch (thrown) {
        const error = LensError.from(thrown);
        if (error.code === 'internal') throw thrown;
        skip(name, error.message);
        break;
      }
      if (next.done === true) break;
      if (index >= limit) return;
      const sentence = next.value;
      const newDocument = isFirst || sentence.newDocument;
      if (newDocument || sentence.entityFields !== null) entityFields = sentence.entityFields ?? [];
      yield { index: index++, name, source, entityFields, newDocument, sentence };
      isFirst = false;
    }
  }
}
