/** Runs rows through a model in batches of bounded size, and hands out the distributions at the places asked for. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { LensError } from '../../protocol/errors';
import type { InputRow, LanguageModel, LogitPlace } from '../session/languageModel';
import { Distribution } from './distribution';

export interface Question {
  ids: Int32Array;
  /** Token positions of `ids` where a distribution over the vocabulary is wanted. */
  positions: readonly number[];
}

/** Tokens that go into one run, padding counted. Larger batches are no faster on a CPU and answer a cancel later. */
export const TOKENS_PER_RUN = 512;

export function throwIfCancelled(signal: AbortSignal): void {
  if (signal.aborted) throw new LensError('cancelled', 'Cancelled.');
}

/** Successive rows that fit into one run together: at least one row each. */
export function batches(questions: readonly Question[], tokensPerRun = TOKENS_PER_RUN): Question[][] {
  const result: Question[][] = [];
  let batch: Question[] = [];
  let longest = 0;
  for (const question of questions) {
    const length = Math.max(longest, question.ids.length);
    if (batch.length > 0 && (batch.length + 1) * length > tokensPerRun) {
      result.push(batch);
      batch = [];
    }
    longest = batch.length === 0 ? question.ids.length : length;
    batch.push(question);
  }
  if (batch.length > 0) result.push(batch);
  return result;
}

/** One run; distributions per question, in the order of its positions. */
export async function runBatch(model: LanguageModel, batch: readonly Question[]): Promise<Distribution[][]> {
  const rows: InputRow[] = batch.map(({ ids }) => ({ ids }));
  const places: LogitPlace[] = batch.flatMap(({ positions }, row) => positions.map((position) => ({ row, position })));
  const { data, vocabSize } = await model.logitsAt(rows, places);
  let place = 0;
  return batch.map(({ positions }) =>
    positions.map(() => {
      const start = place++ * vocabSize;
      return new Distribution(data.subarray(start, start + vocabSize));
    }),
  );
}

/** All questions, in as few runs as their size allows. Between runs a cancel is heard. */
export async function askAll(
  model: LanguageModel,
  questions: readonly Question[],
  signal: AbortSignal,
): Promise<Distribution[][]> {
  const answers: Distribution[][] = [];
  for (const batch of batches(questions)) {
    throwIfCancelled(signal);
    answers.push(...(await runBatch(model, batch)));
    // Lets other requests, a cancel among them, be read.
    await nextTurn();
  }
  throwIfCancelled(signal);
  return answers;
}
