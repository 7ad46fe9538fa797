/** The Embeddings view in a real browser: looks, keyboard, and what is asked of the host. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { galleryPages, overflowOf, painted, requestsOf, SHOTS, THEMES, violationsOf } from '../support/gallery';

const STATES = [
  ...['word', 'word-middle', 'word-empty', 'occurrences', 'occurrences-label', 'occurrences-static', 'occurrences-3d'],
  ...[
    'occurrences-empty',
    'sentences',
    'sentences-60',
    'sentences-passages',
    'sentences-empty',
    'contextuality',
    'contextuality-empty',
  ],
  ...['neighbours', 'neighbours-none', 'neighbours-building', 'neighbours-no-text'],
  ...['mix', 'mix-learned', 'mix-empty'],
  ...['static', 'static-word', 'static-empty'],
  ...['contextuality-changed', 'hostile', 'stale', 'loading', 'error'],
];

describe('embeddings view', function () {
  this.timeout(180_000);
  const pages = galleryPages({ width: 340, height: 800 });
  let page: Page;
  beforeEach(() => ({ page } = pages));

  const open = (state: string, theme?: string): Promise<void> => pages.open('embeddings', state, theme);

  for (const state of STATES)
    it(`${state}: no accessibility violation in any theme, nothing cut at 300 px`, async () => {
      for (const theme of THEMES) {
        await page.setViewportSize({ width: 300, height: 800 });
        await open(state, theme);
        await painted(page);
        assert.ok((await overflowOf(page)) <= 0, `${state} ${theme} is wider than its window`);
        assert.deepEqual(
          await violationsOf(page, state === 'loading' || state === 'neighbours-building'),
          [],
          `${state} ${theme}`,
        );
        await page.screenshot({ path: join(SHOTS, `embeddings-${state}-${theme}.png`), fullPage: true });
      }
      await page.setViewportSize({ width: 1100, height: 800 });
      await open(state, 'dark');
      await painted(page);
      await page.screenshot({ path: join(SHOTS, `embeddings-${state}-wide.png`), fullPage: true });
    });

  it('ranks the words of the text at the layer that is chosen, and shows them in the editor', async () => {
    await open('word');
    const table = page.getByRole('region', { name: 'The word at each layer' });
    await table.getByRole('button', { name: '6', exact: true }).click();
    assert.deepEqual(await requestsOf(page, 'look'), [{ layer: 6 }]);
    await page.getByText('cosine at 6').first().waitFor();
    await page.getByRole('table', { name: 'The same word elsewhere' }).getByRole('button', { name: 'bank' }).click();
    assert.deepEqual(await requestsOf(page, 'reveal'), [{ range: { start: 52, end: 56 } }]);
  });

  it('looks for the word in the document, the workspace and files', async () => {
    await open('occurrences-empty');
    for (const name of ['This Document', 'Workspace', 'Files…']) await page.getByRole('button', { name }).click();
    assert.deepEqual(await requestsOf(page, 'find'), [
      { scope: 'document' },
      { scope: 'workspace' },
      { scope: 'files' },
    ]);
  });

  it('opens the occurrence under the pointer or at the cursor, and shows its sentence with the word marked', async () => {
    await open('occurrences');
    const cloud = page.getByRole('application', { name: /Occurrences of bank/ });
    await cloud.focus();
    await page.keyboard.press('ArrowRight');
    assert.equal(await page.locator('mark').textContent(), 'bank');
    await page.keyboard.press('Enter');
    assert.deepEqual(await requestsOf(page, 'openOccurrence'), [{ index: 1 }]);
    const box = (await cloud.boundingBox())!;
    // Some point is near the middle of the group on the right.
    search: for (let x = 0.5; x < 0.95; x += 0.03)
      for (let y = 0.2; y < 0.8; y += 0.05) {
        await page.mouse.click(box.x + box.width * x, box.y + box.height * y);
        if ((await requestsOf(page, 'openOccurrence')).length > 1) break search;
      }
    assert.equal((await requestsOf(page, 'openOccurrence')).length, 2);
  });

  it('shows neighbours with their sentences, and opens one', async () => {
    await open('neighbours');
    const first = page.getByRole('option', { name: /They tied the boat/ }).first();
    assert.equal(await first.locator('mark').textContent(), 'bank');
    await first.focus();
    await page.keyboard.press('Enter');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    assert.deepEqual(await requestsOf(page, 'openNeighbour'), [{ index: 0 }, { index: 1 }]);
    await page.getByText('3 of 15 are the same word').waitFor();
    await page.getByRole('button', { name: /Delete the index of bert-base-cased, words, layer 12/ }).click();
    assert.deepEqual(await requestsOf(page, 'deleteIndex'), [{ index: 1 }]);
    const layer = page.getByRole('slider', { name: 'Layer' });
    await layer.focus();
    await page.keyboard.press('ArrowLeft');
    assert.deepEqual(await requestsOf(page, 'look'), [{ layer: 7 }]);
  });

  it('builds an index, goes on with it, and stops', async () => {
    await open('neighbours-none');
    await page.getByRole('button', { name: 'Build Index of 312 Files' }).click();
    assert.deepEqual(await requestsOf(page, 'buildIndex'), [null]);
    await page.getByRole('button', { name: 'Folder…' }).click();
    assert.deepEqual(await requestsOf(page, 'indexWhat'), [{ what: 'folder' }]);
    await open('neighbours-building');
    await page.getByRole('button', { name: 'Cancel' }).click();
    assert.deepEqual(await requestsOf(page, 'cancel'), [null]);
  });

  it('mixes layers with sliders, and puts a learned mix on them', async () => {
    await open('mix-learned');
    const first = page.getByRole('slider', { name: 'Weight of layer 0', exact: true });
    await first.focus();
    await page.keyboard.press('ArrowRight');
    const [moved] = (await requestsOf(page, 'look')) as { mix: { logits: number[]; gamma: number } }[];
    assert.deepEqual([moved?.mix.logits[0]?.toFixed(2), moved?.mix.logits[12], moved?.mix.gamma], ['-2.95', 3, 2]);
    await page.getByRole('button', { name: 'Put on the Sliders' }).click();
    const { mix } = ((await requestsOf(page, 'look')) as { mix: { logits: number[]; gamma: number } }[])[1]!;
    const powers = mix.logits.map(Math.exp);
    const sum = powers.reduce((a, b) => a + b);
    const wanted = Array.from({ length: 13 }, (_, layer) => Math.exp(-((layer - 5) ** 2) / 9));
    const total = wanted.reduce((a, b) => a + b);
    powers.forEach((power, at) => assert.ok(Math.abs(power / sum - wanted[at]! / total) < 1e-9));
    assert.equal(mix.gamma, 1.312);
    await page.getByRole('button', { name: 'Learn from File…' }).click();
    assert.deepEqual(await requestsOf(page, 'learnMix'), [null]);
    await page.getByRole('listbox', { name: 'Nearest words of the text' }).getByRole('option').first().click();
    assert.equal((await requestsOf(page, 'reveal')).length, 1);
  });

  it('asks static vectors for neighbours and analogies', async () => {
    await open('static-empty');
    await page.getByRole('textbox', { name: 'word' }).fill('king');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Analogy' }).click();
    for (const [name, word] of [
      ['a', 'man'],
      ['b', 'king'],
      ['c', 'woman'],
    ] as const)
      await page.getByRole('textbox', { name, exact: true }).fill(word);
    await page.getByRole('button', { name: 'Ask' }).click();
    await page.getByLabel('a, b and c may be answers').check();
    assert.deepEqual(await requestsOf(page, 'look'), [
      { question: { words: ['king'], exclude: true } },
      { question: { words: ['man', 'king', 'woman'], exclude: true } },
      { question: { words: ['man', 'king', 'woman'], exclude: false } },
    ]);
    for (const name of ['Open Word Vectors…', 'Rated Pairs…', 'Analogies…'])
      await page.getByRole('button', { name }).click();
    assert.deepEqual(await requestsOf(page, 'openVectors'), [null]);
    assert.deepEqual(await requestsOf(page, 'score'), [{ what: 'rated' }, { what: 'analogies' }]);
    await open('static');
    await page.getByText('2 lines left out').click();
    await page.getByText('line 3021: it has 299 numbers').waitFor();
  });

  it('finds similar passages of what is selected', async () => {
    await open('sentences-passages');
    await page.getByRole('listbox', { name: 'Similar passages' }).getByRole('option').nth(2).click();
    assert.deepEqual(await requestsOf(page, 'openPassage'), [{ index: 2 }]);
    await page.getByRole('button', { name: 'Find Similar Passages' }).click();
    assert.deepEqual(await requestsOf(page, 'findPassages'), [null]);
  });

  it('reads the likeness of two models’ layers', async () => {
    await open('contextuality');
    const grid = page.getByRole('grid', { name: 'Linear CKA of two models' });
    await grid.focus();
    await page.keyboard.press('ArrowDown');
    assert.match((await grid.getByRole('gridcell').textContent()) ?? '', /^layers 1 and 0: /);
    await page.getByRole('button', { name: 'Compare with Model…' }).click();
    assert.deepEqual(await requestsOf(page, 'compareModels'), [null]);
  });

  it('says under changes what of a page is of the unchanged model all the same', async () => {
    const warnings = page.locator('lens-interventions p.warning');
    for (const [name, said] of [
      ['neighbours', 'The index and the neighbours in it are those of the unchanged model.'],
      ['sentences', 'Passages found in the index are those of the unchanged model.'],
      ['contextuality', 'The comparison with another model is of both unchanged models.'],
      ['static', 'Word vectors are those of their table, which nothing changes.'],
      // Of the changed model in all that it shows.
      ['word', null],
    ] as const) {
      await open(`${name}-changed`);
      await page.getByText('L7H9 off').waitFor();
      assert.deepEqual(
        (await warnings.allTextContents()).map((text) => text.trim()),
        said === null ? [] : [said],
        name,
      );
      await open(name);
      await painted(page);
      assert.deepEqual(await warnings.count(), 0, `${name} without changes`);
    }
  });

  it('plays the layers from static to the last', async () => {
    await page.clock.install();
    await open('occurrences-static');
    await page.getByRole('button', { name: 'Play Layers' }).click();
    await page.clock.runFor(3_000);
    const asked = (await requestsOf(page, 'look')) as { layer: unknown }[];
    assert.deepEqual(asked.slice(0, 3), [{ layer: 0 }, { layer: 1 }, { layer: 2 }]);
    await page.getByRole('button', { name: 'Stop' }).click();
  });

  it('asks for another projection, and colours', async () => {
    await open('occurrences');
    await page.getByLabel('Places').selectOption('umap');
    await page.getByLabel('Colour').selectOption('label');
    await page.getByLabel('Axes').selectOption('3');
    assert.deepEqual(await requestsOf(page, 'look'), [{ projection: 'umap' }, { colour: 'label' }, { axes: 3 }]);
    await page.getByText('bank (river)').first().waitFor();
  });

  it('reads cosines of sentences and opens them', async () => {
    await open('sentences');
    const grid = page.getByRole('grid', { name: 'Cosines of sentences' });
    await grid.focus();
    await page.keyboard.press('ArrowRight');
    assert.match((await grid.getByRole('gridcell').textContent()) ?? '', /^1 with 2: /);
    await page.keyboard.press('Enter');
    assert.deepEqual(await requestsOf(page, 'openSentence'), [{ index: 0 }]);
    await page.getByLabel('Vector', { exact: false }).first().selectOption('cls');
    assert.deepEqual(await requestsOf(page, 'look'), [{ pool: 'cls' }]);
  });
});
