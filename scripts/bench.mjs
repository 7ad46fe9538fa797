// npm run bench [-- --json FILE]: builds, then measures. See scripts/bench/main.ts.
import { spawnSync } from 'node:child_process';
import { build } from 'esbuild';
import { ensureBuilt, ensureInstalled } from './setup.mjs';

await ensureInstalled();
await ensureBuilt();
await build({
  // The probe runs inside the extension host of a VS Code window.
  entryPoints: ['scripts/bench/main.ts', 'scripts/bench/hostProbe.ts'],
  outdir: 'out/bench',
  bundle: true,
  platform: 'node',
  format: 'cjs',
  packages: 'external',
  logLevel: 'warning',
});
// Memory is kept between runs as in the engine process (extension/client/engineClient.ts), for us and for the bare runtime.
const env = { MALLOC_MMAP_THRESHOLD_: '33554432', MALLOC_TRIM_THRESHOLD_: '268435456', ...process.env };
process.exitCode =
  spawnSync(process.execPath, ['out/bench/main.js', ...process.argv.slice(2)], { stdio: 'inherit', env }).status ?? 1;
