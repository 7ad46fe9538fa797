/** The engine's house-keeping: models opened once, reopened after a change of settings, unloaded when idle; one run at a time. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Engine } from '../../extension/engine/engine';
import { openModel } from '../../extension/engine/session/ortModel';
import { Turns } from '../../extension/engine/turns';
import type { EngineMethod, Progress } from '../../extension/protocol/engine';
import { quiet } from '../support/fakeModel';
import { BUNDLED, fixture } from '../support/fixtures';

const MODEL = fixture('bert');
const QUESTION = { model: MODEL, text: 'the old [MASK]', targets: [], topK: 3 };

describe('engine', function () {
  this.timeout(60_000);
  let opened = 0;
  let events: string[] = [];
  let engine: Engine;
  beforeEach(() => {
    opened = 0;
    events = [];
    engine = new Engine(
      ({ name, model }) => events.push(`${name} ${model}`),
      () => undefined,
      (...args) => {
        opened++;
        return openModel(...args);
      },
    );
  });
  afterEach(() => engine.dispose());
  const loaded = async (): Promise<string[]> => (await engine.handle('status', null, quiet())).loaded;

  it('opens a model once for requests that come together, and tells its progress to each', async () => {
    const seen: Progress[][] = [[], []];
    const answers = await Promise.all(
      seen.map((list) =>
        engine.handle('fillMask', QUESTION, { ...quiet(), progress: (progress) => list.push(progress) }),
      ),
    );
    assert.equal(opened, 1);
    assert.deepEqual(answers[0]?.masks, answers[1]?.masks);
    for (const list of seen) assert.ok(list.length > 0);
    assert.deepEqual(events, ['loaded bert']);
    assert.deepEqual(await loaded(), ['bert']);
    await engine.handle('unload', { model: MODEL }, quiet());
    assert.deepEqual(await loaded(), []);
    assert.deepEqual(events, ['loaded bert', 'unloaded bert']);
  });

  it('reopens it after a change of settings that matters, and only then', async () => {
    await engine.handle('load', { model: MODEL }, quiet());
    await engine.handle('configure', { idleMinutes: 5 }, quiet());
    await engine.handle('fillMask', QUESTION, quiet());
    assert.equal(opened, 1);
    await engine.handle('configure', { threads: 1 }, quiet());
    assert.deepEqual(await loaded(), []);
    await engine.handle('fillMask', QUESTION, quiet());
    assert.equal(opened, 2);
  });

  it('never releases a model under a request', async () => {
    const running = engine.handle('score', { model: MODEL, text: 'the old house and the sea' }, quiet());
    const unloading = engine.handle('unload', { model: MODEL }, quiet());
    assert.ok((await running).tokens.length > 4);
    await unloading;
    await sleep(50);
    assert.deepEqual(events, ['loaded bert', 'unloaded bert']);
  });

  it('unloads an idle model', async () => {
    await engine.handle('configure', { idleMinutes: 0.2 / 60 }, quiet());
    await engine.handle('fillMask', QUESTION, quiet());
    assert.deepEqual(await loaded(), ['bert']);
    await sleep(600);
    assert.deepEqual(await loaded(), []);
    assert.deepEqual(events, ['loaded bert', 'unloaded bert']);
    assert.ok((await engine.handle('fillMask', QUESTION, quiet())).masks.length === 1);
  });

  it('tries again after a failure', async () => {
    const missing = { ...MODEL, file: 'missing.onnx' };
    for (let round = 0; round < 2; round++)
      await assert.rejects(engine.handle('load', { model: missing }, quiet()), { code: 'model-not-found' });
    assert.equal(opened, 2);
    assert.deepEqual(await loaded(), []);
  });

  it('is cancelled before and between runs', async () => {
    const controller = new AbortController();
    controller.abort();
    await assert.rejects(engine.handle('fillMask', QUESTION, { ...quiet(), signal: controller.signal }), {
      code: 'cancelled',
    });
    assert.equal(opened, 0);
    const later = new AbortController();
    await assert.rejects(
      engine.handle(
        'score',
        { model: BUNDLED, text: 'the old house and the sea '.repeat(8) },
        { signal: later.signal, progress: ({ partial }) => partial !== undefined && later.abort() },
      ),
      { code: 'cancelled' },
    );
  });

  it('answers bad requests with bad-input', async () => {
    const bad: [string, unknown][] = [
      ['fly', {}],
      ['__proto__', {}],
      ['constructor', {}],
      ['fillMask', null],
      ['fillMask', []],
      ['tokens', { model: MODEL }],
      ['tokens', { model: { id: '', folder: '/x' }, text: '' }],
      ['tokens', { model: { id: 'x', folder: '/x\0y' }, text: '' }],
      ['score', { model: MODEL, text: 'a', range: { start: 1, end: 0 } }],
      ['score', { model: MODEL, text: 'a', range: { start: 0, end: 7 } }],
      ['corrupt', { model: MODEL, text: 'a', seed: -1, wholeWord: true, topK: 1 }],
      ['corrupt', { model: MODEL, text: 'a', seed: 1, wholeWord: 'yes', topK: 1 }],
      ['configure', { threads: -1 }],
      ['configure', { threads: 1e9 }],
      ['configure', { executionProvider: 'gpu' }],
      ['configure', { idleMinutes: NaN }],
    ];
    for (const [method, params] of bad)
      await assert.rejects(
        engine.handle(method as EngineMethod, params as never, quiet()),
        { code: 'bad-input' },
        `${method} ${JSON.stringify(params)}`,
      );
  });

  it('ends for 10 MB of text, with tokens or with a clear error', async () => {
    const text = 'the old house and the sea '.repeat(400_000);
    const result = await engine
      .handle('tokens', { model: MODEL, text: text.slice(0, 10 * 2 ** 20) }, quiet())
      .catch((error: unknown) => error as { code: string });
    if ('code' in result) assert.equal(result.code, 'time-limit');
    else assert.ok(result.tokens.length > 2_000_000);
  });

  it('lets interactive work go first, one at a time', async () => {
    const turns = new Turns();
    const order: string[] = [];
    let inside = 0;
    const work = (name: string) => async (): Promise<void> => {
      assert.equal(++inside, 1);
      await sleep(2);
      order.push(name);
      inside--;
      if (name === 'b2') throw new Error('a failure passes the turn on');
    };
    await Promise.allSettled([
      turns.run('batch', work('b1')),
      turns.run('batch', work('b2')),
      turns.run('batch', work('b3')),
      turns.run('interactive', work('i1')),
      turns.run('interactive', work('i2')),
    ]);
    assert.deepEqual(order, ['b1', 'i1', 'i2', 'b2', 'b3']);
  });
});
