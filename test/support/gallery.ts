/** The gallery of the webviews in a real browser, under the policy that VS Code's host sets. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, resolve } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import type { ViewRequest } from '../../extension/protocol/view';
import { startBrowser } from '../../scripts/rig/browser';

const DIST = resolve('dist/webviews');
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-gallery'; font-src 'self'; img-src 'self'";
const TYPES: Record<string, string> = { '.js': 'text/javascript', '.css': 'text/css', '.ttf': 'font/ttf' };
const PAGE =
  '<!doctype html><html lang="en"><head><title>gallery</title><meta property="csp-nonce" content="gallery"><link rel="stylesheet" href="/codicon.css"></head>' +
  '<body><script src="/gallery.js"></script></body></html>';

export const THEMES = ['dark', 'light', 'hc', 'hclight'];
/** Where pictures of the views are put. */
export const SHOTS = resolve('artifacts/webview');

export interface Gallery {
  browser: Browser;
  origin: string;
  close(): Promise<void>;
}

/** Throws where there is no browser. */
export async function openGallery(): Promise<Gallery> {
  const browser = await startBrowser();
  mkdirSync(SHOTS, { recursive: true });
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://localhost').pathname;
    response.setHeader('content-security-policy', POLICY);
    const file = join(DIST, path);
    if (path === '/') response.setHeader('content-type', 'text/html; charset=utf-8').end(PAGE);
    else if (existsSync(file)) response.setHeader('content-type', TYPES[extname(file)] ?? '').end(readFileSync(file));
    else response.writeHead(path === '/favicon.ico' ? 204 : 404).end();
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    browser,
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      await browser.close();
      server.close();
    },
  };
}

/** What the tests of a suite have: a page of their own. */
export interface GalleryPages {
  readonly gallery: Gallery;
  readonly page: Page;
  /** Shows a state of a view; `more` goes into the query. */
  open(view: string, state: string, theme?: string, more?: string): Promise<void>;
}

/** A new page for each test of the suite, which fails on errors in it. Where there is no browser, the suite is skipped. */
export function galleryPages(viewport: { width: number; height: number }): GalleryPages {
  let gallery: Gallery | undefined;
  let page: Page;
  let problems: string[];
  before(async function () {
    try {
      gallery = await openGallery();
    } catch (thrown) {
      process.stdout.write(`      ${String(thrown)}\n`);
      return this.skip();
    }
  });
  after(() => gallery?.close());
  beforeEach(async () => {
    page = await gallery!.browser.newPage({ viewport });
    problems = watchProblems(page);
  });
  afterEach(async () => {
    await page.close();
    assert.deepEqual(problems, [], 'errors or policy violations in the page');
  });
  return {
    get gallery() {
      return gallery!;
    },
    get page() {
      return page;
    },
    open: async (view, state, theme = 'dark', more = '') => {
      await page.goto(`${gallery!.origin}/?view=${view}&state=${state}&theme=${theme}${more}`);
      await page.getByRole('toolbar').first().waitFor();
      if (state === 'loading') await page.getByText('Cancel').waitFor();
    },
  };
}

/** What has been asked for is drawn. */
export const painted = (page: Page): Promise<void> =>
  page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done()))));

/** Errors and violations of the policy, as they come. */
export function watchProblems(page: Page): string[] {
  const problems: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' && !message.text().includes('favicon')) problems.push(message.text());
  });
  page.on('pageerror', (error) => problems.push(error.message));
  return problems;
}

/** Parameters of what the view has asked by this method. */
export const requestsOf = (page: Page, method: string): Promise<unknown[]> =>
  page.evaluate(
    (name) =>
      (globalThis as unknown as { requests: ViewRequest[] }).requests
        .filter((request) => request.method === name)
        .map(({ params }) => params),
    method,
  );

/** Pixels that the page is wider than its window. */
export const overflowOf = (page: Page): Promise<number> =>
  page.evaluate(() => document.documentElement.scrollWidth - innerWidth);

/** What axe finds. `dimmed`: an old result is faint on purpose. */
export async function violationsOf(page: Page, dimmed: boolean): Promise<string[]> {
  // Not a script tag: the page's own policy would rightly refuse it.
  await page.evaluate(readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8'));
  return page.evaluate(async (faint) => {
    const { axe: runner } = globalThis as unknown as {
      axe: {
        run(
          options: object,
        ): Promise<{ violations: { id: string; nodes: { html: string; failureSummary: string }[] }[] }>;
      };
    };
    const result = await runner.run({
      rules: {
        'page-has-heading-one': { enabled: false },
        region: { enabled: false },
        'color-contrast': { enabled: !faint },
      },
    });
    return result.violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html} ${nodes[0]?.failureSummary}`);
  }, dimmed);
}
