/**
 * Numbers that were computed once and are kept on disk: a line of JSON, then the numbers as they lie in memory, with their digest in that
 * line. A file that is damaged is as good as none.
 */
import { createHash } from 'node:crypto';
import { mkdir, open, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { replaceFile, storageError } from '../../files/replaceFile';

/** Of one model: `fingerprint` tells it from others, `folder` is where its files of a kind are. */
export interface CachePlace {
  folder: string;
  fingerprint: string;
}

export const cachePlace = (cache: string, kind: string, fingerprint: string): CachePlace => ({
  folder: join(cache, kind, fingerprint.slice(0, 32)),
  fingerprint,
});

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

/** Of a header: far more than any has. */
const MOST_HEADER = 2 ** 24;
const CHUNK = 2 ** 16;

/** What such a file says of itself, and how many bytes of numbers it has; these are not read. Null when it is not there, or none. */
export async function readCacheHeader(
  path: string,
): Promise<{ header: Record<string, unknown>; bytes: number } | null> {
  try {
    const file = await open(path);
    try {
      const parts: Buffer[] = [];
      for (let at = 0; at < MOST_HEADER; at += CHUNK) {
        const { buffer, bytesRead } = await file.read(Buffer.alloc(CHUNK), 0, CHUNK, at);
        const end = buffer.subarray(0, bytesRead).indexOf(0x0a);
        parts.push(buffer.subarray(0, end < 0 ? bytesRead : end));
        if (end >= 0) {
          const header = JSON.parse(Buffer.concat(parts).toString('utf8')) as Record<string, unknown>;
          return { header, bytes: (await file.stat()).size - at - end - 1 };
        }
        if (bytesRead < CHUNK) return null;
      }
      return null;
    } finally {
      await file.close();
    }
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
