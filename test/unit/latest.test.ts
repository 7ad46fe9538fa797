/** What a view waits for: only the newest counts, and what the person stopped is no error. */
import assert from 'node:assert/strict';
import { Latest, type WorkOptions } from '../../extension/panels/latest';
import { LensError } from '../../extension/protocol/errors';

describe('the latest computation', () => {
  let changes: number;
  let latest: Latest<string>;
  beforeEach(() => {
    changes = 0;
    latest = new Latest(() => changes++);
  });

  /** Work that ends when it is told to. */
  const held = (): { work(options: WorkOptions): Promise<string>; options?: WorkOptions; end(value: string): void } => {
    let end: (value: string) => void = () => undefined;
    const answer = new Promise<string>((resolve) => (end = resolve));
    const control: ReturnType<typeof held> = {
      work: (options) => {
        control.options = options;
        return answer;
      },
      end: (value) => end(value),
    };
    return control;
  };

  it('gives the result, and says meanwhile what is computed and how far', async () => {
    const control = held();
    const outcome = latest.start('question', control.work);
    assert.equal(latest.question, 'question');
    control.options?.progress({ message: 'half', fraction: 0.5 });
    assert.deepEqual(latest.progress, { message: 'half', fraction: 0.5 });
    assert.equal(changes, 2);
    control.end('answer');
    assert.deepEqual(await outcome, { result: 'answer' });
    assert.equal(latest.question, null);
  });

  it('drops what an older one still says', async () => {
    const [older, newer] = [held(), held()];
    const first = latest.start('older', older.work);
    const second = latest.start('newer', newer.work);
    assert.equal(older.options?.signal.aborted, true);
    older.options?.progress({ message: 'too late' });
    assert.equal(latest.progress, undefined);
    older.end('too late');
    assert.equal(await first, null);
    assert.equal(latest.question, 'newer');
    newer.end('answer');
    assert.deepEqual(await second, { result: 'answer' });
  });

  it('aborts on cancel, and takes the end of a cancelled request for no error', async () => {
    const control = held();
    const outcome = latest.start('question', control.work);
    latest.cancel();
    assert.equal(control.options?.signal.aborted, true);
    control.end('too late');
    assert.equal(await outcome, null);
    for (const code of ['cancelled', 'superseded'] as const)
      assert.equal(await latest.start('question', () => Promise.reject(new LensError(code, 'stopped'))), null);
  });

  it('gives errors as data, also ones thrown before the work began', async () => {
    const outcome = await latest.start('question', () => {
      throw new LensError('model-not-found', 'There is no model.', 'Add one.');
    });
    assert.deepEqual(outcome, {
      error: { code: 'model-not-found', message: 'There is no model.', hint: 'Add one.' },
    });
    assert.equal(latest.question, null);
  });
});
