/** The views in a real browser, under the policy that VS Code's host sets: looks, keyboard, accessibility, hostile text. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { galleryPages, overflowOf, requestsOf, SHOTS, THEMES, violationsOf } from '../support/gallery';

const STATES: [view: string, state: string][] = [
  ...[
    'ready',
    'followed',
    'empty',
    'loading',
    'error',
    'stale',
    'several',
    'candidates',
    'compared',
    'compared-several',
    'compared-unequal',
    'changed',
    'changed-many',
    'partial',
    'hostile',
  ].map((state): [string, string] => ['cloze', state]),
  ...['ready', 'changed', 'empty', 'error'].map((state): [string, string] => ['objectives', state]),
  ...['ready', 'llama', 'missing', 'empty', 'loading', 'error', 'hostile'].map((state): [string, string] => [
    'anatomy',
    state,
  ]),
];

describe('webviews', function () {
  this.timeout(120_000);
  const pages = galleryPages({ width: 340, height: 800 });
  let page: Page;
  beforeEach(() => ({ page } = pages));

  const { open } = pages;
  const requests = (method: string): Promise<unknown[]> => requestsOf(page, method);

  for (const [view, state] of STATES)
    it(`${view}, ${state}: no accessibility violation in any theme, nothing cut at 300 px`, async () => {
      for (const theme of THEMES) {
        await page.setViewportSize({ width: 300, height: 800 });
        await open(view, state, theme);
        const overflow = await overflowOf(page);
        assert.ok(overflow <= 0, `${overflow} px too wide in ${theme}`);
        await page.screenshot({ path: join(SHOTS, `${view}-${state}-${theme}-narrow.png`), fullPage: true });
        const violations = await violationsOf(page, state === 'loading');
        assert.deepEqual(violations, [], theme);
      }
      await page.setViewportSize({ width: 900, height: 700 });
      await open(view, state);
      await page.screenshot({ path: join(SHOTS, `${view}-${state}-wide.png`), fullPage: true });
    });

  it('names each change in the model, takes back one by a key and all by a button, and opens the menu of recipes', async () => {
    await open('cloze', 'changed');
    const chips = page.getByRole('list', { name: 'Heads and neurons that are changed' }).getByRole('listitem');
    assert.deepEqual(
      (await chips.allTextContents()).map((text) => text.trim().replace(/\s+.?$/u, '')),
      ['L7H9 off', 'L9N1234 @7 ##ius ×2', 'L10N2038 ×\u22120.5'],
    );
    await page.getByRole('button', { name: 'Remove L9N1234 @7 ##ius ×2' }).focus();
    await page.keyboard.press('Delete');
    assert.deepEqual(await requests('intervene'), [{ layer: 9, neuron: 1234, scale: 1, position: 7 }]);
    await page.getByRole('button', { name: 'Clear All' }).click();
    assert.equal((await requests('clearInterventions')).length, 1);
    await page.getByRole('button', { name: 'Changes as a Recipe' }).focus();
    for (const key of ['Enter', 'ArrowDown', 'Enter']) await page.keyboard.press(key);
    assert.deepEqual(await requests('recipe'), [{ action: 'apply' }]);
  });

  it('stands what is said with the changes and without them side by side, with the differences', async () => {
    await open('cloze', 'changed');
    for (const [name, first] of [
      [/^Predictions, best first/u, 'Creole , p .410 , difference of log p 1.91'],
      [/^Predictions of the unchanged model/u, 'French , p .391 , difference of log p \u22120.67'],
    ] as const) {
      const text = await page.getByRole('listbox', { name }).getByRole('option').first().innerText();
      assert.equal(text.replace(/\s+/gu, ' ').replace('+', '').trim(), first);
    }
    await page.getByText('Δ log p', { exact: false }).first().waitFor();
    await page.getByText('Δ \u22120.93').waitFor();
  });

  it('arrow keys move through the tokens; Enter masks, and with Ctrl beside the others', async () => {
    await open('cloze', 'ready');
    await page.getByRole('button', { name: 'The, token 1' }).focus();
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('Enter');
    await page.keyboard.press('End');
    await page.keyboard.press('ArrowLeft');
    await page.keyboard.press('Enter');
    assert.deepEqual(await requests('maskToken'), [
      { index: 2, additive: false },
      { index: 10, additive: false },
    ]);
    await page.getByRole('button', { name: 'is, token 8' }).click({ modifiers: ['Control'] });
    assert.deepEqual((await requests('maskToken')).at(-1), { index: 8, additive: true });
  });

  /** The name of what has the focus, however deep in shadow roots. */
  const focused = (): Promise<string> =>
    page.evaluate(() => {
      let element = document.activeElement;
      while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
      return element === document.body
        ? ''
        : (element?.getAttribute('aria-label') ?? element?.textContent?.trim() ?? '');
    });

  it('Ctrl+Enter and Shift+Space mask a token beside the others', async () => {
    await open('cloze', 'ready');
    await page.getByRole('button', { name: 'The, token 1' }).focus();
    await page.keyboard.press('Control+Enter');
    await page.keyboard.press('Shift+Space');
    await page.keyboard.press('Space');
    assert.deepEqual(await requests('maskToken'), [
      { index: 1, additive: true },
      { index: 1, additive: true },
      { index: 1, additive: false },
    ]);
  });

  it('a view that gets the focus gives it to the mask, or to the first thing to do', async () => {
    const enter = (): Promise<boolean> => page.evaluate(() => window.dispatchEvent(new Event('focus')));
    await open('cloze', 'ready');
    await enter();
    assert.match(await focused(), /^mask 1/);
    await page.getByRole('option', { name: /^French/ }).focus();
    await enter();
    assert.match(await focused(), /^French/, 'who was somewhere stays there');
    await open('cloze', 'empty');
    await enter();
    assert.equal(await focused(), 'mask it');
    await open('objectives', 'ready');
    await enter();
    assert.match(await focused(), /official replaced by the mask/);
  });

  it('the head has one tab stop for its actions; arrow keys lead over those that can be used', async () => {
    await open('cloze', 'empty');
    await page.getByRole('button', { name: 'bert-base-cased' }).focus();
    await page.keyboard.press('Tab');
    assert.equal(await focused(), 'Follow the Selection');
    await page.keyboard.press('ArrowRight');
    assert.equal(await focused(), 'More Actions');
    await page.keyboard.press('ArrowDown');
    await page.getByRole('menuitem', { name: 'Open in Editor Area' }).waitFor();
    await page.keyboard.press('End');
    assert.equal(await focused(), 'What the Numbers Mean');
    await page.keyboard.press('Escape');
    await page.keyboard.press('Home');
    assert.equal(await focused(), 'Follow the Selection');
    await page.keyboard.press('End');
    await page.keyboard.press('Tab');
    assert.equal(await focused(), 'mask it');
    await page.keyboard.press('Shift+Tab');
    assert.equal(await focused(), 'More Actions');
  });

  it('no key press loses the focus: at the end of the history, without a candidate, while nothing can be inserted', async () => {
    await open('cloze', 'followed');
    await page.getByRole('button', { name: 'Remove French' }).focus();
    await page.keyboard.press('Enter');
    assert.equal(await focused(), 'Add a candidate');
    await open('cloze', 'oldest');
    await page.getByRole('button', { name: 'Older Result' }).focus();
    await page.keyboard.press('Enter');
    assert.equal(await focused(), 'Older Result');
    assert.deepEqual(await requests('history'), []);
    await open('cloze', 'stale');
    const insert = page.getByRole('button', { name: 'Insert “French”' });
    await insert.focus();
    await page.keyboard.press('Enter');
    assert.equal(await insert.evaluate((button) => button.matches(':focus')), true);
    assert.deepEqual(await requests('insert'), []);
  });

  it('names the numbers of a row', async () => {
    await open('cloze', 'ready');
    await page
      .getByRole('option', { name: /^English\s?, p \.188\s?, log p −1\.67\s?, what really stood there$/ })
      .waitFor();
    await open('cloze', 'several');
    await page.getByRole('option', { name: /^Los Angeles\s?, pseudo-log-likelihood −0\.34$/ }).waitFor();
  });

  it('special tokens cannot be masked', async () => {
    await open('cloze', 'ready');
    await page.getByRole('button', { name: '[CLS]' }).click({ force: true });
    assert.deepEqual(await requests('maskToken'), []);
  });

  it('arrow keys move through the predictions; Enter inserts one', async () => {
    await open('cloze', 'ready');
    await page.getByRole('option', { name: /^French/ }).focus();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    assert.deepEqual(await requests('insertAt'), [{ target: 0, text: 'Creole' }]);
  });

  it('Ctrl+Z takes an insertion back, but in a field only what was typed', async () => {
    await open('cloze', 'ready');
    await page.getByRole('option', { name: /^French/ }).focus();
    await page.keyboard.press('Control+z');
    assert.deepEqual(await requests('undo'), [null]);
    await page.getByRole('textbox', { name: 'Add a candidate' }).fill('Port Louis');
    await page.keyboard.press('Control+z');
    assert.deepEqual(await requests('undo'), [null]);
  });

  it('a stale result inserts nothing', async () => {
    await open('cloze', 'stale');
    await page.getByText('the document was changed since').waitFor();
    await page.getByRole('option', { name: /^French/ }).click();
    assert.deepEqual(await requests('insertAt'), []);
  });

  it('shows why the host refused', async () => {
    await open('cloze', 'ready', 'dark', '&refuse');
    await page.getByRole('option', { name: /^French/ }).click();
    await page.getByRole('alert').getByText('The document is read-only.').waitFor();
  });

  it('candidates are added with Enter and removed', async () => {
    await open('cloze', 'candidates');
    await page.getByRole('textbox', { name: 'Add a candidate' }).fill('Port Louis');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Remove French' }).click();
    assert.deepEqual(await requests('setCandidates'), [
      { candidates: ['French', 'Mauritian Creole', 'Port Louis'] },
      { candidates: ['Mauritian Creole'] },
    ]);
  });

  it('Delete removes a candidate; one that is not scored yet is shown as such', async () => {
    await open('cloze', 'candidates');
    await page.getByRole('button', { name: 'Remove Mauritian Creole' }).focus();
    await page.keyboard.press('Delete');
    assert.deepEqual(await requests('setCandidates'), [{ candidates: ['French'] }]);
    await open('cloze', 'followed');
    assert.equal(await page.getByRole('listitem').getAttribute('title'), 'not scored yet');
  });

  it('the button inserts the likeliest text, and nothing when the document was changed', async () => {
    await open('cloze', 'ready');
    await page.getByRole('button', { name: 'Insert “French”' }).click();
    assert.deepEqual(await requests('insert'), [{ texts: ['French'] }]);
    await open('cloze', 'stale');
    await page.getByRole('button', { name: 'Insert “French”' }).click({ force: true });
    assert.deepEqual(await requests('insert'), []);
  });

  it('the menu of exports works with the keyboard alone', async () => {
    await open('cloze', 'ready');
    const toggle = page.getByRole('button', { name: 'Copy or Export' });
    await toggle.focus();
    await page.keyboard.press('ArrowDown');
    await page.getByRole('menuitem', { name: 'Copy as Text' }).waitFor();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    assert.deepEqual(await requests('export'), [{ format: 'csv' }]);
    await page.getByRole('menu').waitFor({ state: 'detached' });
    await page.keyboard.press('Enter');
    await page.keyboard.press('ArrowUp');
    await page.keyboard.press('Enter');
    assert.deepEqual((await requests('export')).at(-1), { format: 'json' });
    await page.keyboard.press('Enter');
    await page.getByRole('menu').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('menu').waitFor({ state: 'detached' });
    assert.equal(await toggle.evaluate((button) => button.matches(':focus')), true);
    assert.equal((await requests('export')).length, 2);
  });

  it('numbers of masks and rows, and the model to compare with, are asked of the host', async () => {
    await open('cloze', 'compared');
    await page.getByRole('combobox', { name: 'Masks' }).selectOption('3');
    await page.getByRole('combobox', { name: 'Masks' }).selectOption('auto');
    await page.getByRole('combobox', { name: 'Top' }).selectOption('50');
    const other = page.getByRole('combobox', { name: 'Compare with' });
    await other.selectOption('gpt2');
    await other.selectOption('no model');
    assert.deepEqual(await requests('setMasks'), [{ masks: 3 }, { masks: 'auto' }]);
    assert.deepEqual(await requests('setTopK'), [{ topK: 50 }]);
    assert.deepEqual(await requests('compareWith'), [{ model: 'gpt2' }, { model: null }]);
  });

  it('both sides and left side stand mask by mask, or together where the models divide a word differently', async () => {
    const lists = (): Promise<(string | null)[]> =>
      page
        .getByRole('region', { name: 'Both sides and left side only' })
        .getByRole('listbox')
        .evaluateAll((elements) => elements.map((element) => element.getAttribute('aria-label')));
    const [masked, causal] = ['bert-base-cased', 'gpt2-a-model-with-a-rather-long-name'];
    await open('cloze', 'compared-several');
    assert.deepEqual(await lists(), [
      `P(mask 1 | both sides), ${masked}`,
      `P(mask 1 | left side), ${causal}`,
      `P(mask 2 | both sides), ${masked}`,
      `P(mask 2 | left side), ${causal}`,
    ]);
    await open('cloze', 'compared-unequal');
    assert.deepEqual(await lists(), [
      `P(token 1 of 2 | both sides), ${masked}`,
      `P(token 2 of 2 | both sides), ${masked}`,
      `P(token 1 of 3 | left side), ${causal}`,
      `P(token 2 of 3 | left side), ${causal}`,
      `P(token 3 of 3 | left side), ${causal}`,
    ]);
    await page.getByText(`“Los Angeles” is 2 tokens to ${masked}, 3 tokens to ${causal}.`).waitFor();
  });

  it('nothing is cut in the narrowest side bar either', async () => {
    await page.setViewportSize({ width: 170, height: 800 });
    for (const state of ['ready', 'several', 'compared', 'compared-several', 'candidates']) {
      await open('cloze', state);
      const overflow = await overflowOf(page);
      assert.ok(overflow <= 0, `${overflow} px too wide: ${state}`);
      await page.screenshot({ path: join(SHOTS, `cloze-${state}-narrowest.png`), fullPage: true });
    }
  });

  it('history goes back and forth', async () => {
    await open('cloze', 'ready');
    await page.getByText('2 of 3').waitFor();
    await page.getByRole('button', { name: 'Older Result' }).click();
    await page.getByRole('button', { name: 'Newer Result' }).click();
    assert.deepEqual(await requests('history'), [{ step: -1 }, { step: 1 }]);
  });

  it('waits under 150 ms are not shown', async () => {
    await page.clock.install({ time: 0 });
    await page.clock.pauseAt(1000);
    await page.goto(`${pages.gallery.origin}/?view=cloze&state=loading-first`);
    const bar = page.locator('lens-progress');
    await bar.waitFor({ state: 'attached' });
    await page.clock.runFor(149);
    assert.equal(await bar.getByText('Cancel').count(), 0);
    await page.clock.runFor(1);
    await bar.getByText('Cancel').click();
    assert.deepEqual(await requests('cancel'), [null]);
  });

  it('a joint fill is inserted as a whole', async () => {
    await open('cloze', 'several');
    await page.getByRole('option', { name: /^Los Angeles/ }).click();
    assert.deepEqual(await requests('insert'), [{ texts: ['Los Angeles'] }]);
  });

  it('says the numbers as agreed: no leading zero, true minus, ranks of V', async () => {
    await open('cloze', 'ready');
    for (const part of [
      '.391',
      '−0.94',
      'of 28,996',
      'surprisal 2.41 bits',
      'entropy 1.92',
      'Sentence · 12 tokens · line 14',
    ])
      assert.ok((await page.getByText(part).count()) > 0, part);
  });

  it('shows text as text, whatever it is', async () => {
    await open('cloze', 'hostile');
    assert.equal(await page.locator('onnx-lens-cloze').locator('img').count(), 0);
    assert.ok((await page.getByText('<img src=x onerror=alert(1)>').count()) >= 4);
  });

  it('anatomy: the tree works as those of VS Code, and the host keeps the place', async () => {
    await open('anatomy', 'ready');
    await page.getByRole('treeitem', { name: /^Block 0/ }).focus();
    for (const key of ['ArrowRight', 'ArrowRight', 'ArrowRight', 'ArrowDown', 'ArrowLeft'])
      await page.keyboard.press(key);
    assert.match(await focused(), /^Attention/);
    await page.keyboard.press('ArrowLeft');
    await page.getByRole('treeitem', { name: /^Query/ }).waitFor({ state: 'detached' });
    await page.keyboard.press('End');
    assert.match(await focused(), /^The graph itself/);
    await page.getByRole('treeitem', { name: /^Block 0/ }).dblclick();
    assert.deepEqual((await requests('remember')).at(-1), { selected: 'blocks.0', expanded: [] });
  });

  it('anatomy: what is chosen says its weights, hooks and nodes; names are copied', async () => {
    await open('anatomy', 'ready');
    await page.getByRole('treeitem', { name: /^Attention/ }).click();
    const details = page.getByRole('region', { name: 'Attention' });
    await details.getByText('2,362,368 parameters').waitFor();
    await details.getByRole('button', { name: 'blocks.0.attn.hook_pattern' }).click();
    assert.deepEqual(await requests('copy'), [{ text: 'blocks.0.attn.hook_pattern' }]);
    await details
      .getByRole('button', { name: /^Softmax/ })
      .first()
      .click();
    await details.getByRole('table', { name: 'Values of Softmax' }).getByText('[B, 12, T, T]').first().waitFor();
    await details
      .getByRole('button', { name: /^Softmax/ })
      .first()
      .focus();
    await page.keyboard.press('ArrowUp');
    assert.match(await focused(), /^Add/);
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowDown');
    await page.getByRole('table', { name: 'Values of MatMul' }).waitFor();
  });

  it('anatomy: names of the file are text', async () => {
    await open('anatomy', 'hostile');
    assert.equal(await page.locator('onnx-lens-anatomy').locator('img').count(), 0);
    assert.ok((await page.getByText('<img src=x onerror=alert(1)>').count()) >= 3);
  });

  it('controls of the objectives view ask the host', async () => {
    await open('objectives', 'ready');
    await page.getByRole('button', { name: 'Next Seed' }).click();
    await page.getByRole('checkbox', { name: 'Whole words' }).focus();
    await page.keyboard.press('Space');
    await page.getByRole('textbox', { name: 'Seed' }).fill('42');
    await page.keyboard.press('Enter');
    await page.getByRole('textbox', { name: 'Seed' }).fill('many');
    await page.keyboard.press('Tab');
    assert.deepEqual(await requests('setSeed'), [{ seed: 8 }, { seed: 42 }]);
    assert.deepEqual(await requests('setWholeWord'), [{ on: true }]);
  });
});
