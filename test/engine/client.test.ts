/** The engine process under its client: cancel, supersede, crash, 200 kills, no orphans. Runs the built dist/engine.js. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EngineClient, type EngineEvent } from '../../extension/client/engineClient';
import { seededRandom } from '../../extension/engine/analysis/random';
import type { ModelRef } from '../../extension/protocol/engine';
import { LensError } from '../../extension/protocol/errors';
import { BUNDLED, fixture, SETTINGS } from '../support/fixtures';

const ENGINE = resolve('dist/engine.js');
const TINY = fixture('bert');
const TEXT = 'The old man walked along the shore and looked at the sea.';
const KILLS = 200;

function newClient(events: EngineEvent[] = []): EngineClient {
  return new EngineClient({
    enginePath: ENGINE,
    settings: SETTINGS,
    log: () => undefined,
    onEvent: (event) => events.push(event),
  });
}

const fill = (model: ModelRef, range = { start: 4, end: 7 }) => ({ model, text: TEXT, targets: [{ range }], topK: 3 });
const hasCode =
  (...codes: string[]) =>
  (thrown: unknown): boolean =>
    thrown instanceof LensError && codes.includes(thrown.code);

/** Processes whose parent is this one and that run the engine; Linux only. */
function engineChildren(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
        const parent = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1];
        return Number(parent) === process.pid && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(ENGINE);
      } catch {
        return false; // gone while we looked
      }
    })
    .map(Number);
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

describe('engine client', function () {
  this.timeout(60_000);
  let client: EngineClient;
  let events: EngineEvent[];

  beforeEach(() => {
    events = [];
    client = newClient(events);
  });
  afterEach(() => client.dispose());

  it('starts nothing before the first request', () => {
    assert.equal(client.running, false);
  });

  it('answers, and reports the engine’s own errors with code and hint', async () => {
    const result = await client.request('fillMask', fill(TINY));
    assert.equal(result.targets[0]?.text, 'old');
    await assert.rejects(
      client.request('fillMask', fill({ id: 'none', folder: resolve('no/such/folder') })),
      (thrown) => {
        assert(thrown instanceof LensError);
        assert.equal(thrown.code, 'model-not-found');
        assert.ok(thrown.hint);
        return true;
      },
    );
  });

  it('sends typed arrays as typed arrays', async () => {
    const result = await client.request('score', { model: TINY, text: TEXT });
    assert(result.logprobs instanceof Float64Array);
    assert.equal(result.logprobs.length, result.tokens.length);
    assert.ok(Math.abs(result.logprobs.reduce((sum, value) => sum + value, 0) - result.total) < 1e-9);
  });

  it('cancels in the middle of a run and serves the next request', async () => {
    await client.request('load', { model: BUNDLED });
    const controller = new AbortController();
    const long = client.request('score', { model: BUNDLED, text: TEXT.repeat(60) }, { signal: controller.signal });
    await sleep(300);
    const cancelledAt = Date.now();
    controller.abort();
    await assert.rejects(long, hasCode('cancelled'));
    assert.ok(Date.now() - cancelledAt < 100, 'the caller waits for nothing');
    const next = await client.request('fillMask', fill(BUNDLED));
    assert.equal(next.targets[0]?.text, 'old');
    assert.deepEqual(
      events.filter((event) => event.name === 'crashed'),
      [],
    );
  });

  it('a newer request of the same kind supersedes the older one; others are left alone', async () => {
    await client.request('load', { model: TINY });
    const old = client.request('score', { model: TINY, text: TEXT.repeat(50) }, { supersedes: 'view' });
    const other = client.request('fillMask', fill(TINY));
    const newer = client.request('fillMask', fill(TINY, { start: 0, end: 3 }), { supersedes: 'view' });
    await assert.rejects(old, hasCode('superseded'));
    assert.equal((await newer).targets[0]?.text, 'The');
    assert.equal((await other).targets[0]?.text, 'old');
  });

  it('reports a crash once and serves what was under way from a new process', async () => {
    await client.request('load', { model: TINY });
    const answer = client.request('fillMask', fill(TINY));
    process.kill(client.pid as number, 'SIGKILL');
    assert.equal((await answer).targets[0]?.text, 'old');
    assert.equal(events.filter((event) => event.name === 'crashed').length, 1);
  });

  it('gives up on an engine that cannot start, with a clear error', async () => {
    const broken = new EngineClient({
      enginePath: resolve('no/such/engine.js'),
      settings: SETTINGS,
      log: () => undefined,
    });
    await assert.rejects(broken.request('status', null), hasCode('engine-crashed', 'engine-unavailable'));
    await broken.dispose();
    const missing = new EngineClient({
      enginePath: ENGINE,
      execPath: resolve('no/such/node'),
      settings: SETTINGS,
      log: () => undefined,
    });
    await assert.rejects(missing.request('status', null), hasCode('engine-crashed', 'engine-unavailable'));
    await missing.dispose();
  });

  it('backs off and gives up on an engine that starts well and dies of its requests', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'onnx-lens-'));
    const dying = join(folder, 'engine.js');
    writeFileSync(
      dying,
      // From a thread of its own: the runtime blocks the first one while it opens a model.
      `require(${JSON.stringify(ENGINE)});
       new (require('node:worker_threads').Worker)(
         "setTimeout(() => process.kill(process.pid, 'SIGKILL'), 150)", { eval: true });`,
    );
    const crashes: EngineEvent[] = [];
    const mortal = new EngineClient({
      enginePath: dying,
      settings: SETTINGS,
      log: () => undefined,
      onEvent: (event) => event.name === 'crashed' && crashes.push(event),
    });
    const load = (): Promise<unknown> => mortal.request('load', { model: BUNDLED });
    await assert.rejects(load(), hasCode('engine-crashed'));
    await assert.rejects(load(), hasCode('engine-crashed'));
    await assert.rejects(load(), hasCode('engine-unavailable'));
    assert.equal(crashes.length, 5);
    const asked = Date.now();
    await assert.rejects(load(), hasCode('engine-unavailable'));
    assert.ok(Date.now() - asked < 100, 'not started again for now');
    await mortal.dispose();
    rmSync(folder, { recursive: true });
  });

  it('ends the process on dispose, and every request with it', async () => {
    await client.request('load', { model: TINY });
    const pid = client.pid as number;
    const open = client.request('score', { model: TINY, text: TEXT.repeat(50) });
    const rejected = assert.rejects(open, hasCode('engine-unavailable'));
    await client.dispose();
    await rejected;
    assert.equal(isAlive(pid), false);
  });

  it('leaves no orphan when its owner is killed', async () => {
    const owner = spawn(
      process.execPath,
      [
        '-e',
        `const child = require('node:child_process').spawn(process.execPath, [${JSON.stringify(ENGINE)}],
           { stdio: ['ignore', 'ignore', 'ignore', 'overlapped'] });
         console.log(child.pid); setInterval(() => {}, 1000);`,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const [line] = (await once(owner.stdout, 'data')) as [Buffer];
    const pid = Number(line.toString());
    await sleep(500);
    assert.ok(isAlive(pid));
    owner.kill('SIGKILL');
    for (let waited = 0; isAlive(pid) && waited < 5_000; waited += 50) await sleep(50);
    assert.equal(isAlive(pid), false);
  });

  it(`survives ${KILLS} kills at random moments: every request ends, memory returns, nothing stays behind`, async function () {
    this.timeout(600_000);
    const random = seededRandom(2026);
    await client.request('load', { model: TINY });
    const before = process.memoryUsage().rss;
    let results = 0;
    let errors = 0;
    for (let kill = 0; kill < KILLS; kill++) {
      const requests = [
        client.request('fillMask', fill(TINY)),
        client.request('score', { model: TINY, text: TEXT }),
        client.request('tokens', { model: TINY, text: TEXT }),
        client.request('corrupt', { model: TINY, text: TEXT, seed: kill, wholeWord: false, topK: 1 }),
      ];
      const settled = Promise.allSettled(requests);
      await sleep(random() * 60);
      if (client.pid !== undefined) process.kill(client.pid, 'SIGKILL');
      for (const outcome of await settled) {
        if (outcome.status === 'fulfilled') results += 1;
        else {
          assert.ok(hasCode('engine-crashed', 'engine-unavailable')(outcome.reason), String(outcome.reason));
          errors += 1;
        }
      }
    }
    assert.equal(results + errors, KILLS * 4);
    assert.ok(results > errors, `${results} results, ${errors} errors: requests should survive one death`);
    assert.equal((await client.request('fillMask', fill(TINY))).targets[0]?.text, 'old');
    assert.equal(client.busy, 0);
    if (existsSync('/proc')) assert.deepEqual(engineChildren(), [client.pid]);
    global.gc?.();
    const grown = (process.memoryUsage().rss - before) / 2 ** 20;
    assert.ok(grown < 150, `the owner's memory grew by ${grown.toFixed(0)} MB`);
  });
});
