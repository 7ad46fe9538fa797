/** What can be asked of a table of static vectors: neighbours, analogies, vectors of words. */
import type {
  AnalogiesResult,
  AnalogyQuestion,
  RatedResult,
  TableAnswer,
  TableInfo,
  TableQuestion,
  TableWord,
} from '../../../protocol/embeddings';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { LensError } from '../../../protocol/errors';
import { counted } from '../../../protocol/format';
import type { Internals } from '../../session/internals';
import type { RunContext } from '../../session/languageModel';
import type { RatedPair } from '../corpora/questions';
import { throwIfCancelled } from '../forward';
import { ratePairs } from './rated';
import { StaticTable } from './staticTable';

/** A model's own input embeddings: rows of whole words, under the words as they are read. */
export async function ownTable({ weight, tokenizer }: Pick<Internals, 'weight' | 'tokenizer'>): Promise<StaticTable> {
  const { dims, data } = await weight('embed.W_E');
  const [rows = 0, width = 0] = dims;
  const table = new StaticTable(width);
  for (let id = 0; id < Math.min(rows, tokenizer.vocabSize); id++) {
    if (tokenizer.isSpecial(id) || tokenizer.continuesWord(id)) continue;
    const word = tokenizer.text(id).trim();
    if (word !== '' && !/^\[unused\d+\]$/u.test(word)) table.add(word, data.subarray(id * width, (id + 1) * width));
  }
  return table;
}

/** Throws `bad-input` for a word that the table does not have. */
function rowOf(table: StaticTable, word: string): number {
  const row = table.find(word);
  if (row !== undefined) return row;
  throw new LensError('bad-input', `The table has no word “${word}”.`, `It has ${counted(table.size, 'word')}.`);
}

export function askTable(table: StaticTable, question: TableQuestion): TableAnswer {
  const { words, topK, exclude } = question;
  const rows = words.map((word) => rowOf(table, word));
  const [a, b, c] = rows as [number, number?, number?];
  const asked = b === undefined || c === undefined ? table.vector(a) : table.offset(a, b, c);
  return {
    ...tableInfo(table),
    neighbours: table.nearest(asked, topK, new Set(exclude ? rows : [])),
  };
}

export const tableInfo = ({ size, width, skipped, told }: StaticTable): TableInfo => ({
  ...{ words: size, width, skipped, told },
});

/** Cosines of pairs against their ratings. Throws as `ratePairs`. */
export function ratedWords(table: StaticTable, pairs: readonly RatedPair[]): RatedResult {
  const { scores: _, ...result } = ratePairs(pairs, (word) => {
    const row = table.find(word);
    return row === undefined ? null : table.vector(row);
  });
  return result;
}

/** Vectors of words; null for those that are not there. */
export const tableWords = (table: StaticTable, words: readonly string[]): TableWord[] =>
  words.map((word) => {
    const row = table.find(word);
    return { word, vector: row === undefined ? null : table.vector(row).slice() };
  });

/**
 * Share of questions a : b = c : d whose answer is d, among those with all four words in the first `most` rows. With `exclude` a, b and c
 * are no answers, as it is usual; what is left without it is told too.
 */
export async function analogies(
  table: StaticTable,
  questions: readonly AnalogyQuestion[],
  most: number,
  { signal, progress }: RunContext,
): Promise<AnalogiesResult> {
  const started = performance.now();
  const sections = new Map<string, AnalogiesResult['sections'][number]>();
  for (const [index, { section, words }] of questions.entries()) {
    const own = sections.get(section) ?? { section, questions: 0, covered: 0, right: 0, rightWithInputs: 0 };
    sections.set(section, own);
    own.questions++;
    const rows = words.map((word) => table.find(word));
    if (rows.some((row) => row === undefined || row >= most)) continue;
    own.covered++;
    const [a, b, c, d] = rows as [number, number, number, number];
    const nearest = table.nearest(table.offset(a, b, c), 4, new Set(), most).map(({ word }) => table.find(word));
    if (nearest[0] === d) own.rightWithInputs++;
    if (nearest.find((row) => row !== a && row !== b && row !== c) === d) own.right++;
    if (index % 16 > 0) continue;
    progress({
      message: `${counted(index + 1, 'question')} of ${questions.length}`,
      fraction: index / questions.length,
    });
    await nextTurn();
    throwIfCancelled(signal);
  }
  return {
    words: Math.min(table.size, most),
    sections: [...sections.values()],
    skipped: table.skipped,
    elapsed: performance.now() - started,
  };
}
