/** The command line as a program. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';

export function lens(...args: string[]): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [resolve('dist/lens.js'), ...args], {
    encoding: 'utf8',
  });
  return { code: status, out: stdout, err: stderr };
}

/** What it prints with --json; fails when it fails. */
export function lensJson<T>(...args: string[]): T {
  const { code, out, err } = lens(...args, '--json');
  assert.equal(code, 0, err);
  return JSON.parse(out) as T;
}
