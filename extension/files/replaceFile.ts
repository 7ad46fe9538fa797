/** A file is written whole or not at all: into a new file beside it, which then takes its name. Plain Node. */
import { randomUUID } from 'node:crypto';
import { open, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { LensError } from '../protocol/errors';

const NO_SPACE = 'Free some space there, or choose another place.';
const NOT_ALLOWED = 'Choose a folder that you may write to.';

const REASONS: Readonly<Record<string, readonly [reason: string, hint: string]>> = {
  ENOSPC: ['no space is left', NO_SPACE],
  EDQUOT: ['no space is left for you', NO_SPACE],
  EFBIG: ['the file would be too large for that place', NO_SPACE],
  EROFS: ['that place is read-only', NOT_ALLOWED],
  EACCES: ['you may not write there', NOT_ALLOWED],
  EPERM: ['you may not write there', NOT_ALLOWED],
  ENOENT: ['the folder does not exist', 'Choose another place.'],
  ENOTDIR: ['the folder does not exist', 'Choose another place.'],
  EISDIR: ['it is a folder', 'Choose another name.'],
};

/** `place` as the person knows it. */
export function storageError(place: string, cause: unknown): LensError {
  const { code, message } = cause as NodeJS.ErrnoException;
  const [reason, hint] = REASONS[code ?? ''] ?? [message, 'Choose another place.'];
  return new LensError('storage', `${place} could not be written: ${reason}.`, hint, { cause });
}

/** What stood there before is still there, whole, when this fails. Throws `storage`. */
export async function replaceFile(path: string, content: Uint8Array): Promise<void> {
  try {
    // A link stays a link to the new content.
    const target = await realpath(path).catch(() => path);
    const present = await stat(target).catch(() => null);
    if (present !== null && !present.isFile())
      await writeFile(target, content); // a device; a folder refuses
    else await replace(target, content, present?.mode);
  } catch (cause) {
    throw storageError(path, cause);
  }
}

async function replace(target: string, content: Uint8Array, mode?: number): Promise<void> {
  const temporary = `${target}.${randomUUID().slice(0, 8)}.tmp`;
  const file = await open(temporary, 'wx', mode);
  try {
    try {
      await file.writeFile(content);
      await file.sync(); // a full disk may say so only now
    } finally {
      await file.close();
    }
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
