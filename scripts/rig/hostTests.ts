/** Runs a test module inside the extension host of a real VS Code and passes on what it prints. */
import { readFileSync } from 'node:fs';
import { format } from 'node:util';
import { startBrowser } from './browser';
import { ensureServer } from './install';
import { installVsix, ServerState, startServer, workbenchUrl } from './server';

export interface HostTestOptions {
  /** Module that exports `run(): Promise<void>`. */
  tests: string;
  /** Folder of the extension under development … */
  extension?: string;
  /** … or a packaged one, which is installed as a person would. */
  vsix?: string;
  workspace?: string;
  /** The extension host inherits it. */
  env?: NodeJS.ProcessEnv;
  limitMs: number;
  print?(line: string): void;
}

/** The workbench logs through the same function as the tests; what it says on every start is left out. */
const NOISE =
  /^(Resolv(ing|ed) connection token|Creating a socket|\[reconnection-grace-time\]|Updating additional builtin|\[AgentHost|\[AccountPolicyGate\]|\[Service Worker\]|Creation of workbench contribution|getaddrinfo |Failed: getaddrinfo|.*open-vsx\.org|Canceled: Canceled)/;
const SERVER_LOG_CHARACTERS = 4_000;

/** Resolves with true when all tests passed; rejects when the rig itself failed or the time ran out. */
export async function runHostTests(options: HostTestOptions): Promise<boolean> {
  const print = options.print ?? ((line: string) => process.stdout.write(`${line}\n`));
  const rig = await ensureServer();
  const state = new ServerState(options.workspace);
  try {
    if (options.vsix !== undefined) await installVsix(rig, state, options.vsix);
    const server = await startServer(rig, state, {
      testHooks: true,
      ...(options.env === undefined ? {} : { env: options.env }),
    });
    try {
      const browser = await startBrowser();
      try {
        const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
        await page.exposeFunction('codeAutomationLog', (_type: string, args: unknown[]) => {
          const line = format(...args);
          if (!NOISE.test(line)) print(line);
        });
        const code = new Promise<number>((resolve, reject) => {
          const timer = setTimeout(() => {
            reject(new Error(`The tests in the extension host did not end within ${options.limitMs / 1000} s.`));
          }, options.limitMs);
          page.once('crash', () => {
            reject(new Error('The page of the workbench crashed.'));
          });
          void page.exposeFunction('codeAutomationExit', (status: number) => {
            clearTimeout(timer);
            resolve(status);
          });
        });
        const extension = options.extension ?? state.emptyExtension();
        await page.goto(workbenchUrl(server.port, { folder: state.workspace, extension, tests: options.tests }));
        return (await code) === 0;
      } finally {
        await browser.close();
      }
    } catch (error) {
      process.stderr.write(readFileSync(state.log, 'utf8').slice(-SERVER_LOG_CHARACTERS));
      throw error;
    } finally {
      await server.stop();
    }
  } finally {
    state.remove();
  }
}
