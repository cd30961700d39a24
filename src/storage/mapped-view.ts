import { createRequire } from 'node:module';
import { MlfsError } from '../errors.ts';
import type { ImageBase } from './image.ts';

/** The part of the optional package mmap-io that is used. */
interface MmapIo {
  readonly PROT_READ: number;
  readonly PROT_WRITE: number;
  readonly MAP_PRIVATE: number;
  readonly PAGESIZE: number;
  map(size: number, protection: number, flags: number, fd: number, offset: number): Buffer;
}

/** mmap-io 1.1.7 passes sizes and offsets through int32: 2 GiB fails, and 4 GiB + k would silently map byte k. */
const FIRST_WRONG_NUMBER = 2 ** 31;

/**
 * A zero-copy view of a run of a file: a private mapping, so that writing to it changes only the view.
 *
 * If the file is truncated while the view is in use, touching the view ends this process with SIGBUS. That is why MLFS itself never uses it
 * and leaves the choice to the caller.
 *
 * Throws ERR_MLFS_USAGE without the package mmap-io, and for runs that it cannot map.
 */
export function mappedView(file: ImageBase, offsetBytes: number, lengthBytes: number): Buffer {
  const mmap = loadMmapIo(file.path);
  // A mapping starts at a page boundary: map from the page before, and cut the difference off.
  const delta = offsetBytes % mmap.PAGESIZE;
  const start = offsetBytes - delta;
  const length = lengthBytes + delta;
  if (offsetBytes + lengthBytes > file.size || start >= FIRST_WRONG_NUMBER || length >= FIRST_WRONG_NUMBER) {
    throw new MlfsError(
      'ERR_MLFS_USAGE',
      `${file.path}: bytes ${offsetBytes} to ${offsetBytes + lengthBytes} cannot be viewed: mmap-io maps below 2 GiB only`,
      { path: file.path, advice: 'read the tensor, or mount the file and map the tensor there' },
    );
  }
  const mapped = mmap.map(length, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE, file.fd ?? -1, start);
  return mapped.subarray(delta);
}

function loadMmapIo(path: string): MmapIo {
  try {
    return createRequire(import.meta.url)('mmap-io') as MmapIo;
  } catch (cause) {
    throw new MlfsError('ERR_MLFS_USAGE', `${path}: a view needs the optional package mmap-io`, {
      path,
      advice: 'CXXFLAGS=-std=c++17 npm install mmap-io',
      cause,
    });
  }
}
