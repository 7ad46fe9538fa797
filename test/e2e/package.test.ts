/**
 * The packaged extension, not the development folder: its content and size, and the tests of the extension host against a copy
 * that was installed into a real VS Code as a person would.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { resolve } from 'node:path';
import { runHostTests } from '../../scripts/rig/hostTests';
import { ensureServer, Unavailable } from '../../scripts/rig/install';
import { describeJourney } from './journey';

interface Package {
  target: string;
  file: string;
  bytes: number;
  files: { name: string; bytes: number }[];
}

/** The limit that we promise; Open VSX stops at 256 MB. */
const MAX_BYTES = 170e6;
const HOST_LIMIT_MS = 840_000;

describe('the package for this platform', () => {
  let made: Package;

  before(function () {
    this.timeout(120_000);
    const output = execFileSync(process.execPath, ['scripts/package.mjs', '--here', '--json'], {
      encoding: 'utf8',
      maxBuffer: 2 ** 24,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    made = (JSON.parse(output) as [Package])[0];
  });

  it('is small enough', () => {
    assert.ok(made.bytes < MAX_BYTES, `${made.bytes} bytes`);
  });

  it('holds the program, the model and the runtime of this platform', () => {
    const sizes = new Map(made.files.map(({ name, bytes }) => [name, bytes]));
    const atLeast: Record<string, number> = {
      'extension/dist/extension.js': 10_000,
      'extension/dist/engine.js': 10_000,
      'extension/dist/webviews/cloze.js': 10_000,
      'extension/models/bert-base-cased/model.onnx_data_1': 90e6,
      'extension/models/bert-base-cased/MODEL_CARD.md': 500,
      'extension/LICENSE.txt': 10_000,
      'extension/NOTICE': 500,
      [`extension/node_modules/onnxruntime-node/bin/napi-v6/${process.platform}/${process.arch}/onnxruntime_binding.node`]: 100_000,
    };
    for (const [name, least] of Object.entries(atLeast)) {
      assert.ok((sizes.get(name) ?? 0) >= least, `${name}: ${sizes.get(name) ?? 'missing'}`);
    }
  });

  it('holds no source, test, script or foreign library', () => {
    const wrong = made.files
      .map(({ name }) => name)
      .filter(
        (name) =>
          /\.(ts|tsx|map|test\.js)$/.test(name) ||
          /^extension\/(extension|webviews|scripts|test|samples(?!\/workspace\/treebank\/)|out|artifacts)\//.test(
            name,
          ) ||
          (name.includes('/napi-v6/') && !name.includes(`/${process.platform}/${process.arch}/`)) ||
          /DirectML|dxcompiler|dxil|cuda|tensorrt/i.test(name),
      );
    assert.deepEqual(wrong, []);
  });

  it('passes the tests of the extension host when it is installed', async function () {
    this.timeout(HOST_LIMIT_MS + 60_000);
    try {
      await ensureServer();
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      process.stdout.write(`      ${error.message}\n`);
      this.skip();
    }
    const lines: string[] = [];
    const passed = await runHostTests({
      tests: resolve('out/test/host/index.js'),
      vsix: made.file,
      workspace: resolve('samples/workspace'),
      // Of its own, lest it overwrite the report of the suite that runs this test.
      env: { ONNX_LENS_REPORT: '', ONNX_LENS_GREP: '', ONNX_LENS_ROOT: process.cwd(), ONNX_LENS_INSTALLED: '1' },
      limitMs: HOST_LIMIT_MS,
      print: (line) => lines.push(line),
    });
    assert.ok(passed, lines.join('\n'));
    assert.match(lines.join('\n'), /[1-9]\d* passing/);
  });

  describeJourney(() => made.file);
});
