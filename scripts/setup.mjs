/**
 * What every script does first: dependencies installed, sources built; nothing is done twice. Node built-ins only, since it
 * runs before anything is installed. All messages go to standard error, so that a script's own output stays clean.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

const INSTALL_STAMP = join(root, 'node_modules', '.onnx-lens-lock');
const BUILDS = {
  product: {
    stamp: join(root, 'dist', '.stamp'),
    sources: ['extension', 'webviews', 'scripts', 'package.json', 'package-lock.json', 'tsconfig.json'],
  },
  tests: {
    stamp: join(root, 'out', 'test', '.stamp'),
    sources: ['extension', 'webviews', 'scripts', 'test', 'package.json', 'package-lock.json', 'tsconfig.json'],
  },
};
/** Folders below a source folder that hold data, not sources. */
const DATA_FOLDERS = new Set(['fixtures', 'node_modules']);
const LOCK_POLL_MS = 100;

export function say(message) {
  process.stderr.write(`onnx-lens: ${message}\n`);
}

/** Runs a program to its end; rejects when it cannot start or does not end with 0. */
export async function run(command, args, options = {}) {
  const child = spawn(command, args, { cwd: root, stdio: ['ignore', 2, 2], ...options });
  const code = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (status, signal) => resolve(status ?? signal));
  });
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}`);
}

/** npm as a program: the one that runs us, else the one on the path (a .cmd file on Windows, which needs a shell). */
export async function npm(args, options = {}) {
  // Only what we say ourselves, and errors. --prefer-offline: a warm npm cache is enough, the network is asked for the rest.
  const all = [...args, '--loglevel=error', '--no-audit', '--no-fund', '--prefer-offline'];
  const cli = process.env.npm_execpath;
  if (cli?.endsWith('.js')) await run(process.execPath, [cli, ...all], options);
  else await run('npm', all, { shell: process.platform === 'win32', ...options });
}

function read(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/**
 * Runs `work` while no other process does, by a lock folder that holds the owner's process id. A lock whose owner is gone is
 * taken over.
 */
export async function withLock(lock, work) {
  mkdirSync(dirname(lock), { recursive: true });
  for (let waited = 0; ; waited++) {
    try {
      mkdirSync(lock);
      writeFileSync(join(lock, 'pid'), String(process.pid));
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    const owner = Number(read(join(lock, 'pid')));
    // An empty lock is either a moment old or left by a process that died within that moment.
    if (owner > 0 ? !isAlive(owner) : waited > 20) rmSync(lock, { recursive: true, force: true });
    else if (waited === 20) say('waiting for another process that installs or builds');
    await sleep(LOCK_POLL_MS);
  }
  const unlock = () => rmSync(lock, { recursive: true, force: true });
  process.once('exit', unlock);
  try {
    return await work();
  } finally {
    process.removeListener('exit', unlock);
    unlock();
  }
}

const SETUP_LOCK = join(root, 'out', '.setup-lock');

/** True when npm's own record of node_modules has what the lock file wants (packages for other systems may be absent). */
function installedMatches(lockText) {
  const record = read(join(root, 'node_modules', '.package-lock.json'));
  if (record === undefined) return false;
  const installed = JSON.parse(record).packages;
  return Object.entries(JSON.parse(lockText).packages).every(
    ([path, wanted]) =>
      path === '' || (installed[path] === undefined ? wanted.optional : installed[path].version === wanted.version),
  );
}

/** Installs the dependencies of package-lock.json when they are not what is in node_modules. */
export async function ensureInstalled() {
  const lockText = readFileSync(join(root, 'package-lock.json'), 'utf8');
  const key = createHash('sha256').update(lockText).update(process.platform).update(process.arch).digest('hex');
  if (read(INSTALL_STAMP) === key) return;
  await withLock(SETUP_LOCK, async () => {
    if (read(INSTALL_STAMP) === key) return;
    if (!installedMatches(lockText)) {
      say('installing dependencies (once; about 20 seconds)');
      const started = Date.now();
      await npm(['ci', '--ignore-scripts']);
      say(`dependencies installed in ${((Date.now() - started) / 1000).toFixed(0)} s`);
    }
    writeFileSync(INSTALL_STAMP, key);
  });
}

/** A digest of path, size and time of every source file: a few milliseconds, no content read. */
function fingerprint(sources) {
  const hash = createHash('sha256');
  const visit = (path) => {
    const info = statSync(join(root, path), { throwIfNoEntry: false });
    if (info === undefined) return;
    if (!info.isDirectory()) {
      hash.update(`${path}\0${info.size}\0${info.mtimeMs}\n`);
      return;
    }
    for (const name of readdirSync(join(root, path)).sort()) if (!DATA_FOLDERS.has(name)) visit(join(path, name));
  };
  sources.forEach(visit);
  return hash.digest('hex');
}

async function ensure(kind, build) {
  const { stamp, sources } = BUILDS[kind];
  if (read(stamp) === fingerprint(sources)) return;
  await withLock(SETUP_LOCK, async () => {
    const key = fingerprint(sources);
    if (read(stamp) === key) return;
    const started = Date.now();
    await build();
    writeFileSync(stamp, key);
    say(`${kind === 'product' ? 'extension' : kind} built in ${((Date.now() - started) / 1000).toFixed(1)} s`);
  });
}

/** Builds dist/ for development when a source changed since the last time. Needs `ensureInstalled` before it. */
export async function ensureBuilt() {
  await ensure('product', async () => (await import('./build.mjs')).buildProduct());
}

/** Builds out/test/ when a source or a test changed since the last time. */
export async function ensureTestsBuilt() {
  await ensure('tests', async () => (await import('./build.mjs')).buildTests());
}
