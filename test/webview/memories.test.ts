/** The Memories view in a real browser: looks, keyboard, and what is asked of the host. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { galleryPages, overflowOf, painted, requestsOf, SHOTS, THEMES, violationsOf } from '../support/gallery';

const STATES = [
  ...['memories', 'memories-layer', 'memories-logit', 'memories-ablation', 'memories-encoder', 'memories-empty'],
  ...[
    'lens',
    'lens-changed',
    'lens-logprob',
    'lens-tuned',
    'lens-training',
    'text',
    'text-tuned',
    'groups',
    'text-rank',
    'text-entropy',
    'search',
    'search-several',
    'search-clusters',
    'search-none',
  ],
  ...[
    'search-empty',
    'memory',
    'memory-words',
    'memory-stopped',
    'memory-running',
    'memory-hostile',
    'memory-empty',
    'names',
    'names-conflict',
    'names-empty',
    'hostile',
    'stale',
  ],
  ...['loading', 'error'],
];

describe('memories view', function () {
  this.timeout(180_000);
  const pages = galleryPages({ width: 340, height: 800 });
  let page: Page;
  beforeEach(() => ({ page } = pages));

  const open = (state: string, theme?: string): Promise<void> => pages.open('memories', state, theme);

  for (const state of STATES)
    it(`${state}: no accessibility violation in any theme, nothing cut at 300 px`, async () => {
      for (const theme of THEMES) {
        await page.setViewportSize({ width: 300, height: 800 });
        await open(state, theme);
        await painted(page);
        assert.ok((await overflowOf(page)) <= 0, `${state} ${theme} is wider than its window`);
        assert.deepEqual(await violationsOf(page, state === 'loading'), [], `${state} ${theme}`);
        await page.screenshot({ path: join(SHOTS, `memories-${state}-${theme}.png`), fullPage: true });
      }
      await page.setViewportSize({ width: 1100, height: 800 });
      await open(state, 'dark');
      await painted(page);
      await page.screenshot({ path: join(SHOTS, `memories-${state}-wide.png`), fullPage: true });
    });

  it('shows the memories of a layer that is chosen with the pointer or the keyboard', async () => {
    await open('memories');
    const bars = page.getByRole('grid', { name: /What each layer wrote/ });
    await bars.focus();
    for (let layer = 0; layer < 3; layer += 1) await page.keyboard.press('ArrowRight');
    assert.match((await bars.getByRole('gridcell').textContent()) ?? '', /^layer 3: ‖FFN‖ \d/);
    await page.keyboard.press('Enter');
    await page.getByText('of layer 3').waitFor();
    await page.keyboard.press('Enter');
    const box = (await bars.boundingBox())!;
    await page.mouse.click(box.x + (box.width * 9.5) / 12, box.y + 20);
    assert.deepEqual(await requestsOf(page, 'look'), [{ layer: 3 }, { layer: null }, { layer: 9 }]);
  });

  it('has all of its tabs in sight, however many there is room for in a row', async () => {
    for (const width of [480, 500, 540, 700]) {
      await page.setViewportSize({ width, height: 800 });
      await open('groups');
      assert.ok((await overflowOf(page)) <= 0, `wider than ${width}`);
      const box = (await page.getByRole('tab', { name: 'Names' }).boundingBox())!;
      assert.ok(box.x + box.width <= width, `Names ends at ${box.x + box.width} of ${width}`);
    }
  });

  it('shows where groups fire, and opens a memory of one', async () => {
    await open('groups');
    const first = page.getByRole('region', { name: 'Group 1' });
    assert.match((await first.textContent()) ?? '', /41\.0 % of all that fires; layer 9 45\.0 %/);
    await first.getByRole('button', { name: /^L9N1518/ }).click();
    assert.deepEqual(await requestsOf(page, 'look'), [{ page: 'memory', memory: { layer: 9, neuron: 1518 } }]);
    await open('groups');
    await page.getByRole('combobox', { name: 'Groups' }).selectOption('6');
    assert.deepEqual(await requestsOf(page, 'look'), [{ groups: 6 }]);
  });

  it('puts values into clusters when it is asked to, and opens a memory of one', async () => {
    await open('search-empty');
    await page.getByRole('button', { name: 'clusters' }).click();
    assert.equal((await requestsOf(page, 'findClusters')).length, 1);
    await open('search-clusters');
    assert.equal(await page.getByRole('region', { name: /^Cluster / }).count(), 20);
    await page.getByRole('button', { name: 'Show all 30 clusters' }).click();
    assert.equal(await page.getByRole('region', { name: /^Cluster / }).count(), 30);
    await page.getByRole('region', { name: 'Cluster 1', exact: true }).getByRole('button').first().click();
    assert.deepEqual(await requestsOf(page, 'look'), [{ page: 'memory', memory: { layer: 0, neuron: 1518 } }]);
  });

  it('goes through the memories and their actions by keyboard', async () => {
    await open('memories');
    await page.getByRole('button', { name: 'L10N1518', exact: true }).focus();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('Enter');
    await page.getByRole('menuitem', { name: 'Switch Off Here' }).press('Enter');
    await page.keyboard.press('ArrowLeft');
    await page.keyboard.press('Enter');
    assert.deepEqual(await requestsOf(page, 'intervene'), [{ layer: 10, neuron: 620, scale: 0, position: 8 }]);
    assert.deepEqual(await requestsOf(page, 'look'), [{ page: 'memory', memory: { layer: 10, neuron: 620 } }]);
  });

  it('takes a change back wherever it was made, names a memory, and looks for its words', async () => {
    await open('memories');
    const pick = async (memory: string, item: string): Promise<void> => {
      await page.getByRole('button', { name: `Actions on ${memory}`, exact: true }).click();
      await page.getByRole('menuitem', { name: item }).click();
    };
    await pick('L10N620', 'As It Was');
    assert.deepEqual(await requestsOf(page, 'intervene'), [{ layer: 10, neuron: 620, scale: 1, position: 8 }]);
    await pick('L10N620', 'Name…');
    assert.deepEqual(await requestsOf(page, 'name'), [{ layer: 10, neuron: 620 }]);
    await pick('L10N620', 'Which Others Write Its Words');
    const [look] = (await requestsOf(page, 'look')) as { page: string; search: { token: string }[] }[];
    assert.equal(look?.page, 'search');
    assert.equal(look.search.length, 3);
  });

  it('keeps only memories with a word or name that is typed', async () => {
    await open('memories');
    const rows = page.getByRole('table', { name: 'Memories' }).getByRole('row');
    assert.equal(await rows.count(), 31);
    await page.getByLabel('Word or name').fill('native');
    assert.equal(await rows.count(), 2);
    await page.getByLabel('Word or name').fill('nothing has this');
    await page.getByText('None of the 30 has such a word or name.').waitFor();
  });

  it('measures another word: one that is said there, or one that is typed', async () => {
    await open('memories-logit');
    await page.getByRole('button', { name: /^Italian/ }).click();
    assert.deepEqual(await requestsOf(page, 'look'), [{ word: { id: 1014, token: 'Italian' } }]);
    await page.locator('lens-word-field input').fill('Paris');
    await page.keyboard.press('Enter');
    assert.deepEqual(await requestsOf(page, 'addWord'), [{ text: 'Paris', to: 'word' }]);
  });

  it('looks at the token that is chosen, and does not mask where that is switched off', async () => {
    await open('memories');
    await page.getByRole('button', { name: /^Proust, token 6/ }).click();
    assert.deepEqual(await requestsOf(page, 'target'), [{ index: 6 }]);
    await page.getByLabel('Mask the word').uncheck();
    assert.deepEqual(await requestsOf(page, 'look'), [{ mask: false }]);
  });

  it('watches words over the layers: adds one, shows its steps, lets it go', async () => {
    await open('lens');
    const table = page.getByRole('region', { name: 'Words over the layers' });
    await table.getByRole('button', { name: 'English' }).click();
    await page.getByText('Δ log p of English').waitFor();
    await table.getByRole('button', { name: 'Watch German no more' }).click();
    await page.locator('lens-word-field input').fill('Dutch');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'log p', exact: true }).click();
    assert.deepEqual(await requestsOf(page, 'look'), [{ steps: 1000 }, { watch: [] }, { chart: 'logprob' }]);
    assert.deepEqual(await requestsOf(page, 'addWord'), [{ text: 'Dutch', to: 'watch' }]);
    const chart = page.getByRole('grid', { name: /Log-probabilities of words/ });
    await chart.focus();
    await page.keyboard.press('ArrowRight');
    assert.match((await chart.getByRole('gridcell').textContent()) ?? '', /^after the attention of layer 0, French: /);
  });

  it('reads a cell of the table along the text, and looks at its token', async () => {
    await open('text');
    const grid = page.getByRole('grid', { name: /What is said at each token/ });
    await grid.focus();
    await page.keyboard.press('ArrowRight');
    assert.match(
      (await grid.getByRole('gridcell').textContent()) ?? '',
      /^The, after the FFN of layer 11: .+; .+, the answer, rank 1; entropy \d\.\d\d nats$/,
    );
    await page.keyboard.press('Enter');
    assert.deepEqual(await requestsOf(page, 'target'), [{ index: 1 }]);
    await page.locator('lens-text-page select').selectOption('rank');
    await page.getByLabel('Also after attention').check();
    assert.deepEqual(await requestsOf(page, 'look'), [{ colour: 'rank' }, { between: true }]);
  });

  it('switches the tuned lens on and off, says how good it is, trains one and goes on with it', async () => {
    await open('lens');
    assert.ok(await page.getByLabel('Tuned lens').getByRole('checkbox').isDisabled());
    await page.getByRole('button', { name: 'Train…' }).click();
    assert.equal((await requestsOf(page, 'trainLens')).length, 1);
    await open('lens-training');
    await page.getByText('1,344 of 4,096 tokens').waitFor();
    await page.locator('lens-tuned-lens').getByRole('button', { name: 'Cancel' }).click();
    assert.equal((await requestsOf(page, 'stopTraining')).length, 1);
    await open('text-tuned');
    assert.ok(await page.getByLabel('Also after attention').isDisabled());
    await page.getByText('KL 2.48 → 1.51 nats').click();
    const table = page.getByRole('region', { name: 'Divergence of each state' });
    await table.getByText('no map: it did not help').waitFor();
    await page.getByText(/Head: a tuned lens .* 4,123 tokens of gum-wikinews\.conllu\), then MLM transform/u).waitFor();
    await page.getByRole('button', { name: 'Go On' }).click();
    await page.getByRole('group', { name: 'Tuned lens' }).getByRole('checkbox').uncheck();
    assert.equal((await requestsOf(page, 'goOnTraining')).length, 1);
    assert.deepEqual(await requestsOf(page, 'look'), [{ tuned: false }]);
  });

  it('finds values of a word and opens one; a word is taken away by its cross', async () => {
    await open('search-several');
    await page.getByRole('button', { name: /^L11N/ }).first().click();
    await page.getByRole('combobox', { name: 'What of the memories' }).selectOption('search');
    await page.getByRole('button', { name: 'Remove Italian' }).click();
    const looks = (await requestsOf(page, 'look')) as Record<string, unknown>[];
    assert.equal(looks[0]?.['page'], 'memory');
    assert.deepEqual(looks[2], { search: [{ id: 1002, token: 'French' }] });
  });

  it('lists names, by tag too, and says which line of their file must be mended', async () => {
    await open('names');
    const table = page.getByRole('region', { name: 'Named memories' });
    assert.equal(await table.getByRole('row').count(), 4);
    await page.getByRole('button', { name: '#places' }).click();
    assert.equal(await table.getByRole('row').count(), 2);
    await table.getByRole('button', { name: 'Change…' }).click();
    assert.deepEqual(await requestsOf(page, 'name'), [{ layer: 11, neuron: 2713 }]);
    await open('names-conflict');
    await page.getByText(/line 4/).waitFor();
    await page.getByRole('button', { name: '.vscode/onnx-lens-memories.tsv' }).click();
    assert.deepEqual(await requestsOf(page, 'openNames'), [null]);
  });

  it('looks for texts that fire a memory, opens one in its file, and goes on where it was stopped', async () => {
    await open('memory-stopped');
    for (const name of ['Workspace', 'Folder…', 'Files…', 'Included Texts'])
      await page.getByRole('button', { name }).click();
    assert.deepEqual(
      await requestsOf(page, 'scan'),
      ['workspace', 'folder', 'files', 'included'].map((scope) => ({ scope })),
    );
    await page.getByRole('button', { name: 'gum-wikinews.conllu:13' }).first().click();
    await page.getByRole('button', { name: 'largest m' }).click();
    await page.getByRole('button', { name: 'notes/languages.md:12' }).first().click();
    assert.deepEqual(await requestsOf(page, 'openTrigger'), [
      { end: 'smallest', index: 3 },
      { end: 'largest', index: 0 },
    ]);
    await page.getByRole('button', { name: 'Go On' }).click();
    assert.deepEqual(await requestsOf(page, 'goOn'), [null]);
    await page.getByRole('button', { name: /^Colour the Words/ }).click();
    assert.deepEqual(await requestsOf(page, 'inDocument'), [{ on: false }]);
  });

  it('says what a bar of the distribution is, and shows a memory that is like it', async () => {
    await open('memory');
    const bars = page.getByRole('grid', { name: 'Distribution of the activations' });
    await bars.focus();
    await page.keyboard.press('End');
    assert.equal(await bars.getByRole('gridcell').textContent(), 'm from 4.1 to 4.3: 1 token');
    await page.getByRole('button', { name: /^L11N\d+ \.71$/ }).click();
    const [look] = (await requestsOf(page, 'look')) as { memory: { layer: number } }[];
    assert.equal(look?.memory.layer, 11);
  });

  it('gives a picture of the page', async () => {
    for (const state of ['memories', 'lens', 'text']) {
      await open(state);
      await page.getByRole('button', { name: 'Copy or Export' }).click();
      await page.getByRole('menuitem', { name: 'Picture as SVG…' }).click();
      const [saved] = (await requestsOf(page, 'saveImage')) as { format: string; data: Record<string, number> }[];
      assert.equal(saved?.format, 'svg');
      const text = Buffer.from(Object.values(saved.data)).toString();
      assert.match(text, /^<svg xmlns=/, state);
      assert.match(text, /bert-base-cased/, state);
    }
  });
});
