/**
 * The rig's commands, bundled to out/rig.js; the scripts call them.
 *
 *     host  --tests MODULE [--extension FOLDER | --vsix FILE] [--workspace FOLDER] [--limit SECONDS]
 *     look  [--theme dark,light,hc,hclight] [--size 1280x800] [--script FILE] [--vsix FILE] [--workspace FOLDER] [--out FOLDER]
 *     serve [--workspace FOLDER]
 *     check
 *
 * Exit code 0: good; 1: a test failed; 2: the rig itself failed; 3: this machine cannot run it.
 */
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { startBrowser } from './browser';
import { artifacts, THEMES, Workbench, type ThemeName, type WorkbenchWindow } from './driver';
import { runHostTests } from './hostTests';
import { ensureBrowser, ensureServer, root, Unavailable } from './install';
import { ServerState, startServer, workbenchUrl } from './server';

const EXIT = { good: 0, failed: 1, broken: 2, unavailable: 3 } as const;
const DEFAULT_LIMIT_S = 600;
const SAMPLE_WORKSPACE = join(root, 'samples', 'workspace');

/** What a journey module exports: `export async function journey(window, { theme, shot })`. */
interface JourneyModule {
  journey(window: WorkbenchWindow, tools: { theme: ThemeName; shot(name: string): Promise<void> }): Promise<void>;
}

// The exit handlers end the server's process group; a signal alone would not run them.
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  process.once(signal, () => process.exit(code));
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    tests: { type: 'string' },
    extension: { type: 'string' },
    vsix: { type: 'string' },
    workspace: { type: 'string' },
    limit: { type: 'string' },
    theme: { type: 'string', default: 'dark' },
    size: { type: 'string', default: '1280x800' },
    script: { type: 'string' },
    out: { type: 'string', default: artifacts(root, 'look') },
  },
});
const say = (message: string): void => {
  process.stderr.write(`rig: ${message}\n`);
};

async function host(): Promise<number> {
  if (values.tests === undefined) throw new Error('host needs --tests MODULE.');
  const passed = await runHostTests({
    tests: values.tests,
    limitMs: Number(values.limit ?? DEFAULT_LIMIT_S) * 1000,
    ...(values.extension === undefined ? {} : { extension: values.extension }),
    ...(values.vsix === undefined ? {} : { vsix: values.vsix }),
    ...(values.workspace === undefined ? {} : { workspace: values.workspace }),
  });
  return passed ? EXIT.good : EXIT.failed;
}

const isTheme = (name: string): name is ThemeName => name in THEMES;

async function look(): Promise<number> {
  const [width, height] = values.size.split('x').map(Number);
  const themes = values.theme.split(',').filter(isTheme);
  if (width === undefined || height === undefined || themes.length === 0) {
    throw new Error('look wants --size WIDTHxHEIGHT and --theme with some of dark, light, hc, hclight.');
  }
  const script =
    values.script === undefined ? null : ((await import(pathToFileURL(resolve(values.script)).href)) as JourneyModule);
  const workspace = values.workspace ?? SAMPLE_WORKSPACE;
  const workbench = await Workbench.start({
    workspace,
    ...(values.vsix === undefined ? { extension: root } : { vsix: values.vsix }),
  });
  let code: number = EXIT.good;
  try {
    for (const theme of themes) {
      const window = await workbench.open({ theme, width, height });
      const shot = async (name: string): Promise<void> => {
        const file = join(values.out, `${name}-${theme}.png`);
        await window.screenshot(file);
        say(file);
      };
      try {
        await script?.journey(window, { theme, shot });
        await shot('end');
      } catch (error) {
        await shot('failure');
        say(error instanceof Error ? (error.stack ?? error.message) : String(error));
        code = EXIT.failed;
      }
      for (const breach of window.policyBreaches) say(`content security policy: ${breach}`);
      await window.close();
    }
  } finally {
    await workbench.close();
  }
  return code;
}

/** A VS Code for a person's own browser, with the extension under development, until it is stopped. */
async function serve(): Promise<never> {
  const rig = await ensureServer();
  const state = new ServerState(values.workspace ?? SAMPLE_WORKSPACE);
  state.writeSettings({ 'workbench.reduceMotion': 'auto', 'editor.cursorBlinking': 'blink' });
  process.once('exit', () => {
    state.remove();
  });
  state.linkExtension(root);
  const server = await startServer(rig, state);
  const url = workbenchUrl(server.port, {
    folder: state.workspace,
    file: join(state.workspace, 'welcome.md'),
  });
  process.stdout.write(
    `\nVS Code with ONNX Lens: ${url}\n\nOpen this address in a browser on this machine. Stop with Ctrl+C.\n`,
  );
  return new Promise(() => undefined);
}

/** Whether this machine can run the rig; installs what is missing. */
async function check(): Promise<number> {
  await ensureServer();
  await ensureBrowser();
  await (await startBrowser()).close();
  return EXIT.good;
}

const commands: Readonly<Record<string, () => Promise<number>>> = { host, look, serve, check };

async function main(): Promise<number> {
  const command = commands[positionals[0] ?? ''];
  if (command === undefined) throw new Error(`Say one of: ${Object.keys(commands).join(', ')}.`);
  return command();
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    say(
      error instanceof Unavailable
        ? error.message
        : error instanceof Error
          ? (error.stack ?? error.message)
          : String(error),
    );
    process.exit(error instanceof Unavailable ? EXIT.unavailable : EXIT.broken);
  },
);
