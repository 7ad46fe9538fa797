// node scripts/rig/look.mjs [--theme dark,light,hc,hclight] [--size 1280x800] [--script journey.mjs]: the extension in a real
// VS Code on the sample workspace; pictures go to artifacts/look/. See main.ts for what a journey is.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { ensureBuilt, ensureInstalled, ensureTestsBuilt, root } from '../setup.mjs';

await ensureInstalled();
await ensureBuilt();
await ensureTestsBuilt();
const { status } = spawnSync(process.execPath, [join(root, 'out', 'rig.js'), 'look', ...process.argv.slice(2)], {
  stdio: 'inherit',
});
process.exitCode = status ?? 2;
