import { constants, copyFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { MlfsError } from '../errors.ts';
import type { Progress } from './fold.ts';
import type { ImageBase } from './image.ts';
import type { Medium, MediumFile } from './medium.ts';

export interface CopyOptions {
  readonly overwrite: boolean;
  readonly onProgress: (progress: Progress) => void;
  /** Changes the copy before it appears under its name. */
  readonly finish: (file: MediumFile) => Promise<void>;
}

const SLICE_BYTES = 1024 * 1024;
/** How often the growing copy is looked at. */
const WATCH_MS = 200;

/** Copies a file to a new name, durably; the name appears when the copy is whole. Throws EEXIST, ENOSPC, ERR_MLFS_ACCESS. */
export async function writeCopy(
  medium: Medium,
  base: ImageBase,
  path: string,
  options: CopyOptions,
): Promise<void> {
  if (!options.overwrite && (await isThere(medium, path))) {
    throw new MlfsError('ERR_MLFS_USAGE', `${path}: is there already`, {
      path,
      errno: 'EEXIST',
      advice: 'choose another name, or say --force',
    });
  }
  const partial = `${path}.partial-${process.pid}`;
  // Of a process with the same number that did not live to finish it.
  if (await isThere(medium, partial)) await medium.remove(partial);
  const file = await medium.open(partial, 'create');
  try {
    await copyBytes(base, file, options.onProgress);
    await options.finish(file);
    await file.sync();
  } catch (cause) {
    await file.close();
    await medium.remove(partial);
    throw cause;
  }
  await file.close();
  await medium.rename(partial, path);
  await medium.syncDirectory(dirname(path));
}

async function isThere(medium: Medium, path: string): Promise<boolean> {
  return (await medium.list(dirname(path))).includes(path.slice(path.lastIndexOf('/') + 1));
}

async function copyBytes(
  base: ImageBase,
  file: MediumFile,
  onProgress: (progress: Progress) => void,
): Promise<void> {
  const total = base.size;
  if (base.fd !== undefined && file.fd !== undefined) {
    // By descriptor: the name may lead to another file by now. The kernel shares the blocks where it can.
    const watch = setInterval(() => {
      stat(file.path).then(
        ({ size }) => onProgress({ done: Math.min(size, total), total }),
        () => undefined,
      );
    }, WATCH_MS);
    try {
      await copyFile(`/proc/self/fd/${base.fd}`, file.path, constants.COPYFILE_FICLONE);
    } finally {
      clearInterval(watch);
    }
    return;
  }
  for (let at = 0; at < total; at += SLICE_BYTES) {
    const length = Math.min(SLICE_BYTES, total - at);
    await file.write(at, [await base.read(at, length)]);
    onProgress({ done: at + length, total });
  }
}
