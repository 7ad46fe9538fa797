/** Rows of like length, run together, with the hooks that were asked for. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Trace, Traceable, TraceOptions } from '../session/internals';
import type { InputRow } from '../session/languageModel';
import { throwIfCancelled } from './forward';

/** Rows that are looked at together to find those of like length. */
const LOOKAHEAD = 128;

export interface TracedRun<T> {
  items: T[];
  /** Hooks of all items, in this order. */
  trace: Trace;
}

/**
 * Runs every item, run by run; `fits` says whether so many rows of a length may run together. Padding is only used where the model
 * masks it, and a model that refuses a batch gets its rows one by one. Between runs a cancel is heard.
 */
export async function* tracedRuns<T extends { row: InputRow }>(
  model: Traceable,
  items: AsyncIterable<T> | Iterable<T>,
  hooks: readonly string[],
  fits: (count: number, length: number) => boolean,
  signal: AbortSignal,
  options: TraceOptions = {},
): AsyncGenerator<TracedRun<T>> {
  const pads = model.info.inputs.some(({ name }) => name === 'attention_mask' || name === 'input_mask');
  let oneByOne = false;
  for await (const together of likeRows(items, fits, pads)) {
    const queue = oneByOne ? together.map((item) => [item]) : [together];
    for (let run = queue.shift(); run !== undefined; run = queue.shift()) {
      throwIfCancelled(signal);
      let trace: Trace;
      try {
        trace = await model.trace(
          run.map(({ row }) => row),
          hooks,
          [],
          options,
        );
      } catch (error) {
        if (run.length === 1) throw error;
        oneByOne = true;
        queue.push(...run.map((item) => [item]));
        continue;
      }
      yield { items: run, trace };
      // Lets other requests, a cancel among them, be read.
      await nextTurn();
    }
  }
  throwIfCancelled(signal);
}

/** Successive rows of like length that fit into one run together. */
async function* likeRows<T extends { row: InputRow }>(
  items: AsyncIterable<T> | Iterable<T>,
  fits: (count: number, length: number) => boolean,
  pads: boolean,
): AsyncGenerator<T[]> {
  const divide = (waiting: T[]): T[][] => {
    waiting.sort((a, b) => a.row.ids.length - b.row.ids.length);
    const result: T[][] = [];
    for (const item of waiting) {
      const last = result.at(-1);
      const { length } = item.row.ids;
      const like = pads || last?.[0]?.row.ids.length === length;
      if (last !== undefined && like && fits(last.length + 1, length)) last.push(item);
      else result.push([item]);
    }
    return result;
  };
  let waiting: T[] = [];
  for await (const item of items) {
    waiting.push(item);
    if (waiting.length < LOOKAHEAD) continue;
    yield* divide(waiting);
    waiting = [];
  }
  yield* divide(waiting);
}
