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
import type { DirtyRange } from './overlay.ts';
import { refuseLocked, refuseStateDirectory } from './protected-files.ts';

export interface CopyTarget {
  readonly path: string;
  /** Replace an existing regular file. */
  readonly overwrite: boolean;
  /** The checkpoint's descriptor. Nothing is written to it. */
  readonly stateDirectory: string;
}

export interface CopyOptions extends CopyTarget {
  /** Ascending ranges that `finish` writes as a whole, and that need not be copied. */
  readonly replaced: readonly DirtyRange[];
  readonly onProgress: (progress: Progress) => void;
  /** Changes the copy before it appears under its name. */
  readonly finish: (file: MediumFile) => Promise<void>;
}

const SLICE_BYTES = 1024 * 1024;
/** Bytes of one call, some 10 ms of a thread: requests that need a thread of libuv's pool wait no longer for this one. */
const KERNEL_SLICE_BYTES = 16 * 1024 * 1024;

/**
 * Copies a file to a new name, durably; the name appears when the copy is complete. The copy has the file's mode without set-id bits.
 * Throws EEXIST, ENOSPC, ERR_MLFS_USAGE (the existing target must not be replaced), ERR_MLFS_BUSY (the target is a mounted checkpoint),
 * ERR_MLFS_ACCESS.
 */
export async function writeCopy(medium: Medium, base: ImageBase, options: CopyOptions): Promise<void> {
  if (base.fd === undefined) return writeCopyOnMedium(medium, base, options);
  const copy = await NewFile.begin(options.path, newFileOptions(base, options));
  try {
    await copyBytes(base, base.fd, copy.file, options);
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
  { path, overwrite, replaced, onProgress, finish }: CopyOptions,
): Promise<void> {
  const names = await medium.list(dirname(path));
  if (!overwrite && names.includes(path.slice(path.lastIndexOf('/') + 1))) {
    throw new MlfsError('ERR_MLFS_USAGE', `${path}: already exists`, { path, errno: 'EEXIST' });
  }
  const partial = `${path}.partial-${process.pid}`;
  if (names.some((name) => partial.endsWith(`/${name}`))) await medium.remove(partial);
  const file = await medium.open(partial, 'create');
  try {
    const progress = new CopyProgress(base.size, replaced, onProgress);
    for (const range of between(replaced, base.size)) await copySlices(base, file, range, progress);
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

/** Counts the bytes of the base that were copied. */
class CopyProgress {
  readonly #total: number;
  readonly #report: (progress: Progress) => void;
  #done = 0;

  constructor(size: number, replaced: readonly DirtyRange[], report: (progress: Progress) => void) {
    this.#total = replaced.reduce((rest, { start, end }) => rest - (end - start), size);
    this.#report = report;
  }

  add(bytes: number): void {
    this.#done += bytes;
    this.#report({ done: this.#done, total: this.#total });
  }
}

async function copyBytes(
  base: ImageBase,
  baseFd: number,
  file: DiskFile,
  { replaced, onProgress }: CopyOptions,
): Promise<void> {
  if (await cloned(baseFd, file.fd)) return;
  const progress = new CopyProgress(base.size, replaced, onProgress);
  for (const { start, end } of between(replaced, base.size)) {
    const from = await copyInKernel(baseFd, file.fd, { start, end }, progress);
    await copySlices(base, file, { start: from, end }, progress);
  }
}

/** What lies between ascending ranges of a file, and after the last one. */
function* between(ranges: readonly DirtyRange[], size: number): Generator<DirtyRange, void> {
  let at = 0;
  for (const { start, end } of ranges) {
    if (start > at) yield { start: at, end: start };
    at = end;
  }
  if (at < size) yield { start: at, end: size };
}

/** Whether the copy shares the blocks of the base now. Not all file systems can. */
async function cloned(from: number, to: number): Promise<boolean> {
  const addon = loadNative();
  if (typeof addon?.cloneFile !== 'function') return false;
  return addon.cloneFile(from, to).then(
    () => true,
    () => false,
  );
}

/** Returns up to where it copied. `copySlices` copies the rest, and reports the reason if that fails. */
async function copyInKernel(
  from: number,
  to: number,
  { start, end }: DirtyRange,
  progress: CopyProgress,
): Promise<number> {
  const addon = loadNative();
  if (typeof addon?.copyFileBytes !== 'function') return start;
  let at = start;
  try {
    while (at < end) {
      const count = await addon.copyFileBytes(from, to, at, Math.min(KERNEL_SLICE_BYTES, end - at));
      if (count === 0) return at;
      at += count;
      progress.add(count);
    }
  } catch {
    // The kernel cannot copy between these file systems, or there is no space, which the copy in slices finds again.
  }
  return at;
}

async function copySlices(
  base: ImageBase,
  file: MediumFile,
  { start, end }: DirtyRange,
  progress: CopyProgress,
): Promise<void> {
  for (let at = start; at < end; at += SLICE_BYTES) {
    const length = Math.min(SLICE_BYTES, end - at);
    await file.write(at, [await base.read(at, length)]);
    progress.add(length);
  }
}
