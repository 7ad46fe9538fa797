/**
 * Numbers that were computed once and are kept on disk: a line of JSON, then the numbers as they lie in memory, with their digest in that
 * line. A file that is damaged is as good as none.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { replaceFile, storageError } from '../../files/replaceFile';

const digest = (payload: Uint8Array): string => createHash('sha256').update(payload).digest('hex');

/** Null when the file is not there or damaged. What the header says is for the caller to check. */
export async function readCacheFile(
  path: string,
): Promise<{ header: Record<string, unknown>; payload: ArrayBuffer } | null> {
  try {
    const bytes = await readFile(path);
    const end = bytes.indexOf(0x0a);
    const header = JSON.parse(bytes.subarray(0, end).toString('utf8')) as Record<string, unknown>;
    const payload = bytes.subarray(end + 1);
    // Its bytes begin anywhere; numbers must not.
    return digest(payload) === header['sha256'] ? { header, payload: Uint8Array.from(payload).buffer } : null;
  } catch {
    return null;
  }
}

/** The file whole, or as it was. Throws `storage`. */
export async function writeCacheFile(
  path: string,
  header: object,
  numbers: readonly (Float32Array | Int32Array)[],
): Promise<void> {
  const payload = Buffer.concat(
    numbers.map(({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength)),
  );
  const line = `${JSON.stringify({ ...header, sha256: digest(payload) })}\n`;
  await mkdir(dirname(path), { recursive: true }).catch((error: unknown) => {
    throw storageError(dirname(path), error);
  });
  await replaceFile(path, Buffer.concat([Buffer.from(line), payload]));
}
