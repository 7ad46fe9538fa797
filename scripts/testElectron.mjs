// The tests of test/host inside a desktop VS Code: the one at $VSCODE_EXECUTABLE, else a release that @vscode/test-electron
// downloads. On Linux without a screen run it under xvfb-run. Sources and tests must be built; npm test -- --electron does that.
import { join } from 'node:path';
import { runTests } from '@vscode/test-electron';
import { root } from './setup.mjs';

const { VSCODE_EXECUTABLE, VSCODE_VERSION } = process.env;
process.exitCode = await runTests({
  ...(VSCODE_EXECUTABLE ? { vscodeExecutablePath: VSCODE_EXECUTABLE } : { version: VSCODE_VERSION ?? 'stable' }),
  extensionDevelopmentPath: root,
  extensionTestsPath: join(root, 'out', 'test', 'host', 'index.js'),
  launchArgs: [join(root, 'samples', 'workspace'), '--disable-workspace-trust', '--disable-extensions'],
});
