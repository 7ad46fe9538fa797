/** What the tests that drive a whole VS Code share: when they skip, the reference, and how the Cloze view is read. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { FrameLocator, Locator } from 'playwright-core';
import type { WorkbenchWindow } from '../../scripts/rig/driver';
import { ensureBrowser, ensureServer, Unavailable } from '../../scripts/rig/install';

export const SENTENCE = 'The cat is on the mat.';
const MASKED = 'The cat is on the [MASK].';
/** Between PyTorch's log-probabilities and what a view shows in full precision. */
const TOLERANCE = 1e-3;
/** Of a first prediction, on a slow machine. */
export const FIRST_USE_LIMIT_MS = 60_000;

interface Expected {
  fill_mask: { text: string; masks: { predictions: { token: string; logprob: number }[] }[] }[];
}

/** Skips the tests of a suite where this machine cannot run the rig. For `before`. */
export async function skipWithoutRig(context: Mocha.Context): Promise<void> {
  try {
    await ensureServer();
    await ensureBrowser();
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    process.stdout.write(`      ${error.message}\n`);
    context.skip();
  }
}

/** What PyTorch computes for `SENTENCE` with “mat” masked and the weights of the bundled model. */
export function expectedPredictions(): { token: string; logprob: number }[] {
  const { fill_mask: cases } = JSON.parse(
    readFileSync(resolve('test/fixtures/bert-base-cased/expected.json'), 'utf8'),
  ) as Expected;
  const predictions = cases.find(({ text }) => text === MASKED)?.masks[0]?.predictions;
  assert.ok(predictions, `no reference for "${MASKED}"`);
  return predictions;
}

export const predictionsOf = (view: FrameLocator): Locator =>
  view.getByRole('listbox', { name: /^Predictions/ }).getByRole('option');

/** Masks a word of the active editor with one key, and waits until the view shows the prediction for it. */
export async function maskWord(window: WorkbenchWindow, word: string): Promise<FrameLocator> {
  await window.selectText(word);
  await window.press('Control+Alt+M');
  const view = await window.webview('onnx-lens-cloze');
  await view.getByText(`was ${word}`, { exact: true }).waitFor({ timeout: FIRST_USE_LIMIT_MS });
  return view;
}

/** Masks “mat”; the view must show what PyTorch computes for it. */
export async function maskMat(window: WorkbenchWindow): Promise<FrameLocator> {
  const view = await maskWord(window, 'mat');
  const titles = await predictionsOf(view).evaluateAll((elements) =>
    elements.map((element) => element.getAttribute('title') ?? ''),
  );
  const shown = titles.map((title) => ({
    token: title.split(' ')[0],
    logprob: Number(/log-probability (\S+)/.exec(title)?.[1]),
  }));
  assert.ok(shown.length >= 5, `${shown.length} predictions`);
  for (const [index, { token, logprob }] of expectedPredictions().slice(0, shown.length).entries()) {
    assert.equal(shown[index]?.token, token);
    assert.ok(
      Math.abs(shown[index].logprob - logprob) <= TOLERANCE,
      `${token}: ${shown[index].logprob}, not ${logprob}`,
    );
  }
  return view;
}
