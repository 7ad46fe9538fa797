/** The door of the tests inside the extension host, for @vscode/test-electron and for the rig alike. */
import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import Mocha from 'mocha';
import * as vscode from 'vscode';

const TEST_LIMIT_MS = 60_000;
/** This file runs from out/test/host/. */
const ROOT = resolve(__dirname, '..', '..', '..');

export async function run(): Promise<void> {
  // The same tests serve the development folder and the packaged extension: never take one for the other.
  const tested = vscode.extensions.getExtension('onnx-lens.onnx-lens')?.extensionPath;
  const installed = process.env['ONNX_LENS_INSTALLED'] === '1';
  if (tested === undefined || (tested === ROOT) === installed) {
    throw new Error(`The extension under test is ${tested ?? 'missing'}, which is not what was asked for.`);
  }
  // As in the other suites, paths in tests start at the repository.
  process.chdir(ROOT);
  const mocha = new Mocha({
    ui: 'bdd',
    color: false,
    timeout: TEST_LIMIT_MS,
    reporter: join(ROOT, 'scripts', 'mochaReporter.cjs'),
  });
  const grep = process.env['ONNX_LENS_GREP'];
  if (grep !== undefined && grep !== '') mocha.grep(new RegExp(grep));
  for (const file of readdirSync(__dirname).sort()) if (file.endsWith('.test.js')) mocha.addFile(join(__dirname, file));
  const failures = await new Promise<number>((done) => {
    mocha.run(done);
  });
  if (failures > 0) throw new Error(`${failures} test(s) failed.`);
}
