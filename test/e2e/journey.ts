/** A person's way through the packaged extension, with mouse and keys, in a real VS Code. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { FrameLocator } from 'playwright-core';
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
