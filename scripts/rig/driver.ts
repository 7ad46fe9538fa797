/**
 * A real VS Code in a browser, driven as a person would: palette, keys, mouse. For end-to-end tests and for looking at things.
 */
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Browser, BrowserContext, FrameLocator, Locator, Page } from 'playwright-core';
import { startBrowser } from './browser';
import { ensureServer, type Rig } from './install';
import { installVsix, ServerState, startServer, workbenchUrl, type Server, type Settings } from './server';

export const THEMES = {
  dark: 'Dark Modern',
  light: 'Light Modern',
  hc: 'Default High Contrast',
  hclight: 'Default High Contrast Light',
} as const;
export type ThemeName = keyof typeof THEMES;

const ACTION_LIMIT_MS = 30_000;
const POLL_MS = 100;
const HOVER_ATTEMPTS = 6;
const HOVER_WAIT_MS = 4_000;

export interface WorkbenchOptions {
  /** A packaged extension, or … */
  vsix?: string;
  /** … the folder of an unpacked one. */
  extension?: string;
  /** Copied; the copy is opened. */
  workspace?: string;
  env?: NodeJS.ProcessEnv;
}

export interface WindowOptions {
  theme?: ThemeName;
  width?: number;
  height?: number;
  settings?: Settings;
}

/** A server and a browser; gives as many windows as wanted, each with an extension host of its own. */
export class Workbench {
  private constructor(
    readonly state: ServerState,
    private readonly server: Server,
    private readonly browser: Browser,
  ) {}

  static async start(options: WorkbenchOptions): Promise<Workbench> {
    const rig: Rig = await ensureServer();
    const state = new ServerState(options.workspace);
    let server: Server | undefined;
    try {
      if (options.vsix !== undefined) await installVsix(rig, state, options.vsix);
      if (options.extension !== undefined) state.linkExtension(options.extension);
      server = await startServer(rig, state, { ...(options.env === undefined ? {} : { env: options.env }) });
      return new Workbench(state, server, await startBrowser());
    } catch (error) {
      await server?.stop();
      state.remove();
      throw error;
    }
  }

  /** A window with clean browser state. */
  async open({
    theme = 'dark',
    width = 1280,
    height = 800,
    settings = {},
  }: WindowOptions = {}): Promise<WorkbenchWindow> {
    this.state.writeSettings({ 'workbench.colorTheme': THEMES[theme], ...settings });
    const context = await this.browser.newContext({
      viewport: { width, height },
      reducedMotion: 'reduce',
      colorScheme: theme.endsWith('light') ? 'light' : 'dark',
      permissions: ['clipboard-read', 'clipboard-write'],
    });
    const page = await context.newPage();
    page.setDefaultTimeout(ACTION_LIMIT_MS);
    const window = new WorkbenchWindow(page, context);
    await page.goto(workbenchUrl(this.server.port, { folder: this.state.workspace }));
    await page.locator('.monaco-workbench .part.statusbar').waitFor();
    return window;
  }

  async close(): Promise<void> {
    await this.browser.close();
    await this.server.stop();
    this.state.remove();
  }
}

export class WorkbenchWindow {
  /** Messages of the page about a breach of a content security policy; a good extension causes none. */
  readonly policyBreaches: string[] = [];

  constructor(
    readonly page: Page,
    private readonly context: BrowserContext,
  ) {
    page.on('console', (message) => {
      // VS Code's own pages break their own policy in places; ours are the frames of an extension.
      if (
        /violates the following|Content Security Policy/i.test(message.text()) &&
        /\/fake\.html|webview/.test(message.location().url)
      ) {
        this.policyBreaches.push(message.text());
      }
    });
  }

  async press(...keys: string[]): Promise<void> {
    for (const key of keys) await this.page.keyboard.press(key);
  }

  private async quickInput(text: string, row: string): Promise<void> {
    const input = this.page.locator('.quick-input-widget input');
    await input.waitFor({ state: 'visible' });
    await input.fill(text);
    await this.page.locator('.quick-input-list .monaco-list-row', { hasText: row }).first().waitFor();
    await this.press('Enter');
  }

  /** Runs a command by its title in the palette. */
  async runCommand(title: string): Promise<void> {
    await this.press('F1');
    await this.quickInput(`>${title}`, title);
  }

  /** Opens a file of the workspace by name and puts the keyboard into its editor. */
  async openFile(name: string): Promise<void> {
    await this.press('Control+P');
    await this.quickInput(name, name);
    await this.page.locator('.tab.active', { hasText: name }).waitFor();
    await this.page.locator('.editor-group-container.active .monaco-editor .view-line').first().waitFor();
    await this.page.locator('.quick-input-widget').waitFor({ state: 'hidden' });
  }

  /** The n-th place (from 0) of a text in the active editor, in pixels. The text must be on one visible line. */
  async locateText(text: string, occurrence = 0): Promise<{ left: number; right: number; y: number }> {
    const box = await this.page.evaluate(
      ({ wanted, nth }) => {
        const editor = document.querySelector('.editor-group-container.active .monaco-editor') ?? document;
        const top = (line: Element): number => line.getBoundingClientRect().top;
        const lines = [...editor.querySelectorAll('.view-line')].sort((a, b) => top(a) - top(b));
        let left = nth;
        for (const line of lines) {
          // The editor shows spaces as no-break spaces and divides a line into spans.
          const nodes: Text[] = [];
          const walker = document.createTreeWalker(line, NodeFilter.SHOW_TEXT);
          while (walker.nextNode() !== null) nodes.push(walker.currentNode as Text);
          const content = nodes
            .map((node) => node.data)
            .join('')
            .replaceAll('\u00a0', ' ');
          for (let at = content.indexOf(wanted); at >= 0; at = content.indexOf(wanted, at + 1)) {
            if (left-- > 0) continue;
            const range = document.createRange();
            let seen = 0;
            for (const node of nodes) {
              const end = seen + node.length;
              if (at >= seen && at < end) range.setStart(node, at - seen);
              if (at + wanted.length > seen && at + wanted.length <= end) range.setEnd(node, at + wanted.length - seen);
              seen = end;
            }
            const bounds = range.getBoundingClientRect();
            return { left: bounds.left, right: bounds.right, y: bounds.top + bounds.height / 2 };
          }
        }
        return null;
      },
      { wanted: text, nth: occurrence },
    );
    if (box === null) throw new Error(`The active editor does not show "${text}" (occurrence ${occurrence}).`);
    return box;
  }

  /** Selects a text in the active editor with the mouse. `add`: as a further selection. */
  async selectText(text: string, { occurrence = 0, add = false } = {}): Promise<void> {
    const { left, right, y } = await this.locateText(text, occurrence);
    const { mouse, keyboard } = this.page;
    if (add) await keyboard.down('Alt');
    // One pixel inside, since the border between two letters may round to either.
    await mouse.move(left + 1, y);
    await mouse.down();
    await mouse.move((left + right) / 2, y, { steps: 4 });
    await mouse.move(right - 1, y, { steps: 4 });
    await mouse.up();
    if (add) await keyboard.up('Alt');
  }

  /** Moves the mouse over a text until a hover with `contains` shows; gives the hover. */
  async hoverText(text: string, contains: string | RegExp, occurrence = 0): Promise<Locator> {
    const { left, right, y } = await this.locateText(text, occurrence);
    const hover = this.page.locator('.monaco-hover:visible', { hasText: contains }).first();
    for (let attempt = 1; ; attempt++) {
      await this.page.mouse.move(left, y + 150);
      await this.page.mouse.move((left + right) / 2, y, { steps: 4 });
      try {
        await hover.waitFor({ timeout: HOVER_WAIT_MS });
        return hover;
      } catch (error) {
        if (attempt === HOVER_ATTEMPTS) throw error; // the provider may register late
      }
    }
  }

  /** What is in the webview that holds `element`, for example `onnx-lens-cloze`. */
  async webview(element: string): Promise<FrameLocator> {
    const frames = this.page.locator('iframe.webview.ready');
    const limit = Date.now() + ACTION_LIMIT_MS;
    while (Date.now() < limit) {
      for (let i = 0; i < (await frames.count()); i++) {
        const inner = frames.nth(i).contentFrame().frameLocator('#active-frame');
        if (
          (await inner
            .locator(element)
            .count()
            .catch(() => 0)) > 0
        )
          return inner;
      }
      await this.page.waitForTimeout(POLL_MS);
    }
    throw new Error(`No webview shows <${element}>.`);
  }

  /** Texts of the notifications on the screen. */
  async notifications(): Promise<string[]> {
    return this.page.locator('.notification-toast .notification-list-item-message').allTextContents();
  }

  async waitForNotification(contains: string | RegExp): Promise<Locator> {
    const toast = this.page.locator('.notification-toast', { hasText: contains }).first();
    await toast.waitFor();
    return toast;
  }

  /** Text of the active editor as it is shown (only the lines on the screen). */
  async visibleText(): Promise<string> {
    const lines = await this.page
      .locator('.editor-group-container.active .monaco-editor .view-line')
      .evaluateAll((elements) =>
        elements
          .map((element) => ({ top: element.getBoundingClientRect().top, text: element.textContent }))
          .sort((a, b) => a.top - b.top)
          .map(({ text }) => text.replaceAll('\u00a0', ' ')),
      );
    return lines.join('\n');
  }

  /** Saves a picture of the window, or of one element. */
  async screenshot(path: string, of?: Locator): Promise<void> {
    mkdirSync(dirname(path), { recursive: true });
    await (of ?? this.page).screenshot({ path });
  }

  async close(): Promise<void> {
    await this.context.close();
  }
}

/** Where pictures go: outside version control. */
export const artifacts = (root: string, name: string): string => join(root, 'artifacts', name);
