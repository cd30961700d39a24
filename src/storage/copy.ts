/**
 * `commit --to`: a copy of a checkpoint with its edits. The copy is made by descriptors (new-file.ts), and the kernel shares or copies the
 * blocks where it can.
 */
import { fstat } from 'node:fs';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { MlfsError } from '../errors.ts';
import type { DiskFile } from './disk-file.ts';
import type { Progress } from './fold.ts';
import type { ImageBase } from './image.ts';
import type { Medium, MediumFile } from './medium.ts';
import { loadNative } from './native.ts';
import { type FileInTheWay, NewFile } from './new-file.ts';
import { refuseLocked, refuseStateDirectory } from './protected-files.ts';

export interface CopyTarget {
  readonly path: string;
  /** Replace an existing regular file. */
  readonly overwrite: boolean;
  /** The checkpoint's descriptor. Nothing is written to it. */
  readonly stateDirectory: string;
}

export interface CopyOptions extends CopyTarget {
  readonly onProgress: (progress: Progress) => void;
  /** Changes the copy before it appears under its name. */
  readonly finish: (file: MediumFile) => Promise<void>;
}

const SLICE_BYTES = 1024 * 1024;
/** Bytes copied between two progress reports, where the copy can also be aborted. */
const KERNEL_SLICE_BYTES = 64 * 1024 * 1024;

/**
 * Copies a file to a new name, durably; the name appears when the copy is complete. The copy has the file's mode without set-id bits.
 * Throws EEXIST, ENOSPC, ERR_MLFS_USAGE (the existing target must not be replaced), ERR_MLFS_BUSY (the target is a mounted checkpoint),
 * ERR_MLFS_ACCESS.
 */
export async function writeCopy(medium: Medium, base: ImageBase, options: CopyOptions): Promise<void> {
  if (base.fd === undefined) return writeCopyOnMedium(medium, base, options);
  const copy = await NewFile.begin(options.path, newFileOptions(base, options));
  try {
    await copyBytes(base, base.fd, copy.file, options.onProgress);
    await options.finish(copy.file);
  } catch (cause) {
    await copy.abandon();
    throw cause;
  }
  const { mode } = await promisify(fstat)(base.fd);
  await copy.publish(mode);
}

/** Throws what `writeCopy` would throw because of its target, and makes nothing. */
export async function checkCopyTarget(base: ImageBase, target: CopyTarget): Promise<void> {
  if (base.fd !== undefined) await NewFile.check(target.path, newFileOptions(base, target));
}

function newFileOptions(base: ImageBase, { path, overwrite, stateDirectory }: CopyTarget) {
  return {
    overwrite,
    refuse: async (folder: string, inTheWay: FileInTheWay | undefined) => {
      await refuseStateDirectory(path, folder, stateDirectory);
      if (inTheWay === undefined) return;
      refuseItself(path, inTheWay, base);
      await refuseLocked(path, inTheWay);
    },
  };
}

function refuseItself(path: string, { stat }: FileInTheWay, { fingerprint }: ImageBase): void {
  if (stat.dev !== fingerprint.dev || stat.ino !== fingerprint.ino) return;
  throw new MlfsError('ERR_MLFS_USAGE', `${path}: is the checkpoint itself`, {
    path,
    advice: 'mlfs commit without --to writes the edits into it',
  });
}

/** Copies by names, on a medium that is not this machine's disk. */
async function writeCopyOnMedium(
  medium: Medium,
  base: ImageBase,
  { path, overwrite, onProgress, finish }: CopyOptions,
): Promise<void> {
  const names = await medium.list(dirname(path));
  if (!overwrite && names.includes(path.slice(path.lastIndexOf('/') + 1))) {
    throw new MlfsError('ERR_MLFS_USAGE', `${path}: already exists`, { path, errno: 'EEXIST' });
  }
  const partial = `${path}.partial-${process.pid}`;
  if (names.some((name) => partial.endsWith(`/${name}`))) await medium.remove(partial);
  const file = await medium.open(partial, 'create');
  try {
    await copySlices(base, file, 0, onProgress);
    await finish(file);
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

async function copyBytes(
  base: ImageBase,
  baseFd: number,
  file: DiskFile,
  onProgress: (progress: Progress) => void,
): Promise<void> {
  const copied = await copyInKernel(baseFd, file.fd, base.size, onProgress);
  await copySlices(base, file, copied, onProgress);
}

/** Returns how many bytes were copied. `copySlices` copies the rest, and reports the reason if that fails. */
async function copyInKernel(
  from: number,
  to: number,
  total: number,
  onProgress: (progress: Progress) => void,
): Promise<number> {
  const addon = loadNative();
  if (typeof addon?.copyFileBytes !== 'function') return 0;
  let done = 0;
  try {
    await addon.cloneFile(from, to);
    return total;
  } catch {
    // The file system cannot share blocks.
  }
  try {
    while (done < total) {
      const count = await addon.copyFileBytes(from, to, done, Math.min(KERNEL_SLICE_BYTES, total - done));
      if (count === 0) return done;
      done += count;
      onProgress({ done, total });
    }
  } catch {
    // The kernel cannot copy between these file systems, or there is no space, which the copy in slices finds again.
  }
  return done;
}

async function copySlices(
  base: ImageBase,
  file: MediumFile,
  from: number,
  onProgress: (progress: Progress) => void,
): Promise<void> {
  const total = base.size;
  for (let at = from; at < total; at += SLICE_BYTES) {
    const length = Math.min(SLICE_BYTES, total - at);
    await file.write(at, [await base.read(at, length)]);
    onProgress({ done: at + length, total });
  }
}
