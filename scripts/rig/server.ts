/** A VS Code server with a state folder of its own: start, stop, install an extension, and the address of its workbench. */
import { spawn } from 'node:child_process';
import {
  closeSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Rig } from './install';

const START_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 3_000;
const POLL_MS = 100;

/** Quiet and repeatable: nothing that moves, asks, or looks for updates. */
const BASE_SETTINGS = {
  'workbench.startupEditor': 'none',
  'workbench.tips.enabled': false,
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
  'workbench.reduceMotion': 'on',
  'window.autoDetectColorScheme': false,
  'security.workspace.trust.enabled': false,
  'telemetry.telemetryLevel': 'off',
  'extensions.autoCheckUpdates': false,
  'extensions.autoUpdate': false,
  'extensions.ignoreRecommendations': true,
  'chat.disableAIFeatures': true,
  'git.enabled': false,
  'editor.minimap.enabled': false,
  'editor.cursorBlinking': 'solid',
};

export type Settings = Record<string, unknown>;

/** Everything that a server keeps, in one temporary folder. */
export class ServerState {
  readonly folder = mkdtempSync(join(tmpdir(), 'onnx-lens-rig-'));
  readonly log = join(this.folder, 'server.log');
  /** A copy of what was given, so that a test may write to it. */
  readonly workspace = join(this.folder, 'workspace');

  constructor(workspace?: string) {
    for (const name of ['user/User', 'user/Machine', 'server', 'extensions', 'workspace']) {
      mkdirSync(join(this.folder, name), { recursive: true });
    }
    if (workspace !== undefined) cpSync(workspace, this.workspace, { recursive: true });
    this.writeSettings({});
  }

  /** User settings; read when a page loads, not while it is open. */
  writeSettings(settings: Settings): void {
    writeFileSync(
      join(this.folder, 'user/User/settings.json'),
      JSON.stringify({ ...BASE_SETTINGS, ...settings }, null, 2),
    );
  }

  /** An extension that does nothing: a test run needs one under development, and it must not be the product. */
  emptyExtension(): string {
    const folder = join(this.folder, 'driver');
    mkdirSync(folder, { recursive: true });
    const manifest = { name: 'driver', publisher: 'onnx-lens-rig', version: '0.0.1', engines: { vscode: '*' } };
    writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest));
    return folder;
  }

  /**
   * Installs an unpacked extension by a link. Without test hooks a server has no extensions under development, and with them it
   * shows no notifications; a link gives both, and a reload of the window takes a new build.
   */
  linkExtension(folder: string): void {
    const { publisher, name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Record<
      string,
      string
    >;
    symlinkSync(resolve(folder), join(this.folder, 'extensions', `${publisher}.${name}-${version}`), 'dir');
  }

  get args(): string[] {
    return [
      ...['--user-data-dir', join(this.folder, 'user')],
      ...['--server-data-dir', join(this.folder, 'server')],
      ...['--extensions-dir', join(this.folder, 'extensions')],
      ...['--accept-server-license-terms', '--telemetry-level', 'off'],
    ];
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

const serverMain = (rig: Rig): string => join(rig.vscode, 'out/server-main.js');
const serverEnv = (extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => ({
  ...process.env,
  NODE_OPTIONS: '',
  ...extra,
});

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((done, fail) => {
    probe.once('error', fail).listen(0, '127.0.0.1', done);
  });
  const address = probe.address();
  await new Promise((done) => probe.close(done));
  if (address === null || typeof address === 'string') throw new Error('No free port.');
  return address.port;
}

export interface Server {
  port: number;
  /** Ends the server's process group: the server, its extension hosts and their children. */
  stop(): Promise<void>;
}

export interface ServerOptions {
  env?: NodeJS.ProcessEnv;
  /** Lets a page run tests and report their end. Suppresses notification toasts and dialogs. */
  testHooks?: boolean;
}

export async function startServer(rig: Rig, state: ServerState, options: ServerOptions = {}): Promise<Server> {
  const port = await freePort();
  const log = openSync(state.log, 'a');
  const child = spawn(
    rig.node,
    [
      serverMain(rig),
      ...['--host', '127.0.0.1', '--port', String(port), '--without-connection-token'],
      ...['--disable-workspace-trust', '--reconnection-grace-time', '1'],
      ...(options.testHooks === true ? ['--enable-smoke-test-driver'] : []),
      ...state.args,
    ],
    { detached: true, stdio: ['ignore', log, log], env: serverEnv(options.env) },
  );
  closeSync(log);
  const ended = new Promise<void>((done) => {
    child.once('exit', () => {
      done();
    });
    child.once('error', () => {
      done();
    });
  });
  const kill = (signal: NodeJS.Signals): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, signal);
    } catch {
      // the group is gone
    }
  };
  const killNow = (): void => {
    kill('SIGKILL');
  };
  process.once('exit', killNow);
  const stop = async (): Promise<void> => {
    kill('SIGTERM');
    await Promise.race([ended, sleep(STOP_LIMIT_MS, undefined, { ref: false })]);
    kill('SIGKILL'); // extension hosts that outlived the server
    process.removeListener('exit', killNow);
  };
  const limit = Date.now() + START_LIMIT_MS;
  for (;;) {
    if (child.exitCode !== null || Date.now() > limit) {
      await stop();
      throw new Error(`The VS Code server did not start:\n${readFileSync(state.log, 'utf8')}`);
    }
    const answer = await fetch(`http://127.0.0.1:${port}/version`).catch(() => undefined);
    if (answer?.ok === true) return { port, stop };
    await sleep(POLL_MS);
  }
}

/** Runs one of the server's commands, for example `--install-extension FILE`, and gives its output. */
export async function serverCommand(rig: Rig, state: ServerState, args: string[]): Promise<string> {
  const child = spawn(rig.node, [serverMain(rig), ...state.args, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: serverEnv(),
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const code = await new Promise<number | null>((done, fail) => {
    child.once('error', fail);
    child.once('close', done);
  });
  if (code !== 0) throw new Error(`${args.join(' ')} ended with ${String(code)}:\n${output}`);
  return output;
}

export async function installVsix(rig: Rig, state: ServerState, vsix: string): Promise<void> {
  await serverCommand(rig, state, ['--install-extension', resolve(vsix)]);
}

export interface PageOptions {
  folder: string;
  /** Folder of an extension under development; needs `testHooks`. */
  extension?: string | undefined;
  /** Module that exports `run()`; needs `testHooks`. */
  tests?: string | undefined;
  /** A file that is opened at once. */
  file?: string | undefined;
}

export function workbenchUrl(port: number, { folder, extension, tests, file }: PageOptions): string {
  const remote = (path: string): string => `vscode-remote://127.0.0.1:${port}${resolve(path)}`;
  const payload = [['skipWelcome', 'true']];
  if (extension !== undefined) payload.push(['extensionDevelopmentPath', remote(extension)]);
  if (tests !== undefined) payload.push(['extensionTestsPath', remote(tests)]);
  if (file !== undefined) payload.push(['openFile', remote(file)]);
  return `http://127.0.0.1:${port}/?${new URLSearchParams({ folder: resolve(folder), payload: JSON.stringify(payload) }).toString()}`;
}
