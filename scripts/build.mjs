/**
 * Bundles the product to dist/ and the tests to out/test/ with esbuild. `node scripts/build.mjs [--production | --tests]`.
 * Type checking is apart from bundling: `npm run typecheck`.
 */
import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { root } from './setup.mjs';

const NODE_TARGET = 'node20';
const BROWSER_TARGET = 'es2022';
/** A native package finds its libraries beside its own files, so it is never bundled. */
const NATIVE = ['onnxruntime-node'];

const exists = (path) => existsSync(join(root, path));

/** Names of the folders of webviews/ that are bundled: those with an entry file. */
const webviewNames = () =>
  readdirSync(join(root, 'webviews'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && exists(`webviews/${entry.name}/main.ts`))
    .map((entry) => entry.name);

const bundle = (options) =>
  build({
    absWorkingDir: root,
    bundle: true,
    legalComments: 'none',
    logLevel: 'warning',
    sourcesContent: false,
    tsconfig: join(root, 'tsconfig.json'),
    ...options,
  });

/** The Node programs, each from one entry file. */
const PROGRAMS = [
  { entry: 'extension/extension.ts', out: 'extension.js', external: ['vscode'] },
  { entry: 'extension/engine/main.ts', out: 'engine.js', external: NATIVE },
  { entry: 'scripts/lens/main.ts', out: 'lens.js', external: NATIVE, executable: true },
];

/** Bundles what the extension ships. `production`: minified, without source maps. */
export async function buildProduct({ production = false, outDir = join(root, 'dist') } = {}) {
  const common = { minify: production, sourcemap: !production };
  // A development build writes over the last one, so that a program that runs from it never finds nothing.
  if (production) rmSync(outDir, { recursive: true, force: true });
  mkdirSync(join(outDir, 'webviews'), { recursive: true });
  await Promise.all(
    PROGRAMS.filter(({ entry }) => exists(entry)).map(async ({ entry, out, external, executable }) => {
      const outfile = join(outDir, out);
      await bundle({
        ...common,
        entryPoints: [entry],
        outfile,
        platform: 'node',
        format: 'cjs',
        target: NODE_TARGET,
        external,
        ...(executable ? { banner: { js: '#!/usr/bin/env node' } } : {}),
      });
      if (executable) chmodSync(outfile, 0o755);
    }),
  );
  const names = webviewNames().filter((name) => !production || name !== 'gallery');
  if (names.length > 0) {
    await bundle({
      ...common,
      entryPoints: names.map((name) => ({ in: `webviews/${name}/main.ts`, out: name })),
      outdir: join(outDir, 'webviews'),
      platform: 'browser',
      format: 'iife',
      target: BROWSER_TARGET,
      define: { 'process.env.NODE_ENV': production ? '"production"' : '"development"' },
    });
  }
  for (const name of names) {
    for (const file of readdirSync(join(root, 'webviews', name)).filter((each) => /\.(css|html)$/.test(each))) {
      copyFileSync(join(root, 'webviews', name, file), join(outDir, 'webviews', `${name}.${file.split('.').pop()}`));
    }
  }
  for (const file of ['codicon.css', 'codicon.ttf']) {
    copyFileSync(join(root, 'node_modules/@vscode/codicons/dist', file), join(outDir, 'webviews', file));
  }
}

/** Bundles every test file by itself to out/test/<suite>/, and the rig's command to out/rig.js. */
export async function buildTests() {
  const tests = readdirSync(join(root, 'test'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== 'fixtures')
    .flatMap(({ name }) =>
      readdirSync(join(root, 'test', name))
        .filter((file) => file.endsWith('.test.ts') || (name === 'host' && file === 'index.ts'))
        .map((file) => ({ in: `test/${name}/${file}`, out: `test/${name}/${file.slice(0, -'.ts'.length)}` })),
    );
  await bundle({
    entryPoints: [...tests, { in: 'scripts/rig/main.ts', out: 'rig' }],
    outdir: 'out',
    platform: 'node',
    format: 'cjs',
    target: NODE_TARGET,
    packages: 'external',
    sourcemap: 'inline',
  });
  // A test whose source is gone must not run on.
  const current = new Set(tests.map(({ out }) => `${out}.js`));
  for (const suite of readdirSync(join(root, 'out', 'test'), { withFileTypes: true })) {
    if (!suite.isDirectory()) continue;
    for (const file of readdirSync(join(root, 'out', 'test', suite.name))) {
      if (!current.has(`test/${suite.name}/${file}`)) rmSync(join(root, 'out', 'test', suite.name, file));
    }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv.includes('--tests')) await buildTests();
  else await buildProduct({ production: process.argv.includes('--production') });
}
