/** The one computation that a view waits for. A newer one takes its place; what an older one still says is dropped. */
import type { Progress } from '../protocol/engine';
import { isSilent, LensError, type ErrorData } from '../protocol/errors';

export interface WorkOptions {
  signal: AbortSignal;
  progress(progress: Progress): void;
}

/** What became of the work. Null: a newer one took its place, or the person cancelled it. */
export type Outcome<Result> = { result: Result } | { error: ErrorData } | null;

interface Run<Question> {
  controller: AbortController;
  question: Question;
  progress?: Progress;
}

export class Latest<Question> {
  private run: Run<Question> | null = null;

  constructor(private readonly onChange: () => void) {}

  /** What is being computed now. */
  get question(): Question | null {
    return this.run?.question ?? null;
  }

  get progress(): Progress | undefined {
    return this.run?.progress;
  }

  /** Says that something changed when the work begins and with its progress; that it has ended is for the caller to say. */
  async start<Result>(question: Question, work: (options: WorkOptions) => Promise<Result>): Promise<Outcome<Result>> {
    this.run?.controller.abort();
    const run: Run<Question> = { controller: new AbortController(), question };
    this.run = run;
    this.onChange();
    let outcome: Outcome<Result>;
    try {
      const progress = (progress: Progress): void => {
        run.progress = progress;
        if (this.run === run) this.onChange();
      };
      outcome = { result: await work({ signal: run.controller.signal, progress }) };
    } catch (thrown) {
      const error = LensError.from(thrown);
      outcome = isSilent(error) ? null : { error: error.toData() };
    }
    if (this.run !== run) return null;
    this.run = null;
    return outcome;
  }

  cancel(): void {
    this.run?.controller.abort();
    this.run = null;
    this.onChange();
  }
}
