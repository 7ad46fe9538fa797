/** Memories, lens, neurons switched off, triggers over a corpus, and the index of values, beside the bare runtime. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import * as ort from 'onnxruntime-node';
import { logitLens } from '../../extension/engine/analysis/ffn/logitLens';
import { memories } from '../../extension/engine/analysis/ffn/memories';
import { triggers } from '../../extension/engine/analysis/ffn/triggers';
import { buildIndex, indexFolder } from '../../extension/engine/analysis/ffn/valueIndex';
import { TOKENS_PER_RUN } from '../../extension/engine/analysis/forward';
import { describeModel } from '../../extension/engine/session/describe';
import { openModel, type OrtModel } from '../../extension/engine/session/ortModel';
import { smallModel } from '../../extension/engine/session/smallModel';
import { TraceCache } from '../../extension/engine/session/traceCache';
import { newNode } from '../../extension/engine/onnx/model';
import type { EngineSettings, ModelRef } from '../../extension/protocol/engine';
import { ACTIVE_THRESHOLD, type MemoryMeasure } from '../../extension/protocol/ffn';
import { median, quantile, timed, type Figure } from './figure';

const TOKENS = 32;
const WORD = 'sea';
const ROUNDS = 3;
const NEURONS = 200;
const LOOKS = 30;
const SENTENCES = 128;
const quiet = { signal: new AbortController().signal, progress: () => undefined };
const textOf = (mask: number): string =>
  Array.from({ length: TOKENS - 2 }, (_, index) => (index === mask ? '[MASK]' : WORD)).join(' ');
const asked = (text: string, by: MemoryMeasure, candidates = 0) => ({ text, by, topK: 20, words: 5, candidates });

export async function ffnFigures(settings: EngineSettings, report: (figure: Figure) => void): Promise<void> {
  const ref: ModelRef = { id: 'bert-base-cased', folder: resolve('models/bert-base-cased') };
  const model = await openModel(ref, settings, () => undefined, 'later');
  try {
    const bare = await bareRuns(ref, model, settings);
    await looks(model, bare, report);
    await ablated(model, bare, report);
    await scanned(model, bare, report);
    await bare.release();
    await indexed(model, settings, report);
  } finally {
    await model.release();
  }
}

interface Bare {
  run(count: number): Promise<number>;
  /** So many texts as one batch through the body of the model, without the vocabulary's head. */
  runBatch(texts: number): Promise<number>;
  release(): Promise<void>;
}

async function bareRuns(ref: ModelRef, model: OrtModel, settings: EngineSettings): Promise<Bare> {
  const { path, logits } = await describeModel(ref);
  const session = await ort.InferenceSession.create(path, {
    intraOpNumThreads: settings.threads,
    logSeverityLevel: 3,
    extra: { session: { disable_quant_qdq: '1' } },
  });
  const ids = BigInt64Array.from(model.tokenizer.encode(textOf(5)).ids, BigInt);
  const feedsOf = (rows: number): Record<string, ort.Tensor> => {
    const tensor = (valueOf: (index: number) => bigint): ort.Tensor =>
      new ort.Tensor(
        'int64',
        BigInt64Array.from({ length: rows * ids.length }, (_, index) => valueOf(index)),
        [rows, ids.length],
      );
    return {
      input_ids: tensor((index) => ids[index % ids.length] as bigint),
      attention_mask: tensor(() => 1n),
      token_type_ids: tensor(() => 0n),
    };
  };
  const feeds = feedsOf(1);
  return {
    run: (count) =>
      timed(async () => {
        for (let run = 0; run < count; run++) await session.run(feeds, [logits ?? 'logits']);
      }),
    runBatch: (texts) => {
      const batch = feedsOf(texts);
      return timed(() => session.run(batch, ['seq_relationship_logits']));
    },
    release: () => session.release(),
  };
}

/** A person looks at one text after the other, and at each by every measure. */
async function looks(model: OrtModel, bare: Bare, report: (figure: Figure) => void): Promise<void> {
  const opened = new TraceCache().over(model);
  await memories(opened, asked(textOf(0), 'logit'), quiet); // the values are read once
  await logitLens(opened, { text: textOf(0), topK: 5 }, quiet);
  await bare.run(2);
  const cold: number[] = [];
  const plain: number[] = [];
  const again: number[] = [];
  const lens: number[] = [];
  for (let look = 1; look <= LOOKS; look++) {
    const text = textOf(look % (TOKENS - 2));
    const fresh = look % (TOKENS - 2) === 0 ? `${WORD} ${text}` : text;
    cold.push(await timed(() => memories(opened, asked(fresh, 'norm'), quiet)));
    plain.push(await bare.run(1));
    again.push(await timed(() => memories(opened, asked(fresh, 'norm'), quiet)));
    lens.push(await timed(() => logitLens(opened, { text: fresh, topK: 5 }, quiet)));
  }
  const baseline = median(plain);
  const ratio = median(cold.map((time, look) => time / (plain[look] as number)));
  report({
    name: `memories of a new text, T = ${TOKENS}`,
    ...{ value: median(cold), unit: 'ms', baseline, ratio },
    ...{ goal: '≤ 1.2 of a bare run', ok: ratio <= 1.2 },
  });
  const p95 = quantile(again, 0.95);
  report({
    name: `memories of a known text, p95`,
    ...{ value: p95, unit: 'ms', baseline: null, ratio: null, goal: '< 50 ms', ok: p95 < 50 },
  });
  report({
    name: `logit lens of a token, all 25 states, T = ${TOKENS}, beside a bare run`,
    ...{ value: median(lens), unit: 'ms', baseline, ratio: median(lens) / baseline, goal: '–', ok: true },
  });
}

async function ablated(model: OrtModel, bare: Bare, report: (figure: Figure) => void): Promise<void> {
  const opened = new TraceCache().over(model);
  const text = textOf(5);
  const each = (): Promise<number> => timed(() => memories(opened, asked(text, 'ablation', NEURONS), quiet));
  await each();
  const [ours, theirs]: [number[], number[]] = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    const before = await bare.run(NEURONS / 2);
    ours.push(await each());
    theirs.push(before + (await bare.run(NEURONS / 2)));
  }
  const ratio = median(ours.map((time, round) => time / (theirs[round] as number)));
  report({
    name: `${NEURONS} neurons switched off one by one, T = ${TOKENS}`,
    ...{ value: median(ours), unit: 'ms', baseline: median(theirs), ratio },
    ...{ goal: `≤ 0.4 of ${NEURONS} bare runs`, ok: ratio <= 0.4 },
  });
}

/** One memory of a middle layer and one of the last, over sentences of one length. */
async function scanned(model: OrtModel, bare: Bare, report: (figure: Figure) => void): Promise<void> {
  const text = Array.from({ length: SENTENCES }, () => textOf(5)).join('\n');
  const asked = { sources: [{ name: 'corpus.tsv', text }], topK: 25, threshold: ACTIVE_THRESHOLD };
  const { layers } = model.info.anatomy;
  const batch = TOKENS_PER_RUN / TOKENS;
  for (const layer of [layers - 1, layers / 2 - 1]) {
    const neurons = [{ layer, neuron: 100 }];
    const [ours, theirs]: [number[], number[]] = [[], []];
    for (let round = -1; round < ROUNDS; round++) {
      let plain = 0;
      for (let from = 0; from < SENTENCES; from += batch) plain += await bare.runBatch(batch);
      const time = await timed(() => triggers(model, { ...asked, neurons }, quiet));
      if (round < 0) continue; // warm-up
      ours.push((1000 * SENTENCES * TOKENS) / time);
      theirs.push((1000 * SENTENCES * TOKENS) / plain);
    }
    const ratio = median(ours.map((value, round) => value / (theirs[round] as number)));
    report({
      name: `triggers of a memory of layer ${layer}, T = ${TOKENS}`,
      ...{ value: median(ours), unit: 'tokens/s', baseline: median(theirs), ratio },
      ...{ goal: '≥ 0.85 of a bare run of the same batches', ok: ratio >= 0.85 },
    });
  }
}

/** The index beside its matrix product alone. */
async function indexed(model: OrtModel, settings: EngineSettings, report: (figure: Figure) => void): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'lens-bench-'));
  const { layers, ffnWidth, width } = model.info.anatomy;
  const values = layers * (ffnWidth ?? 0);
  const [inner, vocab] = [width ?? 0, model.info.vocabSize ?? 0];
  try {
    const ours = await timed(() => buildIndex(model, indexFolder(folder, '0'.repeat(64)), quiet));
    const session = await productSession(settings);
    const rows = Math.max(1, Math.floor((4 * 2 ** 20) / vocab));
    const numbers = (count: number): Float32Array => Float32Array.from({ length: count }, (_, at) => Math.sin(at));
    const weight = new ort.Tensor('float32', numbers(inner * vocab), [inner, vocab]);
    const vectors = numbers(rows * inner);
    const product = (count: number): Promise<unknown> =>
      session.run({ x: new ort.Tensor('float32', vectors.subarray(0, count * inner), [count, inner]), w: weight });
    await product(rows);
    const theirs = await timed(async () => {
      for (let from = 0; from < values; from += rows) await product(Math.min(rows, values - from));
    });
    await session.release();
    report({
      name: `words of all ${values} values`,
      ...{ value: ours / 1000, unit: 's', baseline: theirs / 1000, ratio: ours / theirs },
      ...{ goal: '≤ 1.3 of the matrix product', ok: ours <= 1.3 * theirs },
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function productSession(settings: EngineSettings): Promise<ort.InferenceSession> {
  const product = newNode('MatMul', ['x', 'w'], ['y']);
  const model = smallModel([product], { x: ['n', 'd'], w: ['d', 'v'] }, { y: ['n', 'v'] });
  return ort.InferenceSession.create(model, { intraOpNumThreads: settings.threads, logSeverityLevel: 3 });
}
