// Runs synchronous work under a time limit. V8 looks for interruptions also inside the backtracking of a regular
// expression, so that a hostile pattern in somebody's tokenizer.json cannot hang the engine.
import { createContext, Script } from 'node:vm';
import { LensError } from '../../protocol/errors';

const script = new Script('work()');
const sandbox: { work: (() => void) | null } = { work: null };
const context = createContext(sandbox);

/**
 * The result of `work`, or a `LensError` (`time-limit`) after about `milliseconds`. What `work` throws is passed on. Inside of other
 * limited work the limit of that holds: each one starts a thread, which takes longer than to cut a sentence.
 */
export function withTimeLimit<T>(milliseconds: number, what: string, work: () => T): T {
  if (sandbox.work !== null) return work();
  const results: T[] = [];
  sandbox.work = () => {
    results.push(work());
  };
  try {
    script.runInContext(context, { timeout: milliseconds });
  } catch (error) {
    if (!isTimeout(error)) throw error;
    throw new LensError(
      'time-limit',
      `${what} took longer than ${milliseconds / 1000} seconds and was stopped.`,
      'Choose a shorter text. If a short text fails too, the tokenizer.json of the model is not usable.',
      { cause: error },
    );
  } finally {
    sandbox.work = null;
  }
  const [result] = results as [T];
  return result;
}

/** The error comes from the other context, so that it is no instance of this one's `Error`. */
function isTimeout(error: unknown): boolean {
  return (
    typeof error === 'object' && error !== null && 'code' in error && error.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT'
  );
}
