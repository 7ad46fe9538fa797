/**
 * `npm run package [-- TARGET… | --here] [--json]`: a .vsix for each platform in artifacts/packages/, with only that platform's
 * runtime inside (CPU provider), checked for content and size. `--json` prints what was made on standard output.
 *
 * vsce takes one .vscodeignore for all targets, so each target gets a clean folder that holds just what belongs to it.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { ensureInstalled, root, run, say } from './setup.mjs';

/** Target of vsce → the libraries that the CPU provider needs there. What is beside them serves other providers. */
const TARGETS = {
  'linux-x64': ['onnxruntime_binding.node', 'libonnxruntime.so.1'],
  'linux-arm64': ['onnxruntime_binding.node', 'libonnxruntime.so.1'],
  'win32-x64': ['onnxruntime_binding.node', 'onnxruntime.dll'],
  'win32-arm64': ['onnxruntime_binding.node', 'onnxruntime.dll'],
  'darwin-arm64': ['onnxruntime_binding.node', 'libonnxruntime.1.dylib'],
};
/** Copied as they are. */
const PARTS = [
  'README.md',
  'CHANGELOG.md',
  'LICENSE',
  'NOTICE',
  'package.nls.json',
  'l10n',
  'languages',
  'media',
  'models',
  // The texts that come with the extension (extension/extension.ts).
  'samples/workspace/treebank',
  '.vscodeignore',
];
const MAX_BYTES = 170e6;
const OUT = join(root, 'artifacts', 'packages');
const STAGE = join(root, 'out', 'package');
/** The file that a developer may have from an editor or system. */
const LITTER = /\.DS_Store$|Thumbs\.db$|~$/;

const binaryFolder = (target) => `node_modules/onnxruntime-node/bin/napi-v6/${target.replace('-', '/')}`;

function copy(stage, path) {
  if (!existsSync(join(root, path))) throw new Error(`${path} is missing.`);
  mkdirSync(dirname(join(stage, path)), { recursive: true });
  cpSync(join(root, path), join(stage, path), { recursive: true, filter: (source) => !LITTER.test(source) });
}

/** Writes a package's manifest without what only its developers need. */
function copyManifest(stage, path, change) {
  const manifest = JSON.parse(readFileSync(join(root, path), 'utf8'));
  for (const key of ['scripts', 'devDependencies']) delete manifest[key];
  change(manifest);
  mkdirSync(dirname(join(stage, path)), { recursive: true });
  writeFileSync(join(stage, path), `${JSON.stringify(manifest, null, 2)}\n`);
}

function stageTarget(target, dist) {
  const stage = join(STAGE, target);
  rmSync(stage, { recursive: true, force: true });
  for (const path of PARTS) copy(stage, path);
  cpSync(dist, join(stage, 'dist'), { recursive: true });
  // Everything but the runtime is in the bundles.
  copyManifest(stage, 'package.json', (manifest) => {
    manifest.dependencies = { 'onnxruntime-node': manifest.dependencies['onnxruntime-node'] };
  });
  // Its other dependencies download CUDA libraries while it is installed.
  copyManifest(stage, 'node_modules/onnxruntime-node/package.json', (manifest) => {
    manifest.dependencies = { 'onnxruntime-common': manifest.dependencies['onnxruntime-common'] };
  });
  copyManifest(stage, 'node_modules/onnxruntime-common/package.json', () => undefined);
  copy(stage, 'node_modules/onnxruntime-node/dist');
  copy(stage, 'node_modules/onnxruntime-common/dist/cjs');
  for (const file of TARGETS[target]) copy(stage, `${binaryFolder(target)}/${file}`);
  return stage;
}

/** Names and sizes in a zip file, from its central directory. */
export function listZip(file) {
  const bytes = readFileSync(file);
  const end = bytes.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'));
  if (end < 0) throw new Error(`${file} is no zip file.`);
  const entries = [];
  for (let at = bytes.readUInt32LE(end + 16), left = bytes.readUInt16LE(end + 10); left > 0; left--) {
    const [name, extra, comment] = [28, 30, 32].map((field) => bytes.readUInt16LE(at + field));
    entries.push({ name: bytes.toString('utf8', at + 46, at + 46 + name), bytes: bytes.readUInt32LE(at + 24) });
    at += 46 + name + extra + comment;
  }
  return entries;
}

/** Throws when a package holds what it should not, lacks what it needs, or is too large. */
function checkPackage(target, file) {
  const names = new Set(listZip(file).map(({ name }) => name));
  const wanted = [
    ...['package.json', 'readme.md', 'changelog.md', 'NOTICE', 'dist/extension.js', 'dist/engine.js', 'dist/lens.js'],
    ...['anatomy.js', 'cloze.js', 'objectives.js', 'codicon.css', 'codicon.ttf'].map((file) => `dist/webviews/${file}`),
    ...['languages', 'samples/workspace/treebank'].flatMap((folder) =>
      readdirSync(join(root, folder)).map((file) => `${folder}/${file}`),
    ),
    'models/catalog.json',
    // All of a model: a file left out is noticed only when the model is opened.
    ...readdirSync(join(root, 'models', 'bert-base-cased'))
      .filter((file) => !LITTER.test(file))
      .map((file) => `models/bert-base-cased/${file}`),
    ...TARGETS[target].map((library) => `${binaryFolder(target)}/${library}`),
  ].map((name) => `extension/${name}`);
  const problems = wanted.filter((name) => !names.has(name)).map((name) => `lacks ${name}`);
  for (const name of names) {
    const foreign = name.includes('/bin/napi-v6/') && !name.includes(binaryFolder(target));
    if (foreign || /\.(ts|map|vsix)$|\/(test|scripts|extension\/extension|webviews\/(common|gallery))\//.test(name)) {
      problems.push(`holds ${name}`);
    }
  }
  const { size } = statSync(file);
  if (size > MAX_BYTES) problems.push(`is ${(size / 1e6).toFixed(0)} MB, more than ${MAX_BYTES / 1e6}`);
  if (problems.length > 0) throw new Error(`${file}:\n  ${problems.join('\n  ')}`);
  return size;
}

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { here: { type: 'boolean', default: false }, json: { type: 'boolean', default: false } },
});
const here = `${process.platform}-${process.arch}`;
const targets = options.here ? [here] : positionals.length > 0 ? positionals : Object.keys(TARGETS);
const unknown = targets.filter((target) => !(target in TARGETS));
if (unknown.length > 0) {
  say(`no package for ${unknown.join(', ')}: the runtime exists for ${Object.keys(TARGETS).join(', ')}`);
  process.exit(2);
}

await ensureInstalled();
const { buildProduct } = await import('./build.mjs');
const dist = join(STAGE, 'dist');
await buildProduct({ production: true, outDir: dist });
const { name, version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
mkdirSync(OUT, { recursive: true });
const made = [];
for (const target of targets) {
  const stage = stageTarget(target, dist);
  const file = join(OUT, `${name}-${version}-${target}.vsix`);
  rmSync(file, { force: true });
  await run(
    process.execPath,
    [
      join(root, 'node_modules/@vscode/vsce/vsce'),
      ...['package', '--target', target, '--out', file, '--no-rewrite-relative-links', '--allow-missing-repository'],
    ],
    // Its listing of files is for us, not for those who read our output.
    { cwd: stage, stdio: ['ignore', 'ignore', 2] },
  );
  const bytes = checkPackage(target, file);
  rmSync(stage, { recursive: true, force: true });
  say(`${file} (${(bytes / 1e6).toFixed(1)} MB)`);
  made.push({ target, file, bytes, files: listZip(file) });
}
if (options.json) process.stdout.write(`${JSON.stringify(made)}\n`);
