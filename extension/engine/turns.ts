/** One native run at a time: onnxruntime uses all its threads for each, so that two at once only slow each other down. */
import type { Internals } from './session/internals';
import type { LanguageModel } from './session/languageModel';

/** `interactive` work (a hover, a mask) goes before `batch` work that already waits. */
export type Priority = 'interactive' | 'batch';

export class Turns {
  private readonly waiting: Record<Priority, (() => void)[]> = { interactive: [], batch: [] };
  private busy = false;

  async run<T>(priority: Priority, work: () => Promise<T>): Promise<T> {
    if (this.busy) await new Promise<void>((start) => this.waiting[priority].push(start));
    this.busy = true;
    try {
      return await work();
    } finally {
      // The turn is handed over, not given back, so that nobody comes between.
      const next = this.waiting.interactive.shift() ?? this.waiting.batch.shift();
      if (next === undefined) this.busy = false;
      else next();
    }
  }
}

/** The model, waiting for its turn before each run. */
export function inTurns(model: LanguageModel & Internals, turns: Turns, priority: Priority): LanguageModel & Internals {
  return {
    info: model.info,
    tokenizer: model.tokenizer,
    anatomy: () => turns.run(priority, () => model.anatomy()),
    trace: (...args) => turns.run(priority, () => model.trace(...args)),
    weight: (name) => turns.run(priority, () => model.weight(name)),
    headLayers: () => turns.run(priority, () => model.headLayers()),
    unembedding: (id) => turns.run(priority, () => model.unembedding(id)),
    traceFrom: (...args) => turns.run(priority, () => model.traceFrom(...args)),
    runBlock: (...args) => turns.run(priority, () => model.runBlock(...args)),
    runBlockAt: (...args) => turns.run(priority, () => model.runBlockAt(...args)),
    runBlockEnd: (...args) => turns.run(priority, () => model.runBlockEnd(...args)),
    runHead: (resid) => turns.run(priority, () => model.runHead(resid)),
    runTransform: (resid) => turns.run(priority, () => model.runTransform(resid)),
    wordScores: (vectors) => turns.run(priority, () => model.wordScores(vectors)),
    wordEnds: (...asked) => turns.run(priority, () => model.wordEnds(...asked)),
    logitsAt: (batch, places) => turns.run(priority, () => model.logitsAt(batch, places)),
    nextSentenceLogits: (...args) => turns.run(priority, () => model.nextSentenceLogits(...args)),
  };
}
