/** The Probes view in a real browser: pages, a table of thousands of rows, keyboard, hostile text. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import type { ProbeRow } from '../../extension/protocol/probesView';
import { visibleRows } from '../../webviews/probes/rows';
import { galleryPages, overflowOf, requestsOf, SHOTS, THEMES, violationsOf } from '../support/gallery';

const STATES = [
  ...['facts', 'relations', 'compare', 'compare-empty', 'changed', 'layers', 'runs'],
  ...['empty', 'loading', 'error', 'many', 'hostile'],
];

describe('probes view', function () {
  this.timeout(120_000);
  const pages = galleryPages({ width: 900, height: 800 });
  let page: Page;
  beforeEach(() => ({ page } = pages));

  const open = (state: string, theme?: string): Promise<void> => pages.open('probes', state, theme);

  for (const state of STATES)
    it(`${state}: no accessibility violation in any theme, nothing cut at 300 px`, async () => {
      for (const theme of THEMES) {
        await page.setViewportSize({ width: 300, height: 800 });
        await open(state, theme);
        if (state === 'facts' || state === 'loading') await page.getByRole('row').first().click();
        const overflow = await overflowOf(page);
        assert.ok(overflow <= 0, `${overflow} px too wide in ${theme}`);
        await page.screenshot({ path: join(SHOTS, `probes-${state}-${theme}-narrow.png`), fullPage: true });
        assert.deepEqual(await violationsOf(page, state === 'loading'), [], theme);
        await page.setViewportSize({ width: 1000, height: 700 });
        await page.screenshot({ path: join(SHOTS, `probes-${state}-${theme}-wide.png`), fullPage: true });
      }
    });

  it('says with what a run was made when something else is in force, and asks again with that', async () => {
    await open('changed');
    await page.getByText('The run shown was made with the unchanged model.').waitFor();
    const { first, other } = { first: 'lecture.cloze · bert-base-cased · ', other: 'bert-base-cased with L9N1234 ×2' };
    assert.ok((await page.getByLabel('Run').locator('option:checked').textContent())?.includes(first));
    assert.ok((await page.getByLabel('Compare with').locator('option:checked').textContent())?.includes(other));
    await page.getByRole('button', { name: 'Ask with the Changes, Too' }).click();
    assert.deepEqual(await requestsOf(page, 'again'), [{ model: null }]);
  });

  it('draws only the rows in sight, sorts and filters all of them, and goes to the line', async () => {
    await open('many');
    const rows = page.getByRole('row').filter({ has: page.getByRole('gridcell') });
    await rows.first().waitFor();
    assert.ok((await rows.count()) < 80, `${await rows.count()} rows are elements`);
    await page.getByRole('button', { name: 'rank' }).click();
    await page.getByRole('button', { name: 'rank' }).click();
    await page
      .getByRole('row', { name: /Patrick Oboya/ })
      .first()
      .waitFor();
    await page.getByRole('searchbox').fill('mauritius P2');
    await page.getByText(/^\s*\d+ of 5,000/).waitFor();
    await rows.first().click();
    assert.equal((await requestsOf(page, 'reveal')).length, 1);
    await page.getByRole('grid').press('ArrowDown');
    await page.getByRole('grid').press('Enter');
    const revealed = (await requestsOf(page, 'reveal')) as { index: number }[];
    assert.equal(revealed.length, 2);
    assert.ok(revealed.every(({ index }) => index % 8 === 2));
    assert.notEqual(revealed[0]?.index, revealed[1]?.index);
  });

  it('the end of the table is reached by the keyboard', async () => {
    await open('many');
    await page.getByRole('row').first().waitFor();
    await page.getByRole('grid').press('End');
    const last = page.locator('#fact-4999');
    await last.waitFor();
    assert.equal(await last.getAttribute('aria-selected'), 'true');
  });

  it('pages, runs and comparisons ask the host', async () => {
    await open('facts');
    await page.getByRole('tab', { name: 'Compare' }).click();
    await page.getByLabel('Compare with').selectOption('b');
    await page.getByRole('button', { name: 'Ask gpt2, Too' }).click();
    await page.getByRole('tab', { name: 'Runs' }).click();
    await page.getByRole('button', { name: 'Delete trex' }).click();
    await page.getByRole('button', { name: 'Copy or Export' }).click();
    await page.getByRole('menuitem', { name: 'Export as LaTeX…' }).click();
    assert.deepEqual(await requestsOf(page, 'compareWith'), [{ run: 'b' }]);
    assert.deepEqual(await requestsOf(page, 'again'), [{ model: 'gpt2' }]);
    assert.deepEqual(await requestsOf(page, 'remove'), [{ run: 'c' }]);
    assert.deepEqual(await requestsOf(page, 'exportTable'), [{ format: 'tex' }]);
  });
});

describe('rows of the Probes view', () => {
  const row = (relation: string, rank: number | null, logprob: number | null): ProbeRow => ({
    ...{ relation, query: `${relation} is ____.`, answer: 'Paris', rank, logprob, top: [], why: null, place: null },
    status: rank === 1 ? 'right' : rank === null ? 'skipped' : 'wrong',
  });
  const rows = [row('b', 10, -3), row('a', null, null), row('c', 2, -9), row('a', 1, -0.5)];
  const all = { text: '', relation: '', status: 'all' } as const;

  it('are sorted by numbers, with those that have none last in both directions', () => {
    assert.deepEqual(visibleRows(rows, all, { column: 'rank', descending: false }), [3, 2, 0, 1]);
    assert.deepEqual(visibleRows(rows, all, { column: 'rank', descending: true }), [0, 2, 3, 1]);
    assert.deepEqual(visibleRows(rows, all, { column: 'relation', descending: false }), [1, 3, 0, 2]);
    assert.deepEqual(visibleRows(rows, all, { column: null, descending: false }), [0, 1, 2, 3]);
  });

  it('stand as in their files, whatever was asked first', () => {
    const placed = rows.map((each, index) => ({ ...each, place: [null, 2, 0, 1][index] ?? null }));
    assert.deepEqual(visibleRows(placed, all, { column: null, descending: false }), [2, 3, 1, 0]);
    assert.deepEqual(visibleRows(placed, all, { column: 'relation', descending: false }), [3, 1, 0, 2]);
    assert.deepEqual(visibleRows(placed, all, { column: 'relation', descending: true }), [2, 0, 3, 1]);
  });

  it('are filtered by words, relation and outcome', () => {
    const by = (filter: Partial<Parameters<typeof visibleRows>[1]>): number[] =>
      visibleRows(rows, { ...all, ...filter }, { column: null, descending: false });
    assert.deepEqual(by({ text: 'A  paris' }), [0, 1, 2, 3]);
    assert.deepEqual(by({ text: 'c is' }), [2]);
    assert.deepEqual(by({ relation: 'a' }), [1, 3]);
    assert.deepEqual(by({ relation: 'a', status: 'right' }), [3]);
  });
});
