/** The Attention view in a real browser: looks, keyboard, hostile text, and what is exported. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import {
  galleryPages,
  overflowOf,
  painted,
  requestsOf,
  SHOTS,
  THEMES,
  violationsOf,
  watchProblems,
} from '../support/gallery';

const STATES = [
  ...['heads', 'heads-sorted', 'heads-filtered', 'heads-missing', 'head', 'head-lines', 'head-several'],
  ...['head-several-lines', 'head-pair', 'head-words', 'head-one', 'head-rtl', 'steps', 'compare'],
  ...['compare-unaligned', 'effects', 'relations', 'corpus', 'hostile', 'stale', 'loading', 'empty', 'error'],
];
const LARGE = ['heads-512', 'head-512', 'head-512-lines', 'head-same'];

describe('attention view', function () {
  this.timeout(180_000);
  const pages = galleryPages({ width: 340, height: 800 });
  let page: Page;
  beforeEach(() => ({ page } = pages));

  const open = (state: string, theme?: string, more?: string): Promise<void> =>
    pages.open('attention', state, theme, more);
  const requests = (method: string): Promise<unknown[]> => requestsOf(page, method);
  const grid = (name: RegExp) => page.getByRole('grid', { name });
  /** What the cell at the cursor says. */
  const cell = async (name: RegExp): Promise<string> => (await grid(name).getByRole('gridcell').textContent()) ?? '';

  for (const state of STATES)
    it(`${state}: no accessibility violation in any theme, nothing cut at 300 px`, async () => {
      for (const theme of THEMES) {
        await page.setViewportSize({ width: 300, height: 800 });
        await open(state, theme);
        await painted(page);
        const overflow = await overflowOf(page);
        assert.ok(overflow <= 0, `${overflow} px too wide in ${theme}`);
        await page.screenshot({ path: join(SHOTS, `attention-${state}-${theme}-narrow.png`), fullPage: true });
        assert.deepEqual(await violationsOf(page, state === 'loading'), [], theme);
        if (theme === 'hclight') continue;
        await page.setViewportSize({ width: 900, height: 800 });
        await painted(page);
        await page.screenshot({ path: join(SHOTS, `attention-${state}-${theme}-wide.png`), fullPage: true });
      }
    });

  for (const state of LARGE)
    it(`${state}: the same with 512 tokens`, async () => {
      await page.setViewportSize({ width: 300, height: 800 });
      await open(state);
      await painted(page);
      assert.ok((await overflowOf(page)) <= 0);
      assert.deepEqual(await violationsOf(page, false), []);
      for (const theme of ['dark', 'light', 'hc']) {
        await page.setViewportSize({ width: 900, height: 800 });
        await open(state, theme);
        await painted(page);
        await page.screenshot({ path: join(SHOTS, `attention-${state}-${theme}-wide.png`), fullPage: true });
      }
    });

  it('a head is found, added, switched off and opened by keys alone', async () => {
    await open('heads');
    await grid(/^Heads/).focus();
    assert.match(await cell(/^Heads/), /^L0H0, /);
    for (const key of ['ArrowDown', 'ArrowDown', 'ArrowRight', 'Delete', 'Space']) await page.keyboard.press(key);
    assert.match(await cell(/^Heads/), /^L2H1, .*, off$/);
    assert.deepEqual(await requests('intervene'), [{ layer: 2, head: 1, scale: 0 }]);
    await page.getByRole('listitem').getByText('L2H1 off').waitFor();
    assert.deepEqual((await requests('look')).at(-1), {
      heads: [
        { layer: 7, head: 9 },
        { layer: 2, head: 1 },
      ],
      layer: 2,
    });
    await page.keyboard.press('Control+End');
    assert.match(await cell(/^Heads/), /^L11H11, /);
    await page.keyboard.press('Enter');
    await grid(/rows are queries/).waitFor();
    assert.deepEqual((await requests('look')).at(-1), { page: 'head', layer: 11, heads: [{ layer: 11, head: 11 }] });
    await page.getByRole('button', { name: 'Remove L2H1 off' }).focus();
    await page.keyboard.press('Delete');
    assert.deepEqual((await requests('intervene')).at(-1), { layer: 2, head: 1, scale: 1 });
    await page.getByText('L2H1 off').waitFor({ state: 'detached' });
  });

  it('Alt+click switches a head off, and Ctrl+click adds one', async () => {
    await page.setViewportSize({ width: 900, height: 1000 });
    await open('heads');
    await painted(page);
    const box = (await grid(/^Heads/).boundingBox())!;
    const head = { x: box.x + 50, y: box.y + 45 };
    await page.keyboard.down('Alt');
    await page.mouse.click(head.x, head.y);
    await page.keyboard.up('Alt');
    assert.deepEqual(await requests('intervene'), [{ layer: 0, head: 0, scale: 0 }]);
    await page.keyboard.down('Control');
    await page.mouse.click(head.x, head.y);
    await page.keyboard.up('Control');
    assert.equal(((await requests('look')).at(-1) as { heads: unknown[] }).heads.length, 2);
  });

  it('the table beside the grid says the same', async () => {
    await open('heads');
    await page.getByText('The same as a table').click();
    const table = page.getByRole('region', { name: 'Heads as a table' });
    assert.equal(await table.getByRole('row').count(), 145);
    await table.getByRole('button', { name: 'L3H4', exact: true }).click();
    assert.deepEqual((await requests('look')).at(-1), { page: 'head', layer: 3, heads: [{ layer: 3, head: 4 }] });
  });

  it('sorting and filtering are drawn without waiting for the host', async () => {
    await open('heads', 'dark', '&silent');
    await page.getByRole('combobox', { name: 'Sort by' }).selectOption('entropy');
    await page.getByRole('button', { name: /^broad/ }).click();
    await grid(/^Heads/).focus();
    assert.match(await cell(/^Heads/), /broad/);
    assert.deepEqual(await requests('look'), [{ sort: 'entropy' }, { type: 'broad' }]);
  });

  it('pages are tabs with one tab stop, and a list where it is narrow', async () => {
    await page.setViewportSize({ width: 900, height: 800 });
    await open('heads');
    await page.getByRole('tab', { name: 'Heads' }).focus();
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowRight');
    await page.getByRole('region', { name: 'Keys of the query, step by step' }).waitFor();
    await page.setViewportSize({ width: 300, height: 800 });
    await page.getByRole('combobox', { name: 'What of the attention' }).selectOption('Effects');
    await page.getByRole('button', { name: 'Which Heads Matter Here' }).click();
    assert.deepEqual(await requests('ablate'), [{ mean: true, importance: true }]);
  });

  it('a token of the strip is the target, and lets it go', async () => {
    await open('head');
    await page.getByRole('button', { name: 'language, token 3: make it the target' }).click();
    await page.getByRole('button', { name: 'language, token 3, the target: let it go' }).click();
    assert.deepEqual(await requests('look'), [{ target: 3 }, { target: null }]);
  });

  it('matrix: arrow keys read weights, Enter aims, m changes to lines and the focus stays', async () => {
    await open('head');
    await grid(/rows are queries/).focus();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('End');
    assert.match(await cell(/rows are queries/), /^The to \[SEP\] \.\d{3}$/);
    assert.ok(await page.getByText(/^0\.\d{8,}$/).count(), 'every digit is there to be read');
    await page.keyboard.press('Enter');
    assert.deepEqual((await requests('look')).at(-1), { target: 1, direction: 'from' });
    await page.keyboard.press('m');
    await grid(/^Lines/).waitFor();
    assert.deepEqual((await requests('look')).at(-1), { drawing: 'lines' });
    await page.waitForFunction(() => {
      let element = document.activeElement;
      while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
      return element?.getAttribute('aria-label')?.startsWith('Lines');
    });
    assert.match(await cell(/^Lines/), /^The attends to /);
    await page.keyboard.press('ArrowRight');
    assert.match(await cell(/^Lines/), /^The is attended by /);
    await page.keyboard.press('Enter');
    assert.deepEqual((await requests('look')).at(-1), { target: 1, direction: 'to' });
  });

  it('threshold, words and special tokens go to the host, and are shown at once', async () => {
    await open('head', 'dark', '&silent');
    await page.getByRole('slider', { name: 'Threshold' }).fill('0.3');
    await page.getByText('.300', { exact: true }).waitFor();
    await page.getByRole('checkbox', { name: 'Words' }).click();
    await page.getByRole('combobox', { name: '[CLS] [SEP]' }).selectOption('renormalise');
    await page.getByText('Without special tokens, renormalised.').waitFor();
    assert.deepEqual(await requests('look'), [
      { threshold: { kind: 'weight', value: 0.3 } },
      { words: true },
      { specials: 'renormalise' },
    ]);
  });

  it('maps are asked for once a revision, and only on their page', async () => {
    await open('heads');
    assert.equal((await requests('maps')).length, 0);
    assert.equal((await requests('thumbnails')).length, 1);
    await page.getByRole('combobox', { name: 'What of the attention' }).selectOption('Head');
    await grid(/rows are queries/).waitFor();
    await painted(page);
    assert.ok((await requests('maps')).length <= 2);
    const before = (await requests('maps')).length;
    await grid(/rows are queries/).hover();
    await painted(page);
    assert.equal((await requests('maps')).length, before, 'pointing asks for nothing');
  });

  it('Ctrl and the wheel, + and − zoom; labels stay', async () => {
    await open('head-512');
    const box = grid(/rows are queries/);
    await box.focus();
    await painted(page);
    const height = (): Promise<number> => box.evaluate((element) => element.scrollHeight);
    const before = await height();
    for (let press = 0; press < 10; press++) await page.keyboard.press('+');
    await painted(page);
    assert.ok((await height()) > 3 * before);
    await page.keyboard.press('Control+End');
    await painted(page);
    assert.ok(await box.evaluate((element) => element.scrollTop > 0 && element.scrollLeft > 0));
    await page.screenshot({ path: join(SHOTS, 'attention-head-512-zoomed.png') });
    await page.keyboard.press('0');
    await painted(page);
    assert.equal(await height(), before);
  });

  it('steps: a key shows its dimensions; numbers are copied with every digit', async () => {
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
    await open('steps');
    await page.getByRole('button', { name: 'language' }).last().click();
    await grid(/by dimension/).focus();
    await page.keyboard.press('ArrowRight');
    assert.match(await cell(/by dimension/), /^q, dimension 1: q [−.\d]+, k [−.\d]+, q × k [−.\d]+$/);
    await page.getByRole('button', { name: 'Copy Numbers' }).click();
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    const [head, ...rows] = copied.split('\n').map((line) => line.split('\t'));
    assert.deepEqual(head?.slice(0, 3), ['index', 'key', 'q·k']);
    assert.equal(rows.length, 16);
    const sum = rows.reduce((total, row) => total + Number(row[6]), 0);
    assert.ok(Math.abs(sum - 1) < 1e-5, `weights sum to ${sum}`);
  });

  it('compare: what is aligned has a difference, what is not says why', async () => {
    await open('compare');
    assert.equal(await page.getByRole('grid').count(), 3);
    await grid(/^difference/).focus();
    assert.match(await cell(/^difference/), /difference [+−]/);
    await page.getByRole('button', { name: '5', exact: true }).click();
    await page.getByRole('button', { name: 'Masked' }).click();
    assert.deepEqual(await requests('compare'), [{ kind: 'heads', other: { layer: 7, head: 5 } }, { kind: 'masked' }]);
    await open('compare-unaligned');
    assert.equal(await page.getByRole('grid').count(), 2);
    await page.getByText(/No difference is drawn/).waitFor();
  });

  it('relations: a row shows its sentences, and a sentence its place in the file', async () => {
    await open('relations');
    await page.getByRole('button', { name: 'det', exact: true }).click();
    assert.deepEqual(await requests('examples'), [
      { layer: 8, head: 11, relation: 'det', direction: 'head→dependent' },
    ]);
    await page.getByRole('button', { name: /The old bridge/ }).click();
    assert.deepEqual(await requests('openExample'), [{ source: 'en_ewt-dev.conllu', line: 118 }]);
    await page.screenshot({ path: join(SHOTS, 'attention-relations-examples.png'), fullPage: true });
    await page.getByRole('button', { name: 'Go On' }).click();
    assert.deepEqual(await requests('resumeWork'), [{ what: 'relations' }]);
  });

  it('corpus: work is stopped where it is shown', async () => {
    await open('corpus');
    await page.getByRole('button', { name: 'Cancel' }).click();
    assert.deepEqual(await requests('stopWork'), [null]);
  });

  it('shows text as text, whatever it is', async () => {
    await open('hostile');
    assert.equal(await page.locator('onnx-lens-attention').locator('img, script').count(), 0);
    assert.ok((await page.getByText('<img src=x onerror=alert(1)>').count()) >= 2);
  });

  /** Chooses an export, and gives what was saved. */
  const saved = async (item: string): Promise<Buffer> => {
    await page.getByRole('button', { name: 'Copy or Export' }).click();
    await page.getByRole('menuitem', { name: item }).click();
    await page.waitForFunction(() =>
      (globalThis as unknown as { requests: { method: string }[] }).requests.some(
        ({ method }) => method === 'saveImage',
      ),
    );
    const bytes = await page.evaluate(() => {
      const all = (globalThis as unknown as { requests: { method: string; params: { data: Uint8Array } }[] }).requests;
      return Array.from(all.findLast(({ method }) => method === 'saveImage')?.params.data ?? []);
    });
    return Buffer.from(bytes);
  };

  for (const state of [
    'heads',
    'head',
    'head-several-lines',
    'steps',
    'compare',
    'effects',
    'relations',
    'corpus',
    'hostile',
  ])
    it(`${state}: exported pages and pictures stand alone, and have no script`, async () => {
      await open(state);
      await painted(page);
      const html = (await saved('Page as HTML…')).toString('utf8');
      assert.doesNotMatch(html, /<script|<img|javascript:/i);
      const alone = await pages.gallery.browser.newPage();
      const asked: string[] = [];
      const wrong = watchProblems(alone);
      alone.on('request', ({ url }) => asked.push(url()));
      alone.on('dialog', () => asked.push('a dialog'));
      await alone.setContent(html);
      assert.ok((await alone.locator('table tr').count()) > 3);
      assert.ok((await alone.locator('svg').first().boundingBox())!.width > 100);
      await alone.screenshot({ path: join(SHOTS, `attention-export-${state}.png`) });
      assert.deepEqual(
        asked.filter((url) => !/^(about|data):/.test(url)),
        [],
        'it asks the network for nothing',
      );
      assert.deepEqual(wrong, []);
      assert.equal(await alone.locator('script, img, iframe').count(), 0);
      await alone.close();
      await open(state);
      await painted(page);
      const svg = (await saved('Picture as SVG…')).toString('utf8');
      const parsed = await page.evaluate((text) => {
        const file = new DOMParser().parseFromString(text, 'image/svg+xml');
        return { root: file.documentElement.nodeName, scripts: file.querySelectorAll('script, foreignObject').length };
      }, svg);
      assert.deepEqual(parsed, { root: 'svg', scripts: 0 });
      await open(state);
      await painted(page);
      const png = await saved('Picture as PNG…');
      assert.deepEqual([...png.subarray(0, 4)], [0x89, 0x50, 0x4e, 0x47]);
      assert.ok(png.length > 2000);
    });
});
