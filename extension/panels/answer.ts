/**
 * What a view shows of one kind: the answer to the newest question. An older one stays, dimmed by the view, while the newer is
 * computed; it goes when that fails or is cancelled, so that an answer never stands under another question. Pure.
 */
import type { Progress } from '../protocol/engine';
import type { ErrorData } from '../protocol/errors';
import { Latest, type WorkOptions } from './latest';

export class Answer<Result> {
  private readonly latest: Latest<string>;
  /** What `result` or `error` belongs to, or what is being asked. */
  private key: string | null = null;
  private running: Promise<void> | null = null;
  private current: { key: string; result: Result } | null = null;
  private failure: ErrorData | null = null;
  private count = 0;

  constructor(private readonly onChange: () => void) {
    this.latest = new Latest<string>(onChange);
  }

  get result(): Result | null {
    return this.current?.result ?? null;
  }

  /** The result, if it is the one to this question. */
  resultOf(key: string): Result | null {
    return this.current?.key === key ? this.current.result : null;
  }

  get error(): ErrorData | null {
    return this.failure;
  }

  get loading(): boolean {
    return this.latest.question !== null;
  }

  get progress(): Progress | undefined {
    return this.latest.progress;
  }

  /** 0 when there is none; otherwise another number for every other answer. */
  get revision(): number {
    return this.current === null ? 0 : this.count;
  }

  /** Grows with every change of the result. */
  get changes(): number {
    return this.count;
  }

  /** Asks, unless the answer to this very question is there or on its way. Resolves when it is there, has failed, or is not wanted any more. */
  async want(key: string, work: (options: WorkOptions) => Promise<Result>): Promise<void> {
    if (this.key === key && this.failure === null) {
      await this.running;
      return;
    }
    this.key = key;
    this.failure = null;
    const running = this.run(key, work);
    this.running = running;
    await running;
  }

  /** The next question is asked even if it is the same. */
  forget(): void {
    this.key = null;
  }

  /** Stops what is being computed. */
  cancel(): void {
    if (!this.loading) return;
    this.key = null;
    this.place(null);
    this.latest.cancel();
  }

  /** There is no question any more. */
  clear(): void {
    if (this.key === null && this.current === null && this.failure === null) return;
    this.key = null;
    this.failure = null;
    this.place(null);
    this.latest.cancel();
  }

  private async run(key: string, work: (options: WorkOptions) => Promise<Result>): Promise<void> {
    const outcome = await this.latest.start(key, work);
    if (this.key !== key) return;
    this.running = null;
    if (outcome !== null && 'result' in outcome) this.place({ key, result: outcome.result });
    else {
      this.place(null);
      this.failure = outcome?.error ?? null;
      if (outcome === null) this.key = null;
    }
    this.onChange();
  }

  private place(current: { key: string; result: Result } | null): void {
    if (current === null && this.current === null) return;
    this.current = current;
    this.count += 1;
  }
}
