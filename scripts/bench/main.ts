/**
 * `npm run bench [-- --json FILE --only engine|tracing|attention|ablation|embeddings|ffn|probes|window]`: speed and memory as ratios to a
 * bare onnxruntime-node run of the same model with the same settings, measured in turns in one run, since machines are noisy. Nothing in
 * here is asserted.
 */
import { spawn } from 'node:child_process';
import { statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import * as ort from 'onnxruntime-node';
import { EngineClient } from '../../extension/client/engineClient';
import { DEFAULT_SETTINGS, type EngineSettings, type ModelRef } from '../../extension/protocol/engine';
import { ablationFigures } from './ablation';
import { ffnFigures } from './ffn';
import { attentionViewFigures, overviewFigures } from './attention';
import { embeddingFigures } from './embeddings';
import { median, quantile, reporter, timed, type Figure } from './figure';
import { probeFigures } from './probes';
import { OPEN_OURS, openOurs, tracingFigures } from './tracing';
import { windowFigures } from './window';

const MODEL: ModelRef = { id: 'bert-base-cased', folder: resolve('models/bert-base-cased') };
const SETTINGS: EngineSettings = { ...DEFAULT_SETTINGS, threads: 2, idleMinutes: 0 };
const ENGINE = resolve('dist/engine.js');
const SENTENCE = 'The old man walked along the shore and looked at the sea while the boats came home . ';
const ROUNDS = 15;
const CLS = 101n;
const SEP = 102n;
const MASK = 103n;
const OLD = 1385n;

const figures: Figure[] = [];
const report = reporter(figures);

/** A text of exactly `tokens` tokens, [CLS] and [SEP] counted: every word of it is one piece. */
function textOf(tokens: number): string {
  const words = SENTENCE.trim().split(' ');
  return Array.from({ length: tokens - 2 }, (_, index) => words[index % words.length]).join(' ');
}

/** The runtime alone, in this process: ids in, all logits out. */
async function bareSession(): Promise<ort.InferenceSession> {
  return ort.InferenceSession.create(join(MODEL.folder, 'model.onnx'), {
    intraOpNumThreads: SETTINGS.threads,
    logSeverityLevel: 3,
    extra: { session: { disable_quant_qdq: '1' } },
  });
}

function bareFeeds(batch: number, tokens: number): Record<string, ort.Tensor> {
  const ids = new BigInt64Array(batch * tokens).fill(OLD);
  for (let row = 0; row < batch; row++) {
    ids[row * tokens] = CLS;
    ids[row * tokens + tokens - 1] = SEP;
    ids[row * tokens + 2] = MASK;
  }
  const tensor = (data: BigInt64Array): ort.Tensor => new ort.Tensor('int64', data, [batch, tokens]);
  return {
    input_ids: tensor(ids),
    attention_mask: tensor(new BigInt64Array(ids.length).fill(1n)),
    token_type_ids: tensor(new BigInt64Array(ids.length)),
  };
}

function newClient(): EngineClient {
  return new EngineClient({ enginePath: ENGINE, settings: SETTINGS, log: () => undefined });
}

async function fillMask(client: EngineClient, session: ort.InferenceSession): Promise<void> {
  for (const tokens of [16, 128, 512]) {
    const text = textOf(tokens);
    const feeds = bareFeeds(1, tokens);
    const ours: number[] = [];
    const bare: number[] = [];
    for (let round = -2; round < ROUNDS; round++) {
      const a = await timed(() => session.run(feeds, ['logits']));
      const b = await timed(() =>
        client.request('fillMask', { model: MODEL, text, targets: [{ range: { start: 4, end: 7 } }], topK: 10 }),
      );
      if (round < 0) continue; // warm-up
      bare.push(a);
      ours.push(b);
    }
    const ratio = median(ours) / median(bare);
    report({
      name: `fill-mask end to end, T = ${tokens}`,
      value: median(ours),
      unit: 'ms',
      baseline: median(bare),
      ratio,
      goal: '≤ 1.10 of a bare run',
      ok: ratio <= 1.1,
    });
  }
}

async function surprisal(client: EngineClient, session: ort.InferenceSession): Promise<void> {
  const tokens = 64;
  const text = textOf(tokens);
  const scored = tokens - 2;
  const batch = 16;
  const feeds = bareFeeds(batch, tokens);
  const ours: number[] = [];
  const bare: number[] = [];
  for (let round = -1; round < 5; round++) {
    const a = await timed(() => session.run(feeds, ['logits']));
    const b = await timed(() => client.request('score', { model: MODEL, text }));
    if (round < 0) continue;
    bare.push((batch / a) * 1000);
    ours.push((scored / b) * 1000);
  }
  const ratio = median(ours) / median(bare);
  report({
    name: `surprisal, one masked copy a token, T = ${tokens}`,
    value: median(ours),
    unit: 'tokens/s',
    baseline: median(bare),
    ratio,
    goal: '≥ 0.9 of bare batches of 16',
    ok: ratio >= 0.9,
  });
}

async function hover(client: EngineClient): Promise<void> {
  const text = textOf(32);
  const times: number[] = [];
  const words = [...text.matchAll(/\S+/g)];
  for (let round = -3; round < 60; round++) {
    const word = words[(round + 3) % words.length];
    if (word === undefined) continue;
    const range = { start: word.index, end: word.index + word[0].length };
    const time = await timed(() => client.request('fillMask', { model: MODEL, text, targets: [{ range }], topK: 5 }));
    if (round >= 0) times.push(time);
  }
  for (const [name, q, goal] of [
    ['p50', 0.5, Infinity],
    ['p95', 0.95, 150],
  ] as const)
    report({
      name: `hover, request to answer, T = 32, ${name}`,
      value: quantile(times, q),
      unit: 'ms',
      baseline: null,
      ratio: null,
      goal: goal === Infinity ? '–' : `< ${goal} ms`,
      ok: quantile(times, q) < goal,
    });
}

async function jointFill(client: EngineClient): Promise<void> {
  const text = textOf(32);
  const times: number[] = [];
  for (let round = -1; round < 7; round++) {
    const time = await timed(() =>
      client.request('fillMask', {
        model: MODEL,
        text,
        targets: [{ range: { start: 4, end: 18 }, masks: 3 }],
        topK: 10,
        joint: { beam: 5 },
      }),
    );
    if (round >= 0) times.push(time);
  }
  report({
    name: 'joint fill of three masks, beam 5, T = 32',
    value: median(times),
    unit: 'ms',
    baseline: null,
    ratio: null,
    goal: '< 1000 ms',
    ok: median(times) < 1000,
  });
}

async function coldStart(): Promise<void> {
  const times: number[] = [];
  for (let round = 0; round < 4; round++) {
    const client = newClient();
    const time = await timed(() =>
      client.request('fillMask', {
        model: MODEL,
        text: textOf(16),
        targets: [{ range: { start: 4, end: 7 } }],
        topK: 5,
      }),
    );
    if (round > 0) times.push(time); // the first brings the files into the disk cache
    await client.dispose();
  }
  report({
    name: 'engine start to first prediction, files in the disk cache',
    value: median(times),
    unit: 'ms',
    baseline: null,
    ratio: null,
    goal: '≤ 1500 ms',
    ok: median(times) <= 1500,
  });
}

/** Peak memory of a bare process that opens the model from its path and runs it once, for comparison. */
async function bareMemory(): Promise<number> {
  const script = `
    const ort = require('onnxruntime-node');
    (async () => {
      const session = await ort.InferenceSession.create(${JSON.stringify(join(MODEL.folder, 'model.onnx'))},
        { intraOpNumThreads: ${SETTINGS.threads}, logSeverityLevel: 3, extra: { session: { disable_quant_qdq: '1' } } });
      const tensor = (value) => new ort.Tensor('int64', new BigInt64Array(16).fill(value), [1, 16]);
      await session.run({ input_ids: tensor(103n), attention_mask: tensor(1n), token_type_ids: tensor(0n) });
      console.log(process.memoryUsage().rss);
    })();`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  let out = '';
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
  await new Promise((done) => child.once('close', done));
  return Number(out) / 2 ** 20;
}

async function memory(): Promise<void> {
  const files = ['model.onnx', 'model.onnx_data_1', 'model.onnx_data_2'];
  const fileMegabytes = files.reduce((sum, file) => sum + statSync(join(MODEL.folder, file)).size, 0) / 2 ** 20;
  const bare = await bareMemory();
  for (const lowMemory of [false, true]) {
    const client = new EngineClient({ enginePath: ENGINE, settings: { ...SETTINGS, lowMemory }, log: () => undefined });
    await client.request('fillMask', {
      model: MODEL,
      text: textOf(16),
      targets: [{ range: { start: 4, end: 7 } }],
      topK: 5,
    });
    const { rss } = await client.request('status', null);
    await client.dispose();
    const value = rss / 2 ** 20;
    report({
      name: `engine memory${lowMemory ? ', low-memory setting' : ''} (model files ${fileMegabytes.toFixed(0)} MB)`,
      value,
      unit: 'MB',
      baseline: bare,
      ratio: value / bare,
      goal: '≤ 1.10 of a bare process',
      ok: value / bare <= 1.1,
    });
  }
}

/** How long the owner's event loop is held up while the engine works and streams results. */
async function ownerDelay(client: EngineClient): Promise<void> {
  const histogram = monitorEventLoopDelay({ resolution: 1 });
  histogram.enable();
  await client.request('score', { model: MODEL, text: textOf(128) }, { progress: () => undefined });
  for (let round = 0; round < 10; round++)
    await client.request('fillMask', {
      model: MODEL,
      text: textOf(64),
      targets: [{ range: { start: 4, end: 7 } }],
      topK: 100,
    });
  histogram.disable();
  const p99 = histogram.percentile(99) / 1e6;
  report({
    name: 'event-loop delay of the owner while the engine runs, p99',
    value: p99,
    unit: 'ms',
    baseline: null,
    ratio: null,
    goal: '< 16 ms',
    ok: p99 < 16,
  });
}

async function attention(): Promise<void> {
  const client = newClient();
  const session = await bareSession();
  await overviewFigures(client, MODEL, session, bareFeeds, textOf, report);
  await session.release();
  await client.dispose();
  await attentionViewFigures(report);
}

async function embeddings(): Promise<void> {
  const client = newClient();
  const session = await bareSession();
  await embeddingFigures(client, MODEL, session, bareFeeds, textOf, report);
  await session.release();
  await client.dispose();
}

async function engine(): Promise<void> {
  await coldStart();
  await memory();
  const client = newClient();
  const session = await bareSession();
  await fillMask(client, session);
  await surprisal(client, session);
  await hover(client);
  await jointFill(client);
  await session.release();
  await ownerDelay(client);
  await client.dispose();
}

const PARTS: Readonly<Record<string, () => Promise<void>>> = {
  engine,
  tracing: () => tracingFigures(SETTINGS, report),
  attention,
  ablation: () => ablationFigures(SETTINGS, report),
  embeddings,
  ffn: () => ffnFigures(SETTINGS, report),
  probes: () => probeFigures(MODEL, ENGINE, SETTINGS, report),
  window: () => windowFigures(report),
};

async function main(): Promise<void> {
  const [command, folder] = process.argv.slice(2);
  if (command === OPEN_OURS && folder !== undefined) {
    await openOurs(folder, SETTINGS);
    return;
  }
  const { values } = parseArgs({ options: { json: { type: 'string' }, only: { type: 'string' } } });
  const chosen = Object.entries(PARTS).filter(([name]) => values.only === undefined || values.only === name);
  if (chosen.length === 0) throw new Error(`--only must be one of ${Object.keys(PARTS).join(', ')}`);
  try {
    for (const [, measure] of chosen) await measure();
  } finally {
    // What was measured before a failure is not lost.
    if (values.json !== undefined) writeFileSync(values.json, JSON.stringify(figures, null, 2));
  }
}

void main();
