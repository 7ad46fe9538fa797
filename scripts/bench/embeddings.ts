/**
 * Vectors of many texts and the index of a file beside a bare run of the same batches and PyTorch, the exact search of an index, the
 * projection of many points and their picture, and a large file of static vectors.
 */
import { spawnSync } from 'node:child_process';
import { createWriteStream, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import type * as ort from 'onnxruntime-node';
import type { EngineClient } from '../../extension/client/engineClient';
import { nearestRows } from '../../extension/engine/analysis/embeddings/corpusNeighbours';
import { fitsRun } from '../../extension/engine/analysis/embeddings/embed';
import { umapPlaces } from '../../extension/engine/analysis/embeddings/projection';
import { seededRandom } from '../../extension/engine/analysis/random';
import { tracedRuns } from '../../extension/engine/analysis/runs';
import type { Traceable } from '../../extension/engine/session/internals';
import { withRowProducts } from '../../extension/engine/session/rowProducts';
import type { ModelRef } from '../../extension/protocol/engine';
import { openGallery, painted, type Gallery } from '../../test/support/gallery';
import { median, quantile, timed, type Figure } from './figure';

const ROUNDS = 5;
/** As many tokens as go into one run. */
const [TEXTS, TOKENS] = [32, 32];
const [ROWS, WIDTH, SEARCHES] = [100_000, 768, 40];
const POINTS = 5_000;
const SEARCH_MS = 50;
const FRAME_MS = 33;
/** Sentences of 5 to 48 tokens. */
const SENTENCES = 192;
/** Rows and width of GloVe's file. */
const [TABLE_ROWS, TABLE_WIDTH] = [400_000, 300];
const NO_DELAY_MS = 16;
const THREADS = 2;

export async function embeddingFigures(
  client: EngineClient,
  model: ModelRef,
  bare: ort.InferenceSession,
  feedsOf: (batch: number, tokens: number) => Record<string, ort.Tensor>,
  textOf: (tokens: number) => string,
  report: (figure: Figure) => void,
): Promise<void> {
  const feeds = feedsOf(TEXTS, TOKENS);
  const texts = Array.from({ length: TEXTS }, () => textOf(TOKENS));
  const [ours, theirs]: [number[], number[]] = [[], []];
  for (let round = -1; round < ROUNDS; round++) {
    // This output needs the body of the model and none of the vocabulary's head.
    const b = await timed(() => bare.run(feeds, ['seq_relationship_logits']));
    const a = await timed(() => client.request('embed', { model, texts, layers: [12], pool: 'mean' }));
    if (round < 0) continue; // warm-up
    ours.push((1000 * TEXTS * TOKENS) / a);
    theirs.push((1000 * TEXTS * TOKENS) / b);
  }
  const ratio = median(ours.map((value, round) => value / (theirs[round] as number)));
  report({
    name: `vectors of ${TEXTS} texts, T = ${TOKENS}`,
    ...{ value: median(ours), unit: 'tokens/s', baseline: median(theirs), ratio },
    goal: '≥ 0.9 of a bare run of the same batch',
    ok: ratio >= 0.9,
  });
  await indexing(client, model, bare, feedsOf, textOf, report);
  await search(report);
  await projection(report);
  await picture(report);
  await largeTable(client, report);
}

/** Of mixed lengths, beside bare runs of the batches that it was cut into, and beside transformers. */
async function indexing(
  client: EngineClient,
  model: ModelRef,
  bare: ort.InferenceSession,
  feedsOf: (batch: number, tokens: number) => Record<string, ort.Tensor>,
  textOf: (tokens: number) => string,
  report: (figure: Figure) => void,
): Promise<void> {
  const random = seededRandom(3);
  const lengths = Array.from({ length: SENTENCES }, () => 5 + Math.floor(44 * random()));
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  const shapes = await batchesOf(lengths);
  const folder = mkdtempSync(join(tmpdir(), 'lens-bench-'));
  try {
    const file = join(folder, 'texts.tsv');
    const [ours, theirs]: [number[], number[]] = [[], []];
    for (let round = -1; round < ROUNDS; round++) {
      // Written anew, it is read anew.
      writeFileSync(file, lengths.map((length) => textOf(length)).join('\n'));
      const params = { model, layer: 12, pool: 'word', folder: join(folder, `${round}`) } as const;
      const a = await timed(() => client.request('updateIndex', { ...params, sources: [{ name: 'texts.tsv', file }] }));
      const b = await timed(async () => {
        for (const [batch, longest] of shapes) await bare.run(feedsOf(batch, longest), ['seq_relationship_logits']);
      });
      if (round < 0) continue;
      ours.push((1000 * tokens) / a);
      theirs.push((1000 * tokens) / b);
    }
    const ratio = median(ours.map((value, round) => value / (theirs[round] as number)));
    report({
      name: `index of ${SENTENCES} sentences of 5 to 48 tokens`,
      ...{ value: median(ours), unit: 'tokens/s', baseline: median(theirs), ratio },
      goal: '≥ 0.9 of bare runs of the same batches',
      ok: ratio >= 0.9,
    });
    besidePython(median(ours), lengths, report);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Rows and longest row of the runs that texts of these lengths make. */
async function batchesOf(lengths: readonly number[]): Promise<[rows: number, longest: number][]> {
  const shapes: [number, number][] = [];
  const recording = {
    info: { inputs: [{ name: 'attention_mask' }] },
    trace: async () => new Map(),
  } as unknown as Traceable;
  const items = lengths.map((length) => ({ row: { ids: new Int32Array(length), segments: new Int32Array(length) } }));
  for await (const { items: run } of tracedRuns(recording, items, [], fitsRun(1, WIDTH), new AbortController().signal))
    shapes.push([run.length, Math.max(...run.map(({ row }) => row.ids.length))]);
  return shapes;
}

function besidePython(value: number, lengths: readonly number[], report: (figure: Figure) => void): void {
  const python = process.env['ONNX_LENS_PYTHON'];
  if (python === undefined) return;
  const script = ['scripts/reference/embed_torch.py', String(ROUNDS), String(THREADS)];
  const { status, stdout, stderr } = spawnSync(python, [...script, ...lengths.map(String)], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  const baseline = median(JSON.parse(stdout) as number[]);
  report({
    name: 'the same, beside PyTorch (transformers)',
    ...{ value, unit: 'tokens/s', baseline, ratio: value / baseline },
    goal: '> 1.0 of batches of 32, sorted by length',
    ok: value > baseline,
  });
}

/** 20,000 points, as often as the pointer asks. */
async function picture(report: (figure: Figure) => void): Promise<void> {
  let gallery: Gallery;
  try {
    gallery = await openGallery();
  } catch {
    return;
  }
  try {
    const page = await gallery.browser.newPage({ viewport: { width: 900, height: 900 } });
    await page.goto(`${gallery.origin}/?view=embeddings&state=occurrences-20000&theme=dark`);
    await page.locator('lens-point-cloud').waitFor();
    await painted(page);
    const times = await page.evaluate(() => {
      const view = document.querySelector('onnx-lens-embeddings')?.shadowRoot;
      const cloud = view?.querySelector('lens-occurrences-page')?.shadowRoot?.querySelector('lens-point-cloud');
      return Array.from({ length: 30 }, () => {
        const started = window.performance.now();
        (cloud as unknown as { paint(): void }).paint();
        return window.performance.now() - started;
      });
    });
    const value = median(times);
    report({
      name: '20,000 points, a frame',
      ...{ value, unit: 'ms', baseline: null, ratio: null },
      goal: `< ${FRAME_MS} ms`,
      ok: value < FRAME_MS,
    });
  } finally {
    await gallery.close();
  }
}

/** GloVe's size, opened by the engine: what it takes, and what its owner feels of it. */
async function largeTable(client: EngineClient, report: (figure: Figure) => void): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'lens-bench-'));
  try {
    const file = join(folder, 'vectors.txt');
    await writeTable(file);
    const before = (await client.request('status', null)).rss;
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    const time = await timed(() => client.request('openTable', { table: { file } }));
    delay.disable();
    const { rss } = await client.request('status', null);
    const plain = { baseline: null, ratio: null, goal: '–', ok: null };
    const name = `${TABLE_ROWS.toLocaleString('en-US')} × ${TABLE_WIDTH} vectors of a text file`;
    report({ ...plain, name: `${name}: opened`, value: time / 1000, unit: 's' });
    report({ ...plain, name: `${name}: memory`, value: (rss - before) / 2 ** 20, unit: 'MB' });
    const p99 = delay.percentile(99) / 1e6;
    report({
      name: `${name}: delay of the owner's event loop, p99`,
      ...{ value: p99, unit: 'ms', baseline: null, ratio: null },
      goal: `< ${NO_DELAY_MS} ms`,
      ok: p99 < NO_DELAY_MS,
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Words of their own with some vectors that come again. */
async function writeTable(file: string): Promise<void> {
  const random = seededRandom(4);
  const tails = Array.from(
    { length: 500 },
    () => ` ${Array.from({ length: TABLE_WIDTH }, () => (random() - 0.5).toFixed(5)).join(' ')}\n`,
  );
  const stream = createWriteStream(file);
  for (let row = 0; row < TABLE_ROWS; row++)
    if (!stream.write(`word${row}${tails[row % tails.length]}`)) await once(stream, 'drain');
  stream.end();
  await once(stream, 'finish');
}

function randomRows(count: number, width: number): Float32Array {
  const random = seededRandom(1);
  const rows = new Float32Array(count * width);
  for (let row = 0; row < count; row++) {
    let square = 0;
    for (let at = row * width; at < (row + 1) * width; at++) {
      const value = random() - 0.5;
      rows[at] = value;
      square += value * value;
    }
    const length = Math.sqrt(square);
    for (let at = row * width; at < (row + 1) * width; at++) rows[at] = (rows[at] as number) / length;
  }
  return rows;
}

async function search(report: (figure: Figure) => void): Promise<void> {
  const rows = randomRows(ROWS, WIDTH);
  const times: number[] = [];
  for (let round = -3; round < SEARCHES; round++) {
    const query = rows.slice((round + 3) * WIDTH, (round + 4) * WIDTH);
    const time = await timed(() =>
      withRowProducts((products) => nearestRows({ rows, width: WIDTH }, query, 10, products)),
    );
    if (round >= 0) times.push(time);
  }
  const p95 = quantile(times, 0.95);
  report({
    name: `exact search of ${ROWS.toLocaleString('en-US')} × ${WIDTH}, p95`,
    ...{ value: p95, unit: 'ms', baseline: null, ratio: null },
    goal: `< ${SEARCH_MS} ms`,
    ok: p95 < SEARCH_MS,
  });
}

async function projection(report: (figure: Figure) => void): Promise<void> {
  const rows = { width: WIDTH, data: randomRows(POINTS, WIDTH) };
  const context = { signal: new AbortController().signal, progress: () => undefined };
  const started = performance.now();
  await umapPlaces(rows, 2, 0, context);
  report({
    name: `UMAP of ${POINTS.toLocaleString('en-US')} × ${WIDTH}, in the engine's process`,
    ...{ value: (performance.now() - started) / 1000, unit: 's', baseline: null, ratio: null },
    goal: 'off the views’ thread',
    ok: null,
  });
}
