// npm start: installs, builds, and opens a VS Code with the extension in development mode on the sample workspace: the `code`
// of this machine when there is one, else a VS Code in the browser, which is installed into a cache folder once.
import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { ensureBuilt, ensureInstalled, ensureTestsBuilt, root, say } from './setup.mjs';

const workspace = join(root, 'samples', 'workspace');
/** `code` is a script on Windows, which needs a shell; paths are quoted for it. */
const shell = process.platform === 'win32';
const quoted = (path) => (shell ? `"${path}"` : path);

function desktopCode() {
  const names = process.env.VSCODE_EXECUTABLE ? [process.env.VSCODE_EXECUTABLE] : ['code', 'code-insiders', 'codium'];
  return names.find((name) => spawnSync(name, ['--version'], { stdio: 'ignore', shell }).status === 0);
}

say('1/3 dependencies');
await ensureInstalled();
say('2/3 build');
await ensureBuilt();
const code = desktopCode();
if (code !== undefined) {
  say(`3/3 opening ${code} on samples/workspace; begin with welcome.md`);
  const args = [`--extensionDevelopmentPath=${quoted(root)}`, quoted(workspace), quoted(join(workspace, 'welcome.md'))];
  const { status } = spawnSync(code, args, { stdio: 'inherit', shell });
  process.exitCode = status ?? 1;
} else {
  say('3/3 no `code` on this machine: starting a VS Code in the browser');
  await ensureTestsBuilt();
  const child = spawn(process.execPath, [join(root, 'out', 'rig.js'), 'serve', '--workspace', workspace], {
    stdio: 'inherit',
  });
  // Ctrl+C reaches the child too; we wait for it, so that its clean-up is over when the prompt returns.
  process.on('SIGINT', () => undefined);
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  child.once('exit', (status) => {
    if (status === 3) say('Install VS Code with its `code` command (code.visualstudio.com), then run npm start again.');
    process.exitCode = status === 130 || status === 143 ? 0 : (status ?? 1);
  });
}
