/** A person's way through the packaged extension, with mouse and keys, in a real VS Code. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { FrameLocator, Locator } from 'playwright-core';
import { artifacts, THEMES, Workbench, type ThemeName, type WorkbenchWindow } from '../../scripts/rig/driver';
import { ensureBrowser, ensureServer, Unavailable } from '../../scripts/rig/install';

interface Expected {
  fill_mask: { text: string; masks: { predictions: { token: string; logprob: number }[] }[] }[];
}

const FILE = 'journey.md';
const SENTENCE = 'The cat is on the mat.';
const MASKED = 'The cat is on the [MASK].';
/** Between PyTorch's log-probabilities and what a view shows in full precision. */
const TOLERANCE = 1e-3;
const FIRST_USE_LIMIT_MS = 60_000;
const MOST_PRESSES = 25;

/** What PyTorch computes for the masked sentence with the weights of the bundled model. */
function expectedPredictions(): { token: string; logprob: number }[] {
  const { fill_mask: cases } = JSON.parse(
    readFileSync(resolve('test/fixtures/bert-base-cased/expected.json'), 'utf8'),
  ) as Expected;
  const predictions = cases.find(({ text }) => text === MASKED)?.masks[0]?.predictions;
  assert.ok(predictions, `no reference for "${MASKED}"`);
  return predictions;
}

const predictionsOf = (view: FrameLocator): Locator =>
  view.getByRole('listbox', { name: /^Predictions/ }).getByRole('option');

export function describeJourney(vsix: () => string): void {
  describe('a first use of the package', function () {
    this.timeout(180_000);
    let workbench: Workbench;
    let window: WorkbenchWindow;
    let view: FrameLocator;

    before(async function () {
      try {
        await ensureServer();
        await ensureBrowser();
      } catch (error) {
        if (!(error instanceof Unavailable)) throw error;
        process.stdout.write(`      ${error.message}\n`);
        this.skip();
      }
      workbench = await Workbench.start({ vsix: vsix(), workspace: resolve('samples/workspace') });
      writeFileSync(join(workbench.state.workspace, FILE), `# A cat\n\n${SENTENCE}\n`);
      window = await workbench.open();
      await window.openFile(FILE);
    });

    afterEach(async function () {
      if (this.currentTest?.state === 'failed') await window.screenshot(artifacts(process.cwd(), 'e2e/failure.png'));
    });

    after(async () => {
      await (workbench as Workbench | undefined)?.close();
    });

    it('masks the selected word with one key and shows what PyTorch computes', async () => {
      await window.selectText('mat');
      await window.press('Control+Alt+M');
      view = await window.webview('onnx-lens-cloze');
      const rows = predictionsOf(view);
      await rows.first().waitFor({ timeout: FIRST_USE_LIMIT_MS });
      const titles = await rows.evaluateAll((elements) =>
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
    });

    it('puts a clicked prediction into the document, and one undo takes it back', async () => {
      const [first] = expectedPredictions();
      assert.ok(first);
      await predictionsOf(view).first().click();
      const changed = SENTENCE.replace('mat', first.token);
      await window.page.locator('.view-line', { hasText: changed }).waitFor();
      await window.page.locator('.view-line', { hasText: changed }).click();
      await window.press('Control+Z');
      await window.page.locator('.view-line', { hasText: SENTENCE }).waitFor();
    });

    it('masks a token that is chosen in the view', async () => {
      await window.selectText('mat');
      await window.press('Control+Alt+M');
      await view.getByText('was mat', { exact: true }).waitFor();
      await view.locator('lens-token-strip').getByText('cat', { exact: true }).click();
      await view.getByText('was cat', { exact: true }).waitFor();
    });

    it('says in a hover what was expected', async () => {
      const hover = await window.hoverText('cat', /rank/i, 1);
      assert.match(await hover.innerText(), /surprisal|bits/i);
    });

    it('colours a document by surprisal and clears the colours', async () => {
      await window.openFile(FILE);
      await window.runCommand('ONNX Lens: Color by Surprisal');
      await window.page.locator('.statusbar-item', { hasText: 'PPL' }).waitFor({ timeout: FIRST_USE_LIMIT_MS });
      await window.screenshot(artifacts(process.cwd(), 'e2e/surprisal.png'));
      await window.runCommand('ONNX Lens: Clear Surprisal Colors');
      await window.page.locator('.statusbar-item', { hasText: 'PPL' }).waitFor({ state: 'hidden' });
    });

    it('goes the whole way with the keyboard alone', async () => {
      const at = (name: RegExp | string): Locator => view.getByRole('button', { name });
      /** Presses a key until it has led to the target. */
      const go = async (key: string, target: Locator): Promise<void> => {
        for (let presses = 0; presses < MOST_PRESSES; presses++) {
          if (await target.evaluate((element) => element.matches(':focus'))) return;
          await window.press(key);
        }
        assert.fail(`${key} does not lead to ${String(target)}`);
      };
      const line = (text: string): Promise<void> => window.page.locator('.view-line', { hasText: text }).waitFor();

      await window.openFile(FILE);
      await window.press('Control+Home', 'ArrowDown', 'ArrowDown', 'End', 'ArrowLeft', 'Control+Shift+ArrowLeft');
      await window.press('Control+Alt+M');
      view = await window.webview('onnx-lens-cloze');
      await view.getByText('was mat', { exact: true }).waitFor();

      await window.runCommand('ONNX Lens: Open Cloze View');
      await view.locator('lens-token-strip button.mask:focus').waitFor();
      await go('ArrowLeft', at('cat, token 2: mask it'));
      await window.press('Enter');
      await view.getByText('was cat', { exact: true }).waitFor();

      const second = predictionsOf(view).nth(1);
      await go('Tab', predictionsOf(view).first());
      await window.press('ArrowDown');
      const word = (await second.getAttribute('title'))?.split(' ')[0] ?? '';
      await window.press('Enter');
      await line(SENTENCE.replace('cat', word));
      await view.getByText(`was ${word}`, { exact: true }).waitFor();
      assert.ok(await second.evaluate((element) => element.matches(':focus')), 'the focus stays in the list');
      await window.press('Control+Z');
      await line(SENTENCE);

      await window.runCommand('ONNX Lens: Open Cloze View');
      await go('Tab', view.getByRole('textbox', { name: 'Add a candidate' }));
      await window.page.keyboard.type('dog');
      await window.press('Enter');
      await at('Remove dog').waitFor();
      await go('Shift+Tab', at('Predict Again'));
      await go('ArrowRight', at('Pin This Result to Compare'));
      await window.press('Enter');
      await view.locator('button[aria-pressed="true"]:focus').waitFor();
      await go('ArrowRight', at('Copy or Export'));
      await window.press('ArrowDown', 'Enter');
      await view.getByRole('menu').waitFor({ state: 'detached' });
      await view.locator('.toggle:focus').waitFor();
    });

    it('breaks no content security policy', () => {
      assert.deepEqual(window.policyBreaches, []);
    });

    for (const theme of Object.keys(THEMES) as ThemeName[]) {
      it(`works in the theme ${THEMES[theme]}`, async () => {
        await window.close();
        window = await workbench.open({ theme });
        await window.openFile(FILE);
        await window.selectText('mat');
        await window.press('Control+Alt+M');
        view = await window.webview('onnx-lens-cloze');
        await predictionsOf(view).first().waitFor({ timeout: FIRST_USE_LIMIT_MS });
        await window.screenshot(artifacts(process.cwd(), `e2e/cloze-${theme}.png`));
        assert.deepEqual(window.policyBreaches, []);
      });
    }
  });
}
