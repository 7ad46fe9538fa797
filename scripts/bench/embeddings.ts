/** Vectors of many texts beside a bare run of the same batches, the exact search of an index, and the projection of many points. */
import { performance } from 'node:perf_hooks';
import type * as ort from 'onnxruntime-node';
import type { EngineClient } from '../../extension/client/engineClient';
import { nearestRows } from '../../extension/engine/analysis/embeddings/corpusNeighbours';
import { umapPlaces } from '../../extension/engine/analysis/embeddings/projection';
import { seededRandom } from '../../extension/engine/analysis/random';
import { withRowProducts } from '../../extension/engine/session/rowProducts';
import type { ModelRef } from '../../extension/protocol/engine';
import { median, quantile, timed, type Figure } from './figure';

const ROUNDS = 5;
/** As many tokens as go into one run. */
const [TEXTS, TOKENS] = [32, 32];
const [ROWS, WIDTH, SEARCHES] = [100_000, 768, 40];
const POINTS = 5_000;
const SEARCH_MS = 50;

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
  await search(report);
  await projection(report);
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
