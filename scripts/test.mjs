/**
 * `npm test [-- SUITE… --grep TEXT --electron]`: installs, builds, runs every check and test suite, and ends with one line
 * `N passed, N failed, N skipped`. Exit code 1 when something failed, crashed, ran out of time, or ran no test at all.
 *
 *   typecheck lint format    one test each
 *   unit engine webview parity    mocha in plain Node
 *   host    mocha inside a real VS Code: the browser-hosted one, or with --electron the desktop one
 *   e2e     mocha in plain Node; packages the extension, installs it into a real VS Code and drives that
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ensureBuilt, ensureInstalled, ensureTestsBuilt, root, say } from './setup.mjs';

const MINUTE = 60_000;
/** Exit code of out/rig.js on a machine that cannot run it. */
const RIG_UNAVAILABLE = 3;
const REPORTS = join(root, 'out', 'reports');

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { grep: { type: 'string', short: 'g' }, electron: { type: 'boolean', default: false } },
});
const node = (file, ...args) => [process.execPath, join(root, file), ...args];
const testFiles = (suite) => {
  const folder = join(root, 'out', 'test', suite);
  return existsSync(folder) ? readdirSync(folder).filter((file) => file.endsWith('.test.js')) : [];
};

/** Ends a program and its children. A group of its own makes that possible; Windows ends trees by itself. */
function killTree(child) {
  try {
    if (process.platform === 'win32') spawn('taskkill', ['/pid', String(child.pid), '/t', '/f']);
    else process.kill(-child.pid, 'SIGKILL');
  } catch {
    // it is gone
  }
}

/** Runs a program with its output on ours; gives its exit code, or why it has none. */
async function execute([command, ...args], limitMs, env = {}) {
  const child = spawn(command, args, {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...env },
    detached: process.platform !== 'win32',
  });
  const kill = () => killTree(child);
  process.once('exit', kill);
  let overtime = false;
  const timer = setTimeout(() => {
    overtime = true;
    kill();
  }, limitMs);
  try {
    return await new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) =>
        resolve(overtime ? `did not end within ${limitMs / MINUTE} minutes` : (code ?? `ended by ${signal}`)),
      );
    });
  } finally {
    clearTimeout(timer);
    process.removeListener('exit', kill);
  }
}

/** A check that passes or fails as a whole. */
const check = (command, limitMs) => async () => {
  const status = await execute(command, limitMs);
  return status === 0
    ? { passed: 1, failed: 0, skipped: 0 }
    : { passed: 0, failed: 1, skipped: 0, note: `status ${status}` };
};

/** A mocha suite: its own report says what happened, its exit code whether it came to its end. */
const suite = (name, command, limitMs) => async () => {
  const files = testFiles(name);
  if (files.length === 0) return { passed: 0, failed: 0, skipped: 0, note: 'no tests yet' };
  const report = join(REPORTS, `${name}.json`);
  rmSync(report, { force: true });
  const status = await execute(command(), limitMs, {
    ONNX_LENS_ROOT: root,
    ONNX_LENS_REPORT: report,
    ONNX_LENS_GREP: options.grep ?? '',
  });
  // Mocha ends with the number of failures, so that this number means something only where nothing was reported.
  if (status === RIG_UNAVAILABLE && !existsSync(report))
    return { passed: 0, failed: 0, skipped: 1, note: 'this machine cannot run it, see above' };
  if (!existsSync(report)) return { passed: 0, failed: 1, skipped: 0, note: `crashed (${status})` };
  const counts = JSON.parse(readFileSync(report, 'utf8'));
  const total = counts.passed + counts.failed + counts.skipped;
  if (total === 0 && !options.grep) return { passed: 0, failed: 1, skipped: 0, note: 'ran no test' };
  if (status !== 0 && counts.failed === 0)
    return { ...counts, failed: 1, note: `all tests passed, but it ended with ${status}` };
  return counts;
};

const mocha = (name, timeoutMs) => () => [
  ...node('node_modules/mocha/bin/mocha.js', '--reporter', join(root, 'scripts', 'mochaReporter.cjs')),
  ...['--timeout', String(timeoutMs), '--enable-source-maps', ...(process.env.CI ? ['--forbid-only'] : [])],
  ...(options.grep ? ['--grep', options.grep] : []),
  `out/test/${name}/*.test.js`,
];

const hostCommand = () =>
  options.electron
    ? node('scripts/testElectron.mjs')
    : [
        ...node('out/rig.js', 'host', '--extension', root, '--tests', join(root, 'out', 'test', 'host', 'index.js')),
        ...['--workspace', join(root, 'samples', 'workspace'), '--limit', '540'],
      ];

const SUITES = {
  typecheck: check(node('node_modules/typescript/bin/tsc', '-p', 'tsconfig.json'), 5 * MINUTE),
  lint: check(node('node_modules/eslint/bin/eslint.js', '.', '--max-warnings', '0'), 5 * MINUTE),
  format: check(node('node_modules/prettier/bin/prettier.cjs', '--check', '.', '--log-level', 'warn'), 5 * MINUTE),
  unit: suite('unit', mocha('unit', 20_000), 10 * MINUTE),
  engine: suite('engine', mocha('engine', 120_000), 30 * MINUTE),
  webview: suite('webview', mocha('webview', 60_000), 20 * MINUTE),
  host: suite('host', hostCommand, 15 * MINUTE),
  e2e: suite('e2e', mocha('e2e', 300_000), 30 * MINUTE),
  parity: suite('parity', mocha('parity', 300_000), 20 * MINUTE),
};

const CHECKS = ['typecheck', 'lint', 'format'];

const unknown = positionals.filter((name) => !(name in SUITES));
if (unknown.length > 0) {
  say(`no suite named ${unknown.join(', ')}; there are ${Object.keys(SUITES).join(', ')}`);
  process.exit(2);
}
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130));

await ensureInstalled();
mkdirSync(REPORTS, { recursive: true });
const results = [];
try {
  await ensureBuilt();
  await ensureTestsBuilt();
} catch (error) {
  // esbuild has said where; what needs no build is still of use.
  results.push({ name: 'build', seconds: 0, passed: 0, failed: 1, skipped: 0, note: error.message.split('\n')[0] });
}
const built = results.length === 0;
// One after the other: the engine's suites use every core, and times are compared within them.
for (const [name, work] of Object.entries(SUITES)) {
  if (positionals.length > 0 && !positionals.includes(name)) continue;
  if (!built && !CHECKS.includes(name)) continue;
  process.stdout.write(`\n== ${name}\n`);
  const started = Date.now();
  const result = await work();
  results.push({ name, seconds: (Date.now() - started) / 1000, ...result });
}

const sum = (key) => results.reduce((total, result) => total + result[key], 0);
process.stdout.write('\n');
for (const { name, seconds, passed, failed, skipped, note } of results) {
  const counts = `${passed} passed, ${failed} failed, ${skipped} skipped`;
  process.stdout.write(`${name.padEnd(10)} ${counts} (${seconds.toFixed(1)} s)${note ? ` - ${note}` : ''}\n`);
}
const failed = sum('failed');
process.stdout.write(`${sum('passed')} passed, ${failed} failed, ${sum('skipped')} skipped\n`);
process.exitCode = failed > 0 ? 1 : 0;
