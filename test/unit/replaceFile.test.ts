/** Exports on full and read-only disks: a clear error, the old file whole, nothing left behind. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { replaceFile } from '../../extension/files/replaceFile';
import { LensError } from '../../extension/protocol/errors';

const NEW = Buffer.from('new,content\r\n');
const OLD = 'old,content\r\n';
const NOBODY = 65_534;
const isRoot = process.getuid?.() === 0;

describe('replaceFile', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'onnx-lens-'));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  async function refused(path: string, message: RegExp, content: Uint8Array = NEW): Promise<void> {
    await assert.rejects(replaceFile(path, content), (thrown) => {
      assert(thrown instanceof LensError, String(thrown));
      assert.equal(thrown.code, 'storage');
      assert.match(thrown.message, message);
      assert.ok(thrown.message.includes(path), 'says which file');
      assert.ok(thrown.hint, 'says what to do next');
      return true;
    });
  }

  it('makes a new file, and replaces an old one with its permissions', async () => {
    const path = join(folder, 'cloze.csv');
    await replaceFile(path, NEW);
    assert.deepEqual(readFileSync(path), NEW);
    chmodSync(path, 0o600);
    await replaceFile(path, Buffer.from(OLD));
    assert.equal(readFileSync(path, 'utf8'), OLD);
    if (process.platform !== 'win32') assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.deepEqual(readdirSync(folder), ['cloze.csv']);
  });

  it('writes to what a link points at', async function () {
    if (process.platform === 'win32') return this.skip(); // links need a privilege there
    mkdirSync(join(folder, 'real'));
    writeFileSync(join(folder, 'real', 'cloze.csv'), OLD);
    symlinkSync('real/cloze.csv', join(folder, 'link.csv'));
    await replaceFile(join(folder, 'link.csv'), NEW);
    assert.ok(lstatSync(join(folder, 'link.csv')).isSymbolicLink());
    assert.deepEqual(readFileSync(join(folder, 'real', 'cloze.csv')), NEW);
  });

  it('a folder that does not exist, and one in place of the file', async () => {
    await refused(join(folder, 'missing', 'cloze.csv'), /folder does not exist/);
    mkdirSync(join(folder, 'cloze.csv'));
    await refused(join(folder, 'cloze.csv'), /it is a folder/);
    assert.deepEqual(readdirSync(folder), ['cloze.csv']);
  });

  it('a full device', async function () {
    if (process.platform !== 'linux') return this.skip();
    await refused('/dev/full', /no space is left/);
  });

  it('a folder that may not be written to', async function () {
    if (process.platform === 'win32') return this.skip();
    const path = join(folder, 'cloze.csv');
    writeFileSync(path, OLD);
    chmodSync(folder, 0o555);
    // Permissions do not stop root.
    if (isRoot) process.seteuid?.(NOBODY);
    try {
      await refused(path, /may not write there/);
    } finally {
      if (isRoot) process.seteuid?.(0);
      chmodSync(folder, 0o755);
    }
    assert.equal(readFileSync(path, 'utf8'), OLD);
    assert.deepEqual(readdirSync(folder), ['cloze.csv']);
  });

  describe('on a disk of 64 KB', () => {
    let disk: string;
    let mounted = false;
    before(function () {
      disk = mkdtempSync(join(tmpdir(), 'onnx-lens-disk-'));
      try {
        execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', disk], { stdio: 'ignore' });
        mounted = true;
      } catch {
        rmSync(disk, { recursive: true });
        process.stderr.write('      skipped: only root on Linux can make a small disk\n');
        this.skip();
      }
    });
    after(() => {
      if (!mounted) return;
      execFileSync('umount', [disk]);
      rmSync(disk, { recursive: true });
    });

    it('an export that fills it halfway leaves the old one whole and no rest', async () => {
      const path = join(disk, 'cloze.csv');
      await replaceFile(path, Buffer.from(OLD));
      await refused(path, /no space is left/, Buffer.alloc(200_000, 'x'));
      assert.equal(readFileSync(path, 'utf8'), OLD);
      assert.deepEqual(readdirSync(disk), ['cloze.csv']);
      await replaceFile(path, NEW);
      assert.deepEqual(readFileSync(path), NEW);
    });

    it('a disk that became read-only', async () => {
      const path = join(disk, 'cloze.csv');
      await replaceFile(path, Buffer.from(OLD));
      execFileSync('mount', ['-o', 'remount,ro', disk]);
      try {
        await refused(path, /read-only/);
      } finally {
        execFileSync('mount', ['-o', 'remount,rw', disk]);
      }
      assert.equal(readFileSync(path, 'utf8'), OLD);
      assert.deepEqual(readdirSync(disk), ['cloze.csv']);
    });
  });
});
