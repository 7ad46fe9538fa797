/**
 * The picture of all heads: the engine's answer beside a bare run, and what the view does with it in a real browser, beside the page
 * that BertViz makes of the same text (in the folder `$ONNX_LENS_BERTVIZ`: NAME.html by `bertviz.model_view`, and the libraries that
 * the page wants, `d3.min.js`, `jquery.min.js` and `require.min.js`).
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type * as ort from 'onnxruntime-node';
import type { Browser, Page } from 'playwright-core';
import type { EngineClient } from '../../extension/client/engineClient';
import type { ModelRef } from '../../extension/protocol/engine';
import { openGallery, type Gallery } from '../../test/support/gallery';
import { median, quantile, timed, type Figure } from './figure';

const ROUNDS = 9;
const ANSWER_LIMIT = 1.15;
/** Longer texts have more than 100 MB of patterns, and pay for that. */
const MOST_LIMITED = 128;
const PAINT_MS: Record<string, number> = { 'heads-128': 100, 'heads-512': 500 };
const FRAME_MS = 33;
const HEAP_MB = 300;
const MEGABYTE = 2 ** 20;
const LONGEST_PAGE_MS = 120_000;

type Report = (figure: Figure) => void;

/** All patterns are read, described and drawn small; a cached answer would measure nothing, so each text is another. */
export async function overviewFigures(
  client: EngineClient,
  model: ModelRef,
  bare: ort.InferenceSession,
  feedsOf: (batch: number, tokens: number) => Record<string, ort.Tensor>,
  textOf: (tokens: number) => string,
  report: Report,
): Promise<void> {
  const other = (text: string, round: number): string =>
    text
      .split(' ')
      .map((word, index) => (index === (round + ROUNDS) % 14 ? 'house' : word))
      .join(' ');
  for (const tokens of [16, 128, 512]) {
    const feeds = feedsOf(1, tokens);
    const [ours, theirs]: [number[], number[]] = [[], []];
    for (let round = -2; round < ROUNDS; round++) {
      const a = await timed(() => bare.run(feeds, ['logits']));
      const b = await timed(() => client.request('attention', { model, text: other(textOf(tokens), round) }));
      if (round < 0) continue; // warm-up
      theirs.push(a);
      ours.push(b);
    }
    const ratio = median(ours.map((time, round) => time / (theirs[round] as number)));
    report({
      name: `attention, all heads of a text, T = ${tokens}`,
      value: median(ours),
      unit: 'ms',
      baseline: median(theirs),
      ratio,
      ...(tokens <= MOST_LIMITED
        ? { goal: `≤ ${ANSWER_LIMIT} of a bare run`, ok: ratio <= ANSWER_LIMIT }
        : { goal: '–', ok: null }),
    });
  }
}

/** How soon the view has drawn what it got, how smooth it stays, and what it takes. */
export async function attentionViewFigures(report: Report): Promise<void> {
  let gallery: Gallery;
  try {
    gallery = await openGallery();
  } catch {
    return;
  }
  try {
    for (const [state, limit] of Object.entries(PAINT_MS)) await viewFigures(gallery, state, limit, report);
    await bertViz(gallery.browser, report);
  } finally {
    await gallery.close();
  }
}

async function viewFigures({ browser, origin }: Gallery, state: string, limit: number, report: Report): Promise<void> {
  const paints: number[] = [];
  let [worst, heap] = [0, 0];
  for (let round = 0; round < 3; round++) {
    const page = await browser.newPage({ viewport: { width: 900, height: 900 } });
    // As it is when an answer arrives: open, and waiting for it.
    await page.goto(`${origin}/?view=attention&state=empty&theme=dark`);
    await page.locator('onnx-lens-attention').waitFor();
    paints.push(await paintedAfter(page, state));
    worst = Math.max(worst, await slowestFrame(page));
    heap = Math.max(heap, await heapOf(page));
    await page.close();
  }
  const plain = { baseline: null, ratio: null };
  const paint = median(paints);
  report({
    ...plain,
    name: `attention view, ${state}: answer to paint`,
    value: paint,
    unit: 'ms',
    goal: `≤ ${limit} ms`,
    ok: paint <= limit,
  });
  report({
    ...plain,
    name: `attention view, ${state}: hovering and scrolling, p95 of frames`,
    value: worst,
    unit: 'ms',
    goal: `≤ ${FRAME_MS} ms`,
    ok: worst <= FRAME_MS,
  });
  report({
    ...plain,
    name: `attention view, ${state}: memory of the page`,
    value: heap,
    unit: 'MB',
    goal: `≤ ${HEAP_MB} MB`,
    ok: heap <= HEAP_MB,
  });
}

/** From the host's answer to the end of the drawing that has all pictures. */
const paintedAfter = (page: Page, state: string): Promise<number> =>
  page.evaluate(async (name) => {
    interface Drawing extends Element {
      picture?: { tiles: unknown };
      paintedAt: number;
    }
    const find = (root: Document | ShadowRoot): Drawing | undefined => {
      for (const each of root.querySelectorAll('*')) {
        if (each.localName === 'lens-small-multiples') return each as Drawing;
        const inner = each.shadowRoot === null ? undefined : find(each.shadowRoot);
        if (inner !== undefined) return inner;
      }
      return undefined;
    };
    const frame = (): Promise<number> => new Promise((done) => requestAnimationFrame(done));
    const start = await window.showAttention(name);
    while (find(document)?.picture?.tiles == null) await frame();
    // It draws in the frame after they came, at the latest.
    for (let more = 0; more < 2; more++) await frame();
    return (find(document)?.paintedAt ?? NaN) - start;
  }, state);

/** The pointer goes over the pictures while the page scrolls. */
async function slowestFrame(page: Page): Promise<number> {
  await page.evaluate(() => {
    const times: number[] = [];
    let last = performance.now();
    const step = (now: number): void => {
      times.push(now - last);
      last = now;
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
    (window as unknown as { frames: number[] }).frames = times;
  });
  for (let step = 0; step < 60; step++) {
    await page.mouse.move(100 + step * 10, 300 + (step % 20) * 15);
    await page.mouse.wheel(0, step % 2 === 0 ? 60 : -40);
  }
  return quantile(await page.evaluate(() => (window as unknown as { frames: number[] }).frames), 0.95);
}

async function heapOf(page: Page): Promise<number> {
  const session = await page.context().newCDPSession(page);
  await session.send('HeapProfiler.collectGarbage');
  const {
    usedSize,
    embedderHeapUsedSize = 0,
    backingStorageSize = 0,
  } = (await session.send('Runtime.getHeapUsage')) as {
    usedSize: number;
    embedderHeapUsedSize?: number;
    backingStorageSize?: number;
  };
  return (usedSize + embedderHeapUsedSize + backingStorageSize) / MEGABYTE;
}

/** The same picture by BertViz, when somebody has made it. */
async function bertViz(browser: Browser, report: Report): Promise<void> {
  const folder = process.env['ONNX_LENS_BERTVIZ'];
  if (folder === undefined || !existsSync(folder)) return;
  const pages = readdirSync(folder)
    .filter((name) => name.endsWith('.html'))
    .map((file) => ({ file, html: readFileSync(join(folder, file), 'utf8') }))
    // The page of a long text crashes, and does not close.
    .sort((a, b) => a.html.length - b.html.length);
  for (const { file, html } of pages) {
    const page = await browser.newPage({ viewport: { width: 900, height: 900 } });
    await page.route('**/*', (route) => {
      const url = route.request().url();
      if (url.endsWith('/bertviz')) return route.fulfill({ body: html, contentType: 'text/html; charset=utf-8' });
      const library = ['d3', 'jquery', 'require'].find((name) => url.includes(name));
      return library === undefined
        ? route.abort()
        : route.fulfill({ path: join(folder, `${library}.min.js`), contentType: 'text/javascript' });
    });
    const drawn = await timed(async () => {
      await page.goto('http://localhost/bertviz', { timeout: LONGEST_PAGE_MS });
      await page.locator('svg line').first().waitFor({ state: 'attached', timeout: LONGEST_PAGE_MS });
      await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    }).catch(() => null);
    const name = `BertViz, model view, ${file.replace(/\.html$/, '')}`;
    const plain = { baseline: null, ratio: null, goal: 'to compare with', ok: null };
    report({ ...plain, name: `${name}: size of the page`, value: html.length / MEGABYTE, unit: 'MB' });
    report({ ...plain, name: `${name}: opened and painted`, value: drawn, unit: 'ms' });
    if (drawn === null) return;
    report({ ...plain, name: `${name}: memory of the page`, value: await heapOf(page), unit: 'MB' });
    await page.close();
  }
}
