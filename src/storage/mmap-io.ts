import { fstatSync } from 'node:fs';
import { createRequire } from 'node:module';
import { MlfsError } from '../errors.ts';
import type { ImageBase } from './image.ts';
import type { MapAccess, MappedRange, MappingIntent } from './mapped-range.ts';

/** The part of the optional package mmap-io that is used. */
interface MmapIo {
  readonly PROT_READ: number;
  readonly PROT_WRITE: number;
  readonly MAP_SHARED: number;
  readonly MAP_PRIVATE: number;
  readonly MADV_NORMAL: number;
  readonly MADV_RANDOM: number;
  readonly MADV_SEQUENTIAL: number;
  readonly MADV_WILLNEED: number;
  readonly PAGESIZE: number;
  map(
    size: number,
    protection: number,
    flags: number,
    fd: number,
    offset: number,
    advice: number,
  ): Buffer<ArrayBuffer>;
}

/** mmap-io 1.1.7 passes sizes and offsets through int32: 2 GiB fails, and 4 GiB + k would silently map byte k. */
const FIRST_WRONG_NUMBER = 2 ** 31;

/**
 * Maps a range of a file through the optional package mmap-io, for where the addon was not built. The range and its end in the file must lie below
 * 2 GiB. Nothing guards the mapping: if the file is truncated, touching it ends this process with SIGBUS. The memory is released when the buffer
 * is collected.
 *
 * Throws ERR_MLFS_USAGE without the package, and for ranges that it cannot map; ERR_MLFS_IO when mmap fails.
 */
export function mapThroughMmapIo(
  file: ImageBase,
  fd: number,
  offsetBytes: number,
  lengthBytes: number,
  access: MapAccess,
): MappedRange {
  const mmap = loadMmapIo(file.path);
  // A mapping starts at a page boundary: map from the page before, and cut the difference off.
  const delta = offsetBytes % mmap.PAGESIZE;
  const start = offsetBytes - delta;
  const length = lengthBytes + delta;
  if (start >= FIRST_WRONG_NUMBER || length >= FIRST_WRONG_NUMBER) {
    throw new MlfsError(
      'ERR_MLFS_USAGE',
      `${file.path}: bytes ${offsetBytes} to ${offsetBytes + lengthBytes} cannot be mapped: without the addon, mmap-io maps below 2 GiB only`,
      {
        path: file.path,
        advice: 'Build the addon (`mlfs doctor` says what is missing), or read the tensor.',
      },
    );
  }
  const [protection, flags] =
    access.mode === 'c'
      ? [mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE]
      : [mmap.PROT_READ, mmap.MAP_SHARED];
  let mapped: Buffer<ArrayBuffer>;
  try {
    mapped = mmap.map(length, protection, flags, fd, start, adviceOf(mmap, access.intent));
  } catch (cause) {
    throw new MlfsError('ERR_MLFS_IO', `${file.path}: mmap of ${lengthBytes} bytes failed`, {
      path: file.path,
      cause,
    });
  }
  return {
    buffer: mapped.buffer,
    byteOffset: mapped.byteOffset + delta,
    guarded: false,
    // The descriptor is the file's own: after it was closed nothing is known.
    torn: () => file.fd === fd && fstatSync(fd).size < offsetBytes + lengthBytes,
    close: () => undefined,
  };
}

function adviceOf(mmap: MmapIo, intent: MappingIntent | undefined): number {
  if (intent === 'sequential') return mmap.MADV_SEQUENTIAL;
  if (intent === 'random') return mmap.MADV_RANDOM;
  return intent === 'willNeed' ? mmap.MADV_WILLNEED : mmap.MADV_NORMAL;
}

function loadMmapIo(path: string): MmapIo {
  try {
    return createRequire(import.meta.url)('mmap-io') as MmapIo;
  } catch (cause) {
    throw new MlfsError(
      'ERR_MLFS_USAGE',
      `${path}: mapping needs the addon of MLFS, or the optional package mmap-io`,
      {
        path,
        advice:
          'Build the addon (`mlfs doctor` says what is missing), or CXXFLAGS=-std=c++17 npm install mmap-io',
        cause,
      },
    );
  }
}
