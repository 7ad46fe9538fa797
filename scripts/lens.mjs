// npm run -s lens -- COMMAND: the command line from the sources. Builds when needed, says so only on standard error. Runs in this
// process: a second one would double the time to start.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ensureBuilt, ensureInstalled, root } from './setup.mjs';

await ensureInstalled();
await ensureBuilt();
process.argv[1] = join(root, 'dist', 'lens.js');
await import(pathToFileURL(process.argv[1]).href);
