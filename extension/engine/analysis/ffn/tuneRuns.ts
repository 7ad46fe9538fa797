/** One training of a model at a time: what was done of one that was stopped is saved before anything else is asked of its files. */
import { LensError } from '../../../protocol/errors';
import type { CachePlace } from '../cacheFile';

export class TuneRuns {
  private readonly running = new Map<string, { signal: AbortSignal; ended: Promise<unknown> }>();

  /** Throws `bad-input` while another one goes on. */
  async run<T>({ folder }: CachePlace, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    await this.saved(folder);
    if (this.running.has(folder))
      throw new LensError('bad-input', 'A tuned lens of this model is being trained.', 'Wait for it, or stop it.');
    const result = work();
    const own = { signal, ended: result.catch(() => undefined) };
    this.running.set(folder, own);
    try {
      return await result;
    } finally {
      this.running.delete(folder);
    }
  }

  /** Resolves when a training that was stopped has ended. */
  async saved(folder: string): Promise<void> {
    const present = this.running.get(folder);
    if (present?.signal.aborted === true) await present.ended;
  }
}
