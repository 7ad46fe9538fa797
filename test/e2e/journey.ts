/** A person's way through the packaged extension, with mouse and keys, in a real VS Code. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { FrameLocator, Locator } from 'playwright-core';
import { artifacts, THEMES, Workbench, type ThemeName, type WorkbenchWindow } from '../../scripts/rig/driver';
import {
  expectedPredictions,
  FIRST_USE_LIMIT_MS,
  maskMat,
  maskWord,
  predictionsOf,
  SENTENCE,
  skipWithoutRig,
} from './support';

const FILE = 'journey.md';
const MOST_PRESSES = 25;

export function describeJourney(vsix: () => string): void {
  describe('a first use of the package', function () {
    this.timeout(180_000);
    let workbench: Workbench;
    let window: WorkbenchWindow;
    let view: FrameLocator;

    before(async function () {
      await skipWithoutRig(this);
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
      view = await maskMat(window);
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
      await maskWord(window, 'mat');
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
        view = await maskMat(window);
        await window.screenshot(artifacts(process.cwd(), `e2e/cloze-${theme}.png`));
        assert.deepEqual(window.policyBreaches, []);
      });
    }
  });
}
